"""Labels that are a value for each pixel of an image: files beside the images, a module a task."""
