"""Arithmetic against PyTorch, TensorFlow and NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F

from tests.preflighting.layers import layer, numbers
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.executor import arithmetic
from tftrt_yolo.preflighting.executor.execute import compute

_TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


def _run(made, *inputs):
    [result] = compute(made, list(inputs))
    return result


def _whole(*values):
    return np.array(values, np.int32)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("SUM", torch.add),
        ("PROD", torch.mul),
        ("MAX", torch.maximum),
        ("MIN", torch.minimum),
        ("SUB", torch.sub),
        ("DIV", torch.div),
        ("FLOOR_DIV", torch.floor_divide),
        ("EQUAL", torch.eq),
        ("GREATER", torch.gt),
        ("LESS", torch.lt),
    ],
)
def test_elementwise(operation, expected):
    first, second = numbers(2, 3, 4), numbers(1, 3, 1, seed=1)
    found = _run(layer("ELEMENTWISE", operation=operation), first, second)
    np.testing.assert_allclose(found, expected(torch.from_numpy(first), torch.from_numpy(second)), **_TOLERANCE)
    assert found.dtype == (bool if operation in ("EQUAL", "GREATER", "LESS") else np.float32)


@pytest.mark.parametrize(
    ("operation", "first", "second", "expected"),
    [
        ("DIV", (7, -7, 7, -7, 0), (2, 2, -2, -2, 3), [3, -3, -3, 3, 0]),  # cuts off, as C
        ("FLOOR_DIV", (7, -7, 7, -7, 0), (2, 2, -2, -2, 3), [3, -4, -4, 3, 0]),
        ("SUB", (1, 2), (3, 1), [-2, 1]),
        ("MAX", (1, -2), (0, 0), [1, 0]),
        ("EQUAL", (1, -2), (1, 0), [True, False]),
    ],
)
def test_elementwise_of_integers(operation, first, second, expected):
    found = _run(layer("ELEMENTWISE", operation=operation), _whole(*first), _whole(*second))
    assert found.tolist() == expected
    assert found.dtype == (bool if operation == "EQUAL" else np.int32)


def test_power_and_logic():
    base = np.abs(numbers(5)) + 0.1
    np.testing.assert_allclose(_run(layer("ELEMENTWISE", operation="POW"), base, base), base**base, **_TOLERANCE)
    first, second = np.array([True, True, False, False]), np.array([True, False, True, False])
    for operation, expected in (("AND", first & second), ("OR", first | second), ("XOR", first ^ second)):
        np.testing.assert_array_equal(_run(layer("ELEMENTWISE", operation=operation), first, second), expected)


_UNARY = {
    "EXP": torch.exp,
    "ABS": torch.abs,
    "NEG": torch.neg,
    "SIN": torch.sin,
    "COS": torch.cos,
    "TAN": torch.tan,
    "SINH": torch.sinh,
    "COSH": torch.cosh,
    "ATAN": torch.atan,
    "ASINH": torch.asinh,
    "CEIL": torch.ceil,
    "FLOOR": torch.floor,
    "ERF": torch.erf,
    "SIGN": torch.sign,
    "ROUND": torch.round,  # half to even
    "RECIP": torch.reciprocal,
    # of numbers above 1
    "LOG": torch.log,
    "SQRT": torch.sqrt,
    "ACOSH": torch.acosh,
    # of numbers within 1
    "ASIN": torch.asin,
    "ACOS": torch.acos,
    "ATANH": torch.atanh,
    "ISINF": torch.isinf,
    "NOT": torch.logical_not,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("operation", _UNARY)
def test_unary(operation, dtype):
    data = np.concatenate([numbers(50, dtype=dtype) * 2, np.array([0.5, 1.5, -0.5, -2.5, 0.25], dtype)])
    if operation in ("LOG", "SQRT", "ACOSH"):
        data = np.abs(data) + 1
    elif operation in ("ASIN", "ACOS", "ATANH"):
        data = np.tanh(data) * dtype(0.99)
    elif operation == "ISINF":
        data[::3] = np.inf
    elif operation == "NOT":
        data = data > 0
    found = _run(layer("UNARY", operation=operation), data)
    expected = _UNARY[operation](torch.from_numpy(data)).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype is np.float32 else 1e-12, atol=1e-7)


def test_every_function_is_tested():
    assert set(_UNARY) == set(arithmetic._UNARY)
    assert {row[0] for row in _ACTIVATIONS} == set(arithmetic._ACTIVATIONS)


_ACTIVATIONS = [
    ("RELU", {}, F.relu),
    ("SIGMOID", {"alpha": 1}, torch.sigmoid),  # TF-TRT sets an alpha that does not count
    ("TANH", {}, torch.tanh),
    ("LEAKY_RELU", {"alpha": 0.1}, lambda x: F.leaky_relu(x, 0.1)),
    ("ELU", {"alpha": 0.7}, lambda x: F.elu(x, 0.7)),
    ("SELU", {"alpha": 1.6732632423543772, "beta": 1.0507009873554805}, F.selu),
    ("SOFTSIGN", {}, F.softsign),
    ("SOFTPLUS", {"alpha": 0.5, "beta": 2}, lambda x: F.softplus(x, 2)),  # PyTorch's is divided by beta
    ("CLIP", {"alpha": 0, "beta": 6}, F.relu6),
    ("HARD_SIGMOID", {"alpha": 1 / 6, "beta": 0.5}, F.hardsigmoid),
    ("SCALED_TANH", {"alpha": 1.5, "beta": 0.5}, lambda x: 1.5 * torch.tanh(0.5 * x)),
    ("THRESHOLDED_RELU", {"alpha": 0.8}, lambda x: F.threshold(x, 0.8, 0)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kind", "attributes", "expected"), _ACTIVATIONS)
def test_activation(kind, attributes, expected, dtype):
    data = np.concatenate([numbers(100, dtype=dtype) * 5, np.array([-1000, 1000, 0], dtype)])
    found = _run(layer("ACTIVATION", type=kind, **attributes), data)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected(torch.from_numpy(data)), **_TOLERANCE)
    assert data[-3:].tolist() == [-1000, 1000, 0]  # what was given stays


@pytest.mark.parametrize(
    ("shape", "mask", "axis"),
    [((2, 3, 4), 1 << 2, 2), ((2, 3, 4, 5), 1 << 1, 1), ((2, 3, 4, 5), None, 1), ((2, 3), None, 0)],
)
def test_softmax(shape, mask, axis):
    data = numbers(*shape) * 100  # exp of it is beyond float32
    attributes = {} if mask is None else {"axes": mask}
    found = _run(layer("SOFTMAX", **attributes), data)
    np.testing.assert_allclose(found, torch.softmax(torch.from_numpy(data), axis), **_TOLERANCE)


@pytest.mark.parametrize("keeps", [0, 1])
@pytest.mark.parametrize(
    ("operation", "expected"),
    [("SUM", np.sum), ("PROD", np.prod), ("MAX", np.max), ("MIN", np.min), ("AVG", np.mean)],
)
@pytest.mark.parametrize(("mask", "axes"), [(0b1000, (3,)), (0b1100, (2, 3)), (0b0001, (0,)), (0b1111, (0, 1, 2, 3))])
def test_reduce(operation, expected, mask, axes, keeps):
    data = numbers(2, 3, 4, 5)
    found = _run(layer("REDUCE", operation=operation, axes=mask, keep_dims=keeps), data)
    np.testing.assert_allclose(found, expected(data.astype(np.float64), axis=axes, keepdims=bool(keeps)), **_TOLERANCE)
    assert found.dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("operation", ["MAX", "MIN"])
def test_top_k(operation, axis):
    data = numbers(4, 5, 6)
    made = layer("TOPK", operation=operation, k=3, axes=1 << axis)
    values, indices = compute(made, [data])
    expected = torch.topk(torch.from_numpy(data), 3, axis, largest=operation == "MAX")
    np.testing.assert_array_equal(values, expected.values)
    np.testing.assert_array_equal(indices, expected.indices)
    assert indices.dtype == np.int32


def test_top_k_of_equals_takes_the_first():
    for operation in ("MAX", "MIN"):
        _, indices = compute(layer("TOPK", operation=operation, k=2, axes=1), [np.zeros(5, np.float32)])
        assert indices.tolist() == [0, 1]
    lowest = np.array([np.iinfo(np.int32).min, 0, 5], np.int32)  # which has no counterpart above 0
    values, _ = compute(layer("TOPK", operation="MAX", k=3, axes=1), [lowest])
    assert values.tolist() == [5, 0, np.iinfo(np.int32).min]


@pytest.mark.parametrize("first_turned", [False, True])
@pytest.mark.parametrize("second_turned", [False, True])
def test_matrix_multiply(first_turned, second_turned):
    first, second = numbers(2, 3, 4, 5), numbers(1, 3, 5, 6, seed=1)
    expected = first @ second
    given = [x.swapaxes(-1, -2) if turned else x for x, turned in ((first, first_turned), (second, second_turned))]
    words = ["TRANSPOSE" if turned else "NONE" for turned in (first_turned, second_turned)]
    found = _run(layer("MATRIX_MULTIPLY", first=words[0], second=words[1]), *given)
    np.testing.assert_allclose(found, expected, **_TOLERANCE)


def _scalar(value):
    return np.array(value, np.float32)


def test_quantize_rounds_half_to_even_and_clips():
    data = np.array([0.25, 0.75, 1.25, -0.25, -0.75, 63.4, 63.9, 100, -64, -64.3, -100, np.inf, -np.inf], np.float32)
    found = _run(layer("QUANTIZE", axis=1), data, _scalar(0.5))
    assert found.dtype == np.int8
    assert found.tolist() == [0, 2, 2, 0, -2, 127, 127, 127, -128, -128, -128, 127, -128]
    np.testing.assert_array_equal(_run(layer("DEQUANTIZE", axis=1), found, _scalar(0.5)), found * np.float32(0.5))


@pytest.mark.parametrize("threshold", [1.0, 0.37, 6.1])
def test_there_and_back_is_tensorflows(threshold):
    data = numbers(100_000) * 2
    expected = tf.raw_ops.QuantizeAndDequantizeV2(
        input=data, input_min=-threshold, input_max=threshold, range_given=True, round_mode="HALF_TO_EVEN"
    ).numpy()
    scale = np.float32(threshold) / np.float32(127)
    found = _run(layer("DEQUANTIZE"), _run(layer("QUANTIZE"), data, scale), scale)
    assert np.abs(found - expected).max() <= 1.001 * scale
    assert np.count_nonzero(found != expected) <= 2  # TensorFlow multiplies with 127 / threshold: ties may differ
    np.testing.assert_array_equal(_run(layer("DEQUANTIZE"), _run(layer("QUANTIZE"), expected, scale), scale), expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_scale_a_channel(axis):
    data, scales = numbers(3, 3, 4), np.array([0.1, 0.01, 1], np.float32)
    found = _run(layer("QUANTIZE", axis=axis), data, scales)
    expected = torch.quantize_per_channel(
        torch.from_numpy(data), torch.from_numpy(scales), torch.zeros(3), axis, torch.qint8
    )
    np.testing.assert_array_equal(found, expected.int_repr())
    np.testing.assert_allclose(_run(layer("DEQUANTIZE", axis=axis), found, scales), expected.dequantize(), **_TOLERANCE)


@pytest.mark.parametrize(
    ("made", "inputs", "message"),
    [
        (layer("ELEMENTWISE", operation="SUM"), [numbers(2, 3), numbers(3)], "operands of rank 2 and 1; expected one"),
        (layer("ELEMENTWISE", operation="SUM"), [numbers(2, 3), numbers(2, 4)], "could not be broadcast"),
        (
            layer("ELEMENTWISE", operation="MOD"),
            [numbers(2), numbers(2)],
            r"ELEMENTWISE layer a/elementwise:ELEMENTWISE has operation MOD\. Expected one of SUM, .*, LESS, which the",
        ),
        (layer("UNARY", operation="SQUARE"), [numbers(2)], r"has operation SQUARE\. Expected one of EXP, LOG"),
        (layer("ACTIVATION", type="GELU"), [numbers(2)], r"has type GELU\. Expected one of RELU, SIGMOID"),
        (layer("ACTIVATION", type="LEAKY_RELU"), [numbers(2)], "KeyError: 'alpha'"),
        (layer("REDUCE", operation="L2", axes=1, keep_dims=1), [numbers(2)], r"has operation L2\. Expected one of SUM"),
        (layer("REDUCE", operation="SUM", axes=2, keep_dims=1), [numbers(2)], r"axes \(1,\) of a tensor of rank 1"),
        (layer("REDUCE", operation="SUM", axes=0, keep_dims=1), [numbers(2)], r"axes \(\) of a tensor of rank 1"),
        (layer("TOPK", operation="MAX", k=3, axes=1), [numbers(2)], "the first 3 of 2"),
        (layer("TOPK", operation="MAX", k=1, axes=3), [numbers(2, 2)], "too many values to unpack"),
        (layer("TOPK", operation="MED", k=1, axes=1), [numbers(2)], r"has operation MED\. Expected one of MAX, MIN"),
        (layer("MATRIX_MULTIPLY", first="NONE", second="NONE"), [numbers(2), numbers(2)], "of at least 2"),
        (
            layer("MATRIX_MULTIPLY", first="VECTOR", second="NONE"),
            [numbers(1, 2), numbers(2, 2)],
            r"has first VECTOR\. Expected one of NONE, TRANSPOSE",
        ),
        (layer("QUANTIZE", axis=1), [numbers(2, 3), numbers(2)], "could not be broadcast"),
        (layer("QUANTIZE", axis=2), [numbers(2, 3), numbers(2)], "IndexError"),
    ],
)
def test_what_cannot_be_computed(made, inputs, message):
    with pytest.raises(PreflightError, match=message):
        compute(made, inputs)
