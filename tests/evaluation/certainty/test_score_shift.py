"""Detections whose scores are moved by known amounts."""

import dataclasses

import numpy as np
import pytest

from tftrt_yolo import contract
from tftrt_yolo.evaluation.certainty import score_shift
from tftrt_yolo.evaluation.certainty.score_shift import Chosen, pairs
from tftrt_yolo.selection import Selection

BOXES = np.float32([[10, 10, 60, 60], [100, 100, 180, 160], [200, 20, 260, 80], [20, 200, 80, 260]])


METADATA = contract.Metadata(
    task="detect",
    names={index: str(index) for index in range(3)},
    image_size_hw=(320, 320),
    stride=32,
    selection=Selection(score_threshold=0.25),
    weights="a.pt",
)


def _dense(scores, *, moved=0.0, oriented=False):
    """Four anchors an image, one on each box and each of class 1; scores (images, 4)."""
    scores = np.array(scores, np.float32)
    classes = np.zeros((*scores.shape, 3), np.float32)
    classes[..., 1] = scores
    boxes = np.tile(BOXES + np.float32(moved), (len(scores), 1, 1))
    if not oriented:
        return {"boxes": boxes, "scores": classes}
    sides = boxes[..., 2:] - boxes[..., :2]
    turned = np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, sides, np.full_like(sides[..., :1], 0.3)], axis=-1)
    return {"boxes": boxes, "scores": classes, "boxes_xywhr": turned}


@pytest.mark.parametrize("task", ["detect", "obb"])
def test_shift_lost_and_new(task):
    before = [[0.9, 0.8, 0.3, 0.2], [0.5, 0.0, 0.26, 0.02]]
    after = [[0.8, 0.8, 0.2, 0.3], [0.5, 0.7, 0.02, 0.02]]
    shift = score_shift.gather(dataclasses.replace(METADATA, task=task))
    for one, other in zip(before, after, strict=True):  # image by image, as batches of one
        shift.add(_dense([one], oriented=task == "obb"), _dense([other], moved=1, oriented=task == "obb"))
    found = shift.result()
    # Lost: 0.3 to 0.2 and 0.26 to 0.02, which is below a tenth of the threshold and no pair. New: 0.2 to 0.3, and 0.7.
    assert (found.images, found.pairs, found.detections, found.lost, found.new) == (2, 5, 5, 2, 2)
    differences = [-0.1, 0, -0.1, 0.1, 0]
    assert found.mean == pytest.approx(np.mean(differences), abs=1e-6)
    assert (found.p5, found.p95) == pytest.approx(np.percentile(differences, [5, 95]), abs=1e-6)
    assert (found.lost_share, found.new_share, found.interval) == (0.4, 0.4, None)
    assert "above 0.25, 2 of 5 detections lost (40.0%), 2 new (40.0%)" in str(found)


def test_it_is_the_same_in_both_directions():
    rng = np.random.default_rng(0)
    one, other = _dense(rng.random((12, 4))), _dense(rng.random((12, 4)), moved=2)
    there, back = score_shift.gather(METADATA), score_shift.gather(METADATA)
    there.add(one, other)
    back.add(other, one)
    there, back = there.result(), back.result()
    assert there.mean == pytest.approx(-back.mean, abs=1e-12)
    assert (there.p5, there.lost, there.new) == (pytest.approx(-back.p95), back.new, back.lost)
    assert there.interval.low < there.mean < there.interval.high
    assert there.lost > 0


def test_pairs_are_of_one_class_and_one_to_one():
    one = Chosen(BOXES[[0, 0, 1]] + np.float32([[0], [6], [0]]), np.float32([0.9, 0.8, 0.7]), np.array([1, 1, 2]))
    other = Chosen(BOXES[[0, 1]] + np.float32([[5], [0]]), np.float32([0.9, 0.9]), np.array([1, 1]))
    assert pairs(one, other) == [(1, 0)]  # the nearer one; the other box is of another class
    assert pairs(one, Chosen(BOXES[:0], np.float32([]), np.array([]))) == []


def test_nothing_found():
    shift = score_shift.gather(METADATA)
    shift.add(_dense(np.zeros((3, 4))), _dense(np.zeros((3, 4))))
    found = shift.result()
    assert (found.images, found.pairs, found.mean, found.interval, found.lost_share) == (3, 0, None, None, 0)
    assert "no pair (IoU 0.5 or more) on 3 images" in str(found)


def test_a_classifier():
    shift = score_shift.gather(dataclasses.replace(METADATA, task=contract.CLASSIFY))
    before, after = np.float32([[0.7, 0.3], [0.6, 0.4]]), np.float32([[0.5, 0.5 - 1e-3], [0.4, 0.6]])
    shift.add({"probabilities": before}, {"probabilities": after})
    found = shift.result()
    assert (found.pairs, found.detections, found.lost, found.new) == (1, 2, 1, 1)
    assert found.mean == pytest.approx(-0.2, abs=1e-6)
    assert "the most probable class is another on 1 of 2 images (50.0%)" in str(found)
