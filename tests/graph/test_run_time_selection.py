"""Selections whose numbers come with the call: those of an export to the bit, Ultralytics' and a naive loop's."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.graph import nms
from tftrt_yolo.selection import Selection

ANCHORS, CLASSES = 180, 4


def _asked(selection, classes=None, class_agnostic=False, num_classes=CLASSES):
    """A `Selection` as tensors, with classes."""
    return nms.RunTimeSelection(
        score_threshold=tf.constant(selection.score_threshold),
        iou_threshold=tf.constant(selection.iou_threshold),
        max_detections=tf.constant(selection.max_detections),
        max_candidates=tf.constant(selection.max_candidates),
        allowed=tf.constant([classes is None or index in classes for index in range(num_classes)]),
        is_multi_label=tf.constant(False),
        is_class_agnostic=tf.constant(class_agnostic),
    )


@functools.cache
def _traced(kind):
    """One function for all cases of a kind: other numbers must not trace it again."""
    if kind == "best":
        return tf.function(lambda boxes, scores, asked: nms.best(scores, asked), autograph=False)
    suppress = {"upright": nms.suppress_upright, "rotated": nms.suppress_rotated}[kind]
    return tf.function(lambda *tensors: nms.select(*tensors, suppress=suppress), autograph=False)


def _fixed(kind, boxes, scores, selection):
    """What an export of these numbers selects."""
    if kind == "best":
        return nms.best(scores, selection)
    suppress = {"upright": nms.suppress_upright, "rotated": nms.suppress_rotated}[kind]
    return nms.select(boxes, scores, selection, suppress=suppress)


def _case(kind, rng, spreads=(30, 150, 600)):
    """Three images, crowded to scattered: boxes (3, A, 4 or 5), scores (3, A, C)."""
    center = np.stack([rng.uniform(0, spread, (ANCHORS, 2)) for spread in spreads])
    size = rng.uniform(5, 60, (len(spreads), ANCHORS, 2))
    parts = (
        [center, size, rng.uniform(-0.8, 2.4, (len(spreads), ANCHORS, 1))]
        if kind == "rotated"
        else [center - size / 2, center + size / 2]
    )
    scores = rng.uniform(0, 1, (len(spreads), ANCHORS, CLASSES)) ** 2
    return np.concatenate(parts, -1).astype(np.float32), scores.astype(np.float32)


def _rows(selected, image):
    """Anchors, scores and classes of an image, without padding."""
    count = int(selected.num_detections[image])
    return [part[image, :count].numpy().tolist() for part in selected[1:]]


@pytest.mark.parametrize("kind", ["upright", "rotated", "best"])
@pytest.mark.parametrize("seed", range(8))
def test_it_selects_what_an_export_selects(kind, seed):
    rng = np.random.default_rng(seed)
    selection = Selection(
        score_threshold=float(rng.choice([0.0, 0.25, 0.3, 0.999])),
        iou_threshold=float(rng.choice([0.0, 0.1, 0.45, 1.0])),
        max_detections=int(rng.choice([1, 7, 300, 2_000])),
        max_candidates=int(rng.choice([5, 1_024])),
    )
    boxes, scores = map(tf.constant, _case(kind, rng))
    expected, got = _fixed(kind, boxes, scores, selection), _traced(kind)(boxes, scores, _asked(selection))
    np.testing.assert_array_equal(got.num_detections, expected.num_detections)
    assert got.scores.shape[1] <= min(selection.max_detections, ANCHORS)  # as long as it must be
    for image in range(3):
        assert _rows(got, image) == _rows(expected, image)
    for part, other in zip(got[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(part, other[:, : got.scores.shape[1]])  # padded with zeros
    assert _traced(kind).experimental_get_tracing_count() == 1


CHOICES = [  # classes, and whether they compete with each other
    ((2,), False),
    ((0, 3), False),
    (None, True),
    ((1, 2), True),
    ((0, 1, 2, 3), False),
]


@pytest.mark.parametrize("kind", ["upright", "rotated"])
@pytest.mark.parametrize(("classes", "class_agnostic"), CHOICES)
@pytest.mark.parametrize("iou_threshold", [0.1, 0.45])
def test_classes_are_those_of_ultralytics(kind, classes, class_agnostic, iou_threshold):
    """To the anchor; boxes compete after those of other classes are gone."""
    torch = pytest.importorskip("torch")
    from ultralytics.utils.nms import non_max_suppression

    boxes, scores = _case(kind, np.random.default_rng(7))
    rows = boxes[..., :4]
    if kind == "upright":
        rows = np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)
    rows = np.concatenate([rows, scores, boxes[..., 4:]], -1).transpose(0, 2, 1).copy()
    _, anchors = non_max_suppression(
        torch.from_numpy(rows),
        0.25,
        iou_threshold,
        classes=None if classes is None else list(classes),
        agnostic=class_agnostic,
        nc=CLASSES,
        rotated=kind == "rotated",
        max_det=50,
        return_idxs=True,
    )
    asked = _asked(Selection(0.25, iou_threshold, 50), classes, class_agnostic)
    got = _traced(kind)(tf.constant(boxes), tf.constant(scores), asked)
    assert [_rows(got, image)[0] for image in range(3)] == [kept.tolist() for kept in anchors]
    assert max(map(len, anchors)) > 3


def _iou(a, b):
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    intersection = max(width, 0.0) * max(height, 0.0)
    return intersection / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - intersection)


@pytest.mark.parametrize(("classes", "class_agnostic"), CHOICES)
def test_classes_are_those_of_a_naive_loop(classes, class_agnostic):
    boxes, scores = _case("upright", np.random.default_rng(3))
    selection = Selection(0.25, 0.3, 12)
    got = _traced("upright")(tf.constant(boxes), tf.constant(scores), _asked(selection, classes, class_agnostic))
    for image, (own, values) in enumerate(zip(boxes.astype(np.float64), scores, strict=True)):
        best, of = values.max(-1), values.argmax(-1)
        kept = []
        for anchor in sorted(range(ANCHORS), key=lambda anchor, best=best: -best[anchor]):
            is_asked = best[anchor] > 0.25 and (classes is None or of[anchor] in classes)
            rivals = [other for other in kept if class_agnostic or of[other] == of[anchor]]
            if is_asked and not any(_iou(own[other], own[anchor]) > 0.3 for other in rivals):
                kept.append(anchor)
        assert _rows(got, image) == [kept[:12], best[kept[:12]].tolist(), of[kept[:12]].tolist()]


@pytest.mark.parametrize(("classes", "class_agnostic"), CHOICES)
def test_without_suppression_the_best_of_the_asked_classes_come(classes, class_agnostic):
    """They fill what may be given, also where a better class of the anchor is not asked for."""
    _, scores = _case("best", np.random.default_rng(5))
    got = _traced("best")(
        tf.constant(0.0), tf.constant(scores), _asked(Selection(0.3, 0.7, 40), classes, class_agnostic)
    )
    for image, values in enumerate(scores):
        pairs = [
            (anchor, index)
            for anchor in range(ANCHORS)
            for index in range(CLASSES)
            if (classes is None or index in classes)
            and (not class_agnostic or index == values[anchor].argmax())
            and values[anchor, index] > 0.3
        ]
        pairs = sorted(pairs, key=lambda pair, values=values: -values[pair])[:40]
        assert _rows(got, image) == [
            [anchor for anchor, _ in pairs],
            [float(values[pair]) for pair in pairs],
            [index for _, index in pairs],
        ]


@pytest.mark.parametrize("kind", ["upright", "rotated", "best"])
def test_nothing_that_is_asked_for(kind):
    boxes, scores = _case(kind, np.random.default_rng(0))
    got = _traced(kind)(tf.constant(boxes), tf.constant(scores), _asked(Selection(1.0, 0.7, 300)))
    assert got.num_detections.numpy().tolist() == [0, 0, 0]
    assert not got.take(tf.constant(boxes)).numpy().any() or kind == "best"
    assert not got.gather(tf.constant(boxes)).numpy().any()


@pytest.mark.parametrize("max_detections", [1_500, 5_000])
def test_more_detections_than_compete_by_default(max_detections):
    """As many compete as may be given: 1,500 boxes that do not overlap all come."""
    left = np.arange(1_500, dtype=np.float32) * 20
    boxes = np.stack([left, np.zeros_like(left), left + 10, np.full_like(left, 10)], -1)[None]
    scores = np.linspace(0.9, 0.5, 1_500, dtype=np.float32)[None, :, None]
    selection = Selection(max_detections=max_detections)
    assert selection.max_candidates == max_detections
    fixed = nms.select(tf.constant(boxes), tf.constant(scores), selection)
    compiled = tf.function(lambda *tensors: nms.select(*tensors, selection, static_shapes=True), jit_compile=True)
    for got in (fixed, compiled(tf.constant(boxes), tf.constant(scores))):
        assert got.num_detections.numpy().tolist() == [1_500]
        assert got.scores.shape == (1, max_detections)
        assert got.anchors[0, :1_500].numpy().tolist() == list(range(1_500))
        assert not got.scores[0, 1_500:].numpy().any()
    asked = _asked(selection, num_classes=1)
    at_run_time = nms.select(tf.constant(boxes), tf.constant(scores), asked)
    assert at_run_time.anchors[0].numpy().tolist() == list(range(1_500))


@pytest.mark.parametrize("kind", ["upright", "rotated"])
def test_each_class_of_an_anchor_as_validators_select(kind):
    """The same anchors, classes and scores as `evaluate` selects, which is held to Ultralytics' multi_label=True."""
    from tftrt_yolo.evaluation import selection as validators

    boxes, scores = _case(kind, np.random.default_rng(3))
    asked = _asked(Selection(validators.SCORE_THRESHOLD, validators.IOU_THRESHOLD, validators.MAX_DETECTIONS))
    asked = asked._replace(is_multi_label=tf.constant(True))
    found = _traced(kind)(boxes, scores, asked)
    for index in range(len(boxes)):
        oriented = boxes[index] if kind == "rotated" else None
        expected = validators.select(scores[index], boxes_xyxy=boxes[index][:, :4], boxes_xywhr=oriented)
        count = int(found.num_detections[index])
        assert count == len(expected.anchors) > ANCHORS / 10
        rows = zip(found.anchors[index, :count].numpy(), found.classes[index, :count].numpy(), strict=True)
        assert set(rows) == set(zip(expected.anchors, expected.classes, strict=True))
        np.testing.assert_allclose(found.scores[index, :count], expected.scores, rtol=1e-6)


def test_each_of_the_classes_that_are_asked_for():
    """An anchor whose best class is not asked for counts with its others."""
    boxes = tf.constant([[[0.0, 0.0, 10.0, 10.0], [50.0, 0.0, 60.0, 10.0]]])
    scores = tf.constant([[[0.9, 0.5, 0.4, 0.1], [0.2, 0.3, 0.8, 0.0]]])
    asked = _asked(Selection(0.25), classes=(1, 2))._replace(is_multi_label=tf.constant(True))
    found = nms.select(boxes, scores, asked)
    assert found.num_detections.numpy().tolist() == [4]
    assert found.anchors[0, :4].numpy().tolist() == [1, 0, 0, 1]
    assert found.classes[0, :4].numpy().tolist() == [2, 1, 2, 1]
