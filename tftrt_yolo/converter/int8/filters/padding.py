"""Zeros before convolutions instead of inside them, so that what a convolution reads can be shifted with its zeros.

    graph_def = pad_before(graph_def)       # the same numbers

What SiLU gives lies on one side of 0, and quantisation.shift moves it to the middle of its range, which is worth 5 dB.
Where a convolution pads by itself, its zeros would not be moved, and what is taken off its output again would be
another constant at each border. With a Pad before the shift they are, as PyTorch's strided convolutions have it anyway.
The price is a pass over the tensor.
"""

from collections.abc import Collection

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.saved_model import freeze


def pad_before(graph_def: GraphDef, *, kept: Collection[str] = ()) -> GraphDef:
    """Takes the zeros around an image out of the convolutions that add them themselves.

    What such a one reads can then be shifted. Convolutions that pad the same tensor alike read the same pad.

    Args:
      graph_def: A frozen graph in float32.
      kept: Names of the convolutions that stay as they are: those that stay in float.

    Returns:
      A graph that computes the same; its nodes keep their names. A convolution with a stride, whose zeros depend on the
      size of what it reads, stays as it is, and so does one in another layout.
    """
    padded, constants, ready = GraphDef(), freeze.constants(graph_def), set()
    padded.CopyFrom(graph_def)
    for node in list(padded.node):
        if not _can_be_padded_before(node) or node.input[1] not in constants or node.name in kept:
            continue
        reach = np.array(constants[node.input[1]].shape[:2]) - 1
        if not reach.any():
            continue
        reach *= np.array(list(node.attr["dilations"].list.i) or [1] * 4)[1:3]
        name = f"{node.input[0].replace(':', '_')}/padded/{reach[0]}x{reach[1]}"
        if name not in ready:
            ready.add(name)
            _add_pad(padded, name, node.input[0], [(zeros // 2, zeros - zeros // 2) for zeros in reach.tolist()])
        node.input[0], node.attr["padding"].s = name, b"VALID"
    return padded


def _can_be_padded_before(node: NodeDef) -> bool:
    """Whether a node is a convolution that pads by itself, as many zeros whatever it reads."""
    is_plain = node.op == "Conv2D" and node.attr["data_format"].s in (b"", b"NHWC")
    return is_plain and node.attr["padding"].s == b"SAME" and set(node.attr["strides"].list.i) == {1}


def _add_pad(graph_def: GraphDef, name: str, source: str, pads_hw: list[tuple[int, int]]) -> None:
    """Adds a Pad with zeros of a tensor's rows and columns."""
    paddings = graph_def.node.add(name=f"{name}/paddings", op="Const")
    paddings.attr["dtype"].type = tf.int32.as_datatype_enum
    paddings.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([(0, 0), *pads_hw, (0, 0)], tf.int32))
    node = graph_def.node.add(name=name, op="Pad", input=[source, paddings.name])
    node.attr["T"].type, node.attr["Tpaddings"].type = tf.float32.as_datatype_enum, tf.int32.as_datatype_enum
