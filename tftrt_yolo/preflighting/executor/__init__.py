"""Computes a recorded network in NumPy, layer by layer, by TensorRT's documented rules and by nobody's code."""
