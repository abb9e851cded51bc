"""INT8 for CPUs: convolutions that oneDNN computes in integers, with the CPU's instructions for them (VNNI, AMX).

    found = integer_convolutions.find(graph_def)                      # those that gain by it
    histograms = yield from observing(graph_def, frames_name, found, images)
    integer_convolutions.replace(graph_def, found, ranges)            # in place

A convolution becomes QuantizeV2, _FusedQuantizedConv2D with bias and requantisation, and Dequantize; SiLU and what
joins activations stay in float32. What shapes it:

- A filter has a scale for each output channel, an activation one. So no channel is equalised, as TensorRT's single
  scale for a whole filter asks for.
- What goes into SiLU is INT8 too, for of floating point this kernel has no output. Its range reaches as far below 0 as
  above: more is not needed, for there SiLU is flat.
- 3 x 3 convolutions gain most: yolov8n's take 0.33 to 0.38 of FP32's time, and what surrounds them 0.2 to 0.6 of it
  again. Few channels make a convolution so cheap that this is the larger part.
- The last convolutions of the heads give boxes and scores themselves and stay as they are.
- Pads are the convolution's own: what it reads is quantised before.

No pass of TensorFlow's makes these nodes of a QuantizeAndDequantize, so they are written here; each is in every
TensorFlow that is built with oneDNN, as its wheels for Linux on x86-64 are.

Source: tensorflow/core/kernels/mkl/mkl_conv_ops.cc (MklQuantizedConvOp) of TensorFlow 2.17, for scales and inputs.
"""

import dataclasses
from collections.abc import Collection, Generator, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.converter.int8.calibration_images import Images
from tftrt_yolo.converter.int8.histogram import Histogram, Range
from tftrt_yolo.converter.int8.quantization import best_threshold, find_layers
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.ground.workers.progress import Progress
from tftrt_yolo.saved_model import freeze, saved_model_pb

