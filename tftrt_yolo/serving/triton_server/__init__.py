"""NVIDIA's own server, from the wheel of PyTriton, run on one model: `serve --backend=pytriton`."""
