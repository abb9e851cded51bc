"""What the time of a SavedModel's signatures goes into: kernels by kind, and what the host needs to launch them.

    python -m tftrt_yolo.benchmarking.profile yolov8n_xla_saved_model benchmarks/h200/profile.json 1 8 64

It is for finding causes, not for comparing: `benchmark` times without a profiler. On a GPU it counts the device's
kernels, on a CPU TensorFlow's ops, whose times overlap where several run at once. `page` prints what it wrote.
"""

import collections
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.saved_model.handle import open_saved_model

FILE = "profile.json"
_CALLS = 10


@dataclasses.dataclass(frozen=True)
class Profile:
    """One signature at one batch size.

    Attributes:
      signature: `network` or `serving_default`.
      batch_size: Images a call.
      wall_ms: Milliseconds of a call, without a profiler, calls launched without waiting.
      busy_ms: Milliseconds that kernels (on a CPU: ops) took, added up.
      launches: Kernels (on a CPU: ops) a call.
      kinds: Kind of kernel to milliseconds a call, the largest first.
    """

    signature: str
    batch_size: int
    wall_ms: float
    busy_ms: float
    launches: int
    kinds: dict[str, float]


def profile(saved_model_dir: str | Path, batch_sizes: tuple[int, ...]) -> list[Profile]:
    """Profiles `network` and `serving_default` on random images of frame size that lie on the device.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      batch_sizes: Images a call.

    Returns:
      A row for each signature and batch size.
    """
    import tensorflow as tf

    from tftrt_yolo.saved_model import load

    handle = open_saved_model(saved_model_dir)
    signatures, backend = load.load(handle, strict=True)
    count = _gpu_kernels if backend.device == "GPU" else _cpu_ops
    size_hw = handle.metadata.image_size_hw
    rows = []
    for batch_size in batch_sizes:
        with tf.device(f"{backend.device}:0"):
            pixels = np.random.default_rng(0).integers(0, 256, (batch_size, *size_hw, 3), dtype=np.uint8)
            images = tf.identity(tf.constant(pixels))
            frames = tf.image.convert_image_dtype(images, tf.float32)
        for key, inputs in ((contract.NETWORK, {"frames": frames}), (contract.SERVING, {"images": images})):

            def call(key=key, inputs=inputs):
                return signatures[key](**inputs)

            wall_ms = _wall_ms(call)
            kernels = count(call)
            kinds = collections.Counter()
            for name, (milliseconds, _) in kernels.items():
                kinds[_kind(name)] += milliseconds
            rows.append(
                Profile(
                    signature=key,
                    batch_size=batch_size,
                    wall_ms=wall_ms,
                    busy_ms=sum(milliseconds for milliseconds, _ in kernels.values()),
                    launches=round(sum(times for _, times in kernels.values())),
                    kinds=dict(kinds.most_common()),
                )
            )
    return rows


def write(rows: list[Profile], path: Path) -> None:
    """Writes rows as JSON; an existing file is not overwritten."""
    with open(path, "x", encoding="utf-8") as file:
        json.dump([dataclasses.asdict(row) for row in rows], file, indent=2)
        file.write("\n")


def read(path: Path) -> list[Profile]:
    """Reads rows back."""
    return [Profile(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def _wait(outputs: dict) -> None:
    """Waits until outputs are complete, without bringing large ones to the host."""
    for value in outputs.values():
        value[:1, :1].numpy() if value.shape.rank > 1 else value.numpy()


def _wall_ms(call: Callable[[], dict]) -> float:
    """Milliseconds of a call after a warm-up."""
    for _ in range(3):
        _wait(call())
    start = time.perf_counter()
    for _ in range(2 * _CALLS):
        outputs = call()
    _wait(outputs)
    return (time.perf_counter() - start) / (2 * _CALLS) * 1e3


def _gpu_kernels(call: Callable[[], dict]) -> dict[str, tuple[float, float]]:
    """Kernel name to milliseconds and launches a call, from TensorFlow's profiler."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    milliseconds, launches = collections.Counter(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(_CALLS):
            outputs = call()
        _wait(outputs)
        tf.profiler.experimental.stop()
        for path in Path(folder).glob("plugins/profile/*/*.xplane.pb"):
            for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
                if not plane.name.startswith("/device:GPU"):
                    continue
                for line in plane.lines:
                    if line.name.startswith(("XLA", "TensorFlow", "Steps")):
                        continue  # the same kernels once more, by module and by op
                    for event in line.events:
                        name = plane.event_metadata[event.metadata_id].name
                        milliseconds[name] += event.duration_ps / 1e9 / _CALLS
                        launches[name] += 1 / _CALLS
    return {name: (value, launches[name]) for name, value in milliseconds.items()}


def _cpu_ops(call: Callable[[], dict]) -> dict[str, tuple[float, float]]:
    """Op type to milliseconds and executions a call, from TensorFlow's run metadata; the call with the least counts."""
    from tensorflow.python.eager import context

    best, least = {}, float("inf")
    for _ in range(_CALLS):
        context.enable_run_metadata()
        _wait(call())
        metadata = context.export_run_metadata()
        context.disable_run_metadata()
        milliseconds, times = collections.Counter(), collections.Counter()
        for device in metadata.step_stats.dev_stats:
            for node in device.node_stats:
                op = node.timeline_label.partition(" = ")[2].partition("(")[0] or node.node_name
                milliseconds[op] += (node.op_end_rel_micros - node.op_start_rel_micros) / 1e3
                times[op] += 1
        if sum(milliseconds.values()) < least:
            least = sum(milliseconds.values())
            best = {op: (value, times[op]) for op, value in milliseconds.items()}
    return best


def _kind(name: str) -> str:
    """A kernel's kind, for adding up."""
    if "Memcpy" in name:
        return "copies between host and device"
    if "fprop" in name or "cudnn" in name:
        return "convolutions (cuDNN)"
    if "gemm" in name or "cutlass" in name:
        return "matrix products (cuBLAS)"
    if name.startswith("sort"):
        return "sort (XLA)"
    head, is_fusion, _ = name.partition("_fusion")
    return f"{head} fusions (XLA)" if is_fusion else name.partition("<")[0][:60]


if __name__ == "__main__":
    write(profile(sys.argv[1], tuple(map(int, sys.argv[3:]))), Path(sys.argv[2]))
