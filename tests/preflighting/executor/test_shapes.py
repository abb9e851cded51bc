"""Layers that move elements, against NumPy, TensorFlow, PyTorch and naive loops."""

import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F

from tests.preflighting.layers import layer, numbers
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.executor.execute import compute


def _run(made, *inputs):
    [result] = compute(made, list(inputs))
    return result


def _dims(*values):
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("attributes", "dims", "expected"),
    [
        ({}, None, lambda x: x),
        ({"first_transpose": (0, 2, 1)}, None, lambda x: x.transpose(0, 2, 1)),
        ({"reshape": (6, 4)}, None, lambda x: x.reshape(6, 4)),
        ({"reshape": (0, -1)}, None, lambda x: x.reshape(2, 12)),  # 0 copies, -1 takes what is left
        ({"reshape": (-1, 0, 2, 2)}, None, lambda x: x.reshape(2, 3, 2, 2)),
        ({"first_transpose": (2, 0, 1), "reshape": (0, -1)}, None, lambda x: x.transpose(2, 0, 1).reshape(4, 6)),
        (
            {"first_transpose": (1, 2, 0), "reshape": (2, 6, 2), "second_transpose": (2, 0, 1)},
            None,
            lambda x: x.transpose(1, 2, 0).reshape(2, 6, 2).transpose(2, 0, 1),
        ),
        ({"reshape": (1, 1)}, _dims(8, -1), lambda x: x.reshape(8, 3)),  # the input wins
        ({}, _dims(0, -1), lambda x: x.reshape(2, 12)),
        ({"reshape": ()}, None, None),  # 24 elements are no scalar
        ({"reshape": (5, 5)}, None, None),
        ({"reshape": (0, 0, 0, 0)}, None, None),  # there is no fourth to copy
    ],
)
def test_shuffle(attributes, dims, expected):
    data = numbers(2, 3, 4)
    given = (data,) if dims is None else (data, dims)
    if expected is None:
        with pytest.raises(PreflightError, match="cannot be computed of float32"):
            _run(layer("SHUFFLE", **attributes), *given)
    else:
        np.testing.assert_array_equal(_run(layer("SHUFFLE", **attributes), *given), expected(data))


def test_a_shuffle_whose_zero_is_a_size():
    data = numbers(0, 3)
    found = _run(layer("SHUFFLE", reshape=(3, 0), zero_is_placeholder=0), data)
    assert found.shape == (3, 0)
    assert _run(layer("SHUFFLE", reshape=()), numbers(1)).shape == ()


_WHOLE = {"start": (0, 0), "size": (4, 5), "stride": (1, 1)}


@pytest.mark.parametrize(
    ("attributes", "inputs", "expected"),
    [
        (_WHOLE, (), lambda x: x),
        ({"start": (1, 2), "size": (2, 2), "stride": (1, 1)}, (), lambda x: x[1:3, 2:4]),
        ({"start": (0, 1), "size": (2, 2), "stride": (3, 2)}, (), lambda x: x[::3, 1::2]),
        ({"start": (3, 4), "size": (4, 3), "stride": (-1, -2)}, (), lambda x: x[::-1, ::-2]),
        ({"start": (2, 0), "size": (3, 5), "stride": (0, 1)}, (), lambda x: x[[2, 2, 2]]),  # repeats
        ({"start": (0, 0), "size": (0, 5), "stride": (1, 1)}, (), lambda x: x[:0]),
        (_WHOLE, (_dims(1, 0),), None),  # 4 rows from the second on
        (_WHOLE, (_dims(1, 0), _dims(2, 5)), lambda x: x[1:3]),  # inputs win
        (_WHOLE, (None, _dims(2, 2), _dims(2, 3)), lambda x: x[::2, ::3]),
        ({"start": (-1, 0), "size": (1, 5), "stride": (1, 1)}, (), None),
        ({"start": (0, 0), "size": (4, 3), "stride": (1, 3)}, (), None),
        ({"start": (0, 0), "size": (4, -1), "stride": (1, 1)}, (), None),
    ],
)
def test_slice(attributes, inputs, expected):
    data = numbers(4, 5)
    if expected is None:
        with pytest.raises(PreflightError, match=r"elements -?\d+ to -?\d+ of \d along axis \d"):
            _run(layer("SLICE", **attributes), data, *inputs)
    else:
        np.testing.assert_array_equal(_run(layer("SLICE", **attributes), data, *inputs), expected(data))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather(axis):
    data, indices = numbers(3, 4, 5), np.random.default_rng(0).integers(0, 3, (2, 6)).astype(np.int32)
    found = _run(layer("GATHER", axis=axis), data, indices)
    np.testing.assert_array_equal(found, tf.gather(data, indices, axis=axis).numpy())
    np.testing.assert_array_equal(_run(layer("GATHER", axis=axis - 3), data, indices), found)
    scalar = _run(layer("GATHER", axis=axis), data, np.array(1, np.int32))
    np.testing.assert_array_equal(scalar, tf.gather(data, 1, axis=axis).numpy())


