"""TensorRT's side of a conversion: what it is given, computed by others, and built by a real TensorRT."""
