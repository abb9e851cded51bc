"""The biases of convolutions in the one form that TensorFlow's kernels for CPUs fuse together with SiLU.

    biases.say_bias_add(graph, graph_def)      # in place; the numbers stay the same, to the bit

onnx2tf adds a bias with AddV2. Grappler's remapper takes convolution, bias and SiLU as one call of oneDNN if the node
between is a BiasAdd, and of an AddV2 it leaves the SiLU outside: every activation is written, read and written again.
Elsewhere the two are one: TF-TRT and XLA make a sum of either. An export keeps AddV2 all the same: other fusions round
at other places, and of an INT8 model whose quantisations TensorFlow computes the figures would be others.

Source: tensorflow/core/grappler/optimizers/remapper.cc (FindConv2DSwish) of TensorFlow 2.17.
"""

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

_CHANNELS_LAST = b"NHWC"


def say_bias_add(graph: tf.Graph, graph_def: GraphDef) -> None:
    """Makes a BiasAdd of each AddV2 of a convolution's output and a number a channel, in place.

    Args:
      graph: A network, in which types and shapes are known.
      graph_def: The same as nodes, or a part of them.
    """
    for node in graph_def.node:
        if node.op != "AddV2":
            continue
        added = graph.get_operation_by_name(node.name).inputs
        is_output = [_is_channels_last(tensor.op) for tensor in added]
        if sum(is_output) != 1:
            continue
        place = is_output.index(True)
        output, bias = added[place], added[1 - place]
        if bias.shape.rank != 1 or bias.shape[0] is None or bias.shape[0] != output.shape[-1]:
            continue  # a number for all of them is no bias, and no channels are known that a BiasAdd could check
        node.op = "BiasAdd"
        node.input[:] = [node.input[place], node.input[1 - place], *node.input[2:]]
        node.attr["data_format"].s = _CHANNELS_LAST


def _is_channels_last(convolution: tf.Operation) -> bool:
    """Whether an operation is a convolution whose channels are the last axis."""
    return convolution.type == "Conv2D" and convolution.get_attr("data_format") == _CHANNELS_LAST
