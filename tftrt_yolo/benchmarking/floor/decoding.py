"""Measures how many JPEG files a second all threads decode and letterbox, without any network; in a process of its own.

with Worker("tftrt_yolo.benchmarking.floor.decoding") as worker:
    worker.start(jpeg_paths=("a.jpg",), size_hw=(640, 640), fit="letterbox", seconds=2.0)
    worker.receive()                 # files a second
"""

import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.files.jpegs import Scratch
from tftrt_yolo.predictor import framing


def work(*, jpeg_paths: tuple[str, ...], size_hw: tuple[int, int], fit: str, seconds: float) -> float:
    """Measures what a stream of files could reach at most, with the decoder that Predictor has here.

    Args:
      jpeg_paths: JPEG files, at least one.
      size_hw: Height and width of the frames in pixels.
      fit: How pictures are laid into them: one of `placement.FITS`.
      seconds: Length of each of three windows.

    Returns:
      Files a second, the median of the windows.
    """
    files = [Path(path).read_bytes() for path in jpeg_paths]
    lay, memory, cores = framing.FITS[fit], Scratch(), protocol.cores()

    def count_until(end: float) -> int:
        frame, given, count = np.empty((*size_hw, 3), np.uint8), itertools.cycle(files), 0
        while time.perf_counter() < end:
            lay(image_files.read_image(next(given), memory=memory), frame)
            count += 1
        return count

    rates = []
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(count_until, [time.perf_counter() + seconds / 2] * cores))  # each thread has its memory then
        for _ in range(protocol.NUM_WINDOWS):
            start = time.perf_counter()
            total = sum(pool.map(count_until, [start + seconds] * cores))
            rates.append(total / (time.perf_counter() - start))
    return statistics.median(rates)