_LEVELS = 127
# Input channels from which a convolution gains: of a filter of more than one pixel, and of one.
_FEWEST_CHANNELS, _FEWEST_CHANNELS_OF_ONE_PIXEL = 16, 128
_FLAT = 6.0  # below minus this, SiLU is within 0.015 of 0
_FLOAT, _INT8 = (dtype.as_datatype_enum for dtype in (tf.float32, tf.qint8))
_INPUTS, _ENDS = [_INT8, _INT8, _FLOAT], [_FLOAT] * 6  # input, filter and bias; the ends of three ranges


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution whose bias goes into SiLU.

    Attributes:
      node: The convolution.
      added: Name of the BiasAdd behind it.
      source: Name of the tensor that it reads, before it is padded.
      padding: Rows and columns of zeros, as `explicit_paddings` has them; none where the convolution itself says.
      kernel: Its filter.
      bias: A number for each output channel.
    """

    node: NodeDef
    added: str
    source: str
    padding: tuple[int, ...]
    kernel: np.ndarray
    bias: np.ndarray


def find(graph_def: GraphDef, *, in_float: Collection[str] = ()) -> list[Convolution]:
    """Finds the convolutions that gain by INT8.

    Args:
      graph_def: A frozen graph, whose biases are added by BiasAdd.
      in_float: Names of the nodes of those that are to stay in float.

    Returns:
      Them, in the order of the graph.

    Raises:
      ConversionError: If there is none, or all are to stay in float; or a filter is no constant or not finite.
    """
    kernels = {layer.name: layer.kernel for layer in find_layers(graph_def)}
    nodes, constants = {node.name: node for node in graph_def.node}, freeze.constants(graph_def)
    readers: dict[str, list[NodeDef]] = {}
    for node in graph_def.node:
        for reference in node.input:
            readers.setdefault(_node(reference), []).append(node)
    found = []
    for added in graph_def.node:
        if added.op != "BiasAdd" or {reader.op for reader in readers.get(added.name, ())} != {"Sigmoid", "Mul"}:
            continue
        node, bias = nodes[_node(added.input[0])], constants.get(_node(added.input[1]))
        if node.op != "Conv2D" or len(readers[node.name]) > 1 or bias is None or not _gains(node, kernels[node.name]):
            continue
        source, padding, before = node.input[0], (), nodes[_node(node.input[0])]
        if before.op == "Pad" and node.attr["padding"].s == b"VALID" and _node(before.input[1]) in constants:
            source, padding = before.input[0], tuple(constants[_node(before.input[1])].ravel().tolist())
        found.append(Convolution(node, added.name, source, padding, kernels[node.name], bias))
    if not found:
        raise ConversionError(
            f"None of {counted(len(kernels), 'convolution')} can be computed in INT8 by oneDNN: expected one with a "
            f"bias and SiLU behind it, of {_FEWEST_CHANNELS} input channels or more. Use FP32."
        )
    left = [convolution for convolution in found if convolution.node.name not in in_float]
    if not left:
        raise ConversionError(
            f"{argument('float_layers')} leave nothing to quantise: oneDNN computes "
            f"{counted(len(found), 'convolution')} of the network in INT8, and all would stay in float. Name fewer of "
            "them, or use FP32."
        )
    return left


def observing(
    graph_def: GraphDef, frames_name: str, convolutions: list[Convolution], images: Images
) -> Generator[Progress, None, dict[str, Histogram]]:
    """Runs the calibration images; yields progress.

    Args:
      graph_def: The graph that they were found in.
      frames_name: Name of its input tensor.
      convolutions: What `find` gave.
      images: The images.

    Returns:
      What goes into each convolution, and into each SiLU: name of the node to its histogram.

    Raises:
      ConversionError: If the images say nothing about ranges.
      ImageError: If none can be read.
    """
    names = sorted({name for found in convolutions for name in (found.source, found.added)})
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    run = whole.prune(frames_name, freeze.tensors(whole.graph, names))
    histograms = {name: Histogram() for name in names}
    for frames in images.frames():
        for name, values in zip(names, run(tf.constant(frames)), strict=True):
            histograms[name].add(values.numpy())
        yield Progress(images.num_done, len(images.paths))
    yield Progress(len(images.paths), len(images.paths))  # the last ones may have been unreadable
    images.check(f"layer {convolutions[0].node.name.rpartition('/')[0] or convolutions[0].node.name}")
    for name, histogram in histograms.items():
        if not 0 < histogram.largest < np.inf:
            raise ConversionError(
                f"The largest magnitude of {name} is {histogram.largest} over all calibration images, which gives no "
                "scale. Give images like those that the model is to see, 100 or more."
            )
    return histograms


def replace(graph_def: GraphDef, convolutions: list[Convolution], ranges: Mapping[str, Range]) -> None:
    """Replaces convolutions by integer ones, in place; what was BiasAdd gives floating point as before.

    Args:
      graph_def: The graph that they were found in.
      convolutions: What `find` gave.
      ranges: The values that are kept of what `observing` looked at.
    """
    nodes, quantized = {node.name: node for node in graph_def.node}, {}
    for found in convolutions:
        if found.source not in quantized:
            quantized[found.source] = _add_quantization(graph_def, found.source, ranges[found.source].threshold)
        given, below, above = quantized[found.source]
        kept = ranges[found.added]
        ends = _add_ends(graph_def, f"{found.node.name}/output", max(kept.high, min(-kept.low, _FLAT)))
        name = f"{found.node.name}/integer"
        limits = np.array([best_threshold(channel) for channel in np.moveaxis(found.kernel, 3, 0)], np.float32)
        steps = np.clip(np.round(found.kernel / limits * _LEVELS), -_LEVELS, _LEVELS)
        kernel = _add_constant(graph_def, f"{name}/filter", steps.astype(np.int8), _INT8)
        bias = _add_constant(graph_def, f"{name}/bias", found.bias, _FLOAT)
        filter_ends = _add_ends(graph_def, f"{name}/filter", limits)
        node = graph_def.node.add(
            name=name, op=saved_model_pb.INTEGER_OP, input=[given, kernel, bias, below, above, *filter_ends, *ends]
        )
        _describe(node, found)
        _dequantize(nodes[found.added], name, ends)


def _gains(node: NodeDef, kernel: np.ndarray) -> bool:
    """Whether a convolution is one that takes less time in integers, quantisation and all."""
    is_plain = node.attr["data_format"].s == b"NHWC" and set(node.attr["dilations"].list.i) <= {1}
    fewest = _FEWEST_CHANNELS_OF_ONE_PIXEL if kernel.shape[:2] == (1, 1) else _FEWEST_CHANNELS
    return is_plain and node.attr["padding"].s in (b"SAME", b"VALID") and kernel.shape[2] >= fewest


def _node(reference: str) -> str:
    """Name of the node of an input."""
    return reference.removeprefix("^").partition(":")[0]


def _describe(node: NodeDef, found: Convolution) -> None:
    """Sets an integer convolution's attributes."""
    types = {"Tinput": _INT8, "Tfilter": _INT8, "Tbias": _FLOAT, "Tsummand": _INT8, "out_type": _INT8}
    for name, dtype in types.items():
        node.attr[name].type = dtype
    node.attr["Tdevice_inputs"].list.type.extend(_INPUTS)
    node.attr["Thost_inputs"].list.type.extend(_ENDS)
    node.attr["Tdevice_outputs"].list.type.append(_INT8)
    node.attr["Thost_outputs"].list.type.extend([_FLOAT, _FLOAT])
    node.attr["fused_ops"].list.s.extend([b"BiasAdd", b"Requantize"])
    node.attr["is_filter_const"].b = node.attr["is_bias_const"].b = True
    for name in ("strides", "padding", "data_format"):
        node.attr[name].CopyFrom(found.node.attr[name])
    if found.padding:
        node.attr["padding"].s = b"EXPLICIT"
        node.attr["explicit_paddings"].list.i.extend(found.padding)


