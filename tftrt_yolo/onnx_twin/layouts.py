"""What a file gives: the outputs of signature `network`, or Ultralytics' rows, which its loader reads.

    frozen = with_ultralytics_outputs(frozen, metadata)             # output0, and of segment output1
    dense = in_words_of_network(found, "ultralytics", metadata)     # NumPy: back to boxes, scores and the rest

detect gives `output0` (batch, 4 + C, A), centre, size and scores, and other tasks what they have beside; see
`engines.ultralytics_layout`, whose engines give the same.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.onnx_twin.onnx_options import ULTRALYTICS
from tftrt_yolo.saved_model.freeze import FrozenNetwork
from tftrt_yolo.tasks.table import TASKS

_NAMES = ("output0", "output1")


def with_ultralytics_outputs(frozen: FrozenNetwork, metadata: Metadata) -> FrozenNetwork:
    """A frozen network that gives Ultralytics' rows.

    Args:
      frozen: Signature `network`.
      metadata: Of the SavedModel; its head gives an object more than once.

    Returns:
      It with the rows behind it, and what has channels, such as the prototypes of segment, with these first as in ONNX.
    """

    def rows(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        tensors = tf.graph_util.import_graph_def(
            frozen.graph_def, {frozen.frames_name: frames}, list(frozen.outputs.values()), name="network"
        )
        given = TASKS[metadata.task].ultralytics(dict(zip(frozen.outputs, tensors, strict=True)), metadata)
        results = list(given) if isinstance(given, (list, tuple)) else [given]
        for place, result in enumerate(results):
            if result.shape.rank == 4:  # prototypes, and a map of several channels
                results[place] = tf.transpose(result, (0, 3, 1, 2))
        return dict(zip(_NAMES, results, strict=False))

    spec = tf.TensorSpec((None, *metadata.image_size_hw, 3), tf.float32, name="frames")
    function = tf.function(rows, autograph=False).get_concrete_function(spec)
    outputs = {name: tensor.name for name, tensor in zip(_NAMES, function.outputs, strict=False)}
    return FrozenNetwork(function.graph.as_graph_def(), function.inputs[0].name, outputs)


def in_words_of_network(outputs: Mapping[str, np.ndarray], layout: str, metadata: Metadata) -> dict[str, np.ndarray]:
    """What a file gives, as signature `network` would give it.

    Args:
      outputs: Name to values.
      layout: As `OnnxOptions`.
      metadata: Of the SavedModel.
    """
    if layout != ULTRALYTICS:
        return dict(outputs)
    head = HeadSpec(strides=(), num_classes=len(metadata.names), keypoint_shape=metadata.keypoint_shape)
    return TASKS[metadata.task].reference([outputs[name] for name in _NAMES if name in outputs], head)
