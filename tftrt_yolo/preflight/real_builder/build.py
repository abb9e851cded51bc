"""Recorded networks built by a real TensorRT, in a process of its own.

    for report in build(recording_dir, compute_capability="8.9", batch_sizes=(1, 8, 32)):
        report.builder, report.version, report.differences, report.plan_bytes

TF-TRT loads TensorRT 8.6.1, which cannot be installed without NVIDIA's own index and builds only on a GPU. What can be
asked anywhere is TensorRT-RTX: another product of the same makers, with the same layers and the same shape inference.
That it takes a network is no proof that 8.6.1 does, and nothing is run.
"""

from pathlib import Path

from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.preflight import recorded_network
from tftrt_yolo.preflight.real_builder import builders
from tftrt_yolo.preflight.real_builder.builder_report import BuilderReport, Refusal


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
      For each network a report, or why it was refused.

    Raises:
      ValueError: If batch_sizes or the strategy are out of their ranges.
      PreflightError: If no TensorRT is installed, it does not build for compute_capability, its
        process ends, or the recording is damaged.
    """
    options = TensorRTOptions(batch_sizes=batch_sizes, dynamic_shape_profile_strategy=dynamic_shape_profile_strategy)
    builder = builders.find()
    if builder is None:
        raise PreflightError(f"No TensorRT that can rebuild a network is installed here. {builders.REMEDY}")
    count = len(recorded_network.read(recording_dir))
    with Worker("tftrt_yolo.preflight.real_builder.engine") as worker:
        worker.start(
            recording_dir=Path(recording_dir).resolve(),
            builder=builder,
            compute_capability=compute_capability,
            batch_sizes=options.batch_sizes,
            strategy=options.strategy,
            in_half=in_half,
        )
        try:
            return tuple(worker.receive() for _ in range(count))
        except WorkerCrashedError as error:
            raise PreflightError(
                f"{builder} did not come to an end. Try smaller {argument('batch_sizes')} or another version of it, or "
                f"leave the real builder out. The process {error}"
            ) from error
