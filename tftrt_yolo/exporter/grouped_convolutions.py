"""Grouped convolutions in forms that TF-TRT converts rightly; the numbers stay the same.

    replace(function.graph, graph_def, values)      # in place: no Conv2D has groups any more

In TensorFlow a Conv2D has groups where its filter has fewer input channels than its input. TF-TRT takes such a node and
tells TensorRT of one group: the filter does not fit, TensorRT refuses the network, and the whole engine falls back to
TensorFlow. It is right about DepthwiseConv2dNative and about ordinary convolutions, so G groups of k channels become

- k depthwise convolutions, the j-th over every k-th channel from j on, added up. With k = 1, as in the attention of
  YOLOv10, YOLO11, YOLO12 and YOLO26, it is one, and its filter has the same numbers in the same order;
- or G ordinary convolutions over neighbouring channels, their outputs side by side, if k is not less than G. So it is
  also where TensorFlow has no depthwise kernel on a CPU: with unequal strides, and with dilations.

Channels are taken by StridedSlice, for TF-TRT takes no Split where it does not know the batch. Filters are cut here and
not in the graph, for TF-TRT and INT8 ask for constants.

Source: tensorflow/compiler/tf2tensorrt/convert/convert_nodes.cc (ConvertConv2DHelper, which is called with one group
for a Conv2D, and with as many as the input has channels for a DepthwiseConv2dNative).
"""

import dataclasses
from collections.abc import MutableMapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.ground.errors import ExportError

_DEPTHWISE = "DepthwiseConv2dNative"
_WHOLE_AXES = 0b0111  # batch, height and width, the first axis in the lowest bit: slices leave them as they are


@dataclasses.dataclass(frozen=True)
class _Grouped:
    """A Conv2D with groups.

    Attributes:
      node: The node.
      groups: How many.
      chain: Names of the nodes from the one that gives its filter to the one that holds it.
      kernel: The filter, (height, width, channels of a group, output channels).
    """

    node: NodeDef
    groups: int
    chain: tuple[str, ...]
    kernel: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Piece:
    """One of the convolutions that a grouped one becomes.

    Attributes:
      label: Tells it from the others.
      channels: Those of the input that it reads.
      kernel: Its filter.
    """

    label: str
    channels: slice
    kernel: np.ndarray


def replace(graph: tf.Graph, graph_def: GraphDef, values: MutableMapping[str, tf.Tensor]) -> None:
    """Replaces the grouped Conv2D nodes of a graph, in place; what reads them finds the new ones under their names.

    Args:
      graph: The graph, of which the shapes are asked.
      graph_def: The same, to be changed; channels last.
      values: Name of each tensor that is fed, to its value. New filters come, and those that nothing reads go.

    Raises:
      ExportError: If the filter of a grouped convolution is no constant.
    """
    for grouped in _find(graph, graph_def, values):
        node = grouped.node
        strides, dilations = (node.attr[name].list.i for name in ("strides", "dilations"))
        if strides[1] == strides[2] and set(dilations) <= {1} and grouped.kernel.shape[2] < grouped.groups:
            op, pieces = _DEPTHWISE, _depthwise_pieces(grouped)
        else:
            op, pieces = "Conv2D", _group_pieces(grouped)
        kernels = [_add_value(values, f"{grouped.chain[-1]}/{piece.label}", piece.kernel) for piece in pieces]
        if len(pieces) == 1:
            node.op, node.input[1] = op, kernels[0]
            del node.attr["use_cudnn_on_gpu"]
        else:
            parts = [_add_piece(graph_def, op, node, *part) for part in zip(pieces, kernels, strict=True)]
            _join(graph_def, node, op, parts)
        _drop_unread(graph_def, values, grouped.chain)


