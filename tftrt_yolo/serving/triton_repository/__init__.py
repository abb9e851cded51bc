"""A model as Triton Inference Server takes it: config.pbtxt, the code for its Python backend, and the files."""
