"""INT8 by explicit quantisation: images, ranges, the quantised graph, and what it costs in accuracy."""
