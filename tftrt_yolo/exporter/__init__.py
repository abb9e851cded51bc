"""From an Ultralytics checkpoint to a SavedModel, checked against PyTorch.

`export` is the verb. `pytorch_half` loads a checkpoint (`checkpoint`, `surgery`) and writes ONNX (`onnx_trunk`);
`tensorflow_half` reads that (`trunk`, the only place that knows onnx2tf) and writes the SavedModel around it. Each runs
in a process of its own, and `pytorch_parity` compares what they give.
"""