@pytest.mark.parametrize(("axis", "paired"), [(1, 1), (2, 1), (2, 2), (3, 2)])
def test_gather_along_common_axes(axis, paired):
    data = numbers(2, 3, 4, 5)
    indices = np.random.default_rng(0).integers(0, 3, (*data.shape[:paired], 6)).astype(np.int32)
    found = _run(layer("GATHER", axis=axis, elementwise_dims=paired), data, indices)
    np.testing.assert_array_equal(found, tf.gather(data, indices, axis=axis, batch_dims=paired).numpy())


@pytest.mark.parametrize(
    ("attributes", "shape", "message"),
    [
        ({"axis": 0}, (4,), "indices 0 to 3 of 3"),
        ({"axis": 1, "elementwise_dims": 1}, (4, 2), r"data \(3, 4\) and indices \(4, 2\) that share 1 axes before"),
        ({"axis": 0, "elementwise_dims": 1}, (3, 1), r"indices 0 to 3|that share 1 axes before axis 0"),
    ],
)
def test_gathers_that_do_not_fit(attributes, shape, message):
    indices = np.minimum(np.arange(np.prod(shape)), 3 if shape == (4,) else 2).reshape(shape).astype(np.int32)
    with pytest.raises(PreflightError, match=message):
        _run(layer("GATHER", **attributes), numbers(3, 4), indices)
    with pytest.raises(PreflightError, match="indices -1 to"):
        _run(layer("GATHER", axis=0), numbers(3, 4), np.array([-1], np.int32))


@pytest.mark.parametrize(
    ("attributes", "shape", "axis"),
    [
        ({"axis": 2}, (2, 3, 4, 5), 2),
        ({}, (2, 3, 4, 5), 1),
        ({}, (2, 3, 4), 0),
        ({}, (4,), 0),
        ({"axis": -1}, (2, 3), 1),
    ],
)
def test_concatenation(attributes, shape, axis):
    first, second = numbers(*shape), numbers(*shape, seed=1)
    found = _run(layer("CONCATENATION", **attributes), first, second, first)
    np.testing.assert_array_equal(found, np.concatenate([first, second, first], axis))


def test_constant_shape_identity_and_select():
    values = numbers(2, 3)
    np.testing.assert_array_equal(_run(layer("CONSTANT", dims=(2, 3), weights={"values": values})), values)
    assert _run(layer("CONSTANT", dims=(), weights={"values": values[:1, :1]})).shape == ()
    found = _run(layer("SHAPE"), values)
    assert (found.dtype, found.tolist()) == (np.int32, [2, 3])
    np.testing.assert_array_equal(_run(layer("IDENTITY"), values), values)
    condition = np.array([[True], [False]])
    np.testing.assert_array_equal(
        _run(layer("SELECT"), condition, values, np.zeros((1, 3), np.float32)), [values[0], [0, 0, 0]]
    )


