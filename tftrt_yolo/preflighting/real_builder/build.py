"""Recorded networks built by a real TensorRT, in a process of its own.

    for said in build(recording_dir, compute_capability="8.9", batch_sizes=(1, 8, 32)):
        print(said)                 # a BuilderReport, or a Refusal

TensorFlow's wheels load TensorRT 8.6.1, which cannot be installed without NVIDIA's own index and builds only on a GPU.
What can be asked anywhere is TensorRT-RTX: another product of the same makers, with the same layers and the same shape
inference. That it takes a network is no proof that 8.6.1 does, and nothing is run.
"""

import contextlib
from pathlib import Path

from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.real_builder import builders
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport, Refusal
from tftrt_yolo.preflighting.real_builder.engine import Order


def build(
    recording_dir: str | Path,
    *,
    compute_capability: str | None = None,
    batch_sizes: tuple[int, ...] = (1, 8, 32),
    in_half: bool | None = False,
) -> tuple[BuilderReport | Refusal, ...]:
    """Rebuilds recorded networks in the installed TensorRT, compares every tensor, and builds engines.

    The engines are thrown away. TensorRT 8.6.1 itself is not asked.

    Args:
      recording_dir: Where network.json and weights.bin lie.
      compute_capability: Of the GPU to build for, such as "8.9"; TensorRT-RTX 1.7 knows 7.5, 8.0, 8.6, 8.9, 12.0 and
        12.1. None for "8.9"; with TensorRT itself it must be None, for it builds for the GPU that is here.
      batch_sizes: Batch sizes from the least to the largest of which the engine gets one optimisation profile.
      in_half: Whether to put the network into FP16 first. A network that TensorRT 8.6 is to run in FP16 has FP32 types
        and a flag; strongly typed builders have no such flag and build the types that they are given. INT8 networks
        have INT8 in their types and are built as they are. None for FP16 in those networks that quantise nothing.

    Returns:
      For each network a report, or the refusal of it: TensorRT's own words, how its process ended, or what keeps it
      from working on this machine.

    Raises:
      ValueError: If batch_sizes are out of their range.
      PreflightError: If no TensorRT is installed, it does not build for compute_capability, or the recording is
        damaged.
    """
    options = TensorRTOptions(batch_sizes=batch_sizes)
    order = Order(_installed(), compute_capability, options.batch_sizes, in_half)
    count, said = len(recorded_network.read(recording_dir)), []
    while len(said) < count:  # once, but for one that ends the process
        with Worker("tftrt_yolo.preflighting.real_builder.engine") as worker:
            worker.start(recording_dir=Path(recording_dir).resolve(), order=order, first=len(said))
            try:
                while len(said) < count:
                    said.append(worker.receive())
            except WorkerCrashedError as error:
                remedy = f"Try smaller {argument('batch_sizes')}. {order.builder.how_to_leave_out}"
                said.append(Refusal(f"{order.builder} did not come to an end. {remedy} The process {error}"))
    return tuple(said)


def check_target(compute_capability: str | None) -> None:
    """Refuses a GPU that no engine can be built for here; takes seconds, and belongs before all that takes minutes.

    A TensorRT that is installed and does not work passes: `build` tells of it, and keeps nothing from being done.

    Args:
      compute_capability: As `build`; None needs no check.

    Raises:
      PreflightError: If no TensorRT is installed that builds, or it does not build for this GPU.
    """
    if compute_capability is None:
        return
    builder = _installed()
    with Worker("tftrt_yolo.preflighting.real_builder.target") as worker, contextlib.suppress(WorkerCrashedError):
        worker.start(builder=builder, compute_capability=compute_capability)
        worker.receive()


def _installed() -> builders.Builder:
    """The TensorRT that is asked.

    Raises:
      PreflightError: If there is none.
    """
    builder = builders.find()
    if builder is None:
        raise PreflightError(f"No TensorRT that can rebuild a network is installed here. {builders.INSTALL}")
    return builder
