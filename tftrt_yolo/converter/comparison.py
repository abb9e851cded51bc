"""How far a conversion is from its export, on real images: detections, and the dense outputs before selection.

    found = compare(source, converted, ["bus.jpg"])             # both handles
    print(found)                                                # 5 of 5 detections matched on 1 image, ...
    compare_dense(source, converted, ["bus.jpg"])["boxes"].mean

Detections are those that users get, from `Predictor`. The dense outputs say something of a model that detects nothing.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import supervision as sv

from tftrt_yolo.contract import CLASSIFY
from tftrt_yolo.converter.parity import DenseDifference, Parity
from tftrt_yolo.ground import assets
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.network import SavedModelNetwork, frames_ahead
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

# Beside the photo: those with the most digits. Five in all, for XLA on a CPU takes a second for each at 640 px.
_PICTURES = ("000010.jpg", "000020.jpg", "000023.jpg", "000025.jpg")
_CROPS_A_CLASS = 2
_MINIMUM_IOU = 0.9
_BATCH_SIZE = 4  # of the dense outputs, where nothing is compiled


def compare(
    source: SavedModelHandle, converted: SavedModelHandle, images: Sequence[str], *, batch_size: int = 1
) -> Parity:
    """Runs an export and its conversion on the same images.

    Args:
      source: The export.
      converted: The conversion.
      images: Paths of images.
      batch_size: Images a call, so that a compiled model compiles one batch size.

    Returns:
      What was matched, and the largest differences.

    Raises:
      ImageError: If an image cannot be read.
    """
    reference, candidate = Predictor(source), Predictor(converted)
    task, largest = reference.task, {}
    matched = extra = detections = 0
    streams = (model.stream(images, batch_size=batch_size) for model in (reference, candidate))
    for expected, found in zip(*streams, strict=True):
        pairs = _pairs(task, expected, found)
        detections += len(expected) if task.finds_objects else 1
        matched += len(pairs)
        extra += (len(found) if task.finds_objects else 1) - len(pairs)
        for one, other in pairs:
            for label, value in task.differences(expected, found, one, other).items():
                largest[label] = max(largest.get(label, 0.0), float(value))
    return Parity(
        images=len(images),
        detections=detections,
        matched=matched,
        extra=extra,
        differences=largest,
        device=candidate.backend.device,
        arithmetic=candidate.backend.arithmetic,
        is_of_maps=task.gives_map,
    )


def compare_dense(
    source: SavedModelHandle,
    converted: SavedModelHandle,
    images: Sequence[str],
    *,
    batch_size: int = _BATCH_SIZE,
    on_batch: Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], None] | None = None,
) -> dict[str, DenseDifference]:
    """Compares the outputs of signature `network` of an export and of its conversion, at every anchor.

    Args:
      source: The export.
      converted: The conversion.
      images: Paths of images.
      batch_size: Images a call.
      on_batch: Called with the outputs of both for each batch, those of the export first.

    Returns:
      Label of each of the task's quantities to how far it moves.

    Raises:
      ImageError: If an image cannot be read.
    """
    reference, candidate = (SavedModelNetwork(handle, strict=False) for handle in (source, converted))
    quantities = TASKS[source.metadata.task].quantities
    # A row a quantity: numbers, sum of absolute differences, largest of these, largest magnitude, signal, noise.
    sums = np.zeros((len(quantities), 6))
    for frames in frames_ahead([Path(path) for path in images], source.metadata, batch_size):
        (expected, _), (found, _) = (network.run(frames) for network in (reference, candidate))
        if on_batch is not None:
            on_batch(expected, found)
        for row, quantity in zip(sums, quantities, strict=True):
            columns = slice(*quantity.columns)
            values = expected[quantity.output][..., columns].astype(np.float64)
            differences = np.abs(found[quantity.output][..., columns] - values)
            row[[0, 1, 4, 5]] += values.size, differences.sum(), np.square(values).sum(), np.square(differences).sum()
            row[[2, 3]] = np.maximum(row[[2, 3]], (differences.max(), np.abs(values).max()))
    return {
        quantity.label: _dense_difference(quantity.unit, *row) for row, quantity in zip(sums, quantities, strict=True)
    }


def _dense_difference(
    unit: str, count: float, total: float, largest: float, magnitude: float, signal: float, noise: float
) -> DenseDifference:
    """The figures of one quantity from what was summed up."""
    scale = max(magnitude, 1e-6) if unit == "relative" else 1.0
    return DenseDifference(float(total / count / scale), float(largest / scale), decibels(signal, noise), unit)


def decibels(signal: float, noise: float) -> float | None:
    """Ratio of two sums of squares in dB; None without signal or noise."""
    return float(10 * np.log10(signal / noise)) if signal and noise else None


def _pairs(task: Task, expected, found) -> list[tuple[int, int]]:
    """Index in what the export gives and index in what the conversion gives of each pair."""
    if task.finds_objects:
        return match(task.boxes(expected), task.boxes(found))
    if task.gives_map:  # pixel by pixel: `Task.differences` says how far they are
        return [(0, 0)]
    best, other = int(expected.confidence.argmax()), int(found.confidence.argmax())
    return [(best, other)] if best == other else []


def match(expected, found, *, minimum_iou: float = _MINIMUM_IOU) -> list[tuple[int, int]]:
    """Pairs two lists of detections, the best of the first list first, each with the free one that overlaps it most.

    Args:
      expected: `supervision.Detections`.
      found: The same.
      minimum_iou: Least IoU of a pair; the classes must be equal.

    Returns:
      Index in the first list and index in the second of each pair.
    """
    if not len(expected) or not len(found):
        return []
    overlaps = sv.box_iou_batch(expected.xyxy, found.xyxy)
    overlaps[expected.class_id[:, np.newaxis] != found.class_id] = -1.0
    pairs = []
    for one, row in enumerate(overlaps):
        other = int(row.argmax())
        if row[other] >= minimum_iou:
            pairs.append((one, other))
            overlaps[:, other] = -1.0
    return pairs


def packaged_images(task: str) -> list[str]:
    """The pictures that come with the package for this: of a classifier two crops a class, else whole pictures."""
    if task == CLASSIFY:
        classes = sorted((assets.ACCEPTANCE / task).iterdir())
        return [str(crop) for folder in classes for crop in sorted(folder.iterdir())[:_CROPS_A_CLASS]]
    return [str(assets.PHOTO), *(str(assets.ACCEPTANCE / "images" / name) for name in _PICTURES)]
