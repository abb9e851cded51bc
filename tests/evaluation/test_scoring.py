"""Batches whose figures are known."""

import numpy as np
import pytest

from tests.evaluation.digits import model
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.evaluation.scoring import ClassificationScores, DetectionScores
from tftrt_yolo.ground.placement import Placement

FRAME = Placement(np.array([320, 320]), np.ones(2), np.zeros(2))
BOX = [40, 40, 120, 80]


def _dense(task, num_images, *, score):
    """Eight anchors an image, all of them on BOX and all of class 3."""
    boxes = np.tile(np.float32(BOX), (num_images, 8, 1))
    scores = np.zeros((num_images, 8, 10), np.float32)
    scores[..., 3] = score
    extras = {
        "segment": {
            "mask_coefficients": np.ones((num_images, 8, 4), np.float32),
            "prototypes": np.ones((num_images, 80, 80, 4), np.float32),
        },
        "pose": {"keypoints": np.tile(np.float32([60, 60, 1]), (num_images, 8, 3, 1))},
        "obb": {"boxes_xywhr": np.tile(np.float32([80, 60, 80, 40, 0]), (num_images, 8, 1))},
    }
    return {"boxes": boxes, "scores": scores} | extras.get(task, {})


def _truth(*classes):
    """Objects on BOX, with all that a task may want."""
    count = len(classes)
    left, top, right, bottom = BOX
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return Truth(
        np.array(classes, np.int64),
        np.tile(np.float64(BOX), (count, 1)),
        outlines=tuple([np.ravel(corners).astype(float)] for _ in classes),
        keypoints=np.tile([60.0, 60, 2], (count, 3, 1)),
        corners=np.tile(np.float64(corners), (count, 1, 1)) if count else np.zeros((0, 4, 2)),
    )


def _truth_of(task, *classes):
    """The same as labels of a task have it."""
    truth = _truth(*classes)
    return Truth(
        truth.classes,
        truth.boxes_xyxy,
        outlines=truth.outlines if task == "segment" else None,
        keypoints=truth.keypoints if task == "pose" else None,
        corners=truth.corners if task == "obb" else None,
    )


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_right_wrong_and_background(task):
    """One image that is right, a background where the same is found, one where nothing is; padding does not count."""
    scores = DetectionScores(model(task))
    scores.add(_dense(task, 2, score=0.5), [_truth_of(task, 3)], [FRAME])
    assert all(metric.value == pytest.approx(1, abs=1e-6) for metric in scores.metrics()[0])
    scores.add(_dense(task, 1, score=0.9), [_truth_of(task)], [FRAME])
    scores.add(_dense(task, 1, score=0.0), [_truth_of(task)], [FRAME])
    for metric in scores.metrics()[0]:
        assert metric.per_class == {3: pytest.approx(0.5, abs=1e-6)}
    assert scores.confusion[3, 3] == 1
    assert scores.confusion[10, 3] == 1
    assert scores.confusion.sum() == 2


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_nothing_found_and_nothing_there(task):
    scores = DetectionScores(model(task))
    scores.add(_dense(task, 1, score=0.0), [_truth_of(task)], [FRAME])
    metrics, _ = scores.metrics()
    assert [(metric.value, metric.per_class) for metric in metrics] == [(None, {})] * len(metrics)
    scores.add(_dense(task, 1, score=0.0), [_truth_of(task, 3, 5)], [FRAME])
    assert all(metric.per_class == {3: 0, 5: 0} for metric in scores.metrics()[0])
    assert scores.confusion[3, 10] == scores.confusion[5, 10] == 1


def test_an_object_without_a_visible_keypoint_is_ignored():
    scores = DetectionScores(model("pose"))
    truth = _truth_of("pose", 3)
    truth.keypoints[:] = 0
    scores.add(_dense("pose", 1, score=0.5), [truth], [FRAME])
    figures = {metric.name: metric.per_class for metric in scores.metrics()[0]}
    assert figures["box mAP50"] == {3: pytest.approx(1, abs=1e-6)}
    assert figures["keypoint mAP50"] == {}


def test_top_one_and_top_five():
    """Classes 0 to 6, one an image: the first is right, the next four are among five, the others are not."""
    scores = ClassificationScores(model("classify"))
    probabilities = np.tile(np.linspace(1, 0, 10, dtype=np.float32), (8, 1))
    truths = [Truth(np.array([index]), np.zeros((1, 4))) for index in range(7)]
    scores.add({"probabilities": probabilities}, truths, [])
    metrics, curves = scores.metrics()
    assert {metric.name: metric.value for metric in metrics} == {"top-1": 1 / 7, "top-5": 5 / 7}
    assert metrics[1].per_class == {index: float(index < 5) for index in range(7)}
    assert curves == {}
    assert scores.confusion[:7, 0].tolist() == [1] * 7
