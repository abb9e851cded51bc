"""The SavedModel that Ultralytics' own export writes, in TensorFlow; the network alone, and batch 1 only.

with Worker("tftrt_yolo.benchmarking.runners.ultralytics_saved_model") as worker:
    worker.start(saved_model_dir="yolov8n_ultralytics_saved_model", frames_path="frames.npy", ...)
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.protocol import DENSE
from tftrt_yolo.benchmarking.runners.tensorflow import versions
from tftrt_yolo.ground import environment


def work(*, saved_model_dir: str, frames_path: str, batch_sizes: tuple[int, ...], seconds: float) -> Iterator[dict]:
    """Measures Ultralytics' SavedModel.

    Args:
      saved_model_dir: What `YOLO(weights).export(format="saved_model")` wrote.
      frames_path: As `runners.tensorflow.work`.
      batch_sizes: Images a call.
      seconds: As `protocol.measure`.

    Yields:
      Events; sizes other than the exported one are absent.
    """
    on_gpu = environment.grow_gpu_memory()
    loaded = tf.saved_model.load(saved_model_dir)  # its variables go when it goes, whoever holds a signature
    function = loaded.signatures["serving_default"]
    yield protocol.about(versions(), backend=f"TensorFlow on {'GPU' if on_gpu else 'CPU'}")
    [[name, spec]] = function.structured_input_signature[1].items()
    images = np.load(frames_path)
    for batch_size in batch_sizes:
        batch = protocol.batch_of(images, batch_size)
        if not spec.shape.is_compatible_with(batch.shape):
            same_size = spec.shape[1:].is_compatible_with(batch.shape[1:])
            reason = f"exported for batch {spec.shape[0]}" if same_size else f"exported for frames {spec.shape}"
            yield protocol.absent(reason, mode=DENSE, batch_size=batch_size)
            continue
        with tf.device("GPU:0" if on_gpu else "CPU:0"):
            resident = tf.identity(tf.constant(batch.astype(np.float32) / np.float32(255)))
        yield from protocol.measure(
            DENSE,
            batch_size,
            lambda resident=resident: function(**{name: resident}),
            lambda out: next(iter(out.values()))[0, 0].numpy(),
            seconds=seconds,
        )
    yield protocol.end()
