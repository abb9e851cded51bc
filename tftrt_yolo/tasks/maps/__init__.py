"""The tasks that give a value for each pixel of an image, a module each, and what their maps are computed with."""
