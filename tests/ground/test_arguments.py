"""Arguments: numbers of every kind, how messages name them, and options that remember what was given."""

import copy
import dataclasses
import decimal
import fractions
import os
import pickle

import numpy as np
import pytest

from tftrt_yolo import contract
from tftrt_yolo.ground import arguments
from tftrt_yolo.ground.arguments import Options
from tftrt_yolo.selection import Selection


@pytest.mark.parametrize(
    "value", [8, np.int64(8), np.uint8(8), np.int8(8), np.array(8), fractions.Fraction(8).numerator]
)
def test_whole_numbers_of_every_kind(value):
    found = arguments.check_at_least_one("batch_size", value)
    assert (type(found), found) == (int, 8)


def test_a_whole_number_of_tensorflows():
    import tensorflow as tf

    assert arguments.check_at_least_one("batch_size", tf.constant(8)) == 8


@pytest.mark.parametrize(
    "value",
    [0, -1, np.int64(0), 1.0, np.float32(2), True, np.True_, "1", None, (1,), np.array([1, 2]), float("nan")],
)
def test_what_is_no_whole_number_of_at_least_one(value):
    with pytest.raises(ValueError, match=r"^batch_size is .*; it must be a whole number of at least 1"):
        arguments.check_at_least_one("batch_size", value)


@pytest.mark.parametrize("value", [0.5, np.float16(0.5), np.float32(0.5), np.float64(0.5), fractions.Fraction(1, 2)])
def test_shares_of_every_kind(value):
    found = arguments.check_share("score_threshold", value)
    assert (type(found), found) == (float, 0.5)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, np.int64(1)])
def test_the_ends_are_shares(value):
    assert arguments.check_share("score_threshold", value) == value


@pytest.mark.parametrize(
    "value",
    [
        -0.01,
        1.01,
        float("nan"),
        np.float32("nan"),
        float("inf"),
        True,
        np.False_,
        "1",
        None,
        1j,
        decimal.Decimal(1),
        [1],
    ],
)
def test_what_is_no_share(value):
    with pytest.raises(ValueError, match=r"^score_threshold is .*; it must be a number between 0 and 1"):
        arguments.check_share("score_threshold", value)


def test_metadata_are_written_from_numbers_of_every_kind(tmp_path):
    selection = Selection(np.float32(0.5), np.float64(0.25), np.int64(10), np.int32(100))
    metadata = contract.Metadata("detect", {0: "a"}, (320, 320), 32, selection, "a.pt")
    (tmp_path / "saved_model.pb").touch()
    contract.write_metadata(tmp_path, metadata)
    assert contract.read_metadata(tmp_path).selection == Selection(0.5, 0.25, 10, 100)


def test_names_and_settings_are_written_for_their_reader():
    def written():
        return [
            arguments.argument("batch_size"),
            arguments.setting("overwrite"),
            arguments.setting("allow_build_at_runtime", False),
            arguments.setting("calibration", "tensorrt"),
        ]

    python = ["batch_size", "overwrite=True", "allow_build_at_runtime=False", "calibration='tensorrt'"]
    assert written() == python
    with arguments.named_as_flags():
        flags = ["--batch_size", "--overwrite", "--noallow_build_at_runtime", "--calibration=tensorrt"]
        assert written() == flags
        with arguments.named_as_flags():
            assert written() == flags
        assert written() == flags  # the inner one ended
    assert written() == python


def test_names_are_pythons_again_after_an_error():
    before = dict(os.environ)
    with pytest.raises(KeyError), arguments.named_as_flags():
        raise KeyError
    assert dict(os.environ) == before


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Options(Options):
    size: int = 3
    name: str | None = None


def test_options_remember_what_was_given_whatever_its_value():
    assert _Options().given == ()
    assert _Options(size=3).given == ("size",)
    assert _Options(name=None, size=4).given == ("name", "size")
    assert _Options(size=3) == _Options()  # it is no part of their value


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy]
    + [lambda one, p=protocol: pickle.loads(pickle.dumps(one, p)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)],
)
@pytest.mark.parametrize("given", [{}, {"size": 3}, {"name": "a", "size": 4}])
def test_copies_keep_it(copied, given):
    options = _Options(**given)
    again = copied(options)
    assert again == options
    assert again.given == options.given


def test_a_replaced_one_has_all_of_them():
    """As it says: `dataclasses.replace` calls the constructor with every field."""
    assert dataclasses.replace(_Options(size=3), name="a").given == ("name", "size")


def test_options_are_refused_by_name():
    for given, message in (
        ({"size": 3}, "size is for wool, and the coat is silk. Leave it out."),
        ({"size": 3, "name": None}, "size and name are for wool, and the coat is silk. Leave them out."),
        ({}, r"_Options\(\) is for wool, and the coat is silk. Leave it out."),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            _Options(**given).refuse("wool", "the coat is silk")
    with arguments.named_as_flags(), pytest.raises(ValueError, match=r"^--size is for wool"):
        _Options(size=3).refuse("wool", "the coat is silk")


def test_options_are_given_by_name():
    with pytest.raises(TypeError):
        _Options(3)
    with pytest.raises(TypeError, match="colour"):
        _Options(colour="red")
