"""Explicit quantisation: which tensors of `network` become INT8, with which scale, and the graph that says so.

    graph_def = equalize(graph_def, find_layers(graph_def), channel_maxima)    # the same numbers, fit for one scale
    layers = find_layers(graph_def)                                            # every convolution
    quantized = quantize(graph_def, layers, {layer.source: Range(-0.28, 6.0) for layer in layers})

TF-TRT turns a QuantizeAndDequantizeV2 into a TensorRT quantise and a dequantise layer, and what it computes is the same
in TensorFlow: the graph is the measure of its own accuracy. What shapes it:

- One scale a tensor, for of a range TF-TRT reads the first element only. But a filter's output channels differ by
  factors of ten once batch normalisation is folded in, and one scale would leave the small ones a handful of steps. So
  each is divided by its range, and the convolution's output multiplied by it again: the same product, with a scale a
  channel.
- The channels of an activation differ too. Each is divided by the root of its share in the largest, rounded to a power
  of two, and the filter that reads it is multiplied: every product stays what it was, to the bit. The usual way, to put
  the factor into the layer before, is not exact here: SiLU of c * x is not c * SiLU(x).
- A scale is all that there is: TensorRT knows no zero point, and SiLU gives numbers from -0.28 to 10, of which half of
  the steps would be for those below 0. So what a convolution reads is shifted to the middle of its range, by a whole
  number of steps, which keeps 0 exact, and what the shift takes from its output is added again: a constant for each
  output channel. In between, numbers are two to four times as large at most, and seven times in the root mean square:
  were they kept in FP16, its rounding would be some 50 dB below the signal, and INT8's own noise is at 30. Where a
  convolution pads by itself, it would be another constant at the borders; so a pad is put before it, and shifted too.
- A filter that was fitted to what its convolution reads (filters) lies on the grid before it is quantised: multiples of
  1 / 127, in a range of 1. What is added to its outputs shares the constant of the shift.
- Convolutions only. TF-TRT reshapes a tensor of rank 2 for its quantisation and then goes on with what was before it,
  so the quantisation of a matrix product would be in the graph and not in the engine; a classifier's stays FP16.
- Every convolution, filter and input: TensorRT refuses one whose filter alone is quantised, and TF-TRT one whose filter
  is not.
- Depthwise convolutions have become ordinary ones before (depthwise.py), for TF-TRT hands their quantised filters over
  in a form that TensorRT refuses.
- Pads come before the quantisation, so that a convolution reads straight from it. 0 stays 0.

Source: tensorflow/compiler/tf2tensorrt/convert/ops/quantization_ops.cc and convert_nodes.cc (ConvertConv2DHelper).
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.converter.int8.histogram import Range
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.saved_model import freeze

QUANTIZE_OPS = frozenset(
    {
        "FakeQuantWithMinMaxArgs",
        "FakeQuantWithMinMaxVars",
        "QuantizeAndDequantizeV2",
        "QuantizeAndDequantizeV3",
        "QuantizeAndDequantizeV4",
    }
)
LEVELS = 127  # on either side of 0; -128 is there too, but a symmetric range never means it
INPUT_INDEX = {"Conv2D": 0, "DepthwiseConv2dNative": 0, "Conv2DBackpropInput": 2}
_CHANNEL_AXIS = {"Conv2D": 3, "Conv2DBackpropInput": 2}  # of the filter; depthwise filters have two
_SMALLEST_SHARE = 2.0**-12  # of the largest channel; a smaller one, or one that is always 0, counts as this
# Shares of the largest value that are tried as a filter's range.
_FILTER_SHARES = np.linspace(0.5, 1.0, 51)
# A range's step must be a normal number of float32: TensorFlow takes a smaller one for 0, and divides by it.
_SMALLEST_RANGE = LEVELS * float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution.

    Attributes:
      name: Name of its node.
      source: Name of the tensor that it reads.
      kernel: Its filter.
    """

    name: str
    source: str
    kernel: np.ndarray

    @property
    def label(self) -> str:
        """Its name for a reader."""
        parts = self.name.split("/")
        return parts[-2] if len(parts) > 1 else parts[-1]


