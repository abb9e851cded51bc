"""PyTorch's dense predictions, batch after batch. It runs in a worker's process; see `tftrt_yolo.ground.worker`.

with Worker("tftrt_yolo.exporter.reference", working_dir=Path.cwd()) as worker:
    worker.open(weights="yolov8n.pt")
    facts = worker.receive()                  # contract.ModelFacts: task, names, head, stride
    for frames in batches:                    # (batch, S, S, 3) float32 in [0, 1], letterboxed
        worker.send(frames)
        dense = worker.receive()              # the names and shapes of signature `network`
"""

from collections.abc import Iterator

import numpy as np

from tftrt_yolo.contract import ModelFacts
from tftrt_yolo.exporter import checkpoint


def work(*, weights: str, requests: Iterator[np.ndarray]) -> Iterator[ModelFacts | dict[str, np.ndarray]]:
    """Loads a model once and runs it on every request.

    Args:
      weights: As `checkpoint.load`.
      requests: Frames (batch, height, width, 3) float32 in [0, 1].

    Yields:
      The ModelFacts; then, for each request, what `checkpoint.run` gives.
    """
    yolo = checkpoint.load(weights)
    yield yolo.facts
    for frames in requests:
        yield checkpoint.run(yolo, frames)