@pytest.mark.parametrize("size", [(14, 10), (7, 10), (21, 15), (5, 3), (9, 8)])
def test_nearest(size):
    """As TensorFlow's nearest without half-pixel centers, and onnx2tf's doubling."""
    data = numbers(1, 2, 7, 5)
    found = _run(layer("RESIZE", mode="NEAREST"), data, _dims(1, 2, *size))
    expected = tf.compat.v1.image.resize_nearest_neighbor(data.transpose(0, 2, 3, 1), size).numpy()
    np.testing.assert_array_equal(found, expected.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(_run(layer("RESIZE", output_dims=(-1, 2, *size)), data), found)


@pytest.mark.parametrize("scale", [2, 3, 1.5])
def test_scales(scale):
    data = numbers(1, 2, 6, 4)
    found = _run(layer("RESIZE", scales=(1, 1, scale, scale)), data)
    np.testing.assert_array_equal(found, F.interpolate(torch.from_numpy(data), scale_factor=scale))


@pytest.mark.parametrize("size", [(14, 10), (21, 15), (4, 3), (9, 8), (1, 1)])
@pytest.mark.parametrize(
    ("coordinates", "options"),
    [
        ("ALIGN_CORNERS", {"align_corners": True, "half_pixel_centers": False}),
        ("HALF_PIXEL", {"align_corners": False, "half_pixel_centers": True}),
        (None, {"align_corners": False, "half_pixel_centers": False}),
    ],
)
def test_linear(coordinates, options, size):
    data = numbers(1, 2, 7, 5)
    expected = tf.raw_ops.ResizeBilinear(images=data.transpose(0, 2, 3, 1), size=size, **options).numpy()
    attributes = {"mode": "LINEAR"} | ({"coordinates": coordinates} if coordinates else {})
    found = _run(layer("RESIZE", **attributes), data, _dims(1, 2, *size))
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("coordinates", "rounding", "taken"),
    [
        ("ASYMMETRIC", "FLOOR", [0, 0, 0, 1, 1, 1, 2, 2]),  # 0, 0.375, 0.75, 1.125, 1.5, 1.875, 2.25, 2.625
        ("ASYMMETRIC", "CEIL", [0, 1, 1, 2, 2, 2, 2, 2]),
        ("ASYMMETRIC", "HALF_UP", [0, 0, 1, 1, 2, 2, 2, 2]),
        ("ASYMMETRIC", "HALF_DOWN", [0, 0, 1, 1, 1, 2, 2, 2]),
        ("HALF_PIXEL", "HALF_DOWN", [0, 0, 0, 1, 1, 2, 2, 2]),  # -0.31, 0.06, 0.44, 0.81, 1.19, 1.56, 1.94, 2.31
        ("ALIGN_CORNERS", "FLOOR", [0, 0, 0, 0, 1, 1, 1, 2]),
    ],
)
def test_rounding(coordinates, rounding, taken):
    made = layer("RESIZE", mode="NEAREST", coordinates=coordinates, rounding=rounding)
    assert _run(made, np.arange(3, dtype=np.float32), _dims(8)).tolist() == taken


@pytest.mark.parametrize(
    ("attributes", "dims", "message"),
    [
        ({"mode": "CUBIC"}, _dims(1, 2, 4, 4), r"has mode CUBIC\. Expected one of NEAREST, LINEAR"),
        ({"coordinates": "CENTER"}, _dims(1, 2, 4, 4), r"has coordinates CENTER\. Expected one of ALIGN_CORNERS, A"),
        ({"rounding": "UP"}, _dims(1, 2, 4, 4), r"has rounding UP\. Expected one of HALF_UP, HALF_DOWN, FLOOR, CEIL"),
        ({}, _dims(4, 4), r"RESIZE layer .* cannot be computed of float32 \(1, 2, 3, 3\), int32 \(2,\)"),
        ({}, None, r"RESIZE layer .* cannot be computed of float32 \(1, 2, 3, 3\) \(TypeError"),
    ],
)
def test_resizes_that_are_unknown(attributes, dims, message):
    inputs = [numbers(1, 2, 3, 3)] + ([] if dims is None else [dims])
    with pytest.raises(PreflightError, match=message):
        _run(layer("RESIZE", **attributes), *inputs)
