"""What is looked at before a stranger's SavedModel is believed.

`believed` reads a graph with all that follows: `digests` compares the files with those that metadata.yaml records,
`agreement` compares metadata.yaml and conversion.json with the graph, `side_effects` finds the ops that touch more than
tensors, by the lists of `op_lists`.
"""
