"""What competes in a selection: the best class of each anchor, or each of its classes.

scores_of_entries = competing_scores(scores, selection)             # -1 for what does not compete
anchors, classes = anchors_and_classes(entries, scores, selection)
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.selection import Selection


class RunTimeSelection(NamedTuple):
    """A selection whose numbers come with the call: as `Selection`, in tensors, and which classes count.

    Attributes:
      score_threshold: () float32.
      iou_threshold: () float32.
      max_detections: () int32.
      max_candidates: () int32.
      allowed: (classes,) bool, the classes that count; an anchor of another best class does not take part.
      is_class_agnostic: () bool, whether boxes of different classes compete.
      is_multi_label: () bool, whether an anchor takes part with each of its classes, and not with its best alone.
    """

    score_threshold: tf.Tensor
    iou_threshold: tf.Tensor
    max_detections: tf.Tensor
    max_candidates: tf.Tensor
    allowed: tf.Tensor
    is_class_agnostic: tf.Tensor
    is_multi_label: tf.Tensor


AnySelection = Selection | RunTimeSelection


def competing_scores(scores: tf.Tensor, selection: AnySelection) -> tf.Tensor:
    """(batch, entries) float32: what competes, -1 for what does not; an anchor's best class, or all of them in turn."""

    def of_best_class():
        highest = tf.reduce_max(scores, axis=-1)
        passes = highest > selection.score_threshold  # false for NaN
        if isinstance(selection, RunTimeSelection):
            passes &= _has_asked_class(scores, selection.allowed)
        return tf.where(passes, highest, -1.0)

    def of_each_class():
        passes = (scores > selection.score_threshold) & selection.allowed
        return tf.reshape(tf.where(passes, scores, -1.0), (-1, scores.shape[1] * scores.shape[2]))

    return _as_asked(selection, of_each_class, of_best_class)


def anchors_and_classes(entries: tf.Tensor, scores: tf.Tensor, selection: AnySelection) -> tuple[tf.Tensor, tf.Tensor]:
    """(batch, K) int32 and (batch, K) float32: the anchor of each of the `competing_scores`, and its class."""

    def of_best_class():
        found = tf.argmax(tf.gather(scores, entries, batch_dims=1), axis=-1, output_type=tf.int32)
        return entries, tf.cast(found, tf.float32)

    def of_each_class():
        anchors = entries // scores.shape[2]  # not by rows_and_columns: there may be more entries than float32 counts
        return anchors, tf.cast(entries - anchors * scores.shape[2], tf.float32)

    return _as_asked(selection, of_each_class, of_best_class)


def _as_asked(selection: AnySelection, of_each_class: Callable, of_best_class: Callable):
    """What one of the two gives."""
    is_at_run_time = isinstance(selection, RunTimeSelection)
    return tf.cond(selection.is_multi_label, of_each_class, of_best_class) if is_at_run_time else of_best_class()


def rows_and_columns(places: tf.Tensor, num_columns: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows and columns, float32, of places in a table that is counted row by row."""
    places = tf.cast(places, tf.float32)
    rows = tf.floor((places + 0.5) / num_columns)  # half a place off the edges, where a quotient could round wrongly
    return rows, places - rows * num_columns


def _has_asked_class(scores: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
    """(batch, anchors) bool: whether the best class of each anchor is allowed; where all are, it is not looked for."""

    def look():
        return tf.gather(allowed, tf.argmax(scores, axis=-1, output_type=tf.int32))

    return tf.cond(tf.reduce_all(allowed), lambda: tf.ones(tf.shape(scores)[:2], tf.bool), look)
