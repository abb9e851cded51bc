"""The contestants' own processes: each module's `work` runs one contestant and yields events (see `protocol`).

with Worker("tftrt_yolo.benchmarking.runners.pytorch", python=peer_python) as worker:
    worker.start(weights="yolov8n.pt", ...)

`tensorflow` and `ultralytics_saved_model` run in this package's interpreter; the others may run in one that has nothing
but numpy and what they measure, so they import that and the standard library only, and do so inside `work`: a package
that is missing is an answer there, and not a crash.
"""