def _add_quantization(graph_def: GraphDef, source: str, threshold: float) -> tuple[str, str, str]:
    """Adds the quantisation of a tensor; returns its name, and those of the ends of its range."""
    name = f"{source.replace(':', '_')}/integers"
    ends = _add_ends(graph_def, name, threshold)
    node = graph_def.node.add(name=name, op="QuantizeV2", input=[source, *ends])
    node.attr["T"].type = _INT8
    node.attr["mode"].s, node.attr["round_mode"].s = b"SCALED", b"HALF_TO_EVEN"
    node.attr["narrow_range"].b, node.attr["axis"].i, node.attr["ensure_minimum_range"].f = True, -1, 0.0
    return name, *ends


def _dequantize(node: NodeDef, source: str, ends: tuple[str, str]) -> None:
    """Makes a node the dequantisation of an integer convolution."""
    node.op, node.input[:] = "Dequantize", [source, *ends]
    node.attr.clear()
    node.attr["T"].type, node.attr["dtype"].type = _INT8, _FLOAT
    node.attr["mode"].s, node.attr["narrow_range"].b, node.attr["axis"].i = b"SCALED", True, -1


def _add_ends(graph_def: GraphDef, name: str, limit: float | np.ndarray) -> tuple[str, str]:
    """Adds the ends of a range that reaches as far on either side of 0; returns their names."""
    ends = (("minimum", -np.float32(limit)), ("maximum", np.float32(limit)))
    low, high = (_add_constant(graph_def, f"{name}/{end}", value, _FLOAT) for end, value in ends)
    return low, high


def _add_constant(graph_def: GraphDef, name: str, value: np.ndarray, dtype: int) -> str:
    """Adds a constant; returns its name."""
    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = dtype
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    node.attr["value"].tensor.dtype = dtype  # of qint8 there are no arrays
    return name
