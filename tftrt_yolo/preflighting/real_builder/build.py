"""Recorded networks built by a real TensorRT, in a process of its own.

    for said in build(recording_dir, compute_capability="8.9", batch_sizes=(1, 8, 32)):
        print(said)                 # a BuilderReport, or a Refusal

TF-TRT loads TensorRT 8.6.1, which cannot be installed without NVIDIA's own index and builds only on a GPU. What can be
asked anywhere is TensorRT-RTX: another product of the same makers, with the same layers and the same shape inference.
That it takes a network is no proof that 8.6.1 does, and nothing is run.
"""

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
    dynamic_shape_profile_strategy: str | None = "Range",
    in_half: bool = False,
) -> tuple[BuilderReport | Refusal, ...]:
    """Rebuilds recorded networks in the installed TensorRT, compares every tensor, and builds engines.

    The engines are thrown away. TensorRT 8.6.1 itself is not asked.

    Args:
      recording_dir: Where network.json and weights.bin lie.
      compute_capability: Of the GPU to build for, such as "8.9"; TensorRT-RTX 1.7 knows 7.5, 8.0, 8.6, 8.9, 12.0 and
        12.1. None for "8.9"; with TensorRT itself it must be None, for it builds for the GPU that is here.
      batch_sizes: Batch sizes for the optimisation profiles.
      dynamic_shape_profile_strategy: "Range", "Optimal" or "Range+Optimal"; None for what a conversion takes. With
        three sizes "Range+Optimal" makes four profiles, and takes up to three times as long as "Range", which covers
        the same sizes.
      in_half: Whether to put the network into FP16 first. A network that TensorRT 8.6 is to run in FP16 has FP32 types
        and a flag; strongly typed builders have no such flag and build the types that they are given. INT8 networks
        have INT8 in their types and are built as they are.

    Returns:
      For each network a report, or the refusal of it: TensorRT's own words, or how its process ended.

    Raises:
      ValueError: If batch_sizes or the strategy are out of their ranges.
      PreflightError: If no TensorRT is installed or it cannot work here, it does not build for compute_capability, or
        the recording is damaged.
    """
    options = TensorRTOptions(batch_sizes=batch_sizes, dynamic_shape_profile_strategy=dynamic_shape_profile_strategy)
    builder = builders.find()
    if builder is None:
        raise PreflightError(f"No TensorRT that can rebuild a network is installed here. {builders.REMEDY}")
    order = Order(compute_capability, options.batch_sizes, options.strategy, in_half)
    count, said = len(recorded_network.read(recording_dir)), []
    while len(said) < count:  # once, but for one that ends the process
        with Worker("tftrt_yolo.preflighting.real_builder.engine") as worker:
            worker.start(recording_dir=Path(recording_dir).resolve(), builder=builder, order=order, first=len(said))
            try:
                while len(said) < count:
                    said.append(worker.receive())
            except WorkerCrashedError as error:
                remedy = (
                    f"Try smaller {argument('batch_sizes')}, another version of it, or do without the real builder."
                )
                said.append(Refusal(f"{builder} did not come to an end. {remedy} The process {error}"))
    return tuple(said)
