"""PyTorch's dense predictions, batch after batch. It runs in a worker's process; see `ground.workers.worker`.

with Worker("tftrt_yolo.exporter.reference") as worker:
    worker.open(weights="/models/yolov8n.pt")
    facts = worker.receive()                  # contract.ModelFacts: task, names, head, stride
    for frames in batches:                    # (batch, S, S, 3) float32 in [0, 1], letterboxed
        worker.send(frames)
        dense = worker.receive()              # the names and shapes of signature `network`
"""

from collections.abc import Iterator

import numpy as np
import torch

from tftrt_yolo.contract import AUTO, ModelFacts
from tftrt_yolo.exporter.checkpoint.load import Yolo, load
from tftrt_yolo.tasks.table import TASKS


def work(
    *, weights: str, requests: Iterator[np.ndarray], nms: str = AUTO
) -> Iterator[ModelFacts | dict[str, np.ndarray]]:
    """Loads a model once and runs it on every request.

    Args:
      weights: As `checkpoint.load.load`.
      requests: Frames (batch, height, width, 3) float32 in [0, 1].
      nms: As `checkpoint.load.load`.

    Yields:
      The ModelFacts; then, for each request, what `run` gives.
    """
    yolo = load(weights, nms)
    yield yolo.facts
    for frames in requests:
        yield run(yolo, frames)


def run(yolo: Yolo, frames: np.ndarray) -> dict[str, np.ndarray]:
    """Runs the model in PyTorch.

    Args:
      yolo: The model.
      frames: (batch, height, width, 3) float32 in [0, 1].

    Returns:
      What signature `network` gives for the task (see `tftrt_yolo.tasks`), float32, under the same names.
    """
    images = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
    with torch.inference_mode():
        outputs = [_dense_outputs(yolo, image[None]) for image in images]  # one by one: half the memory
    whole = [torch.cat(parts).numpy() for parts in zip(*outputs, strict=True)]
    return TASKS[yolo.facts.task].reference(whole, yolo.facts.head)


def _dense_outputs(yolo: Yolo, image: torch.Tensor) -> list[torch.Tensor]:
    """What Ultralytics' network gives for every anchor, before a selection of its own."""
    found = yolo.module(image)
    if TASKS[yolo.facts.task].gives_map:  # as it is: nothing is selected, and there is nothing beside it
        return [found]
    predictions, raw = found
    outputs = list(predictions) if isinstance(predictions, tuple) else [predictions]
    if yolo.facts.head.is_end_to_end:  # forward() has selected already; this is what it selected from
        outputs[0] = yolo.module.model[-1]._inference(raw["one2one"])
    return outputs
