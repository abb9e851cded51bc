"""This package's own SavedModels, exported or converted, in all modes.

with Worker("tftrt_yolo.benchmarking.runners.tensorflow") as worker:
    worker.start(saved_model_dir="yolov8n_saved_model", frames_path="frames.npy", jpeg_paths=("a.jpg",), ...)
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.protocol import DENSE, END_TO_END, FROM_JPEG, SELECTED
from tftrt_yolo.benchmarking.runners import budget
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model


def work(
    *,
    saved_model_dir: str,
    frames_path: str,
    jpeg_paths: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    seconds: float,
) -> Iterator[dict]:
    """Measures a SavedModel.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      frames_path: A .npy file of images (N, height, width, 3) uint8 of the size of the model's frames.
      jpeg_paths: JPEG files of any size; none to leave that mode out.
      batch_sizes: Images a call.
      seconds: As `protocol.measure`.

    Yields:
      Events.
    """
    handle, images = open_saved_model(saved_model_dir), np.load(frames_path)
    yield from _measure_signatures(handle, images, batch_sizes, seconds)
    gc.collect()  # the predictor loads the model again
    predictor = Predictor(handle, strict=True)
    for mode, items in ((END_TO_END, images), (FROM_JPEG, jpeg_paths)):
        if not len(items):
            yield protocol.absent(protocol.WHY_NO_JPEG, mode=mode)
            continue
        yield from _measure_predictor(predictor, mode, items, batch_sizes, seconds)
    if jpeg_paths:
        yield from budget.measure(predictor, handle, jpeg_paths, seconds)
    yield protocol.end()


def versions() -> dict[str, str]:
    """Versions of TensorFlow and of the CUDA and cuDNN that it was built with."""
    build = tf.sysconfig.get_build_info()
    found = {"tensorflow": tf.__version__, "CUDA": build.get("cuda_version"), "cuDNN": build.get("cudnn_version")}
    on_gpu = tf.config.list_physical_devices("GPU")
    return {name: str(version) for name, version in found.items() if version and (on_gpu or name == "tensorflow")}


def _measure_predictor(
    predictor: Predictor, mode: str, items: Sequence, batch_sizes: tuple[int, ...], seconds: float
) -> Iterator[dict]:
    """Measures calls and streams of a Predictor with images of any kind."""
    for batch_size in batch_sizes:
        batch = protocol.list_of(items, batch_size)
        yield from protocol.measure(
            mode,
            batch_size,
            lambda batch=batch: predictor(batch, batch_size=len(batch)),
            lambda detections: detections,  # they are on the host already
            seconds=seconds,
            first=lambda batch=batch: predictor.warm_up((len(batch),)),
            window=_stream_window(predictor, batch),
        )


def _measure_signatures(
    handle: SavedModelHandle, images: np.ndarray, batch_sizes: tuple[int, ...], seconds: float
) -> Iterator[dict]:
    """Measures the network alone and with selection, on images that are on the device; outputs stay there."""
    signatures, backend = load.load(handle, strict=True)
    yield protocol.about(versions(), backend=str(backend), note="stand-in" if backend.is_stand_in else "")
    device = "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    network, serving = signatures[contract.NETWORK], signatures[contract.SERVING]
    for batch_size in batch_sizes:
        with tf.device(device):
            batch = tf.identity(tf.constant(protocol.batch_of(images, batch_size)))
            frames = tf.image.convert_image_dtype(batch, tf.float32)
        yield from protocol.measure(
            DENSE,
            batch_size,
            lambda frames=frames: network(frames=frames),
            _first_number,
            seconds=seconds,
        )
        yield from protocol.measure(
            SELECTED,
            batch_size,
            lambda batch=batch: serving(images=batch),
            _first_number,
            seconds=seconds,
        )


def _first_number(outputs: dict[str, tf.Tensor]) -> np.ndarray:
    """Waits for a call by taking a number of its outputs to the host."""
    return tf.reshape(next(iter(outputs.values())), [-1])[0].numpy()


def _stream_window(predictor: Predictor, batch: list) -> Callable[[float], tuple[int, float]]:
    """Images through Predictor.stream, which brings up, runs and unpacks batches at the same time."""

    def window(seconds: float) -> tuple[int, float]:
        start = time.perf_counter()

        def source() -> Iterator[np.ndarray]:
            while time.perf_counter() - start < seconds:
                yield from batch

        count = sum(1 for _ in predictor.stream(source(), batch_size=len(batch)))
        return count, time.perf_counter() - start

    return window
