"""Layers that compute with numbers where they stand: elementwise, unary, activations, reductions, products, INT8.

    elementwise(layer, first, second)       # operands of one rank, sizes of 1 are repeated
    quantize(layer, data, scale)            # round half to even of data / scale, in [-128, 127]

Source: NVIDIA's documentation of ElementWiseOperation, UnaryOperation, ActivationType, ReduceOperation, IQuantizeLayer.
"""

import math
from collections.abc import Callable

import numpy as np

from tftrt_yolo.preflighting.executor import enums
from tftrt_yolo.preflighting.recorded_network import Layer

_erf = np.frompyfunc(math.erf, 1, 1)


def _divide(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A quotient; of integers what is left after cutting off, as C does."""
    if first.dtype.kind == "f":
        return first / second
    return np.sign(first) * np.sign(second) * (np.abs(first) // np.abs(second))


_ELEMENTWISE = {
    "SUM": np.add,
    "PROD": np.multiply,
    "MAX": np.maximum,
    "MIN": np.minimum,
    "SUB": np.subtract,
    "DIV": _divide,
    "POW": np.power,
    "FLOOR_DIV": np.floor_divide,
    "AND": np.logical_and,
    "OR": np.logical_or,
    "XOR": np.logical_xor,
    "EQUAL": np.equal,
    "GREATER": np.greater,
    "LESS": np.less,
}
_UNARY = {
    "EXP": np.exp,
    "LOG": np.log,
    "SQRT": np.sqrt,
    "RECIP": np.reciprocal,
    "ABS": np.abs,
    "NEG": np.negative,
    "SIN": np.sin,
    "COS": np.cos,
    "TAN": np.tan,
    "SINH": np.sinh,
    "COSH": np.cosh,
    "ASIN": np.arcsin,
    "ACOS": np.arccos,
    "ATAN": np.arctan,
    "ASINH": np.arcsinh,
    "ACOSH": np.arccosh,
    "ATANH": np.arctanh,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "ERF": lambda data: _erf(data).astype(data.dtype),
    "NOT": np.logical_not,
    "SIGN": np.sign,
    "ROUND": np.rint,
    "ISINF": np.isinf,
}
_REDUCE = {"SUM": np.sum, "PROD": np.prod, "MAX": np.max, "MIN": np.min, "AVG": np.mean}


def _sigmoid(data: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), in one array."""
    result = np.negative(data)
    np.exp(result, out=result)
    result += 1
    return np.reciprocal(result, out=result)


# Takes the data, alpha and beta; the number is how many of the two count.
_ACTIVATIONS: dict[str, tuple[int, Callable]] = {
    "RELU": (0, lambda x: np.maximum(x, 0)),
    "SIGMOID": (0, _sigmoid),
    "TANH": (0, np.tanh),
    "LEAKY_RELU": (1, lambda x, alpha: np.where(x >= 0, x, alpha * x)),
    "ELU": (1, lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))),
    "SELU": (2, lambda x, alpha, beta: beta * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))),
    "SOFTSIGN": (0, lambda x: x / (1 + np.abs(x))),
    "SOFTPLUS": (2, lambda x, alpha, beta: alpha * np.logaddexp(beta * x, 0)),
    "CLIP": (2, lambda x, alpha, beta: np.clip(x, alpha, beta)),
    "HARD_SIGMOID": (2, lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1)),
    "SCALED_TANH": (2, lambda x, alpha, beta: alpha * np.tanh(beta * x)),
    "THRESHOLDED_RELU": (1, lambda x, alpha: np.where(x > alpha, x, 0)),
}


