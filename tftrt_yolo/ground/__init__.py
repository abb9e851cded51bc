"""What every room stands on: errors, arguments, files, workers; no TensorFlow at import."""
