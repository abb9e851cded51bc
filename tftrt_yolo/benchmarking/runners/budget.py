"""Where the time of one JPEG file goes, part by part, with each part alone.

yield from measure(predictor, handle, ("a.jpg", "b.jpg"), seconds=2.0)      # one event

The parts are those of Predictor: decode, letterbox, up to the device, network, selection, outputs back to the host.
What a call takes beyond their sum is Python's.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.predictor import framing
from tftrt_yolo.predictor.pipeline import Compiled
from tftrt_yolo.predictor.predictor import Predictor
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import SavedModelHandle

_LEAST_CALLS = 20  # of a part, and as many before that do not count as it takes to warm up
_SHARE = 0.25  # of the seconds of a measurement, for each part


def measure(
    predictor: Predictor, handle: SavedModelHandle, jpeg_paths: tuple[str, ...], seconds: float
) -> Iterator[dict]:
    """Measures a call with one file, one with its pixels, and the parts.

    Args:
      predictor: Whose calls are measured.
      handle: Its SavedModel, which is loaded once more.
      jpeg_paths: JPEG files.
      seconds: As `protocol.measure`; a part takes a quarter.

    Yields:
      The event "budget"; times are medians in milliseconds.
    """
    files = [Path(path).read_bytes() for path in jpeg_paths]
    arrays = [image_files.read_image(data) for data in files]
    predictor.warm_up((1,))
    clock = _Clock(seconds * _SHARE)
    file_ms = clock.median_ms(predictor, files)
    array_ms = clock.median_ms(predictor, arrays)
    frame = np.empty((1, *handle.metadata.image_size_hw, 3), np.uint8)
    fit = framing.FITS[predictor.task.fit]
    parts = {
        "decode": clock.median_ms(image_files.read_image, files),
        "letterbox": clock.median_ms(lambda array: fit(array, frame[0]), arrays),
    }
    parts |= _on_device(clock, handle, frame, arrays[0].shape[:2], predictor.task.per_image)
    yield {"event": "budget", "num_files": len(files), "file_ms": file_ms, "array_ms": array_ms, "parts_ms": parts}


def _on_device(
    clock: "_Clock", handle: SavedModelHandle, frame: np.ndarray, size_hw: tuple[int, int], per_image: tuple[str, ...]
) -> dict[str, float]:
    """The parts from a frame on the host to outputs on the host."""
    signatures, backend = load.load(handle, strict=True)
    framed, place = signatures[contract.FRAMED], "/GPU:0" if backend.uses_gpu else "/CPU:0"
    if Compiled.of(framed, per_image):  # then that is what a Predictor calls
        framed = framed.compiled
    host, sizes = tf.constant(frame), tf.constant([size_hw])

    def up(_: object) -> None:
        with tf.device(place):
            _wait(tf.identity(host))

    with tf.device(place):
        frames = tf.identity(host)
        values = tf.image.convert_image_dtype(frames, tf.float32)
    network = clock.median_ms(lambda _: _wait(*signatures[contract.NETWORK](frames=values).values()), [None])
    selected = clock.median_ms(lambda _: _wait(*framed(frames=frames, sizes=sizes).values()), [None])
    back = clock.median_ms(lambda _: [v.numpy() for v in framed(frames=frames, sizes=sizes).values()], [None])
    moved = {"up": clock.median_ms(up, [None])} if backend.uses_gpu else {}
    return moved | {"network": network, "selection": selected - network, "back": back - selected}


def _wait(*outputs: tf.Tensor) -> None:
    """Waits for a call by taking a number of its outputs to the host."""
    tf.reshape(outputs[0], [-1])[:1].numpy()


class _Clock:
    """Times calls with one argument after the other."""

    def __init__(self, seconds: float):
        """Times each for so long, after half of that."""
        self._seconds = seconds

    def median_ms(self, call: Callable[[object], object], arguments: list) -> float:
        """The median of single calls, in milliseconds."""
        given = itertools.cycle(arguments)
        self._calls(call, given, self._seconds / 2)
        return 1e3 * statistics.median(self._calls(call, given, self._seconds))

    def _calls(self, call: Callable[[object], object], given: Iterator, seconds: float) -> list[float]:
        """Seconds of each call."""
        found = []
        for _ in protocol.at_least(_LEAST_CALLS, seconds):
            argument = next(given)
            start = time.perf_counter()
            call(argument)
            found.append(time.perf_counter() - start)
        return found
