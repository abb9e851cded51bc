"""A library that stands in for libnvinfer 8.6.1, so that TF-TRT builds its networks on any machine."""