@dataclasses.dataclass(frozen=True)
class Grid:
    """To what a convolution's input and filter are rounded, where a training has chosen it.

    Attributes:
      threshold: The range of the input's quantisation.
      offset: What is taken off before it, a multiple of its step.
      filter_steps: (out,) float32, of each output channel.
    """

    threshold: float
    offset: float
    filter_steps: np.ndarray


class Filter(NamedTuple):
    """A filter that is ready to be quantised.

    Attributes:
      kernel: float32, of the shape of the convolution's.
      threshold: The range of its quantisation.
      factors: (outputs,) float32, by which the convolution's output channels are multiplied; None for none.
      constants: (outputs,) float64, which are added to them after that; None for none.
    """

    kernel: np.ndarray
    threshold: float
    factors: np.ndarray | None
    constants: np.ndarray | None = None


def quantize_dequantize(values: np.ndarray, threshold: float) -> np.ndarray:
    """What QuantizeAndDequantizeV2 computes for a range of [-threshold, threshold], bit for bit.

    Args:
      values: float32, any shape.
      threshold: Largest magnitude that is kept; larger ones become it.

    Returns:
      float32 of the same shape: multiples of threshold / 127, rounded half to even.

    Source: tensorflow/core/kernels/quantize_and_dequantize_op.h.
    """
    return integers(values, threshold) * (np.float32(threshold) / np.float32(LEVELS))


def integers(values: np.ndarray, threshold: float) -> np.ndarray:
    """The multiples of the step that QuantizeAndDequantizeV2 gives, bit for bit.

    Args:
      values: As `quantize_dequantize`.
      threshold: See there.

    Returns:
      float32 of the same shape, whole numbers from -128 to 127.
    """
    threshold, levels = np.float32(threshold), np.float32(LEVELS)
    scale, step = levels / threshold, threshold / levels
    return np.round(np.clip(values, np.float32(-LEVELS - 1) * step, threshold) * scale)


def find_layers(graph_def: GraphDef) -> list[Layer]:
    """Finds the convolutions of a frozen graph, in the order of the graph.

    Raises:
      ConversionError: If there is none, a filter is no constant or not finite, or the graph holds quantisations
        already.
    """
    held = sorted({node.op for node in graph_def.node if node.op in QUANTIZE_OPS})
    if held:
        raise ConversionError(
            f"The network holds {', '.join(held)} already: it was quantised before. Expected a network in float32; "
            "export the checkpoint again."
        )
    constants, layers = freeze.constants(graph_def), []
    for node in graph_def.node:
        if node.op in INPUT_INDEX:
            if node.input[1] not in constants:
                raise ConversionError(f"The filter of {node.name} is no constant. Expected what `export` wrote.")
            layers.append(Layer(node.name, node.input[INPUT_INDEX[node.op]], constants[node.input[1]]))
            _check_filter(layers[-1])
    if not layers:
        raise ConversionError("The network has no convolution, so there is nothing to quantise.")
    return layers


def equalize(graph_def: GraphDef, layers: list[Layer], channel_maxima: dict[str, np.ndarray]) -> GraphDef:
    """Brings the channels of activations closer together, by factors that the filters take back.

    Args:
      graph_def: A frozen graph in float32.
      layers: Its convolutions.
      channel_maxima: For each source the largest magnitude of each channel, (C,).

    Returns:
      A graph that adds up the same products. A source with other readers than plain convolutions stays as it is.
    """
    equalized = GraphDef()
    equalized.CopyFrom(graph_def)
    nodes = {node.name: node for node in equalized.node}
    readers = {}
    for layer in layers:
        readers.setdefault(layer.source, []).append(layer)
    for source, group in readers.items():
        if any(nodes[layer.name].op != "Conv2D" for layer in group):
            continue
        maxima = np.maximum(channel_maxima[source], _SMALLEST_SHARE * channel_maxima[source].max())
        factors = np.exp2(np.round(np.log2(maxima / maxima.max()) / 2)).astype(np.float32)
        name = f"{source.replace(':', '_')}/equalized"
        _add_arithmetic(equalized, name, "Mul", source, 1 / factors)
        for layer in group:
            kernel = layer.kernel * factors[:, np.newaxis]
            nodes[layer.name].input[0] = name
            nodes[layer.name].input[1] = _add_constant(equalized, f"{layer.name}/equalized/filter", kernel)
    return equalized


