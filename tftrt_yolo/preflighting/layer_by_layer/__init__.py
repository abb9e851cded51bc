"""A recorded network against TensorFlow layer by layer: convolutions alone, and where INT8 rounds another way."""
