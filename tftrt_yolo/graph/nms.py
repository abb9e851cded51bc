"""Selection on the device: from the dense predictions of every anchor to a few detections.

    selected = select(boxes_xyxy, scores, selection)
    detections = selected.gather(boxes_xyxy)
    selected = select(boxes_xyxy, scores, RunTimeSelection(...))      # the same, its numbers tensors

The best class of each anchor counts, the best `max_candidates` of those above the threshold compete, and non-maximum
suppression is greedy and class by class, of oriented boxes as `suppress_rotated` says: Ultralytics' predict semantics.
For heads that need no suppression, `best` takes the best scores.

Indices and classes are compared and added as float32, where they are exact: TensorFlow keeps int32 tensors of a GPU's
graph in the host's memory, and its kernels there would drag whole suppression matrices over.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.graph import competitors, few_candidates
from tftrt_yolo.graph.competitors import AnySelection, RunTimeSelection

# Measured on an H200, batch 64, 43 candidates an image on average (85 at most), XLA: a competition of 1,024 takes 0.49
# ms of device time, of 128 with 1,024 in reserve 0.14 ms, of 64, 256 and 1,024 in turn 0.17 ms.
_FEW_CANDIDATES = 128
# A check takes a GPU's answer back to the host. Measured as above, wall time: 0.58 ms with 2 rounds, 0.43 with 4. The
# competition of a few has its first check behind all its rounds, in the one answer that is asked for anyway.
_ROUNDS_A_CHECK, _ROUNDS_UNASKED = 4, 8
_MANY_DETECTIONS = 1_024
_CLASS_DISTANCE_PX = 7_680.0  # max_wh of ultralytics.utils.nms.non_max_suppression
_EPSILON = 1e-7  # eps of ultralytics.utils.metrics.batch_probiou


class Selected(NamedTuple):
    """The anchors that were selected, best first, padded to N.

    N is max_detections; for a `RunTimeSelection` it is as many as the image with the most candidates can give, and at
    most max_detections.

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
        return self.blank(self.take(dense))

    def take(self, dense: tf.Tensor) -> tf.Tensor:
        """As `gather`, with the first anchor's row where padded: for a computation that `blank` ends."""
        return tf.gather(dense, self.anchors, batch_dims=1)

    def blank(self, rows: tf.Tensor) -> tf.Tensor:
        """Zero where padded, for rows (batch, N, ...) of the selected anchors."""
        kept = tf.sequence_mask(self.num_detections, tf.shape(self.anchors)[1])
        kept = tf.reshape(kept, tf.concat([tf.shape(kept), tf.ones(tf.rank(rows) - 2, tf.int32)], axis=0))
        return tf.where(kept, rows, tf.zeros_like(rows))


Suppress = Callable[..., tuple[tf.Tensor, tf.Tensor]]