def quantize(
    graph_def: GraphDef,
    layers: list[Layer],
    ranges: dict[str, Range],
    filters: Mapping[str, Filter] | None = None,
    *,
    grids: Mapping[str, Grid] | None = None,
) -> GraphDef:
    """Puts quantisations before the convolutions.

    Args:
      graph_def: A frozen graph in float32.
      layers: Those of its convolutions that are quantised.
      ranges: For each source the values that are kept.
      filters: Name of a convolution to its filter; of one that is not there, each weight is rounded to the nearest
        step.
      grids: Name of a convolution to what its training has chosen, in place of its range and filter; None where nothing
        was.

    Returns:
      A new graph; its tensors keep their names. `output_of` tells what gives what a convolution gave.
    """
    quantized, offsets, ready, grids = GraphDef(), {}, set(), grids or {}
    quantized.CopyFrom(graph_def)
    nodes = {node.name: node for node in quantized.node}
    for layer in layers:  # all inputs before any output, for an output that is replaced may be an input
        node = nodes[layer.name]
        grid = grids.get(layer.name)
        threshold, offset = (grid.threshold, grid.offset) if grid else shift(node, layer, ranges[layer.source])
        offsets[layer.name] = offset
        # Of layers that read the same tensor, each may have been trained with a range of its own.
        prefix = f"{layer.name}/input" if grid else layer.source.replace(":", "_")
        name = f"{prefix}/{'shifted/' if offset else ''}quantized"
        if name not in ready:
            ready.add(name)
            source = layer.source
            if offset:
                source = _add_arithmetic(quantized, name.removesuffix("/quantized"), "Sub", source, [offset])
            _add_quantization(quantized, name, source, threshold)
        node.input[INPUT_INDEX[node.op]] = name
    for layer in layers:
        node, offset = nodes[layer.name], offsets[layer.name]
        if layer.name in grids:
            ready_filter = _trained(layer.kernel, grids[layer.name])
        else:
            ready_filter = (filters or {}).get(layer.name) or _nearest(node.op, layer.kernel)
        kernel, threshold, factors, constants = ready_filter
        constant = _add_constant(quantized, f"{layer.name}/normalized/filter", kernel)
        node.input[1] = _add_quantization(quantized, f"{constant}/quantized", constant, threshold)
        if offset:
            sums = quantize_dequantize(kernel, threshold).sum(axis=(0, 1, 2), dtype=np.float64)
            constants = offset * sums * factors + (0.0 if constants is None else constants)
        if factors is not None:
            _correct_output(quantized, node, factors, constants)
    return quantized


def shift(node: NodeDef, layer: Layer, kept: Range) -> tuple[float, float]:
    """Where the steps of a convolution's input lie.

    Args:
      node: The convolution.
      layer: The same.
      kept: The values of its input that are kept.

    Returns:
      The range of the quantisation, and what is taken off before it: a multiple of its step, 0 where the convolution
      pads its input itself.
    """
    if node.op != "Conv2D" or pads(node, layer):
        return kept.threshold, 0.0
    # The offset is off the middle by up to half a step, which the outermost half step leaves room for.
    threshold = (kept.high - kept.low) / 2 * LEVELS / (LEVELS - 0.5)
    step = np.float32(threshold) / np.float32(LEVELS)
    return threshold, float(np.round((kept.high + kept.low) / 2 / step).astype(np.float32) * step)


def pads(node: NodeDef, layer: Layer) -> bool:
    """Whether a convolution puts zeros around what it reads by itself, so that this cannot be shifted."""
    return node.attr["padding"].s != b"VALID" and layer.kernel.shape[:2] != (1, 1)


def output_of(layer: Layer, names) -> str:
    """Name of the node that gives, in a quantised graph, what a convolution gave.

    Args:
      layer: The convolution.
      names: The graph's node names.
    """
    candidates = (f"{layer.name}/unshifted", f"{layer.name}/scaled", layer.name)
    return next(name for name in candidates if name in names)


