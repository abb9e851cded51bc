import functools

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.graph import nms
from tftrt_yolo.selection import Selection


def _iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - intersection
    return intersection / union if union else 0


def _naive(boxes, scores, selection):
    """Greedy suppression, one box after the other."""
    best, classes = scores.max(-1), scores.argmax(-1)
    order = sorted(np.flatnonzero(best > selection.score_threshold), key=lambda i: (-best[i], i))
    kept = []
    for i in order[: selection.max_candidates]:
        if all(classes[i] != classes[j] or not _iou(boxes[j], boxes[i]) > selection.iou_threshold for j in kept):
            kept.append(i)
    return kept[: selection.max_detections]


def _random_case(rng, anchors, classes, spread):
    center = rng.uniform(0, spread, (anchors, 2))
    size = rng.uniform(5, 60, (anchors, 2))
    boxes = np.concatenate([center - size / 2, center + size / 2], -1).astype(np.float32)
    return boxes, rng.uniform(0, 1, (anchors, classes)).astype(np.float32)


@functools.cache
def _compiled(selection):
    return tf.function(lambda boxes, scores: nms.select(boxes, scores, selection, static_shapes=True), jit_compile=True)


def _select(boxes, scores, selection):
    """Both ways: shapes as the candidates need them, and static shapes compiled by XLA. They must agree to the bit."""
    boxes, scores = tf.constant(boxes), tf.constant(scores)
    selected = nms.select(boxes, scores, selection)
    for value, compiled in zip(selected, _compiled(selection)(boxes, scores), strict=True):
        np.testing.assert_array_equal(value, compiled)
    gathered = selected.gather(boxes).numpy()
    return selected, gathered


@pytest.mark.parametrize("seed", range(12))
def test_select_equals_a_naive_loop(seed):
    rng = np.random.default_rng(seed)
    anchors, classes = int(rng.integers(1, 200)), int(rng.integers(1, 5))
    selection = Selection(
        score_threshold=float(rng.choice([0.0, 0.25, 0.9])),
        iou_threshold=float(rng.choice([0.0, 0.3, 0.7, 1.0])),
        max_detections=int(rng.choice([1, 7, 300])),
        max_candidates=int(rng.choice([5, 1_024])),
    )
    cases = [_random_case(rng, anchors, classes, spread) for spread in (20, 100, 1_000)]  # crowded to scattered
    boxes, scores = (np.stack(parts) for parts in zip(*cases, strict=True))
    selected, gathered = _select(boxes, scores, selection)
    for image in range(len(cases)):
        kept = _naive(boxes[image], scores[image], selection)
        count = int(selected.num_detections[image])
        assert selected.anchors[image, :count].numpy().tolist() == kept
        np.testing.assert_array_equal(gathered[image, :count], boxes[image][kept])
        np.testing.assert_array_equal(selected.scores[image, :count], scores[image][kept].max(-1))
        np.testing.assert_array_equal(selected.classes[image, :count], scores[image][kept].argmax(-1))
        for padded in (gathered[image, count:], selected.scores[image, count:], selected.classes[image, count:]):
            assert not np.any(padded)


def test_a_long_chain_of_suppressions():
    """Each box overlaps only its neighbours: every second one stays, whatever the chain's length."""
    left = np.arange(0, 300 * 2, 2, dtype=np.float32)
    boxes = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 10)], -1)
    scores = np.linspace(0.99, 0.5, len(left), dtype=np.float32)[:, None]
    selection = Selection(iou_threshold=0.5, max_detections=300)  # neighbours overlap by 2/3, the next by 3/7
    selected, _ = _select(boxes[None], scores[None], selection)
    assert selected.anchors[0, : int(selected.num_detections[0])].numpy().tolist() == list(range(0, 300, 2))


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.9, 0.9, 0.9], [0]),  # duplicates with equal scores: the first stays
        ([0.1, 0.2, 0.25], []),  # none passes: the threshold itself does not
        ([np.nan, 0.8, 0.3], [1]),  # NaN passes nothing
        ([0.3, 0.5, 0.4], [1]),
    ],
)
def test_identical_boxes(scores, expected):
    boxes = np.tile(np.float32([10, 10, 20, 20]), (1, 3, 1))
    selected, _ = _select(boxes, np.float32(scores)[None, :, None], Selection())
    assert selected.anchors[0, : int(selected.num_detections[0])].numpy().tolist() == expected


