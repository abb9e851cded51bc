import numpy as np
import pytest

from tftrt_yolo.evaluation import oriented
from tftrt_yolo.tasks import obb


def _boxes(rng, count):
    return np.column_stack(
        [rng.uniform(50, 250, (count, 2)), rng.uniform(5, 90, (count, 2)), rng.uniform(-2, 2, count)]
    ).astype(np.float32)


def test_probabilistic_iou_as_ultralytics():
    pytest.importorskip("torch")
    from ultralytics.utils.metrics import batch_probiou

    rng = np.random.default_rng(0)
    boxes, others = _boxes(rng, 40), _boxes(rng, 30)
    others[:20] = boxes[:20] + rng.normal(0, 1, (20, 5)) * [3, 3, 3, 3, 0.05]
    expected = batch_probiou(boxes, others.astype(np.float32)).numpy()
    np.testing.assert_allclose(oriented.probabilistic_iou(boxes, others), expected, atol=2e-4)


def test_smallest_rectangles_as_opencv():
    """Quadrilaterals in any order of corners, a dart among them."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(1)
    corners = np.concatenate(
        [obb.corners(_boxes(rng, 30)), rng.uniform(0, 100, (30, 4, 2)), [[[0, 0], [9, 0], [1, 1], [0, 9]]]]
    ).astype(np.float32)
    for quadrilateral, box in zip(corners, oriented.smallest_rectangles(corners), strict=True):
        _, sides, _ = cv2.minAreaRect(quadrilateral)
        assert box[2] * box[3] == pytest.approx(sides[0] * sides[1], rel=1e-3)
        turn = np.array([[np.cos(box[4]), -np.sin(box[4])], [np.sin(box[4]), np.cos(box[4])]])
        assert (np.abs((quadrilateral - box[:2]) @ turn) <= box[2:4] / 2 + 1e-3).all()  # it holds all corners


def test_corners_and_back():
    boxes = _boxes(np.random.default_rng(2), 50)
    again = oriented.smallest_rectangles(obb.corners(boxes))
    np.testing.assert_allclose(again[:, :2], boxes[:, :2], atol=1e-3)
    np.testing.assert_allclose(oriented.probabilistic_iou(boxes, again).diagonal(), 1, atol=2e-3)


def test_polygons_overlap_exactly():
    """A square and itself, shifted by a third, turned by 45 degrees; and far away."""
    boxes = np.array([[0, 0, 6, 6, 0], [2, 0, 6, 6, 0], [0, 0, 6, 6, np.pi / 4], [90, 0, 6, 6, 0]])
    corners = obb.corners(boxes)
    octagon = 36 * 2 * (np.sqrt(2) - 1)
    expected = [1, 24 / 48, octagon / (72 - octagon), 0]
    np.testing.assert_allclose(oriented.polygon_iou(corners[:1], corners)[0], expected, atol=1e-5)
    assert oriented.polygon_iou(corners[:0], corners).shape == (0, 4)
