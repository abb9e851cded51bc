"""Draws of images: the oracle is faster-coco-eval on data sets that really are drawn, and for F1 naive counting."""

import numpy as np
import pytest

from tests.evaluation.digits import detections
from tftrt_yolo.evaluation import average_precision as ap
from tftrt_yolo.evaluation.certainty import resampling
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.tasks import obb

NUM_CLASSES, NUM_IMAGES, SIZE = 3, 14, (100, 100)


def _image(rng, kind, index):
    """Boxes with some that are found, some twice, some wrongly; a crowd, an object to be ignored, images without."""
    count = int(rng.integers(0, 7)) if index else 0  # the first is a background
    corner = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (count, 2))], axis=1)
    found = np.concatenate([boxes + rng.normal(0, 2, boxes.shape), boxes[:2] + rng.normal(0, 5, (len(boxes[:2]), 4))])
    found = np.concatenate([found, [[1.0, 1, 20, 20]]])
    classes, found_classes = rng.integers(0, NUM_CLASSES, count), rng.integers(0, NUM_CLASSES, len(found))
    found_classes[:count] = classes
    # Alike on several images; of those alike on one image that is drawn twice the library's order is another.
    scores = np.sort(rng.choice(40, len(found), replace=False))[::-1].astype(np.float32) / 40
    labelled, given = {"are_crowds": np.arange(count) == 5}, {}
    if kind == ap.KEYPOINTS:
        points = rng.uniform(0, 90, (count, 3, 2))
        labelled["keypoints"] = np.concatenate(
            [points, np.where(np.arange(count) == 1, 0, 2.0)[:, None, None] * np.ones((count, 3, 1))], axis=2
        )
        guessed = np.concatenate([points, rng.uniform(0, 90, (len(found) - count, 3, 2))])
        given["keypoints"] = np.float32(np.pad(guessed + rng.normal(0, 2, guessed.shape), ((0, 0), (0, 0), (0, 1))))
    if kind == ap.ORIENTED:
        upright = [
            np.column_stack([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2], np.zeros(len(b))]) for b in (boxes, found)
        ]
        labelled["corners"], given["boxes_xywhr"] = obb.corners(upright[0]), np.float32(upright[1])
    return Truth(classes, boxes, **labelled), detections(found_classes, scores, found, **given)


@pytest.mark.parametrize("kind", [ap.BOXES, ap.KEYPOINTS, ap.ORIENTED])
def test_a_draw_is_the_data_set_that_was_drawn(kind):
    rng = np.random.default_rng(3)
    images = [_image(rng, kind, index) for index in range(NUM_IMAGES)]
    sigmas = ap.keypoint_sigmas(3) if kind == ap.KEYPOINTS else None

    def library(chosen):
        precision = ap.AveragePrecision(kind, NUM_CLASSES, sigmas=sigmas)
        precision.add([images[index] for index in chosen], [SIZE] * len(chosen))
        return precision, precision.result()

    whole, _ = library(range(NUM_IMAGES))
    weights = np.concatenate([np.ones((1, NUM_IMAGES), np.uint8), resampling.draw(NUM_IMAGES)[:6]])
    assert weights.sum(axis=1).tolist() == [NUM_IMAGES] * 7
    assert (weights[1:] > 1).any(axis=1).all()
    found = resampling.precisions(whole.matches, weights, NUM_CLASSES)
    for row, weight in enumerate(weights):
        # the same image several times in a row, as a draw that is sorted
        _, curves = library(np.repeat(np.arange(NUM_IMAGES), weight))
        assert 0.05 < curves.ap50_95.mean() < 0.95
        assert found.map50_95[row] == pytest.approx(curves.ap50_95.mean(), abs=1e-9)
        assert found.map50[row] == pytest.approx(curves.ap50.mean(), abs=1e-9)


def test_a_class_that_was_not_drawn_does_not_count():
    box = [[10, 10, 30, 30]]
    precision = ap.AveragePrecision(ap.BOXES, 2)
    for index in (0, 1):
        truth = Truth(np.array([index]), np.array(box, float))
        precision.add([(truth, detections([index], [0.9], box if index else [[60, 60, 90, 90]]))], [SIZE])
    precision.add([(Truth(np.zeros(0, np.int64), np.zeros((0, 4))), detections([], [], []))], [SIZE])
    weights = np.array([[1, 1, 0], [2, 0, 0], [0, 1, 1], [0, 0, 3]])
    found = resampling.precisions(precision.matches, weights, 2)
    np.testing.assert_allclose(found.map50, [0.5, 0, 1, np.nan])
    assert np.isnan(resampling.best_thresholds(found.f1)).tolist() == [False, False, False, True]


def test_f1_is_naive_counting_and_its_best_ultralyticss():
    """At IoU 0.5 everything that is found of class 0 is right, of class 1 what scores above 0.3."""
    rng = np.random.default_rng(0)
    box, far = [10, 10, 30, 30], [60, 60, 90, 90]
    precision, rows = ap.AveragePrecision(ap.BOXES, 2), []
    for _ in range(60):
        index, score = int(rng.integers(0, 2)), float(np.float32(rng.uniform(0.01, 0.99)))
        is_right = index == 0 or score > 0.3
        rows.append((index, score, is_right))
        truth = Truth(np.array([index]), np.array([box], float))
        precision.add([(truth, detections([index], [score], [box if is_right else far]))], [SIZE])
    [f1] = resampling.precisions(precision.matches, np.ones((1, 60)), 2).f1
    for place in range(0, 1_000, 37):
        naive = []
        for index in (0, 1):
            above = [right for one, score, right in rows if one == index and score > place / 999]
            naive.append(2 * sum(above) / (len(above) + sum(one == index for one, _, _ in rows)))
        assert f1[place] == pytest.approx(np.mean(naive), abs=1e-12)
    best = resampling.best_f1(f1)
    assert best.f1 == pytest.approx(f1[round(best.score_threshold * 999)], abs=1e-9)
    metrics = pytest.importorskip("ultralytics.utils.metrics")
    index, score, right = map(np.array, zip(*rows, strict=True))
    *_, theirs, scores, _ = metrics.ap_per_class(right[:, np.newaxis], score, index, index)
    smooth = metrics.smooth(theirs.mean(axis=0), 0.1)
    assert smooth[np.searchsorted(scores, best.score_threshold)] == pytest.approx(smooth.max(), abs=0.01)


def test_intervals_are_as_wide_as_theory_says():
    """The mean of 200 numbers lies within 1.96 standard errors; of fewer than ten images nothing is said."""
    values = np.random.default_rng(1).normal(0.3, 2, 200)
    found = resampling.interval(resampling.draw(200) @ values / 200)
    error = values.std() / np.sqrt(200)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)
    assert resampling.draw(9) is None
    assert resampling.interval(np.full(resampling.RESAMPLES, np.nan)) is None
