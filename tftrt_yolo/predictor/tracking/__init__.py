"""Tracking: which object of a frame is which of the frames before."""
