"""How each kind of recorded layer is said in the Python API of TensorRT 10 and newer.

    output_tensors = add(layer, inputs, output_types, Target(trt, definition))

Every attribute of a layer must be known here: one that is not is refused, for a network that is built without it would
be another network. Where the API differs from that of TensorRT 8.6, for which TF-TRT writes networks: Shape gives INT64
and is cast, a fully connected layer is a convolution over its whole input, an identity that changes the type is a cast,
and quantisations are told their output's type. What `setPrecision` asked for has no place in a strongly typed network.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import clause, first_line, quoted
from tftrt_yolo.preflighting.recorded_network import Layer


@dataclasses.dataclass(frozen=True)
class Target:
    """A network definition that layers are added to.

    Attributes:
      trt: The TensorRT module.
      definition: Its INetworkDefinition.
      weights: What the definition points into; must live until the engine is built.
    """

    trt: ModuleType
    definition: object
    weights: list = dataclasses.field(default_factory=list)

    def weights_of(self, layer: Layer, role: str) -> object:
        """Weights of a layer as TensorRT's; empty ones where it has none."""
        if role not in layer.weights:
            return self.trt.Weights()
        values = np.ascontiguousarray(layer.weights[role])
        self.weights.append(values)
        return self.trt.Weights(values)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A kind of layer.

    Attributes:
      add: Adds it, from the layer, its input tensors, the types of its outputs, and the target.
      arguments: Attributes that `add` reads.
      properties: Attributes that are set afterwards, to the property of the API.
    """

    add: Callable
    arguments: tuple[str, ...] = ()
    properties: dict[str, str] = dataclasses.field(default_factory=dict)


# Attributes whose value is the name of an enum's member, by the name of the API's property, to the enum.
_ENUMS = {
    "padding_mode": "PaddingMode",
    "resize_mode": "InterpolationMode",
    "coordinate_transformation": "ResizeCoordinateTransformation",
    "nearest_rounding": "ResizeRoundMode",
}
_TRUTHS = ("average_count_excludes_padding", "zero_is_placeholder")
_REALS = ("alpha", "beta", "scales")
_WINDOW = {
    "stride": "stride_nd",
    "pre_padding": "pre_padding",
    "post_padding": "post_padding",
    "padding_mode": "padding_mode",
}


def add(layer: Layer, inputs: list, output_types: tuple[str, ...], to: Target) -> list:
    """Adds a layer.

    Args:
      layer: The recorded layer.
      inputs: Its input tensors; None for one that is left out.
      output_types: Recorded types of its outputs.
      to: Where to.

    Returns:
      Its output tensors; empty if TensorRT made no layer.

    Raises:
      PreflightError: If the kind or an attribute is not known, this TensorRT has no such layer, or what the layer needs
        is not in the recording.
    """
    kind = _KINDS.get(layer.kind)
    unknown = set(layer.attributes).difference(kind.arguments, kind.properties) if kind else {layer.kind}
    if unknown:
        raise PreflightError(
            f"Layer {quoted(layer.name)} is a {layer.kind} with {sorted(layer.attributes)}; how {sorted(unknown)} is "
            f"said to TensorRT 10 is not known here. Known are {', '.join(_KINDS)}. Leave its op to "
            "TensorFlow (TF_TRT_OP_DENYLIST in the environment), or file an issue with network.json."
        )
    with as_recorded(f"Layer {quoted(layer.name)}, a {layer.kind},"):
        return _outputs(layer, kind, inputs, output_types, to)


@contextlib.contextmanager
def as_recorded(what: str) -> Iterator[None]:
    """Says what it means where something of a recording cannot be put into calls of the API.

    Args:
      what: The thing, for messages.

    Raises:
      PreflightError: If this TensorRT has no such method or enum, or what a call needs is not in the recording.
    """
    try:
        yield
    except AttributeError as error:  # a method of the API, or a member of an enum
        raise PreflightError(
            f"{what} needs what this TensorRT's Python API does not have: {clause(error)}. Expected the API of "
            "TensorRT 10 or of TensorRT-RTX 1.7; install that."
        ) from error
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise PreflightError(
            f"{what} is recorded in a way that cannot be said to TensorRT ({type(error).__name__}: "
            f"{first_line(error)}). Expected what TF-TRT makes; run the preflight again."
        ) from error


def _outputs(layer: Layer, kind: _Kind, inputs: list, output_types: tuple[str, ...], to: Target) -> list:
    """Adds a layer of a known kind."""
    made = kind.add(layer, inputs, output_types, to)
    if made is None:
        return []
    _set_properties(made, layer, kind, to.trt)
    for index, tensor in enumerate(inputs[made.num_inputs :], start=made.num_inputs):
        if tensor is not None:
            made.set_input(index, tensor)
    made.name = layer.name
    if layer.kind == "SHAPE":  # INT64 since TensorRT 10
        made = to.definition.add_cast(made.get_output(0), to.trt.DataType.INT32)
    return [made.get_output(index) for index in range(made.num_outputs)]


def _set_properties(made: object, layer: Layer, kind: _Kind, trt: ModuleType) -> None:
    """Sets what the recording says beside the arguments of the call that made the layer."""
    for attribute, name in kind.properties.items():
        if attribute not in layer.attributes:
            continue
        value = layer.attributes[attribute]
        if name in _ENUMS:
            value = _member(trt, _ENUMS[name], value)
        elif name in _TRUTHS:
            value = bool(value)
        elif name not in _REALS:
            value = tuple(map(int, value)) if isinstance(value, tuple) else int(value)
        setattr(made, name, value)


def _member(trt: ModuleType, enum: str, word: str) -> object:
    """A member of one of TensorRT's enums."""
    return getattr(getattr(trt, enum), word)


