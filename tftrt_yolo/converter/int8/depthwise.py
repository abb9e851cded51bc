"""Depthwise convolutions as ordinary ones: the only form in which TensorRT can be given them in INT8.

    graph_def = as_ordinary(graph_def)      # the same numbers; no DepthwiseConv2dNative any more

In a network with quantisations TF-TRT asks for a quantised filter of every convolution, leaves to TensorFlow those that
have none, and so would cut the network at each. A quantised one it transposes by [3, 2, 0, 1], which is right for
(height, width, in, out) and wrong for a depthwise filter, (height, width, in, outputs of each): TensorRT asks for
(in * outputs, 1, height, width) and refuses the network.

So here the filter gets zeros for the products that a depthwise convolution has not. They stay zeros in INT8, and every
output channel gets a scale of its own, as in any convolution. The price is the products of an ordinary one.

Source: tensorflow/compiler/tf2tensorrt/convert/convert_nodes.cc (ConvertConv2DHelper).
"""

from collections.abc import Collection

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.saved_model import freeze


def as_ordinary(graph_def: GraphDef, *, kept: Collection[str] = ()) -> GraphDef:
    """Makes each depthwise convolution an ordinary one.

    Args:
      graph_def: A frozen graph in float32. A depthwise convolution whose filter is no constant stays as it is.
      kept: Names of the nodes of others that do: those that stay in float.

    Returns:
      A graph that computes the same; its nodes keep their names.
    """
    constants, ordinary = freeze.constants(graph_def), GraphDef()
    ordinary.CopyFrom(graph_def)
    for node in list(ordinary.node):
        if node.op == "DepthwiseConv2dNative" and node.input[1] in constants and node.name not in kept:
            filters = ordinary.node.add(name=f"{node.name}/ordinary/filter", op="Const")
            filters.attr["dtype"].type = tf.float32.as_datatype_enum
            filters.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(spread(constants[node.input[1]])))
            node.op, node.input[1] = "Conv2D", filters.name
    return ordinary


def spread(kernel: np.ndarray) -> np.ndarray:
    """A depthwise filter with zeros for the products that it has not.

    Args:
      kernel: (height, width, channels, outputs of each).

    Returns:
      (height, width, channels, channels * outputs of each), of the same type.
    """
    height, width, channels, outputs = kernel.shape
    ordinary = np.zeros((height, width, channels, channels, outputs), kernel.dtype)
    ordinary[:, :, range(channels), range(channels)] = kernel
    return ordinary.reshape(height, width, channels, channels * outputs)
