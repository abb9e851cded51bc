"""Thresholds that are given with a call: what is taken, and what is refused by name."""

import re

import numpy as np
import pytest

import tftrt_yolo
from tftrt_yolo.selection import Selection

NAMES = {0: "person", 1: "bicycle", 2: "car", 3: "car", 4: "7"}


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (0, (0,)),
        ("person", (0,)),
        (np.int64(2), (2,)),
        (np.array(2), (2,)),
        (np.array([2, 0, 2]), (0, 2)),
        ([1, "person"], (0, 1)),
        ((4, 0), (0, 4)),
        ({1}, (1,)),
        (range(2), (0, 1)),
        (iter([1, 2]), (1, 2)),
        ("car", (2, 3)),  # two of one name
        ("7", (4,)),  # a name, for it is a string
        (np.array(["person", "bicycle"]), (0, 1)),
    ],
)
def test_classes(classes, expected):
    options = tftrt_yolo.SelectionOptions(classes=classes)
    assert options.class_indices(NAMES) == expected
    assert all(type(item) in (int, str) for item in options.classes)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (5, "classes has 5; expected indices or names of 0 (person), 1 (bicycle), 2 (car), 3 (car), 4 (7)."),
        (-1, "classes has -1; expected indices or names of 0 (person)"),
        ("cat", "classes has 'cat'; expected indices or names of 0 (person)"),
        ([0, "Person"], "classes has 'Person'; expected"),
        ("0", "classes has '0'; expected"),
    ],
)
def test_classes_that_the_model_does_not_have(classes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        tftrt_yolo.SelectionOptions(classes=classes).class_indices(NAMES)


def test_of_many_classes_the_first_are_named():
    names = {index: f"class {index}" for index in range(80)}
    with pytest.raises(ValueError, match=r"0 \(class 0\), .*, 19 \(class 19\), \.\.\. of 80 classes\.$"):
        tftrt_yolo.SelectionOptions(classes=80).class_indices(names)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        *[(name, 1.5, "is 1.5; it must be a number between 0 and 1") for name in ("score_threshold", "iou_threshold")],
        *[(name, -0.1, "is -0.1; it must be") for name in ("score_threshold", "iou_threshold")],
        *[(name, float("nan"), "is nan; it must be") for name in ("score_threshold", "iou_threshold")],
        *[(name, True, "is True; it must be") for name in ("score_threshold", "iou_threshold")],
        ("score_threshold", "0.5", "is '0.5'; it must be"),
        ("score_threshold", np.array([0.5]), "is a ndarray; it must be"),
        ("score_threshold", np.float32(1.5), "is 1.5; it must be"),
        ("iou_threshold", np.float64("nan"), "is nan; it must be"),
        ("max_detections", np.int64(0), "is 0; it must be"),
        ("max_detections", np.array(0), "is 0; it must be"),
        ("classes", np.float32(1.5), "is 1.5; expected indices"),
        ("classes", np.array([1.0, 2.0]), "has 1.0; expected"),
        ("iou_threshold", 10**400, "is a whole number of 1,329 bits; it must be"),
        ("max_detections", 0, "is 0; it must be a whole number of at least 1"),
        ("max_detections", -1, "is -1; it must be"),
        ("max_detections", 1.5, "is 1.5; it must be"),
        ("max_detections", 2.0, "is 2.0; it must be"),
        ("max_detections", True, "is True; it must be"),
        ("max_detections", "5", "is '5'; it must be"),
        ("max_detections", 100_001, "is 100,001; it must be at most 100,000"),
        ("classes", [], "is empty; expected at least one class. Leave it out for all classes"),
        ("classes", (), "is empty; expected at least one class"),
        ("classes", np.zeros(0, int), "is empty; expected at least one class"),
        ("classes", [0, None], "has None; expected indices or names of classes"),
        ("classes", [True], "has True; expected"),
        ("classes", True, "is True; expected indices or names of classes, such as [0, 2]"),
        ("classes", 1.0, "is 1.0; expected indices"),
        ("classes", [1.0], "has 1.0; expected"),
        ("classes", b"car", "is b'car'; expected"),
        ("classes", {0: "car"}, "is a dict of 1; expected"),
        ("classes", [[0]], "has a list of 1; expected"),
        ("class_agnostic", 1, "is 1; it must be True or False"),
        ("class_agnostic", "true", "is 'true'; it must be True or False"),
        ("class_agnostic", np.array([True]), "is a ndarray; it must be True or False"),
    ],
)
def test_what_is_refused(option, value, message):
    with pytest.raises(ValueError, match=re.escape(f"{option} {message}")):
        tftrt_yolo.SelectionOptions(**{option: value})


@pytest.mark.parametrize(
    ("option", "value", "kept"),
    [
        ("score_threshold", 0, 0.0),
        ("score_threshold", 1, 1.0),
        ("score_threshold", np.float32(0.5), 0.5),
        ("score_threshold", np.array(0.5), 0.5),
        ("iou_threshold", np.float64(0.25), 0.25),
        ("max_detections", np.int32(7), 7),
        ("max_detections", 100_000, 100_000),
        ("class_agnostic", np.bool_(True), True),
        ("class_agnostic", False, False),
    ],
)
def test_what_is_taken(option, value, kept):
    options = tftrt_yolo.SelectionOptions(**{option: value})
    assert options.asked() == {option: kept}
    assert type(getattr(options, option)) is type(kept)


def test_nothing_is_asked_where_nothing_is_given():
    assert tftrt_yolo.SelectionOptions().asked() == {}
    assert tftrt_yolo.SelectionOptions(classes=None, class_agnostic=None).asked() == {}
    assert tftrt_yolo.SelectionOptions().class_indices(NAMES) is None


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [
        (Selection(), {"score_threshold": 0.5}, Selection(0.5)),
        (Selection(0.1, 0.2, 7), {"iou_threshold": 0.9, "classes": [0]}, Selection(0.1, 0.9, 7)),
        (Selection(), {"max_detections": 2_000}, Selection(max_detections=2_000)),
        (Selection(max_detections=2_000), {"max_detections": 5}, Selection(max_detections=5)),
        (Selection(max_candidates=5), {"score_threshold": 0.5}, Selection(0.5, max_candidates=5)),
    ],
)
def test_it_is_what_an_export_would_have(own, asked, expected):
    assert tftrt_yolo.SelectionOptions(**asked).applied_to(own) == expected


@pytest.mark.parametrize(("max_detections", "max_candidates"), [(300, 1_024), (1_024, 1_024), (1_025, 1_025)])
def test_as_many_compete_as_may_be_given(max_detections, max_candidates):
    assert Selection(max_detections=max_detections).max_candidates == max_candidates
    assert Selection(max_detections=max_detections, max_candidates=7).max_candidates == 7
