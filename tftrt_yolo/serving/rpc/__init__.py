"""The door for gRPC: the Open Inference Protocol and TensorFlow Serving's PredictionService."""