def elementwise(layer: Layer, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """An operation on two tensors of one rank; an axis of size 1 is repeated."""
    if first.ndim != second.ndim:
        raise ValueError(f"operands of rank {first.ndim} and {second.ndim}; expected one rank")
    return enums.meaning(layer, "operation", _ELEMENTWISE)(first, second)


def unary(layer: Layer, data: np.ndarray) -> np.ndarray:
    """A function of every element."""
    return enums.meaning(layer, "operation", _UNARY)(data)


def activation(layer: Layer, data: np.ndarray) -> np.ndarray:
    """An activation of every element, with alpha and beta where it has them."""
    count, function = enums.meaning(layer, "type", _ACTIVATIONS)
    return function(data, *(data.dtype.type(layer.attributes[name]) for name in ("alpha", "beta")[:count]))


def softmax(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Shares that add up to 1 along the axes of the bit mask; the last but two, or the first, without one."""
    axes = axes_of(layer.attributes.get("axes", 1 << max(data.ndim - 3, 0)), data.ndim)
    result = np.exp(data - data.max(axis=axes, keepdims=True))
    result /= result.sum(axis=axes, keepdims=True)
    return result


def reduce(layer: Layer, data: np.ndarray) -> np.ndarray:
    """A sum, product, extreme or mean along the axes of the bit mask."""
    axes, keeps = axes_of(layer.attributes["axes"], data.ndim), bool(layer.attributes["keep_dims"])
    result = enums.meaning(layer, "operation", _REDUCE)(data, axis=axes, keepdims=keeps)
    return np.asarray(result).astype(data.dtype, copy=False)


def top_k(layer: Layer, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The k largest or smallest along an axis, the most extreme first, and where they stand; of equals the first."""
    [axis], count = axes_of(layer.attributes["axes"], data.ndim), layer.attributes["k"]
    if count > data.shape[axis]:
        raise ValueError(f"the first {count} of {data.shape[axis]}")
    order = np.argsort(data, axis=axis, kind="stable")
    if enums.meaning(layer, "operation", {"MAX": True, "MIN": False}):  # backwards twice, so that equals stay in order
        backwards = np.argsort(np.flip(data, axis), axis=axis, kind="stable")
        order = data.shape[axis] - 1 - np.flip(backwards, axis)
    order = np.take(order, range(count), axis=axis)
    return np.take_along_axis(data, order, axis=axis), order.astype(np.int32)


def matrix_multiply(layer: Layer, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Matrix products of the last two axes; the others are repeated where they are 1."""
    if first.ndim != second.ndim or first.ndim < 2:
        raise ValueError(f"operands of rank {first.ndim} and {second.ndim}; expected one rank of at least 2")
    turned = {"NONE": False, "TRANSPOSE": True}
    first = first.swapaxes(-1, -2) if enums.meaning(layer, "first", turned) else first
    return first @ (second.swapaxes(-1, -2) if enums.meaning(layer, "second", turned) else second)


def quantize(layer: Layer, data: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """To int8: data / scale, rounded half to even, in [-128, 127].

    The quotient is a product with the reciprocal, as in TensorFlow's and PyTorch's kernels: where a value lies within
    an ulp of a tie, a division may round to the other side. What TensorRT's kernels do there is not documented.
    """
    result = data * np.reciprocal(_along(layer, scale, data))
    return np.clip(np.rint(result, out=result), -128, 127, out=result).astype(np.int8)


def dequantize(layer: Layer, data: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """From int8: data * scale, in the type of the scale."""
    return data.astype(scale.dtype) * _along(layer, scale, data)


def axes_of(mask: int, rank: int) -> tuple[int, ...]:
    """The axes of a bit mask.

    Raises:
      ValueError: If there is none, or one beyond the rank.
    """
    axes = tuple(axis for axis in range(int(mask).bit_length()) if int(mask) >> axis & 1)
    if not axes or axes[-1] >= rank:
        raise ValueError(f"axes {axes} of a tensor of rank {rank}")
    return axes


def _along(layer: Layer, scale: np.ndarray, data: np.ndarray) -> np.ndarray:
    """A scale for all, or one for each place along the layer's axis."""
    if scale.size == 1:  # then the axis says nothing
        return scale.reshape(())
    shape = [1] * data.ndim
    shape[layer.attributes["axis"]] = scale.size
    return scale.reshape(shape)
