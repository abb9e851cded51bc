"""Evaluation: how accurate a SavedModel is on labelled images, and how it compares to the weights it came from.

`evaluate` is the verb. `datasets` reads and checks what to measure on, `saved_model.network` runs signature `network`,
so that the artefact measured is the artefact shipped, and `networks` PyTorch beside it; `scoring` selects and compares,
`average_precision` adds up by COCO's rules, `evaluation_report` and `charts` show it.
"""