def best_threshold(kernel: np.ndarray) -> float:
    """The range of a filter for which the mean squared error of its quantisation is the least.

    Args:
      kernel: float32, any shape, finite.

    Returns:
      The largest magnitude that is kept; 1 for a filter of zeros, or of numbers too small to be told from them.
    """
    largest = float(np.abs(kernel).max(initial=0.0))
    if largest * _FILTER_SHARES[0] < _SMALLEST_RANGE:
        return 1.0
    shares = kernel / np.float32(largest)  # squares of small weights would be 0
    errors = [float(np.mean((quantize_dequantize(shares, share) - shares) ** 2)) for share in _FILTER_SHARES]
    return float(_FILTER_SHARES[int(np.argmin(errors))] * largest)


def _check_filter(layer: Layer) -> None:
    """Refuses a filter that no range holds."""
    strange = int(np.count_nonzero(~np.isfinite(layer.kernel)))
    if strange:
        raise ConversionError(
            f"The filter of layer {layer.label} holds {strange:,} of {counted(layer.kernel.size, 'weight')} that "
            "are infinite "
            "or not a number. Expected finite weights; take another checkpoint, for this one's training has diverged."
        )


def channel_thresholds(op: str, kernel: np.ndarray) -> np.ndarray:
    """`best_threshold` of each output channel of a convolution's filter, (outputs,) float32."""
    channels = np.moveaxis(kernel, _CHANNEL_AXIS[op], 0)
    return np.array([best_threshold(channel) for channel in channels], np.float32)


def _nearest(op: str, kernel: np.ndarray) -> Filter:
    """A filter whose output channels all fill the range of 1; one whose channels are on two axes as it is."""
    factors = None
    if op in _CHANNEL_AXIS:
        factors = channel_thresholds(op, kernel)
        axes = tuple(axis for axis in range(kernel.ndim) if axis != _CHANNEL_AXIS[op])
        kernel = np.clip(kernel / np.expand_dims(factors, axes), -1, 1).astype(np.float32)
    return Filter(kernel, best_threshold(kernel), factors)


def _trained(kernel: np.ndarray, grid: Grid) -> Filter:
    """A filter whose steps are those of a range of 1, with the factors that give it back."""
    factors = np.float32(LEVELS) * grid.filter_steps
    return Filter(np.clip(kernel / factors, -(LEVELS + 1) / LEVELS, 1).astype(np.float32), 1.0, factors)


def _correct_output(graph_def: GraphDef, node: NodeDef, factors: np.ndarray, constants: np.ndarray | None) -> None:
    """Multiplies a convolution's output channels, and adds constants if there are any; its readers read the result."""
    last = f"{node.name}/{'scaled' if constants is None else 'unshifted'}"
    for other in graph_def.node:
        for index, reference in enumerate(other.input):
            if reference in (node.name, f"{node.name}:0"):
                other.input[index] = last
    scaled = _add_arithmetic(graph_def, f"{node.name}/scaled", "Mul", node.name, factors)
    if constants is not None:
        _add_arithmetic(graph_def, last, "AddV2", scaled, constants)


def _add_arithmetic(graph_def: GraphDef, name: str, op: str, source: str, operand) -> str:
    """Adds a node that computes with a tensor and a constant for each channel, or for all; returns its name."""
    constant = _add_constant(graph_def, f"{name}/operand", operand)
    graph_def.node.add(name=name, op=op, input=[source, constant]).attr["T"].type = tf.float32.as_datatype_enum
    return name


def _add_quantization(graph_def: GraphDef, name: str, source: str, threshold: float) -> str:
    """Adds a QuantizeAndDequantizeV2 of a tensor; returns its name.

    V2, for of V4 TF-TRT has no converter; no narrow range, for TensorRT has none.
    """
    ends = [
        _add_constant(graph_def, f"{name}/{end}", np.float32(sign * threshold))
        for end, sign in (("minimum", -1), ("maximum", 1))
    ]
    node = graph_def.node.add(name=name, op="QuantizeAndDequantizeV2", input=[source, *ends])
    node.attr["T"].type = tf.float32.as_datatype_enum
    node.attr["signed_input"].b = True
    node.attr["num_bits"].i = 8
    node.attr["range_given"].b = True
    node.attr["narrow_range"].b = False
    node.attr["round_mode"].s = b"HALF_TO_EVEN"
    node.attr["axis"].i = -1
    return name


def _add_constant(graph_def: GraphDef, name: str, value: np.ndarray) -> str:
    """Adds a constant; returns its name."""
    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.float32))
    return name
