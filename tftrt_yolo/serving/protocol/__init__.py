"""What the doors share: tensors on the wire, and what a model says of itself."""