def test_boxes_of_different_classes_do_not_suppress_each_other():
    boxes = np.tile(np.float32([10, 10, 20, 20]), (1, 2, 1))
    scores = np.float32([[[0.9, 0.1], [0.1, 0.8]]])
    selected, _ = _select(boxes, scores, Selection())
    assert selected.num_detections.numpy().tolist() == [2]
    assert selected.classes[0, :2].numpy().tolist() == [0, 1]


def test_boxes_without_area_are_all_kept():
    boxes = np.zeros((1, 4, 4), np.float32)  # 0/0 is no overlap
    selected, _ = _select(boxes, np.full((1, 4, 1), 0.9, np.float32), Selection())
    assert selected.num_detections.numpy().tolist() == [4]


@pytest.mark.parametrize("seed", range(3))
def test_select_equals_ultralytics(seed):
    torch = pytest.importorskip("torch")
    from ultralytics.utils.nms import non_max_suppression

    boxes, scores = _random_case(np.random.default_rng(seed), 400, 3, 300)
    center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows = np.concatenate([center, size, scores], -1).T[None].copy()
    [expected] = non_max_suppression(torch.from_numpy(rows), 0.5, 0.6, max_det=100)
    selected, gathered = _select(boxes[None], scores[None], Selection(0.5, 0.6, 100))
    count = int(selected.num_detections[0])
    assert count == len(expected)
    np.testing.assert_allclose(gathered[0, :count], expected[:, :4], atol=1e-3)
    np.testing.assert_array_equal(selected.classes[0, :count], expected[:, 5])


def test_compiles_into_a_graph_with_an_unknown_batch():
    specs = [tf.TensorSpec((None, 50, 4)), tf.TensorSpec((None, 50, 2))]
    function = tf.function(lambda boxes, scores: nms.select(boxes, scores, Selection()), input_signature=specs)
    rng = np.random.default_rng(0)
    boxes, scores = _random_case(rng, 50, 2, 100)
    for batch in (0, 1, 3):
        selected = function(
            np.stack([boxes] * batch or [boxes])[:batch], np.stack([scores] * batch or [scores])[:batch]
        )
        assert selected.scores.shape == (batch, 300)
        assert len(set(selected.num_detections.numpy().tolist())) <= 1


def _random_rotated(rng, anchors, classes, spread):
    center, size = rng.uniform(0, spread, (anchors, 2)), rng.uniform(3, 80, (anchors, 2))
    angle = rng.uniform(-0.8, 2.4, (anchors, 1))
    boxes = np.concatenate([center, size, angle], -1).astype(np.float32)
    return boxes, rng.uniform(0, 1, (anchors, classes)).astype(np.float32)


@functools.cache
def _compiled_rotated(selection):
    return tf.function(
        lambda boxes, scores: nms.select(boxes, scores, selection, static_shapes=True, suppress=nms.suppress_rotated),
        jit_compile=True,
    )


