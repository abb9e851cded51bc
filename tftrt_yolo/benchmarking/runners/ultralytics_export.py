"""Ultralytics' own export, of what the contestants need: ONNX and its SavedModel.

with Worker("tftrt_yolo.benchmarking.runners.ultralytics_export", python=peer_python) as worker:
    worker.start(weights="yolov8n.pt", options={"format": "onnx", "dynamic": True})
    path = worker.receive()["path"]                 # inside worker.folder
"""

import shutil
from pathlib import Path

import numpy as np

from tftrt_yolo.benchmarking import protocol

_SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"  # Ultralytics would download them for onnx2tf


def work(*, weights: str, options: dict) -> dict:
    """Exports a copy of a checkpoint in the working directory, because Ultralytics writes beside it.

    Args:
      weights: A .pt checkpoint that this package wrote: it is unpickled.
      options: Keyword arguments of Ultralytics' `YOLO.export`.

    Returns:
      `path`: what was written; or the event "absent", if a package is missing.
    """
    try:
        from ultralytics import YOLO
    except (ImportError, RuntimeError, OSError) as error:
        return protocol.absent(error)
    weights = shutil.copy(weights, Path.cwd())
    np.save(_SAMPLES, np.zeros((20, 128, 128, 3), np.float32))
    try:
        return {"path": str(Path(YOLO(str(weights)).export(**options)).resolve())}
    except ImportError as error:  # Ultralytics installs what is missing unless it is told not to
        return protocol.absent(error)
