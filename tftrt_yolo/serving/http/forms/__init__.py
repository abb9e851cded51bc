"""What is spoken over HTTP: the Open Inference Protocol, TensorFlow Serving's REST, and pictures as they are."""
