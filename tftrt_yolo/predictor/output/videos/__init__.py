"""Annotated videos with the sound of those that were read."""
