"""How every contestant is timed: the same calls, the same clock, whatever runs them.

    def work(...):                                       # a contestant's process
        yield about({"python": "3.11.2"}, backend="CPU")
        yield from measure("dense", 8, launch, synchronise, seconds=2.0)
        yield end()

It needs the standard library and numpy only, because it also runs in the interpreters of others. What a process yields
are events: dictionaries of plain values, which any Python can read (`session` does).
"""

import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

DENSE = "dense"
SELECTED = "selected"
END_TO_END = "end_to_end"
FROM_JPEG = "from_jpeg"
MODES = (DENSE, SELECTED, END_TO_END, FROM_JPEG)  # what is measured of a contestant
WHY_NO_JPEG = "none of the pictures is a JPEG file"
NUM_WINDOWS = 3
MIN_LATENCY_CALLS = 10
MIN_WARM_UP_CALLS = 3  # CUDA graphs are recorded in the second call, XLA and TensorFlow tune themselves in the first
MAX_IN_FLIGHT = 10  # calls that are launched before one is waited for
UNSTABLE_SPREAD = 0.10  # (most - least) / median of the windows


def measure(
    mode: str,
    batch_size: int,
    launch: Callable[[], object],
    synchronise: Callable[[object], object],
    *,
    seconds: float,
    first: Callable[[], object] | None = None,
    window: Callable[[float], tuple[int, float]] | None = None,
) -> Iterator[dict]:
    """Times a call: first call, warm-up, latency one by one, and three windows of calls without waiting.

    Args:
      mode: What is measured, for the events.
      batch_size: Images a call.
      launch: Starts a call and returns its outputs.
      synchronise: Waits until outputs are complete; later calls end later.
      seconds: Length of the latency measurement and of each window; the warm-up takes half.
      first: What the first call calls, for what has a warm-up of its own; None for launch.
      window: Takes seconds and returns images and seconds, for what has a pipeline of its own; None launches calls and
        waits for every tenth.

    Yields:
      The events "begin", "timing" (after the warm-up) and "measured".
    """
    yield {"event": "begin", "mode": mode, "batch_size": batch_size}

    def call() -> float:
        start = time.perf_counter()
        synchronise(launch())
        return time.perf_counter() - start

    start = time.perf_counter()
    synchronise((first or launch)())
    first_call_seconds = time.perf_counter() - start
    for _ in at_least(MIN_WARM_UP_CALLS, seconds / 2):
        call()
    yield {"event": "timing"}
    latencies = [call() for _ in at_least(MIN_LATENCY_CALLS, seconds)]
    window = window or (lambda length: _launch_for(length, batch_size, launch, synchronise))
    windows = [images / elapsed for images, elapsed in (window(seconds) for _ in range(NUM_WINDOWS))]
    yield {
        "event": "measured",
        "mode": mode,
        "batch_size": batch_size,
        "first_call_seconds": first_call_seconds,
        **latency_summary(latencies),
        "windows_images_per_second": windows,
        "peak_host_bytes": peak_host_bytes(),
    }


def at_least(calls: int, seconds: float) -> Iterator[int]:
    """Counts on until both so many calls were made and so much time has passed.

    Args:
      calls: The least number.
      seconds: The least time.

    Yields:
      0, 1, 2 and so on.
    """
    start = time.perf_counter()
    for index in itertools.count():
        if index >= calls and time.perf_counter() - start >= seconds:
            return
        yield index


def latency_summary(latencies: list[float]) -> dict[str, float]:
    """Percentiles of single calls.

    Args:
      latencies: Seconds of each call.

    Returns:
      p50, p90 and p99 in milliseconds and the number of calls.
    """
    p50, p90, p99 = (float(value) for value in np.percentile(np.array(latencies) * 1e3, [50, 90, 99]))
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "num_calls": len(latencies)}


def spread(windows: tuple[float, ...]) -> float:
    """(most - least) / median of the windows."""
    return (max(windows) - min(windows)) / statistics.median(windows)


def batch_of(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Fills a batch from images, which repeat if there are fewer.

    Args:
      images: (N, height, width, 3).
      batch_size: Images wanted.

    Returns:
      (batch_size, height, width, 3), contiguous.
    """
    return np.ascontiguousarray(images[np.arange(batch_size) % len(images)])


def list_of(items: Sequence, batch_size: int) -> list:
    """Fills a batch from items of any kind, which repeat if there are fewer.

    Args:
      items: At least one.
      batch_size: Items wanted.

    Returns:
      As many of them.
    """
    return list(itertools.islice(itertools.cycle(items), batch_size))


def about(versions: dict[str, str], *, backend: str, note: str = "") -> dict:
    """The event with which a contestant says what it is.

    Args:
      versions: Package to version; Python's is added.
      backend: What runs the network, in its own words.
      note: What must stand beside each of its numbers; empty for nothing.

    Returns:
      The event.
    """
    versions = {"python": platform.python_version(), **versions}
    return {"event": "about", "versions": versions, "backend": str(backend), "note": note}


def absent(reason: object, *, mode: str | None = None, batch_size: int | None = None) -> dict:
    """The event with which a contestant says what it cannot do, and why.

    Args:
      reason: Why; an exception stands for its type and first line.
      mode: What it cannot do; None for everything.
      batch_size: The batch size that it cannot do; None for all.

    Returns:
      The event.
    """
    if isinstance(reason, Exception):
        lines = str(reason).strip().splitlines()
        reason = f"{type(reason).__name__}: {lines[0]}" if lines else type(reason).__name__
    return {"event": "absent", "mode": mode, "batch_size": batch_size, "reason": str(reason)}


def end() -> dict:
    """The last event of a contestant that came to its end."""
    return {"event": "end", "peak_host_bytes": peak_host_bytes()}


def peak_host_bytes() -> int:
    """Most main memory that this process has held.

    The kernel's ru_maxrss would begin with what the parent held when it started this process; VmHWM does not.
    """
    try:
        [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) << 10
    except (OSError, ValueError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _launch_for(
    seconds: float, images_per_call: int, launch: Callable[[], object], synchronise: Callable[[object], object]
) -> tuple[int, float]:
    """Launches calls for some time, at most MAX_IN_FLIGHT ahead of the device; returns images and seconds."""
    start = time.perf_counter()
    calls = 0
    while calls == 0 or time.perf_counter() - start < seconds:
        outputs = launch()
        calls += 1
        if calls % MAX_IN_FLIGHT == 0:
            synchronise(outputs)
    synchronise(outputs)
    return calls * images_per_call, time.perf_counter() - start
