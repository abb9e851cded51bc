"""Thresholds and times of a request, as numbers, and as texts of a query."""

import time

import pytest

from tftrt_yolo.serving.protocol import parameters
from tftrt_yolo.serving.scheduling.refusals import RefusedError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"timeout": 5}, None),
        ({"score_threshold": None}, None),
        ({"score_threshold": 0.5}, {"score_threshold": 0.5}),
        ({"score_threshold": "0.5", "iou_threshold": "1e-1"}, {"score_threshold": 0.5, "iou_threshold": 0.1}),
        ({"max_detections": "7"}, {"max_detections": 7}),
        ({"classes": "1,cat"}, {"classes": (1, "cat")}),
        ({"classes": [1, "cat"]}, {"classes": (1, "cat")}),
        ({"classes": 3}, {"classes": (3,)}),
        ({"class_agnostic": "TRUE", "multi_label": "0"}, {"class_agnostic": True, "multi_label": False}),
        ({"class_agnostic": False}, {"class_agnostic": False}),
    ],
)
def test_selections(given, expected):
    found = parameters.selection_of(given)
    assert (found if found is None else found.asked()) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"score_threshold": True}, "score_threshold is True; it must be a number between 0 and 1"),
        ({"score_threshold": "1_0"}, "score_threshold is '1_0'"),
        ({"score_threshold": [0.5]}, "score_threshold is a list of 1"),
        ({"max_detections": 2.5}, "max_detections is 2.5"),
        ({"max_detections": 100_001}, "max_detections is 100,001; it must be at most"),
        ({"classes": []}, "classes is empty"),
        ({"classes": [{}]}, "classes has a dict of 0"),
        ({"class_agnostic": 1}, "class_agnostic is 1; it must be True or False"),
    ],
)
def test_selections_that_are_none(given, message):
    with pytest.raises(RefusedError, match=message.replace("[", r"\[")):
        parameters.selection_of(given)


def test_deadlines():
    now = time.monotonic()
    assert now + 29 < parameters.deadline_of({}, 30.0) < now + 60
    assert now + 29 < parameters.deadline_of({"timeout": 0}, 30.0) < now + 60  # Triton's clients say 0 for none
    assert now < parameters.deadline_of({"timeout": 2_000_000}, 30.0) < now + 20
    assert parameters.deadline_of({"timeout": "1e30"}, 30.0) < now + 86_500
    for bad in (-1, "a", float("nan"), float("inf"), True, [], 10**400):
        with pytest.raises(RefusedError, match=r"timeout is .*; expected microseconds, a number of at least 0"):
            parameters.deadline_of({"timeout": bad}, 30.0)


def test_parameters_that_nobody_reads():
    parameters.check_known({"score_threshold": 1, "triton_enable_empty_final_response": True, "priority": 1})
    with pytest.raises(RefusedError, match=r"The parameter 'a\\x1b' is unknown; known are score_threshold"):
        parameters.check_known({"a\x1b": 1})