def _dims(layer: Layer, attribute: str) -> tuple[int, ...]:
    """An attribute that is a shape."""
    return tuple(map(int, layer.attributes[attribute]))


def _convolution(method: str) -> Callable:
    """Adds a convolution or its transpose; filters that are a tensor are set as an input afterwards."""

    def add_it(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
        arguments = int(layer.attributes["maps"]), _dims(layer, "kernel")
        filters, bias = to.weights_of(layer, "kernel"), to.weights_of(layer, "bias")
        return getattr(to.definition, method)(inputs[0], *arguments, filters, bias)

    return add_it


def _fully_connected(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    """A convolution whose filters are as large as its input."""
    filters, bias = to.weights_of(layer, "kernel"), to.weights_of(layer, "bias")
    window = tuple(inputs[0].shape)[2:]
    return to.definition.add_convolution_nd(inputs[0], int(layer.attributes["maps"]), window, filters, bias)


def _operation(method: str, enum: str, attribute: str = "operation", *, operands: int = 1) -> Callable:
    """Adds a layer that takes one or more tensors and the name of what it does."""

    def add_it(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
        word = _member(to.trt, enum, layer.attributes[attribute])
        return getattr(to.definition, method)(*inputs[:operands], word)

    return add_it


def _plain(method: str, *, operands: int = 1) -> Callable:
    """Adds a layer that takes tensors alone."""
    return lambda _layer, inputs, _types, to: getattr(to.definition, method)(*inputs[:operands])


def _pooling(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    word = _member(to.trt, "PoolingType", layer.attributes["type"])
    return to.definition.add_pooling_nd(inputs[0], word, _dims(layer, "window"))


def _padding(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    return to.definition.add_padding_nd(inputs[0], _dims(layer, "pre_padding"), _dims(layer, "post_padding"))


def _reduce(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    word = _member(to.trt, "ReduceOperation", layer.attributes["operation"])
    keep = bool(layer.attributes.get("keep_dims", 0))
    return to.definition.add_reduce(inputs[0], word, int(layer.attributes["axes"]), keep)


def _top_k(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    word = _member(to.trt, "TopKOperation", layer.attributes["operation"])
    return to.definition.add_topk(inputs[0], word, int(layer.attributes["k"]), int(layer.attributes["axes"]))


def _gather(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    return to.definition.add_gather(inputs[0], inputs[1], int(layer.attributes.get("axis", 0)))


def _matrix_multiply(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    first, second = (_member(to.trt, "MatrixOperation", layer.attributes[side]) for side in ("first", "second"))
    return to.definition.add_matrix_multiply(inputs[0], first, inputs[1], second)


def _constant(layer: Layer, _inputs: list, _types: tuple, to: Target) -> object:
    return to.definition.add_constant(_dims(layer, "dims"), to.weights_of(layer, "values"))


def _slice(layer: Layer, inputs: list, _types: tuple, to: Target) -> object:
    return to.definition.add_slice(inputs[0], *(_dims(layer, name) for name in ("start", "size", "stride")))


def _identity(_layer: Layer, inputs: list, types: tuple, to: Target) -> object:
    """An identity, or a cast where TF-TRT gave the output another type."""
    if inputs[0].dtype.name == types[0]:
        return to.definition.add_identity(inputs[0])
    return to.definition.add_cast(inputs[0], _member(to.trt, "DataType", types[0]))


def _quantisation(method: str) -> Callable:
    """Adds one half of a quantisation, which TensorRT 10 tells the type of its output."""
    return lambda _layer, inputs, types, to: getattr(to.definition, method)(
        *inputs[:2], _member(to.trt, "DataType", types[0])
    )


_CONVOLUTION = {**_WINDOW, "groups": "num_groups", "dilation": "dilation_nd"}
_POOLING = {**_WINDOW, "average_excludes_padding": "average_count_excludes_padding"}
_SHUFFLE = {
    "first_transpose": "first_transpose",
    "zero_is_placeholder": "zero_is_placeholder",
    "reshape": "reshape_dims",
    "second_transpose": "second_transpose",
}
_RESIZE = {
    "output_dims": "shape",
    "scales": "scales",
    "mode": "resize_mode",
    "coordinates": "coordinate_transformation",
    "rounding": "nearest_rounding",
}
_KINDS = {
    "CONVOLUTION": _Kind(_convolution("add_convolution_nd"), ("kernel", "maps"), _CONVOLUTION),
    "DECONVOLUTION": _Kind(_convolution("add_deconvolution_nd"), ("kernel", "maps"), _CONVOLUTION),
    "FULLY_CONNECTED": _Kind(_fully_connected, ("maps",)),
    "ACTIVATION": _Kind(
        _operation("add_activation", "ActivationType", "type"), ("type",), {"alpha": "alpha", "beta": "beta"}
    ),
    "POOLING": _Kind(_pooling, ("type", "window"), _POOLING),
    "SOFTMAX": _Kind(_plain("add_softmax"), properties={"axes": "axes"}),
    "CONCATENATION": _Kind(
        lambda _layer, inputs, _types, to: to.definition.add_concatenation(inputs), properties={"axis": "axis"}
    ),
    "ELEMENTWISE": _Kind(_operation("add_elementwise", "ElementWiseOperation", operands=2), ("operation",)),
    "UNARY": _Kind(_operation("add_unary", "UnaryOperation"), ("operation",)),
    "PADDING": _Kind(_padding, ("pre_padding", "post_padding")),
    "SHUFFLE": _Kind(_plain("add_shuffle"), properties=_SHUFFLE),
    "REDUCE": _Kind(_reduce, ("operation", "axes", "keep_dims")),
    "TOPK": _Kind(_top_k, ("operation", "k", "axes")),
    "GATHER": _Kind(_gather, ("axis",), {"elementwise_dims": "num_elementwise_dims"}),
    "MATRIX_MULTIPLY": _Kind(_matrix_multiply, ("first", "second")),
    "CONSTANT": _Kind(_constant, ("dims",)),
    "IDENTITY": _Kind(_identity),
    "SLICE": _Kind(_slice, ("start", "size", "stride")),
    "SHAPE": _Kind(_plain("add_shape")),
    "RESIZE": _Kind(_plain("add_resize"), properties=_RESIZE),
    "SELECT": _Kind(_plain("add_select", operands=3)),
    "QUANTIZE": _Kind(_quantisation("add_quantize"), properties={"axis": "axis"}),
    "DEQUANTIZE": _Kind(_quantisation("add_dequantize"), properties={"axis": "axis"}),
}