@pytest.mark.parametrize("seed", range(6))
def test_rotated_selection_equals_ultralytics(seed):
    """Ultralytics' non_max_suppression with rotated=True, to the anchor, crowded and scattered."""
    torch = pytest.importorskip("torch")
    from ultralytics.utils.nms import non_max_suppression

    rng = np.random.default_rng(seed)
    selection = Selection(0.25, float(rng.choice([0.1, 0.45, 0.7])), int(rng.choice([7, 300])))
    num_classes = int(rng.integers(1, 9))
    cases = [_random_rotated(rng, 180, num_classes, spread) for spread in (30, 120, 500)]
    boxes, scores = (np.stack(parts) for parts in zip(*cases, strict=True))
    boxes[1, ::3, 2:4] = boxes[1, 1::3, 2:4]  # equal sizes, and some boxes that are the same
    boxes[1, 10:20] = boxes[1, 20:30]
    rows = np.concatenate([boxes[..., :4], scores, boxes[..., 4:]], -1).transpose(0, 2, 1)
    expected, anchors = non_max_suppression(
        torch.from_numpy(rows.copy()),
        selection.score_threshold,
        selection.iou_threshold,
        nc=num_classes,
        rotated=True,
        max_det=selection.max_detections,
        return_idxs=True,
    )
    tensors = tf.constant(boxes), tf.constant(scores)
    selected = nms.select(*tensors, selection, suppress=nms.suppress_rotated)
    compiled = _compiled_rotated(selection)(*tensors)
    for image, (own, kept) in enumerate(zip(expected, anchors, strict=True)):
        for got in (selected, compiled):
            count = int(got.num_detections[image])
            assert got.anchors[image, :count].numpy().tolist() == kept.tolist()
            np.testing.assert_array_equal(got.scores[image, :count], own[:, 4])
            np.testing.assert_array_equal(got.classes[image, :count], own[:, 5])
    passing = np.minimum((scores.max(-1) > selection.score_threshold).sum(1), selection.max_detections)
    assert selection.max_detections == 7 or sum(map(len, expected)) < passing.sum()  # something was suppressed


def test_rotated_suppression_is_not_greedy():
    """A chain of three: the second goes because of the first, and the third because of the second that went."""
    boxes = np.float32([[[50, 50, 40, 20, 0.3], [58, 50, 40, 20, 0.3], [66, 50, 40, 20, 0.3]]])
    scores = np.float32([[[0.9], [0.8], [0.7]]])
    selection = Selection(0.25, 0.6)
    rotated = nms.select(tf.constant(boxes), tf.constant(scores), selection, suppress=nms.suppress_rotated)
    assert rotated.num_detections.numpy().tolist() == [1]
    apart = nms._probabilistic_iou(tf.constant(boxes[..., :2]), tf.constant(boxes[..., 2:])).numpy()[0]
    assert apart[0, 1] > 0.6
    assert apart[1, 2] > 0.6
    assert apart[0, 2] < 0.6


def test_probabilistic_iou_equals_ultralytics_and_float64():
    torch = pytest.importorskip("torch")
    from ultralytics.utils.metrics import batch_probiou

    boxes, _ = _random_rotated(np.random.default_rng(0), 60, 1, 100)
    got = nms._probabilistic_iou(tf.constant(boxes[None, :, :2]), tf.constant(boxes[None, :, 2:])).numpy()[0]
    np.testing.assert_allclose(got, batch_probiou(torch.from_numpy(boxes), torch.from_numpy(boxes)), atol=2e-5)
    precise = torch.from_numpy(boxes.astype(np.float64))
    np.testing.assert_allclose(got, batch_probiou(precise, precise), atol=2e-3)


@pytest.mark.parametrize(("max_detections", "anchors"), [(300, 84), (5, 84), (300, 2_000)])
def test_best_pads_and_thresholds(max_detections, anchors):
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, (2, anchors, 4)).astype(np.float32) ** 6
    selected = nms.best(tf.constant(scores), Selection(0.5, 0.7, max_detections))
    compiled = tf.function(lambda s: nms.best(s, Selection(0.5, 0.7, max_detections)), jit_compile=True)(scores)
    for value, other in zip(selected, compiled, strict=True):
        assert value.shape[1:] in ((), (max_detections,))
        np.testing.assert_array_equal(value, other)
    for image in range(2):
        count = int(selected.num_detections[image])
        best = np.sort(scores[image].ravel())[::-1]
        assert count == min((best > 0.5).sum(), max_detections, anchors)
        np.testing.assert_array_equal(selected.scores[image, :count], best[:count])
        assert (selected.scores[image, count:].numpy() == 0).all()
        rows, classes = selected.anchors[image, :count].numpy(), selected.classes[image, :count].numpy()
        np.testing.assert_array_equal(scores[image, rows, classes], best[:count])
