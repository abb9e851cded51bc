"""The artefact behind HTTP and gRPC, and as Triton and TensorFlow Serving take it.

A verb has the file of its name. `scheduling` runs models in processes of their own; `http` and `rpc` are the doors, and
speak the forms in `protocol`; `observing` counts, traces and logs.
"""
