"""The forms of HTTP that are spoken: the Open Inference Protocol, TensorFlow Serving's REST, and pictures as they are."""
