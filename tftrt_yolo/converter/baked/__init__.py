"""Precision that Grappler bakes into a graph, for XLA and oneDNN."""
