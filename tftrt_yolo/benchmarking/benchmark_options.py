"""What a benchmark seldom needs to be told."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """What a benchmark seldom needs to be told.

    Attributes:
      images: An image, a folder of images or a glob, of which the first 64 fill the batches, letterboxed beforehand;
        none for the packaged photo.
      peer_python: Python interpreter that has PyTorch, Ultralytics, ONNX Runtime or OpenVINO, where this one does not.
        It gets neither PYTHONPATH nor LD_LIBRARY_PATH nor XLA_FLAGS of this process; the environment variable
        TFTRT_YOLO_PEER_PYTHONPATH is its PYTHONPATH.
      artifacts_dir: Folder in which conversions and Ultralytics' exports are looked for and kept; none for a temporary
        one.
    """

    images: str | Path | None = None
    peer_python: str | Path | None = None
    artifacts_dir: str | Path | None = None
