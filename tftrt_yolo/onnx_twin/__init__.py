"""The network of an export as an ONNX file, for TensorRT 10 and newer and for whatever else reads ONNX."""
