"""An engine under the signatures of the contract: images in, detections in pixels of the images out.

    signatures = engine_signatures(runtime, metadata, given)
    signatures.by_key()["serving_default"](images=images)["boxes"]

Letterboxing and selection are the very ops of the SavedModel, before and behind the engine.
"""

import threading

import numpy as np
import tensorflow as tf

from tftrt_yolo.contract import Metadata
from tftrt_yolo.engines.running.runtime import EngineRuntime, covers, out_of_range
from tftrt_yolo.engines.tensors import batch_ranges, to_dense
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.saved_model.image_signatures import ImageSignatures


def engine_signatures(runtime: EngineRuntime, metadata: Metadata, given: str) -> ImageSignatures:
    """An engine between the ops of its SavedModel; nothing is run yet.

    Args:
      runtime: What runs the engine.
      metadata: What it is for.
      given: Its file, for messages.

    Returns:
      Its signatures, which refuse a batch that no profile covers with an EngineError.
    """
    ranges = batch_ranges(runtime.tensors, runtime.profiles)
    lock = threading.Lock()  # TensorRT's context takes one call at a time

    def network(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs a batch; one that is smaller than all profiles is filled up with black frames."""
        frames = frames.numpy()
        count, least = frames.shape[0], min((smallest for smallest, _ in ranges), default=1)
        if count < least:
            frames = np.concatenate([frames, np.zeros((least - count, *frames.shape[1:]), frames.dtype)])
        if not covers(ranges, frames.shape[0]):
            raise EngineError(out_of_range(given, count, ranges))
        with lock:
            outputs = runtime.run(frames)
        dense = to_dense({name: values[:count] for name, values in outputs.items()}, metadata)
        return {name: tf.constant(values) for name, values in dense.items()}

    return ImageSignatures(network, metadata, is_traceable=False, channels_first=True)
