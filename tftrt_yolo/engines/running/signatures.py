"""An engine under the signatures of the contract: images in, detections in pixels of the images out.

    signatures = EngineSignatures(runtime, metadata, given).by_key()
    signatures["serving_default"](images=images)["boxes"]

Letterboxing and selection are the very ops of the SavedModel, before and behind the engine.
"""

import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.contract import Metadata
from tftrt_yolo.engines.running.runtime import EngineRuntime, covers, out_of_range
from tftrt_yolo.engines.tensors import batch_ranges, to_dense
from tftrt_yolo.graph import crop, letterbox
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.saved_model import write
from tftrt_yolo.tasks.table import TASKS


class EngineSignatures:
    """An engine between the ops of its SavedModel.

    Attributes:
      batch_ranges: The least and the largest batch of each of its profiles.
    """

    def __init__(self, runtime: EngineRuntime, metadata: Metadata, given: str):
        """Prepares; nothing is run.

        Args:
          runtime: What runs the engine.
          metadata: What it is for.
          given: Its file, for messages.
        """
        self._runtime, self._metadata, self._given = runtime, metadata, given
        self._lock = threading.Lock()  # TensorRT's context takes one call at a time
        self.batch_ranges = batch_ranges(runtime.tensors, runtime.profiles)
        self._fit = tf.function(self._fitted, autograph=False, input_signature=_IMAGES_AND_SIZES)
        self._select = tf.function(self._selected, autograph=False, reduce_retracing=True)

    def by_key(self) -> dict[str, Callable]:
        """The signatures that a predictor calls."""
        return {
            contract.SERVING: lambda images: self._run(images, letterbox.sizes_of(images)),
            contract.PADDED: lambda images, sizes: self._run(images, sizes),
        }

    def _run(self, images: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs a batch; one that is smaller than all profiles is filled up with black frames."""
        frames, placed = self._fit(images, sizes)
        frames, count = frames.numpy(), frames.shape[0]
        least = min((smallest for smallest, _ in self.batch_ranges), default=1)
        if count < least:
            frames = np.concatenate([frames, np.zeros((least - count, *frames.shape[1:]), frames.dtype)])
        if not covers(self.batch_ranges, frames.shape[0]):
            raise EngineError(out_of_range(self._given, count, self.batch_ranges))
        with self._lock:
            outputs = self._runtime.run(frames)
        dense = to_dense({name: values[:count] for name, values in outputs.items()}, self._metadata)
        return self._select({name: tf.constant(values) for name, values in dense.items()}, placed)

    def _fitted(self, images, sizes):
        """Frames (batch, 3, height, width) float32 in [0, 1], and where the images lie in them."""
        place = crop.crop_images if TASKS[self._metadata.task].is_cropped else letterbox.letterbox_padded_images
        frames, placed = place(images, letterbox.checked_sizes(images, sizes), self._metadata.image_size_hw)
        return tf.transpose(letterbox.to_unit_range(frames), (0, 3, 1, 2)), placed

    def _selected(self, dense, placed):
        """Detections in pixels of the images."""
        return write.selected_outputs(dense, placed, self._metadata)


_IMAGES_AND_SIZES = (tf.TensorSpec((None, None, None, 3), tf.uint8), tf.TensorSpec((None, 2), tf.int32))
