"""What every room stands on: errors, arguments, documents, directories, workers, images; no TensorFlow at import."""
