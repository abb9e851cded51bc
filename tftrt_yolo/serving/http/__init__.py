"""The door for HTTP: the Open Inference Protocol, TensorFlow Serving's REST interface, and pictures as they are."""
