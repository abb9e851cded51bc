"""How far the scores of a model are from those of another, gathered batch by batch from the dense outputs of both.

    shift = ShiftOfDetections(metadata)
    shift.add(expected, found)                # outputs of signature `network` of the export and of the conversion
    print(shift.result())

Detections are selected as the SavedModel selects them, down to a tenth of its threshold: what scores above it is
exactly what users get, and the rest is where lost detections went.
"""

import dataclasses

import numpy as np

from tftrt_yolo.contract import Metadata
from tftrt_yolo.evaluation.certainty import resampling
from tftrt_yolo.evaluation.certainty.figures import Interval, ScoreShift
from tftrt_yolo.evaluation.oriented import probabilistic_iou
from tftrt_yolo.tasks.table import TASKS

MINIMUM_IOU = 0.5
_FLOOR = 0.1  # of the threshold, down to which a counterpart is looked for
_PERCENTILES = (5, 95)


def gather(metadata: Metadata) -> "ShiftOfDetections | ShiftOfClasses | None":
    """What gathers the shift of a model, by its task; None for a map, which has no scores."""
    task = TASKS[metadata.task]
    if task.gives_map:
        return None
    return ShiftOfDetections(metadata) if task.finds_objects else ShiftOfClasses()


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The detections of one model on one image, n of them, best first.

    Attributes:
      boxes: (n, 4) xyxy or (n, 5) xywhr, in pixels of the frame.
      scores: (n,) float32.
      classes: (n,) int32.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


class _Gathered:
    """Differences of scores, image by image, and what was lost."""

    def __init__(self):
        self._differences, self._detections, self._lost, self._new = [], 0, 0, 0

    def _result(self, **limits: float | None) -> ScoreShift:
        values = np.concatenate([np.zeros(0), *self._differences])
        is_any = len(values) > 0
        p5, p95 = map(float, np.percentile(values, _PERCENTILES)) if is_any else (None, None)
        return ScoreShift(
            images=len(self._differences),
            pairs=len(values),
            mean=float(values.mean()) if is_any else None,
            p5=p5,
            p95=p95,
            interval=self._interval(),
            detections=self._detections,
            lost=self._lost,
            new=self._new,
            **limits,
        )

    def _interval(self) -> Interval | None:
        """Of the mean, over images and not over pairs: those of one image are alike."""
        weights = resampling.draw(len(self._differences))
        if weights is None:
            return None
        sums, counts = (
            weights @ np.array([of(one) for one in self._differences], np.float64) for of in (np.sum, np.size)
        )
        with np.errstate(invalid="ignore"):
            return resampling.interval(sums / counts)


class ShiftOfDetections(_Gathered):
    """Gathers the shift of boxes' scores."""

    def __init__(self, metadata: Metadata):
        """Starts without images.

        Args:
          metadata: Of the SavedModel: its task, and how it selects.
        """
        super().__init__()
        self._threshold = metadata.selection.score_threshold
        selection = dataclasses.replace(metadata.selection, score_threshold=_FLOOR * self._threshold)
        self._task, self._metadata = TASKS[metadata.task], dataclasses.replace(metadata, selection=selection)

    def add(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
        """Takes a batch.

        Args:
          expected: The dense outputs of the model that is compared to, a row an image.
          found: Those of the other, of the same images.
        """
        for one, other in zip(self._select(expected), self._select(found), strict=True):
            firsts, seconds = np.array(pairs(one, other), np.int64).reshape(-1, 2).T
            before, after = one.scores[firsts].astype(np.float64), other.scores[seconds].astype(np.float64)
            counting = np.maximum(before, after) > self._threshold
            self._differences.append((after - before)[counting])
            num_both = int(np.count_nonzero(np.minimum(before, after) > self._threshold))
            num_before, num_after = (int(np.count_nonzero(part.scores > self._threshold)) for part in (one, other))
            self._detections += num_before
            self._lost += num_before - num_both
            self._new += num_after - num_both

    def _select(self, dense: dict[str, np.ndarray]) -> list[Chosen]:
        """What a model finds on each image, by the SavedModel's own selection."""
        import tensorflow as tf

        tensors = {name: tf.constant(values) for name, values in dense.items()}
        selected = self._task.select(tensors, self._metadata, static_shapes=False)
        boxes = selected.gather(tensors["boxes_xywhr" if "boxes_xywhr" in tensors else "boxes"]).numpy()
        scores, classes = selected.scores.numpy(), selected.classes.numpy()
        counts = enumerate(selected.num_detections.numpy().tolist())
        return [Chosen(boxes[index, :n], scores[index, :n], classes[index, :n]) for index, n in counts]

    def result(self) -> ScoreShift:
        """The figures over all batches."""
        return self._result(score_threshold=self._threshold, minimum_iou=MINIMUM_IOU)


class ShiftOfClasses(_Gathered):
    """Gathers the shift of a classifier's best probability."""

    def add(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
        """Takes a batch, as `ShiftOfDetections.add`."""
        before, after = (dense["probabilities"].astype(np.float64) for dense in (expected, found))
        for one, other in zip(before, after, strict=True):
            is_same = one.argmax() == other.argmax()
            self._differences.append(np.array([other.max() - one.max()] if is_same else []))
            self._detections += 1
            self._lost += not is_same
            self._new += not is_same

    def result(self) -> ScoreShift:
        """The figures over all batches."""
        return self._result(score_threshold=None, minimum_iou=None)


def pairs(one: Chosen, other: Chosen) -> list[tuple[int, int]]:
    """Pairs the detections of two models on one image, of the same class, those that overlap most first.

    Args:
      one: Of one model.
      other: Of the other.

    Returns:
      Index in the first and index in the second of each pair; whichever model comes first, the pairs are the same.
    """
    if not len(one.boxes) or not len(other.boxes):
        return []
    overlap = probabilistic_iou if one.boxes.shape[1] == 5 else _iou
    overlaps = overlap(one.boxes.astype(np.float64), other.boxes.astype(np.float64))
    overlaps[one.classes[:, np.newaxis] != other.classes] = -1.0
    firsts, seconds = np.nonzero(overlaps >= MINIMUM_IOU)
    found, taken = [], (set(), set())
    for place in np.argsort(-overlaps[firsts, seconds], kind="stable"):
        first, second = int(firsts[place]), int(seconds[place])
        if first not in taken[0] and second not in taken[1]:
            found.append((first, second))
            taken[0].add(first)
            taken[1].add(second)
    return found


def _iou(boxes_xyxy: np.ndarray, others_xyxy: np.ndarray) -> np.ndarray:
    """Intersection over union of upright boxes, (n, 4) and (m, 4) to (n, m)."""
    low = np.maximum(boxes_xyxy[:, np.newaxis, :2], others_xyxy[:, :2])
    high = np.minimum(boxes_xyxy[:, np.newaxis, 2:], others_xyxy[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas, other_areas = ((part[:, 2:] - part[:, :2]).prod(axis=1) for part in (boxes_xyxy, others_xyxy))
    return shared / np.maximum(areas[:, np.newaxis] + other_areas - shared, 1e-9)
