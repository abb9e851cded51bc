"""A TensorRT that can be installed without a GPU takes the recorded network, layer by layer, and builds it."""
