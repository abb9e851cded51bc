"""The oracle is Ultralytics' own suppression, with the settings of its validators."""

import numpy as np
import pytest

from tftrt_yolo.evaluation import selection


def _dense(rng, anchors, classes, share):
    """Clustered boxes and scores, `share` of them above the threshold and no two alike."""
    center = rng.uniform(0, 300, (anchors // 8, 2)).repeat(8, axis=0) + rng.normal(0, 3, (anchors // 8 * 8, 2))
    size = rng.uniform(20, 60, (anchors // 8, 2)).repeat(8, axis=0) * rng.uniform(0.9, 1.1, (len(center), 2))
    scores = rng.permutation(len(center) * classes).reshape(-1, classes) / (len(center) * classes)
    scores = np.where(rng.random(scores.shape) < share, scores, 0).astype(np.float32)
    return center.astype(np.float32), size.astype(np.float32), scores


def _ultralytics(rows, num_classes, *, rotated):
    torch = pytest.importorskip("torch")
    from ultralytics.utils.nms import non_max_suppression

    [kept] = non_max_suppression(
        torch.from_numpy(rows.T[None].copy()),
        0.001,
        0.7,
        multi_label=True,
        max_det=300,
        nc=num_classes,
        rotated=rotated,
    )
    return kept.numpy()


@pytest.mark.parametrize(
    ("anchors", "classes", "share"), [(400, 3, 0.3), (2_100, 10, 0.05), (64, 1, 1.0), (64, 3, 0.0)]
)
def test_boxes_as_ultralytics(anchors, classes, share):
    center, size, scores = _dense(np.random.default_rng(anchors), anchors, classes, share)
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=1)
    chosen = selection.select(scores, boxes_xyxy=boxes)
    expected = _ultralytics(np.concatenate([center, size, scores], axis=1), classes, rotated=False)
    assert len(chosen.anchors) == len(expected) <= 300
    np.testing.assert_array_equal(chosen.classes, expected[:, 5])
    np.testing.assert_array_equal(chosen.scores, expected[:, 4])
    np.testing.assert_allclose(boxes[chosen.anchors], expected[:, :4], atol=1e-4)


@pytest.mark.parametrize(("anchors", "classes", "share"), [(400, 3, 0.3), (800, 2, 0.9), (64, 3, 0.0)])
def test_oriented_boxes_as_ultralytics(anchors, classes, share):
    """Enough candidates for several blocks, and more than 300 that stay."""
    rng = np.random.default_rng(anchors)
    center, size, scores = _dense(rng, anchors, classes, share)
    angle = rng.uniform(-np.pi / 4, np.pi / 4, (len(center) // 8, 1)).repeat(8, axis=0).astype(np.float32)
    xywhr = np.concatenate([center, size, angle], axis=1)
    chosen = selection.select(scores, boxes_xyxy=xywhr[:, :4], boxes_xywhr=xywhr)
    expected = _ultralytics(np.concatenate([center, size, scores, angle], axis=1), classes, rotated=True)
    np.testing.assert_array_equal(chosen.classes, expected[:, 5])
    np.testing.assert_array_equal(chosen.scores, expected[:, 4])
    np.testing.assert_array_equal(angle[chosen.anchors, 0], expected[:, 6])


def test_an_end_to_end_head_is_not_suppressed():
    """Two boxes that are the same stay, and of 700 the 300 best."""
    scores = np.linspace(0, 1, 700, dtype=np.float32).reshape(350, 2)
    chosen = selection.select(scores, boxes_xyxy=np.ones((350, 4), np.float32), is_end_to_end=True)
    np.testing.assert_array_equal(chosen.anchors, np.arange(349, 199, -1).repeat(2))
    np.testing.assert_array_equal(chosen.classes, [1, 0] * 150)


def test_classes_far_apart_do_not_lose_their_fractions():
    """Boxes of class 9,999 that overlap by a hair more or less than the threshold."""
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 70.01], [0, 0, 69.98, 100]], np.float32)
    scores = np.zeros((3, 10_000), np.float32)
    scores[:, 9_999] = 0.9, 0.8, 0.7
    np.testing.assert_array_equal(selection.select(scores, boxes_xyxy=boxes).anchors, [0, 2])
