"""Selection for validation: every class of every anchor counts, from the lowest scores up.

    chosen = select(scores, boxes_xyxy=boxes)               # one image's dense outputs
    boxes[chosen.anchors], chosen.scores, chosen.classes

A SavedModel's own selection is for use: the best class of an anchor, above 0.25. Average precision wants the whole
curve, so this one keeps whatever scores above 0.001, up to 300 detections an image, and an anchor may be several
classes at once.
"""

import math
from typing import NamedTuple

import numpy as np

from tftrt_yolo.evaluation.oriented import probabilistic_iou

SCORE_THRESHOLD = 0.001
IOU_THRESHOLD = 0.7
MAX_DETECTIONS = 300
_MAX_CANDIDATES = 30_000
_BLOCK = 256  # candidates that are compared with all better ones at a time


class Chosen(NamedTuple):
    """The detections that stay, n of them, best first.

    Attributes:
      anchors: (n,) int64, index of the anchor.
      classes: (n,) int64.
      scores: (n,) float32.
    """

    anchors: np.ndarray
    classes: np.ndarray
    scores: np.ndarray


def select(
    scores: np.ndarray,
    *,
    boxes_xyxy: np.ndarray,
    boxes_xywhr: np.ndarray | None = None,
    is_end_to_end: bool = False,
) -> Chosen:
    """Selects the detections of one image.

    Args:
      scores: (anchors, classes) float32 in [0, 1].
      boxes_xyxy: (anchors, 4) float32, in pixels.
      boxes_xywhr: (anchors, 5) float32 for oriented boxes: then they compete, not boxes_xyxy.
      is_end_to_end: Whether the head gives each object once: then the best stay, without suppression.

    Returns:
      What stays. Upright boxes compete greedily, class by class. Oriented boxes are removed by any better one of their
      class, whether that stays or not, as Ultralytics does it.

    Source: ultralytics.utils.nms.non_max_suppression with multi_label=True, and the validators' thresholds.
    """
    anchors, classes = np.nonzero(scores > SCORE_THRESHOLD)
    values = scores[anchors, classes]
    order = np.argsort(-values, kind="stable")[: MAX_DETECTIONS if is_end_to_end else _MAX_CANDIDATES]
    anchors, classes, values = anchors[order], classes[order], values[order]
    if is_end_to_end:
        return Chosen(anchors, classes, values)
    kept = (
        _greedy(boxes_xyxy[anchors], classes, values) if boxes_xywhr is None else _fast(boxes_xywhr[anchors], classes)
    )
    return Chosen(anchors[kept], classes[kept], values[kept])


def _greedy(boxes_xyxy: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Greedy suppression class by class, in TensorFlow's kernel for CPUs; indices of those that stay, best first.

    The kernel knows no classes. So each class gets a place of its own on a chequered plane, where boxes of different
    classes cannot meet; a plane, because in a row the coordinates of many classes would lose their fractions in
    float32.
    """
    import tensorflow as tf

    if not len(boxes_xyxy):
        return np.zeros(0, np.int64)
    span = boxes_xyxy.max() - boxes_xyxy.min() + 1
    rows = math.isqrt(int(classes.max())) + 1
    place = np.stack([classes % rows, classes // rows] * 2, axis=1) * span
    with tf.device("/CPU:0"):
        kept = tf.image.non_max_suppression(
            (boxes_xyxy + place).astype(np.float32), scores, MAX_DETECTIONS, iou_threshold=IOU_THRESHOLD
        )
    return kept.numpy()


def _fast(boxes_xywhr: np.ndarray, classes: np.ndarray) -> list[int]:
    """Suppression of oriented boxes that are sorted, best first, by all better ones; indices of the first that stay."""
    members = {index: np.flatnonzero(classes == index) for index in np.unique(classes)}
    kept = []
    for first in range(0, len(classes), _BLOCK):
        block = np.arange(first, min(first + _BLOCK, len(classes)))
        stays = np.ones(len(block), bool)
        for index in np.unique(classes[block]):
            columns = block[classes[block] == index]
            rows = members[index][members[index] < columns[-1]]
            overlaps = probabilistic_iou(boxes_xywhr[rows], boxes_xywhr[columns]) > IOU_THRESHOLD
            stays[columns - first] = ~(overlaps & (rows[:, None] < columns)).any(axis=0)
        kept += block[stays].tolist()
        if len(kept) >= MAX_DETECTIONS:
            break
    return kept[:MAX_DETECTIONS]
