"""From an Ultralytics checkpoint to a SavedModel, checked against PyTorch.

`export` is the verb. PyTorch → ONNX (`checkpoint`), ONNX → TensorFlow (`trunk`, the only place that knows onnx2tf),
decode and selection from `graph`, signatures from `saved_model.write`, and `pytorch_parity` at the end.
"""
