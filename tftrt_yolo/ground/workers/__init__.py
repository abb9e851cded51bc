"""Processes for work that must not touch the caller's, and what they say on the way."""
