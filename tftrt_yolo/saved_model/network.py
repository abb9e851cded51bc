"""Signature `network` alone, on images: the frames that go in, and the dense outputs before selection.

    framer = Framer(metadata)
    frame, place = framer(image)                               # in TensorFlow ops, as inside the SavedModel
    frames = prepare_ahead(paths, metadata, batch_size=16)     # the same for files, in threads
    network = SavedModelNetwork("yolov8n_saved_model", strict=False)
    dense, seconds = network.run(np.stack([frame]))            # (batch, S, S, 3) uint8 to the dense outputs

For those who look behind the detections: calibration, parity and evaluation.
"""

import collections
import itertools
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.graph import letterbox
from tftrt_yolo.ground import forks
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.placement import Placement
from tftrt_yolo.saved_model import load, write
from tftrt_yolo.saved_model.batches import CompiledSizes
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.tasks.table import TASKS


class Framer:
    """Brings images into the network's frame, in the very ops that the SavedModel does it with."""

    def __init__(self, metadata: contract.Metadata):
        """Traces the ops.

        Args:
          metadata: Of the SavedModel: its task, and the height and width of its frames.
        """
        size_hw = metadata.image_size_hw
        forks.check("A SavedModel's frame")
        fit = write.fit_of(TASKS[metadata.task].fit)

        @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.uint8)], autograph=False)
        def fit_one(images):
            return fit(images, letterbox.sizes_of(images), size_hw)

        self._fit = fit_one
        self(np.zeros((8, 8, 3), np.uint8))  # so that no image waits for the tracing

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, Placement]:
        """Lays one image into a frame as its task asks.

        Args:
          image: (height, width, 3) uint8, RGB.

        Returns:
          The frame (*size_hw, 3) uint8, and where the image lies in it.
        """
        forks.check("A SavedModel's frame")
        frames, placed = self._fit(image[np.newaxis])
        gain, padding = (part.numpy()[0].astype(np.float64) for part in (placed.gain_xy, placed.padding_xy))
        return frames.numpy()[0], Placement(np.array(image.shape[:2]), gain, padding)


def prepare_ahead(
    paths: list[Path], metadata: contract.Metadata, batch_size: int, *, raises: bool = True
) -> Iterator[tuple[np.ndarray, Placement] | ImageError]:
    """Reads and frames images in order, in threads and ahead of the consumer by a batch.

    Args:
      paths: Image files.
      metadata: As `Framer`.
      batch_size: Images a batch.
      raises: Whether an image that cannot be read raises; otherwise its error is yielded in its place.

    Yields:
      What `Framer` gives.

    Raises:
      ImageError: If raises, and an image cannot be read.
    """
    framer, threads = Framer(metadata), min(8, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="frame")
    pending = collections.deque()

    def prepare(path):
        try:
            return framer(image_files.read_image(path))
        except ImageError as error:
            if raises:
                raise
            return error

    try:
        for path in paths:
            pending.append(pool.submit(prepare, path))
            if len(pending) > batch_size + threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def frames_ahead(paths: list[Path], metadata: contract.Metadata, batch_size: int) -> Iterator[np.ndarray]:
    """As `prepare_ahead`, in batches and without the places: (n, *size_hw, 3) uint8."""
    prepared = prepare_ahead(paths, metadata, batch_size)
    while batch := [frame for frame, _ in itertools.islice(prepared, batch_size)]:
        yield np.stack(batch)


def in_unit_range(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 as `network` takes them, float32 in [0, 1].

    It is the very division of graph.letterbox.to_unit_range, which the other signatures run.
    """
    return frames.astype(np.float32) / np.float32(255)


class SavedModelNetwork:
    """Signature `network` of a SavedModel."""

    def __init__(self, saved_model_dir: str | Path | SavedModelHandle, *, strict: bool):
        """Loads it.

        Args:
          saved_model_dir: A SavedModel that `export` or `convert` wrote, or its handle.
          strict: As `Predictor`.

        Raises:
          SavedModelError: If it is damaged or not ours, or has side effects.
          TensorRTUnavailableError: If strict, and its engines cannot run here.
          ForkedProcessError: If this process was forked after TensorFlow ran; so does `run`.
        """
        handle = open_saved_model(saved_model_dir)
        signatures, self.backend = load.load(handle, strict=strict)
        self.name = handle.directory.name
        self._network = signatures[contract.NETWORK]

    def __enter__(self) -> "SavedModelNetwork":
        """Ready."""
        return self

    def __exit__(self, *_) -> None:
        """Nothing to end."""

    def run(self, frames: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
        """Runs a batch.

        Args:
          frames: (batch, S, S, 3) uint8.

        Returns:
          The dense outputs, and the seconds that the network took.
        """
        forks.check(f"The network of {self.name}")
        start = time.perf_counter()
        inputs = tf.constant(in_unit_range(self._filled(frames)))
        dense = {name: value.numpy()[: len(frames)] for name, value in self._network(frames=inputs).items()}
        return dense, time.perf_counter() - start

    def _filled(self, frames: np.ndarray) -> np.ndarray:
        """Frames that are filled up to a power of two, for a model for XLA that does not do so itself."""
        if self.backend.name != "XLA" or self.backend.compiled_sizes:
            return frames
        missing = CompiledSizes().filled(len(frames)) - len(frames)
        if not missing:  # or the whole batch would be copied
            return frames
        return np.concatenate([frames, np.zeros((missing, *frames.shape[1:]), np.uint8)])
