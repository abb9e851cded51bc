"""Empty batches for a network that cannot take one: it runs on a frame of zeros, of whose results nothing is given.

    network = guarded(network)                        # when a SavedModel is written
    graph_def = without_guard(graph_def, "frames")    # before a network is converted, measured or recorded

oneDNN's convolutions of TensorFlow give an empty batch the shape of their input, and the next one refuses it
(tensorflow/core/kernels/mkl/mkl_conv_ops.cc allocates the output with src_tf_shape). A batch that is not empty goes
through as it is: nothing is copied. What converts a network takes the guard off, so that it is no part of an engine and
nothing is left beside it; the converted network is written with a guard of its own.
"""

from collections.abc import Callable

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

SCOPE, _FRAMES, _RESULTS = "not_empty_batch", "frames", "results"

Network = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def guarded(network: Network) -> Network:
    """A network that takes empty batches.

    Args:
      network: Takes frames (batch, ...) to outputs (batch, ...) by name; its first axis is never empty.

    Returns:
      The same for any batch.
    """

    def run(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.name_scope(f"{SCOPE}/"):  # that very name, wherever it is called
            # Numbers of int32, which a GPU's kernels have on the host; named to be there, they would cut the graph.
            shape = tf.shape(frames)
            count = shape[0]
            one_frame = tf.concat([[1], shape[1:]], axis=0)
            is_empty = tf.equal(count, 0)
            some = tf.cond(is_empty, lambda: tf.zeros(one_frame, frames.dtype), lambda: tf.identity(frames))
            some = tf.identity(tf.ensure_shape(some, frames.shape), name=_FRAMES)
        results = network(some)
        with tf.name_scope(f"{SCOPE}/{_RESULTS}/"):
            return {name: tf.strided_slice(values, [0], [count], name=name) for name, values in results.items()}

    return run


def without_guard(graph_def: GraphDef, frames_name: str) -> None:
    """Takes the guard off a network whose functions are inlined, in place; one without a guard stays as it is.

    Args:
      graph_def: The network's graph.
      frames_name: Name of its input, a tensor or a node.
    """
    guards = [node for node in graph_def.node if f"/{SCOPE}/" in f"/{node.name}"]
    kept = set()
    for node in guards:
        path = f"/{node.name}".rpartition(f"/{SCOPE}/")[2]
        # Identities are what an earlier guard left: a quantised network is written with a guard of its own.
        is_result = node.op in ("StridedSlice", "Identity") and path.startswith(f"{_RESULTS}/")
        if is_result or path == _FRAMES:
            kept.add(node.name)
            source, kind = node.input[0] if is_result else frames_name, node.attr["T"].type
            node.op = "Identity"
            node.input[:] = [source]
            node.attr.clear()
            node.attr["T"].type = kind
    dropped = {node.name for node in guards} - kept
    for index in reversed(range(len(graph_def.node))):
        if graph_def.node[index].name in dropped:
            del graph_def.node[index]
    for node in graph_def.node:
        node.input[:] = [name for name in node.input if name.removeprefix("^").partition(":")[0] not in dropped]
