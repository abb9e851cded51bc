"""Export's TensorFlow half: ONNX in, SavedModel out. It runs in a worker's process; see `ground.workers.worker`.

All of it is there and not only onnx2tf, so that a process which exports never imports TensorFlow beside PyTorch.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.exporter import pytorch_parity, trunk
from tftrt_yolo.ground import environment
from tftrt_yolo.saved_model import write
from tftrt_yolo.tasks.table import TASKS


def work(
    *,
    onnx_path: Path,
    head: contract.HeadSpec,
    metadata: contract.Metadata,
    saved_model_dir: Path,
) -> Iterator[Path | dict[str, np.ndarray]]:
    """Writes the SavedModel and runs it.

    Args:
      onnx_path: The trunk.
      head: What the decode needs to know of the head.
      metadata: Goes into the SavedModel.
      saved_model_dir: An empty directory to fill.

    Yields:
      The trunk's path, as soon as it is a network of TensorFlow; the directory's, once it is written; and what the
      saved file's signature `network` gives for `pytorch_parity.reference_frames`.
    """
    network, task = trunk.Trunk(onnx_path), TASKS[metadata.task]
    yield onnx_path

    def dense_predictions(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        return task.decode(task.group(network(frames), len(head.strides)), head)

    write.save(dense_predictions, metadata, saved_model_dir, tracked=network.variables)
    yield saved_model_dir

    environment.compute_in_full_float32()  # to be compared with PyTorch on a CPU
    saved_model = tf.saved_model.load(str(saved_model_dir))
    frames = tf.constant(pytorch_parity.reference_frames(metadata.image_size_hw))
    dense = saved_model.signatures[contract.NETWORK](frames=frames)
    yield {name: value.numpy() for name, value in dense.items()}
