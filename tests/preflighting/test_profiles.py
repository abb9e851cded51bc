"""Optimisation profiles, against TF-TRT's rules written out."""

import re

import pytest

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.profiles import Profile, profiles, profiles_by_strategy

DIMS = (-1, 640, 480, 3)


@pytest.mark.parametrize(
    ("batch_sizes", "strategy", "expected"),
    [
        ((1, 8, 32), "Range", [(1, 32, 32)]),  # tuned for the largest
        ((32, 1), "Range", [(1, 32, 32)]),
        ((4,), "Range", [(4, 4, 4)]),
        ((8, 1), "Optimal", [(8, 8, 8), (1, 1, 1)]),  # in the order in which they are run
        ((8, 8, 1), "Optimal", [(8, 8, 8), (1, 1, 1)]),  # one for each that differs
        ((1, 8), "Range+Optimal", [(1, 1, 1), (8, 8, 8), (1, 8, 8)]),  # the range is the last resort
        ((4,), "Range+Optimal", [(4, 4, 4), (4, 4, 4)]),  # TF-TRT does not look whether it has one already
        ((1, 8), None, [(1, 1, 1), (8, 8, 8), (1, 8, 8)]),  # as a conversion
        ((4,), None, [(4, 4, 4)]),
    ],
)
def test_strategies(batch_sizes, strategy, expected):
    found = profiles(batch_sizes, strategy, DIMS)
    assert found == tuple(Profile(*((size, 640, 480, 3) for size in sizes)) for sizes in expected)


def test_a_fixed_shape_needs_none():
    assert profiles((1, 8), "Optimal", (4, 640, 480, 3)) == ()
    assert profiles((1, 8), "Optimal", ()) == ()


def test_more_than_the_batch_is_open():
    with pytest.raises(
        PreflightError, match=re.escape("An input has the shape (-1, -1, 640, 3); expected no -1 but the batch. Export")
    ):
        profiles((1,), "Range", (-1, -1, 640, 3))


@pytest.mark.parametrize(
    ("batch_sizes", "strategy", "message"),
    [
        ((), "Range", "batch_sizes is (); expected one or more whole numbers of at least 1."),
        ((0,), "Range", "batch_sizes is (0,); expected one or more whole numbers of at least 1."),
        (8, "Range", "batch_sizes is 8; expected whole numbers, such as (1, 8)."),
        (
            (1,),
            "range",
            "dynamic_shape_profile_strategy is 'range'; known are Range, Optimal, Range+Optimal.",
        ),
    ],
)
def test_bad_arguments(batch_sizes, strategy, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        profiles(batch_sizes, strategy, DIMS)


def test_an_input_of_which_more_is_open_is_left_out():
    found = profiles_by_strategy((1, 2), {"whole": (-1, 8), "open": (-1, -1, 3), "fixed": (1, 8)})
    assert list(found) == ["Range", "Optimal", "Range+Optimal"]
    assert all(sorted(of_inputs) == ["fixed", "whole"] for of_inputs in found.values())
    assert found["Range"]["fixed"] == ()
