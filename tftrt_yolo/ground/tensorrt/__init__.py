"""Which TensorRT this TensorFlow wants: what follows from the version it was built against, and what is here of it."""