def _find(graph: tf.Graph, graph_def: GraphDef, values: MutableMapping[str, tf.Tensor]) -> list[_Grouped]:
    """The convolutions with groups, in the order of the graph."""
    nodes, found = {node.name: node for node in graph_def.node}, []
    for node in graph_def.node:
        if node.op == "Conv2D":
            features, kernel = (tensor.shape.with_rank(4) for tensor in graph.get_operation_by_name(node.name).inputs)
            if None in (features[3], kernel[2]) or features[3] == kernel[2]:
                continue  # where it does not know the channels, TF-TRT takes no convolution
            chain = _chain(nodes, node.input[1])
            found.append(_Grouped(node, features[3] // kernel[2], chain, _constant(nodes, values, node, chain[-1])))
    return found


def _chain(nodes: dict[str, NodeDef], reference: str) -> tuple[str, ...]:
    """Names of a node and of those before it, up to the first that is no Identity."""
    name = reference.removesuffix(":0")
    is_identity = name in nodes and nodes[name].op == "Identity"
    return (name, *_chain(nodes, nodes[name].input[0])) if is_identity else (name,)


def _constant(
    nodes: dict[str, NodeDef], values: MutableMapping[str, tf.Tensor], node: NodeDef, name: str
) -> np.ndarray:
    """The filter that a node holds."""
    if f"{name}:0" in values:
        return values[f"{name}:0"].numpy()
    if name in nodes and nodes[name].op == "Const":
        return tf.make_ndarray(nodes[name].attr["value"].tensor)
    raise ExportError(
        f"The filter of the grouped convolution {node.name} is computed in the network (by {name}). Expected one that "
        "is a weight, for TF-TRT takes no other; check the model's custom layers."
    )


def _depthwise_pieces(grouped: _Grouped) -> list[_Piece]:
    """Depthwise convolutions that add up to a grouped one: as many as a group has channels."""
    height, width, count, _ = grouped.kernel.shape
    shape, channels = (height, width, grouped.groups, -1), count * grouped.groups
    return [
        _Piece(
            f"depthwise_{index}_of_{count}_over_{channels}",
            slice(index, channels, count),
            grouped.kernel[:, :, index].reshape(shape),
        )
        for index in range(count)
    ]


def _group_pieces(grouped: _Grouped) -> list[_Piece]:
    """Ordinary convolutions that give the outputs of a grouped one side by side: as many as it has groups."""
    size, kernels = grouped.kernel.shape[2], np.split(grouped.kernel, grouped.groups, axis=3)
    return [
        _Piece(f"group_{index}_of_{grouped.groups}", slice(index * size, (index + 1) * size, 1), kernel)
        for index, kernel in enumerate(kernels)
    ]


def _add_value(values: MutableMapping[str, tf.Tensor], name: str, kernel: np.ndarray) -> str:
    """Adds a filter to what is fed; returns its name, which is the same for convolutions that shared one."""
    values[f"{name}:0"] = tf.constant(kernel)
    return name


def _add_piece(graph_def: GraphDef, op: str, grouped: NodeDef, piece: _Piece, kernel: str) -> str:
    """Adds a convolution over some channels of what a grouped one reads; returns its name."""
    name = f"{grouped.name}_{piece.label}"  # the last part but one names a layer for its readers
    ends = {"begin": piece.channels.start, "end": piece.channels.stop, "strides": piece.channels.step}
    bounds = [_add_constant(graph_def, f"{name}/{end}", [1, 1, 1, value]) for end, value in ends.items()]
    channels = graph_def.node.add(name=f"{name}/channels", op="StridedSlice", input=[grouped.input[0], *bounds])
    channels.attr["T"].CopyFrom(grouped.attr["T"])
    channels.attr["Index"].type = tf.int32.as_datatype_enum
    channels.attr["begin_mask"].i = channels.attr["end_mask"].i = _WHOLE_AXES
    convolution = graph_def.node.add(name=name, op=op, input=[channels.name, kernel])
    for attribute in ("T", "strides", "padding", "explicit_paddings", "dilations", "data_format"):
        convolution.attr[attribute].CopyFrom(grouped.attr[attribute])
    return name


def _join(graph_def: GraphDef, node: NodeDef, op: str, parts: list[str]) -> None:
    """Makes a grouped convolution the sum of its depthwise parts, or puts the outputs of its groups side by side."""
    dtype = node.attr["T"].type
    node.attr.clear()
    node.attr["T"].type, node.attr["N"].i = dtype, len(parts)
    if op == _DEPTHWISE:
        node.op, node.input[:] = "AddN", parts
    else:
        node.op, node.input[:] = "ConcatV2", [*parts, _add_constant(graph_def, f"{node.name}/axis", 3)]
        node.attr["Tidx"].type = tf.int32.as_datatype_enum


def _add_constant(graph_def: GraphDef, name: str, value: int | list[int]) -> str:
    """Adds whole numbers; returns the node's name."""
    node = graph_def.node.add(name=name, op="Const")
    node.attr["dtype"].type = tf.int32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.int32))
    return name


def _drop_unread(graph_def: GraphDef, values: MutableMapping[str, tf.Tensor], chain: tuple[str, ...]) -> None:
    """Drops the nodes that gave a filter, and what was fed to them, as far as nothing reads them any more."""
    for name in chain:
        if any(name == source.lstrip("^").removesuffix(":0") for node in graph_def.node for source in node.input):
            return
        values.pop(f"{name}:0", None)
        for index in reversed([i for i, node in enumerate(graph_def.node) if node.name == name]):
            del graph_def.node[index]
