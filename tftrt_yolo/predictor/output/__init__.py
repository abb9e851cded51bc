"""What `predict` writes: annotated pictures and videos, a line of JSON for each image, and the forms asked for."""
