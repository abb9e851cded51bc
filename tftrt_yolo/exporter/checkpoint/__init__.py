"""Checkpoints from strangers: read as inert records, checked, and built anew by Ultralytics; nothing of the file runs.

`archive` reads the file, `pickle_machine` its pickle into `records`, `contents` finds the network in them; `model_yaml`
says which networks may be built, `rebuild` builds one and fills it with the file's weights, and `load` is the door.
"""
