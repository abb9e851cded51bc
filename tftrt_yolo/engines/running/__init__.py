"""What runs an engine: TensorRT behind one seam, the GPU's memory, and the ops before and behind it."""
