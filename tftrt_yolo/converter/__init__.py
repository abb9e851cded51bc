"""From a SavedModel to a faster one, by TF-TRT, XLA or oneDNN.

`convert` is the verb, `accelerators` the table that it works by; `tensorrt` and `grappler` convert, each in a worker's
process, with INT8 in a room of its own; `comparison` sets the result beside the export; `inspect` looks into a
SavedModel.
"""
