"""Options of one accelerator or precision are refused with another, by name, even if they equal their default."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

import tftrt_yolo
from tftrt_yolo.converter.baked.baked_options import BakedOptions
from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions

OTHERS = {  # a value that is not the default
    "minimum_segment_size": 5,
    "max_workspace_size_bytes": 1 << 30,
    "batch_sizes": (1, 8),
    "dynamic_shape_profile_strategy": "Optimal",
    "allow_build_at_runtime": False,
    "minimum_coverage": 0.5,
    "calibration_data": "photos",
    "calibration": "mse",
    "rounding": "nearest",
    "calibration_cache_dir": "cache",
    "evaluation_data": "data.yaml",
    "maximum_map_drop": 0.01,
    "maximum_score_shift": 0.01,
    "float_layers": ("head",),
    "sensitivity_report": "runs/sensitivity",
    "costliest_layers": 5,
    "parity_images": "photos",
}


def _cases(kind):
    """Every option with its default and with another value."""
    fields = dataclasses.fields(kind)
    return [(field.name, value) for field in fields for value in (field.default, OTHERS[field.name])]


def _convert(**arguments):
    return tftrt_yolo.convert("no_saved_model", "nowhere", **arguments)


@pytest.mark.parametrize("options", [TensorRTOptions, BakedOptions])
@pytest.mark.parametrize(
    ("size", "got"), [(65_537, "65537"), (1 << 32, "4294967296"), (10**99, "a whole number of 329 ")]
)
def test_a_batch_size_that_no_device_holds(options, size, got):
    with pytest.raises(ValueError, match=f"^batch_sizes has {got}.*; expected at most 65,536, which no device holds. "):
        options(batch_sizes=(1, size))
    assert options(batch_sizes=(1, 65_536)).batch_sizes == (1, 65_536)


@pytest.mark.parametrize("accelerator", ["xla", "onednn"])
@pytest.mark.parametrize(("name", "value"), _cases(TensorRTOptions))
def test_options_of_tensorrt_with_another_accelerator(accelerator, name, value):
    with pytest.raises(ValueError, match=f"^{name} is for tensorrt, and accelerator is '{accelerator}'. Leave it out"):
        _convert(accelerator=accelerator, tensorrt=TensorRTOptions(**{name: value}))


@pytest.mark.parametrize("precision_mode", [None, "FP16", "fp32"])
@pytest.mark.parametrize(("name", "value"), _cases(Int8Options))
def test_options_of_int8_with_another_precision(precision_mode, name, value):
    mode = (precision_mode or "FP16").upper()
    with pytest.raises(ValueError, match=f"^{name} is for INT8, and precision_mode is {mode}. Leave it out"):
        _convert(precision_mode=precision_mode, int8=Int8Options(**{name: value}))


def test_options_of_which_none_was_given():
    with pytest.raises(ValueError, match=r"^TensorRTOptions\(\) is for tensorrt"):
        _convert(accelerator="xla", tensorrt=TensorRTOptions())
    with pytest.raises(ValueError, match=r"^Int8Options\(\) is for INT8"):
        _convert(int8=Int8Options())
    with pytest.raises(ValueError, match=r"^BakedOptions\(\) is for xla and onednn"):
        _convert(baked=BakedOptions())


@pytest.mark.parametrize("precision_mode", ["FP16", "FP32"])
@pytest.mark.parametrize(("name", "value"), _cases(BakedOptions))
def test_options_of_xla_and_onednn_with_tensorrt(precision_mode, name, value):
    message = f"^{name} is for xla and onednn, and accelerator is 'tensorrt'. Leave it out"
    with pytest.raises(ValueError, match=message):
        _convert(precision_mode=precision_mode, baked=BakedOptions(**{name: value}))


@pytest.mark.parametrize("sizes", [None, (1,), (1, 8)])
def test_batch_sizes_with_onednn(sizes):
    """Whatever they are, for nothing is compiled there."""
    with pytest.raises(
        ValueError, match=r"^batch_sizes is for tensorrt and xla, and accelerator is 'onednn', which .* Leave it out\."
    ):
        _convert(accelerator="onednn", baked=BakedOptions(batch_sizes=sizes))


@pytest.mark.parametrize("kind", [TensorRTOptions, Int8Options, BakedOptions])
def test_copies_are_refused_alike(kind):
    for name, value in _cases(kind):
        options = kind(**{name: value})
        for again in (copy.copy(options), copy.deepcopy(options), pickle.loads(pickle.dumps(options))):
            assert again == options
            assert again.given == (name,)


def test_a_replaced_one_is_refused_by_all_its_names():
    options = dataclasses.replace(TensorRTOptions(batch_sizes=(1, 8)), minimum_coverage=0.5)
    assert options == TensorRTOptions(batch_sizes=(1, 8), minimum_coverage=0.5)
    with pytest.raises(ValueError, match=r"^minimum_coverage, .* and allow_build_at_runtime are for tensorrt"):
        _convert(accelerator="xla", tensorrt=options)


@pytest.mark.parametrize(
    "sizes", [[1], (1,), range(1, 2), np.array([1]), [np.int64(1)], iter([1]), np.array([1], np.uint8)]
)
def test_one_batch_size_is_a_list_of_one(sizes):
    options = TensorRTOptions(batch_sizes=sizes)
    assert options.batch_sizes == (1,)
    assert [type(size) for size in options.batch_sizes] == [int]
    assert options.strategy == "Range"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((8, 1), (1, 8)),  # in rising order, each once
        ([4, 4], (4,)),
        (np.array([32, 8], np.uint8), (8, 32)),
        (range(1, 4), (1, 2, 3)),
        (iter([2]), (2,)),
        (None, None),
    ],
)
def test_batch_sizes_for_xla(sizes, expected):
    options = BakedOptions(batch_sizes=sizes)
    assert options.batch_sizes == expected
    assert {type(size) for size in options.batch_sizes or ()} <= {int}
    assert options.given == ("batch_sizes",)


@pytest.mark.parametrize("kind", [TensorRTOptions, BakedOptions])
@pytest.mark.parametrize("sizes", [1, np.int64(1), [1.0], [True], ["1"], "1", [None], None])
def test_what_is_no_list_of_batch_sizes(kind, sizes):
    if kind is BakedOptions and sizes is None:
        pytest.skip("it is the default there")
    with pytest.raises(ValueError, match=r"^batch_sizes is .*; expected whole numbers, such as"):
        kind(batch_sizes=sizes)


@pytest.mark.parametrize("kind", [TensorRTOptions, BakedOptions])
@pytest.mark.parametrize("sizes", [[], [0], [1, -1]])
def test_batch_sizes_out_of_range(kind, sizes):
    with pytest.raises(ValueError, match=r"^batch_sizes is .*; expected one or more whole numbers of at least 1"):
        kind(batch_sizes=sizes)


def test_numbers_of_numpys_become_pythons():
    options = TensorRTOptions(
        minimum_segment_size=np.int32(5),
        max_workspace_size_bytes=np.int64(1 << 30),
        batch_sizes=np.array([1, 8]),
        minimum_coverage=np.float32(0.5),
    )
    values = [options.minimum_segment_size, options.max_workspace_size_bytes, *options.batch_sizes]
    assert [(type(value), value) for value in values] == [(int, 5), (int, 1 << 30), (int, 1), (int, 8)]
    assert type(options.minimum_coverage) is float
    assert options.given == (
        "minimum_segment_size",
        "max_workspace_size_bytes",
        "batch_sizes",
        "minimum_coverage",
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("tensorrt", {}), ("int8", {"precision_mode": "INT8"}), ("baked", {"accelerator": "xla"})],
)
def test_options_of_another_type(name, arguments):
    with pytest.raises(TypeError, match=rf"^{name} is a dict of 1; expected \w+Options, such as {name}=\w+Options\("):
        tftrt_yolo.convert("any", "out", **arguments, **{name: {"batch_sizes": (1, 8)}})
