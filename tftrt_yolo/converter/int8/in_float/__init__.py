"""Convolutions that stay in float beside those in INT8: what was asked for, and which they are."""
