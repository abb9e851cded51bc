"""Selection on the device: from the dense predictions of every anchor to a few detections.

    selected = select(boxes_xyxy, scores, selection)
    detections = selected.gather(boxes_xyxy)

The best class of each anchor counts, the best `max_candidates` of those above the threshold compete, and non-maximum
suppression is greedy and class by class: Ultralytics' predict semantics.
"""

from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.contract import Selection


class Selected(NamedTuple):
    """The anchors that were selected, best first, padded to N = max_detections.

    Attributes:
      num_detections: (batch,) int32.
      anchors: (batch, N) int32, index of the anchor; 0 where padded.
      scores: (batch, N) float32; 0 where padded.
      classes: (batch, N) int32; 0 where padded.
    """

    num_detections: tf.Tensor
    anchors: tf.Tensor
    scores: tf.Tensor
    classes: tf.Tensor

    def gather(self, dense: tf.Tensor) -> tf.Tensor:
        """Takes the selected anchors' rows of a dense output.

        Args:
          dense: (batch, anchors, ...), any dtype.

        Returns:
          (batch, N, ...), zero where padded.
        """
        rows = tf.gather(dense, self.anchors, batch_dims=1)
        kept = tf.sequence_mask(self.num_detections, tf.shape(self.anchors)[1])
        kept = tf.reshape(kept, tf.concat([tf.shape(kept), tf.ones(tf.rank(rows) - 2, tf.int32)], axis=0))
        return tf.where(kept, rows, tf.zeros_like(rows))


def select(boxes_xyxy: tf.Tensor, scores: tf.Tensor, selection: Selection) -> Selected:
    """Selects detections.

    Args:
      boxes_xyxy: (batch, anchors, 4) float32, pixels.
      scores: (batch, anchors, classes) float32 in [0, 1].
      selection: Thresholds and limits.

    Returns:
      The selected anchors. It is exactly the result of greedy suppression whenever at most
      `selection.max_candidates` anchors pass the threshold; of more, the best take part.

    Source: ultralytics.utils.nms.non_max_suppression with multi_label=False and agnostic=False.
    """
    best = tf.reduce_max(scores, axis=-1)
    passes = best > selection.score_threshold  # false for NaN
    most = tf.reduce_max(tf.math.count_nonzero(passes, axis=1, dtype=tf.int32))
    num_candidates = tf.clip_by_value(most, 0, min(selection.max_candidates, scores.shape[1]))

    candidate_scores, anchors = tf.math.top_k(tf.where(passes, best, -1.0), num_candidates)
    classes = tf.argmax(tf.gather(scores, anchors, batch_dims=1), axis=-1, output_type=tf.int32)
    boxes_xyxy = tf.gather(boxes_xyxy, anchors, batch_dims=1)
    kept = _greedy(_suppresses(boxes_xyxy, classes, selection.iou_threshold), candidate_scores >= 0.0)

    # Candidates are sorted by score, so a stable sort of "dropped" puts the detections first, in order.
    order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)[:, : selection.max_detections]
    num_detections = tf.minimum(tf.math.count_nonzero(kept, axis=1, dtype=tf.int32), selection.max_detections)
    valid = tf.sequence_mask(num_detections, tf.shape(order)[1])

    def pick(values):
        values = tf.gather(values, order, batch_dims=1)
        values = tf.where(valid, values, tf.zeros_like(values))
        values = tf.pad(values, [[0, 0], [0, selection.max_detections - tf.shape(values)[1]]])
        return tf.ensure_shape(values, (None, selection.max_detections))

    return Selected(num_detections, pick(anchors), pick(candidate_scores), pick(classes))


def _suppresses(boxes_xyxy: tf.Tensor, classes: tf.Tensor, iou_threshold: float) -> tf.Tensor:
    """(batch, K, K) bool: whether the row's box, where it stays, removes the column's, which scores lower."""
    left, top, right, bottom = (tf.squeeze(edge, -1) for edge in tf.split(boxes_xyxy, 4, axis=-1))
    area = (right - left) * (bottom - top)

    def pairs(function, values):
        return function(values[:, :, tf.newaxis], values[:, tf.newaxis, :])

    width = tf.maximum(pairs(tf.minimum, right) - pairs(tf.maximum, left), 0.0)
    height = tf.maximum(pairs(tf.minimum, bottom) - pairs(tf.maximum, top), 0.0)
    intersection = width * height
    # Not multiplied out: the division is what Ultralytics compares, and 0/0 is NaN, which suppresses nothing.
    overlaps = intersection / (pairs(tf.add, area) - intersection) > iou_threshold
    num_candidates = tf.shape(classes)[1]
    precedes = tf.range(num_candidates)[:, tf.newaxis] < tf.range(num_candidates)[tf.newaxis, :]
    return overlaps & pairs(tf.equal, classes) & precedes


def _greedy(suppresses: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Greedy suppression as the fixpoint of "stays unless one that stays suppresses it".

    After n rounds every candidate whose fate hangs on a chain of at most n suppressions is settled, and the relation
    only points from better to worse, so the fixpoint is unique and equals the sequential result.

    Args:
      suppresses: (batch, K, K) bool, strictly upper triangular.
      valid: (batch, K) bool, the candidates that count.

    Returns:
      (batch, K) bool, the candidates that stay.
    """

    def round_(kept, _):
        removed = tf.reduce_any(suppresses & kept[:, :, tf.newaxis], axis=1)
        settled = valid & ~removed
        return settled, tf.reduce_any(settled != kept)

    kept, _ = tf.while_loop(lambda _, changed: changed, round_, (valid, tf.constant(True)))
    return kept
