"""From TensorFlow's frozen graph to the nodes of an ONNX graph, channels first."""
