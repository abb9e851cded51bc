"""What TensorFlow Serving reads beside a SavedModel: warm-up records, models.config, batching parameters."""
