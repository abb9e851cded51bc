"""Convolutions as INT8 suits them: zeros before them, and filters fitted to what they read."""