def suppress_upright(
    boxes_xyxy: tf.Tensor,
    classes: tf.Tensor,
    valid: tf.Tensor,
    iou_threshold: float | tf.Tensor,
    *,
    rounds: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Greedy suppression of upright boxes, class by class.

    Args:
      boxes_xyxy: (batch, K, 4) float32, the best scores first.
      classes: (batch, K) float32, whole numbers.
      valid: (batch, K) bool, the candidates that count.
      iou_threshold: Of two boxes that overlap by more than this, the better one stays.
      rounds: After how many rounds it ends, settled or not; None where all is settled.

    Returns:
      (batch, K) bool, the candidates that stay, and () bool, whether that is settled.
    """
    return _greedy(_suppressed_by(boxes_xyxy, classes, iou_threshold), valid, rounds)


def suppress_rotated(
    boxes_xywhr: tf.Tensor,
    classes: tf.Tensor,
    valid: tf.Tensor,
    iou_threshold: float | tf.Tensor,
    *,
    rounds: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Suppression of oriented boxes by their probabilistic IoU, class by class.

    It is not greedy: a box goes if any better one overlaps it, also one that goes itself. That is what Ultralytics'
    predict does, where it calls it fast.

    Args:
      boxes_xywhr: (batch, K, 5) float32, angle in radians, the best scores first.
      classes: As `suppress_upright`.
      valid: See there.
      iou_threshold: See there.
      rounds: Of no meaning: it takes one.

    Returns:
      As `suppress_upright`; it is settled.

    Source: ultralytics.utils.nms.TorchNMS.fast_nms with ultralytics.utils.metrics.batch_probiou.
    """
    # Classes are moved apart, and not compared, because the shift rounds the centres: then overlaps round alike.
    center = boxes_xywhr[..., :2] + _CLASS_DISTANCE_PX * classes[..., tf.newaxis]
    index = tf.range(tf.cast(tf.shape(classes)[1], tf.float32))
    overlaps = _probabilistic_iou(center, boxes_xywhr[..., 2:]) > iou_threshold
    suppressed_by = overlaps & (index[:, tf.newaxis] > index)
    return valid & ~tf.reduce_any(suppressed_by & valid[:, tf.newaxis], axis=-1), tf.constant(True)


def best(scores: tf.Tensor, selection: AnySelection) -> Selected:
    """Selects the best scores, for a head that gives each object once; an anchor can come with several classes.

    Args:
      scores: (batch, anchors, classes) float32 in [0, 1].
      selection: Threshold and number of detections; no suppression, so no IoU threshold. At run time also the classes
        of which the best are selected, and whether an anchor comes with its best class alone.

    Returns:
      The selected anchors.

    Source: ultralytics.nn.modules.head.Detect.get_topk_index.
    """
    num_anchors, num_classes = scores.shape[1:]
    count, most = _smaller(selection.max_detections, num_anchors), selection.max_detections
    if isinstance(selection, RunTimeSelection):
        scores, most = _asked(scores, selection), count
    _, anchors = tf.math.top_k(tf.reduce_max(scores, axis=-1), count)
    candidates = tf.reshape(tf.gather(scores, anchors, batch_dims=1), (-1, count * num_classes))
    best_scores, places = tf.math.top_k(candidates, count)
    rows, classes = competitors.rows_and_columns(places, num_classes)
    anchors = tf.gather(tf.cast(anchors, tf.float32), tf.cast(rows, tf.int32), batch_dims=1)
    return _pick(best_scores > selection.score_threshold, anchors, best_scores, classes, most)


def select(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    selection: AnySelection,
    *,
    static_shapes: bool = False,
    suppress: Suppress = suppress_upright,
) -> Selected:
    """Selects detections.

    Args:
      boxes: (batch, anchors, 4 or 5) float32, pixels, as `suppress` takes them.
      scores: (batch, anchors, classes) float32 in [0, 1].
      selection: Thresholds and limits.
      static_shapes: Whether every shape but the batch's must be known, as XLA wants it. Then a competition of a few is
        held in any case, and one of all where that was not enough; otherwise there is one, as large as the image with
        the most candidates needs.
      suppress: Which of the candidates stay.

    Returns:
      The selected anchors. It is exactly the result of Ultralytics' suppression whenever at most
      `selection.max_candidates` anchors pass the threshold; of more, the best take part.

    Source: ultralytics.utils.nms.non_max_suppression with multi_label=False; with True where the selection says so.
    """
    competing_scores = competitors.competing_scores(scores, selection)
    is_at_run_time = isinstance(selection, RunTimeSelection)
    length = tf.shape(competing_scores)[1] if is_at_run_time else scores.shape[1]
    limit = _smaller(selection.max_candidates, length)

    def compete(candidate_scores: tf.Tensor, entries: tf.Tensor, rounds: int | None) -> tuple[Selected, tf.Tensor]:
        places, classes = competitors.anchors_and_classes(entries, scores, selection)
        candidates = tf.gather(boxes, places, batch_dims=1)
        competing, most_kept = classes, selection.max_detections
        if is_at_run_time:
            competing = tf.where(selection.is_class_agnostic, tf.zeros_like(classes), classes)
            most_kept = tf.minimum(most_kept, tf.shape(entries)[1])
        kept, is_settled = suppress(
            candidates, competing, candidate_scores >= 0.0, selection.iou_threshold, rounds=rounds
        )
        return _pick(kept, tf.cast(places, tf.float32), candidate_scores, classes, most_kept), is_settled

    most = tf.cast(tf.reduce_max(_count(competing_scores >= 0.0)), tf.int32)
    if not static_shapes:
        return compete(*tf.math.top_k(competing_scores, tf.clip_by_value(most, 0, limit)), None)[0]
    few = min(limit, _FEW_CANDIDATES)
    usual, is_settled = compete(*few_candidates.best_few(competing_scores, few), _ROUNDS_UNASKED)
    return tf.cond(
        is_settled & (most <= few),
        lambda: usual,
        lambda: compete(*tf.math.top_k(competing_scores, limit), None)[0],
    )


def _asked(scores: tf.Tensor, selection: RunTimeSelection) -> tf.Tensor:
    """The scores that a selection without suppression asks for, -1 in place of all others."""

    def of_best_class():
        return tf.one_hot(tf.argmax(scores, axis=-1), scores.shape[2], True, False)

    counts = tf.cond(selection.is_class_agnostic, of_best_class, lambda: tf.ones_like(scores, tf.bool))
    return tf.where(counts & selection.allowed, scores, -1.0)


def _smaller(one: int | tf.Tensor, other: int | tf.Tensor) -> int | tf.Tensor:
    """The smaller of two numbers; a tensor only where one is."""
    return min(one, other) if isinstance(one, int) and isinstance(other, int) else tf.minimum(one, other)


def _pick(
    kept: tf.Tensor,
    anchors: tf.Tensor,
    scores: tf.Tensor,
    classes: tf.Tensor,
    max_detections: int | tf.Tensor,
) -> Selected:
    """Takes the candidates that stay, in their order, and pads.

    Args:
      kept: (batch, K) bool, the candidates that stay.
      anchors: (batch, K) float32, whole numbers.
      scores: (batch, K) float32.
      classes: (batch, K) float32, whole numbers.
      max_detections: N.

    Returns:
      The first N that stay.
    """
    is_long = isinstance(max_detections, int) and max_detections > _MANY_DETECTIONS
    length = max_detections
    if is_long:  # most of N times K would be padding
        length = _smaller(max_detections, tf.shape(kept)[1] if kept.shape[1] is None else kept.shape[1])
    last = length if isinstance(length, int) else tf.cast(length, tf.float32)
    rank = few_candidates.numbered(kept) if kept.shape[1] else tf.cumsum(tf.cast(kept, tf.float32), axis=1)
    slots = tf.range(1.0, last + 1.0)
    fits = kept[:, tf.newaxis] & (rank[:, tf.newaxis] == slots[:, tf.newaxis])  # (batch, N, K), at most one a row

    def pick(values):
        return tf.reduce_sum(tf.where(fits, values[:, tf.newaxis], 0.0), axis=-1)

    found = Selected(
        num_detections=tf.cast(tf.minimum(_count(kept), last), tf.int32),
        anchors=tf.cast(pick(anchors), tf.int32),
        scores=pick(scores),
        classes=tf.cast(pick(classes), tf.int32),
    )
    return _padded(found, max_detections) if is_long else found


def _padded(found: Selected, length: int) -> Selected:
    """Zeros behind what was found, up to a length."""
    missing = [[0, 0], [0, length - tf.shape(found.scores)[1]]]
    rows = (tf.ensure_shape(tf.pad(part, missing), (None, length)) for part in found[1:])
    return Selected(found.num_detections, *rows)


def _count(mask: tf.Tensor) -> tf.Tensor:
    """How many of each row are true, (batch,) float32."""
    return tf.reduce_sum(tf.cast(mask, tf.float32), axis=1)


def _suppressed_by(boxes_xyxy: tf.Tensor, classes: tf.Tensor, iou_threshold: float | tf.Tensor) -> tf.Tensor:
    """(batch, K, K) bool: whether the row's box is removed by the column's, which scores higher, where that stays."""
    left, top, right, bottom = (tf.squeeze(edge, -1) for edge in tf.split(boxes_xyxy, 4, axis=-1))
    area = (right - left) * (bottom - top)

    def pairs(function, values):
        return function(values[:, :, tf.newaxis], values[:, tf.newaxis, :])

    width = tf.maximum(pairs(tf.minimum, right) - pairs(tf.maximum, left), 0.0)
    height = tf.maximum(pairs(tf.minimum, bottom) - pairs(tf.maximum, top), 0.0)
    intersection = width * height
    # Not multiplied out: the division is what Ultralytics compares, and 0/0 is NaN, which suppresses nothing.
    overlaps = intersection / (pairs(tf.add, area) - intersection) > iou_threshold
    index = tf.range(tf.cast(tf.shape(classes)[1], tf.float32))
    return overlaps & pairs(tf.equal, classes) & (index[:, tf.newaxis] > index)


def _probabilistic_iou(center: tf.Tensor, size_and_angle: tf.Tensor) -> tf.Tensor:
    """Overlap of oriented boxes as of the normal distributions that they stand for: one minus Hellinger's distance.

    Args:
      center: (batch, K, 2) float32.
      size_and_angle: (batch, K, 3) float32.

    Returns:
      (batch, K, K) float32 in [0, 1].

    Source: ultralytics.utils.metrics.batch_probiou and _get_covariance_matrix; https://arxiv.org/abs/2106.06072.
    """
    x, y = center[..., 0], center[..., 1]
    cos, sin = tf.cos(size_and_angle[..., 2]), tf.sin(size_and_angle[..., 2])
    along, across = tf.square(size_and_angle[..., 0]) / 12.0, tf.square(size_and_angle[..., 1]) / 12.0
    a = along * tf.square(cos) + across * tf.square(sin)  # the covariance matrix is ((a, c), (c, b))
    b = along * tf.square(sin) + across * tf.square(cos)
    c = (along - across) * cos * sin
    determinant = tf.maximum(a * b - tf.square(c), 0.0)

    def pairs(function, values):
        return function(values[:, :, tf.newaxis], values[:, tf.newaxis, :])

    sum_a, sum_b, sum_c = (pairs(tf.add, values) for values in (a, b, c))
    dx, dy = pairs(tf.subtract, x), pairs(tf.subtract, y)
    joint = sum_a * sum_b - tf.square(sum_c)
    first = (sum_a * tf.square(dy) + sum_b * tf.square(dx)) / (joint + _EPSILON) * 0.25
    second = sum_c * -dx * dy / (joint + _EPSILON) * 0.5
    third = tf.math.log(joint / (4.0 * tf.sqrt(pairs(tf.multiply, determinant)) + _EPSILON) + _EPSILON) * 0.5
    distance = tf.clip_by_value(first + second + third, _EPSILON, 100.0)
    return 1.0 - tf.sqrt(1.0 - tf.exp(-distance) + _EPSILON)


def _greedy(suppressed_by: tf.Tensor, valid: tf.Tensor, rounds: int | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Greedy suppression as the fixpoint of "stays unless one that stays suppresses it".

    After n rounds every candidate whose fate hangs on a chain of at most n suppressions is settled, and the relation
    only points from better to worse, so the fixpoint is unique and equals the sequential result.

    Args:
      suppressed_by: (batch, K, K) bool, strictly lower triangular.
      valid: (batch, K) bool, the candidates that count.
      rounds: As `suppress_upright`.

    Returns:
      (batch, K) bool, the candidates that stay, and () bool, whether that is settled.
    """

    def some(kept: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        for _ in range(count):
            before, kept = kept, valid & ~tf.reduce_any(suppressed_by & kept[:, tf.newaxis], axis=-1)
        return kept, tf.reduce_any(kept != before)

    if rounds is not None:
        kept, has_changed = some(valid, rounds)
        return kept, ~has_changed
    kept, _ = tf.while_loop(
        lambda _, changed: changed, lambda kept, _: some(kept, _ROUNDS_A_CHECK), (valid, tf.constant(True))
    )
    return kept, tf.constant(True)
