"""Measures what this machine reaches at best: matrix products and copies; runs in a process of its own.

with Worker("tftrt_yolo.benchmarking.floor.ceilings") as worker:
    worker.start(seconds=2.0)
    worker.receive()                 # Ceilings
"""

import concurrent.futures
import itertools
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.floor.cost import Ceilings
from tftrt_yolo.ground import environment

_GPU_SIDE, _CPU_SIDE = 8_192, 2_048  # of the square matrices
_GPU_COPY_VALUES = 1 << 28  # float32: 1 GiB
_CPU_COPY_BYTES = 256 << 20
_MIN_CALLS = 3


def work(*, seconds: float, precisions: tuple[str, ...]) -> Ceilings:
    """Measures the ceilings of the GPU, or of the CPU where there is none.

    Args:
      seconds: Length of each measurement.
      precisions: "FP32", "FP16", "BF16".

    Returns:
      The best that was seen.
    """
    on_gpu = environment.grow_gpu_memory()
    rates = {precision: _matmul_rate(precision, on_gpu, seconds) for precision in precisions}
    return Ceilings(rates, _gpu_copy_rate(seconds) if on_gpu else _cpu_copy_rate(seconds))


def _matmul_rate(precision: str, on_gpu: bool, seconds: float) -> float:
    """FLOP/s of the product of two large random matrices."""
    side = _GPU_SIDE if on_gpu else _CPU_SIDE
    dtype = {"FP32": tf.float32, "FP16": tf.float16, "BF16": tf.bfloat16}[precision]
    left, right = (tf.cast(tf.random.normal((side, side)), dtype) for _ in range(2))
    product = tf.function(tf.matmul, jit_compile=on_gpu)
    return 2 * side**3 / _best(lambda: product(left, right), lambda out: out[0, 0].numpy(), seconds)


def _gpu_copy_rate(seconds: float) -> float:
    """Bytes read and written in a second by the simplest kernel over much memory."""
    values = tf.random.normal((_GPU_COPY_VALUES,))
    increment = tf.function(lambda x: x + 1, jit_compile=True)
    return 2 * 4 * _GPU_COPY_VALUES / _best(lambda: increment(values), lambda out: out[0].numpy(), seconds)


def _cpu_copy_rate(seconds: float) -> float:
    """Bytes read and written in a second by a copy on all cores."""
    cores = protocol.cores()
    source, target = (np.ones((cores, _CPU_COPY_BYTES // cores), np.uint8) for _ in range(2))
    with concurrent.futures.ThreadPoolExecutor(cores) as pool:
        copied = 2 * target.nbytes
        return copied / _best(lambda: list(pool.map(np.copyto, target, source)), lambda done: done, seconds)


def _best(launch: Callable[[], object], synchronise: Callable[[object], object], seconds: float) -> float:
    """Seconds of a call: the least mean over runs of five, which hides the way to the device and back."""
    synchronise(launch())
    best, start = float("inf"), time.perf_counter()
    for index in itertools.count():
        if index >= _MIN_CALLS and time.perf_counter() - start > seconds:
            return best
        begin = time.perf_counter()
        for _ in range(5):
            outputs = launch()
        synchronise(outputs)
        best = min(best, (time.perf_counter() - begin) / 5)
    return best
