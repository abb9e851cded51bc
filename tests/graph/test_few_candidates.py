"""The usual case of a selection in XLA against TensorFlow's own sort, cumulative sum and a naive loop."""

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.graph import few_candidates, nms
from tftrt_yolo.selection import Selection


@pytest.mark.parametrize("num_entries", [1, 63, 64, 65, 2_100, 8_400])
@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_numbered_is_a_cumulative_sum(num_entries, share):
    mask = np.random.default_rng(0).random((3, num_entries)) < share
    got = tf.function(few_candidates.numbered, jit_compile=True)(tf.constant(mask))
    np.testing.assert_array_equal(got, np.cumsum(mask, axis=1))


@pytest.mark.parametrize("num_entries", [1, 100, 2_100, 8_400])
@pytest.mark.parametrize("candidates", [0, 1, 7, 16])
def test_a_few_are_those_of_a_sort(num_entries, candidates):
    """Among scores of four values are many ties, which go by their places."""
    rng = np.random.default_rng(candidates)
    scores = np.full((4, num_entries), -1.0, np.float32)
    for row in scores[1:]:  # of the first image nothing competes
        places = rng.choice(num_entries, min(candidates, num_entries), replace=False)
        row[places] = rng.integers(1, 5, len(places)) / 4
    scores[3, :] = np.where(scores[3] >= 0, 0.0, -1.0)  # a score of nothing competes, too
    found = tf.function(lambda values: few_candidates.best_few(values, 16), jit_compile=True)
    got_scores, got_entries = (values.numpy() for values in found(tf.constant(scores)))
    assert got_scores.shape == got_entries.shape == (4, 16)
    for row, got, entries in zip(scores, got_scores, got_entries, strict=True):
        expected = np.argsort(-row, kind="stable")[: (row >= 0).sum()]
        np.testing.assert_array_equal(entries[: len(expected)], expected)
        np.testing.assert_array_equal(got[: len(expected)], row[expected])
        assert (got[len(expected) :] == -1).all()
        assert (entries[len(expected) :] == 0).all()


def _naive(boxes, order, iou_threshold):
    """The anchors that stay, one after the other."""
    kept = []
    for one in order:
        if all(_iou(boxes[one], boxes[other]) <= iou_threshold for other in kept):
            kept.append(one)
    return kept


def _iou(one, other):
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    inside = np.prod(np.maximum(sides, 0))
    return inside / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - inside)


@pytest.mark.parametrize("length", [3, 16, 40, 127, 129, 300])
def test_chains_of_any_length_are_followed(length):
    """Each box suppresses the next alone, so every other one stays: more rounds than are made without asking."""
    left = np.arange(length, dtype=np.float32) * 4.0
    boxes = np.stack([left, np.zeros(length), left + 10.0, np.full(length, 10.0)], axis=-1).astype(np.float32)
    scores = np.linspace(0.9, 0.5, length, dtype=np.float32)
    shuffled = np.random.default_rng(0).permutation(length)
    boxes, scores = boxes[shuffled], scores[shuffled]
    expected = _naive(boxes, np.argsort(-scores, kind="stable"), 0.3)
    assert len(expected) == (length + 1) // 2
    selection = Selection(0.25, 0.3, 300)
    tensors = tf.constant(boxes[None]), tf.constant(scores[None, :, None])
    compiled = tf.function(lambda *given: nms.select(*given, selection, static_shapes=True), jit_compile=True)
    for found in (compiled(*tensors), nms.select(*tensors, selection)):
        np.testing.assert_array_equal(found.anchors[0, : int(found.num_detections[0])], expected)
