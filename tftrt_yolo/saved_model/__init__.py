"""The artefact: a SavedModel directory that keeps the contract, written, read without running, loaded and run.

`handle` opens a directory and checks what it says of itself; `write` builds every signature around one network;
`saved_model_pb` reads the graph without running it and `freeze` turns `network` into one of constants; `load` makes it
run on what this machine has; `network` runs that signature on images.
"""
