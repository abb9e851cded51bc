"""Engines for TensorRT's own runtime: built from an export, taken out of a conversion, and predicted with."""
