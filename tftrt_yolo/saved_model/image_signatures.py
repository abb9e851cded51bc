"""Images in, detections in pixels of the images out, around any network: its frames and its dense outputs lie between.

    signatures = ImageSignatures(network, metadata, is_traceable=True)
    signatures.by_key()["serving_default"](images=images)["boxes"]                # thresholds of the metadata
    signatures.by_key(asked)["padded"](images=images, sizes=sizes)["boxes"]       # `asked`: an nms.RunTimeSelection

Letterboxing and selection are the very ops of the SavedModel, before and behind the network. It serves what has no such
signatures itself, an engine, and thresholds that are given with a call.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.contract import Metadata
from tftrt_yolo.graph import letterbox
from tftrt_yolo.graph.nms import RunTimeSelection
from tftrt_yolo.saved_model import write
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.tasks.table import TASKS

_graph_function = functools.partial(tf.function, autograph=False)
_FILES = tf.TensorSpec((None,), tf.string)
_SIZES = tf.TensorSpec((None, 2), tf.int32)
_IMAGES_AND_SIZES = (tf.TensorSpec((None, None, None, 3), tf.uint8), _SIZES)


class ImageSignatures:
    """The signatures that take images, around a network."""

    def __init__(
        self,
        network: Callable[[tf.Tensor], dict[str, tf.Tensor]],
        metadata: Metadata,
        *,
        is_traceable: bool,
        channels_first: bool = False,
        is_packed: bool = True,
    ):
        """Prepares; nothing is traced before it is called.

        Args:
          network: Takes frames (batch, S, S, 3) float32 in [0, 1] to the outputs that `Task.dense` names.
          metadata: What it is for.
          is_traceable: Whether TensorFlow can trace the network, so that everything is one graph, traced once.
          channels_first: Whether its frames are (batch, 3, S, S).
          is_packed: Whether `encoded` gives what `Task.packing` says in place of outputs that are too large to send.
        """
        self._network, self._metadata, self._channels_first = network, metadata, channels_first
        self._is_packed, self._run_encoded = is_packed, None
        if is_traceable:
            asked = _run_time_specs(len(metadata.names))
            self._run = _graph_function(
                self._steps(self._fit, self._select), input_signature=(*_IMAGES_AND_SIZES, asked)
            )
            frames = tf.TensorSpec((None, *metadata.image_size_hw, 3), tf.uint8)
            self._run_framed = _graph_function(
                self._steps(self._as_they_are, self._select), input_signature=(frames, _SIZES, asked)
            )
            self._run_encoded = _graph_function(self._encoded, input_signature=(_FILES, asked))
        else:
            select = _graph_function(self._select, reduce_retracing=True)
            self._run = self._steps(_graph_function(self._fit, input_signature=_IMAGES_AND_SIZES), select)
            self._run_framed = self._steps(_graph_function(self._as_they_are, reduce_retracing=True), select)

    def by_key(self, asked: RunTimeSelection | None = None) -> dict[str, Callable]:
        """The signatures that a predictor calls.

        Args:
          asked: What is selected; None for what the metadata say, with a network that cannot be traced.

        Returns:
          `serving_default`, `padded` and `framed`, as the contract has them, and `encoded` around a network that can be
          traced.
          With `asked` the outputs are as long as they must be, and at most max_detections.
        """
        signatures = {
            contract.SERVING: lambda images: self._run(images, letterbox.sizes_of(images), asked),
            contract.PADDED: lambda images, sizes: self._run(images, sizes, asked),
            contract.FRAMED: lambda frames, sizes: self._run_framed(frames, sizes, asked),
        }
        if self._run_encoded:
            signatures[contract.ENCODED] = lambda image_bytes: self._run_encoded(image_bytes, asked)
        return signatures

    def _steps(self, fit: Callable, select: Callable) -> Callable:
        """The way from images to detections."""

        def run(images, sizes, asked):
            sizes = letterbox.checked_sizes_of_images(sizes)
            return select(self._network(fit(images, sizes)), sizes, asked)

        return run

    def _encoded(self, image_bytes, asked):
        """The way from image files to detections."""

        def predict(frames, sizes):
            return self._select(self._network(self._in_unit_range(frames)), sizes, asked)

        task, size_hw = TASKS[self._metadata.task], self._metadata.image_size_hw
        return write.encoded_outputs(image_bytes, predict, task, size_hw, is_packed=self._is_packed)

    def _fit(self, images, sizes):
        """Frames float32 in [0, 1]."""
        fit = write.fit_of(TASKS[self._metadata.task].fit)
        return self._in_unit_range(fit(images, sizes, self._metadata.image_size_hw)[0])

    def _as_they_are(self, frames, _):
        """Frames float32 in [0, 1], of frames uint8."""
        return self._in_unit_range(frames)

    def _in_unit_range(self, frames):
        """Frames as the network takes them."""
        frames = letterbox.to_unit_range(frames)
        return tf.transpose(frames, (0, 3, 1, 2)) if self._channels_first else frames

    def _select(self, dense, sizes, asked):
        """Detections in pixels of the images."""
        metadata = self._metadata if asked is None else dataclasses.replace(self._metadata, selection=asked)
        return write.selected_outputs(dense, sizes, metadata)


def in_tensors(asked: SelectionOptions, metadata: Metadata) -> RunTimeSelection:
    """What is selected as tensors; the model's own number stands where none was given.

    Args:
      asked: What was given.
      metadata: Of the model.

    Returns:
      For `ImageSignatures.by_key`.

    Raises:
      ValueError: If a class is none of the model's.
    """
    numbers, indices = asked.applied_to(metadata.selection), asked.class_indices(metadata.names)
    return RunTimeSelection(
        score_threshold=tf.constant(numbers.score_threshold, tf.float32),
        iou_threshold=tf.constant(numbers.iou_threshold, tf.float32),
        max_detections=tf.constant(numbers.max_detections, tf.int32),
        max_candidates=tf.constant(numbers.max_candidates, tf.int32),
        allowed=tf.constant([indices is None or index in indices for index in sorted(metadata.names)]),
        is_class_agnostic=tf.constant(bool(asked.class_agnostic)),
        is_multi_label=tf.constant(bool(asked.multi_label)),
    )


def _run_time_specs(num_classes: int) -> RunTimeSelection:
    """What a `RunTimeSelection` is made of."""
    shapes = {"allowed": (tf.bool, (num_classes,))}
    shapes |= dict.fromkeys(("is_class_agnostic", "is_multi_label"), (tf.bool, ()))
    shapes |= dict.fromkeys(("score_threshold", "iou_threshold"), (tf.float32, ()))
    shapes |= dict.fromkeys(("max_detections", "max_candidates"), (tf.int32, ()))
    return RunTimeSelection(**{name: tf.TensorSpec(shape, dtype) for name, (dtype, shape) in shapes.items()})
