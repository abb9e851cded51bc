"""Measures one contestant after the other, and what the machine reaches at best.

    report = measure(plan, choose(None), images, print)

Who is measured stands in `contestants`, how in `protocol`; each contestant runs in a process of its own (`session`,
`runners`). The floor under the times is counted and measured in `floor`.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tftrt_yolo.benchmarking import machine, session
from tftrt_yolo.benchmarking.artifacts import Artifacts, Plan
from tftrt_yolo.benchmarking.contestants import Circumstances, Contestant, why_absent
from tftrt_yolo.benchmarking.floor.cost import Ceilings, Cost
from tftrt_yolo.benchmarking.protocol import FROM_JPEG
from tftrt_yolo.benchmarking.results.benchmark_report import BenchmarkReport
from tftrt_yolo.benchmarking.results.measurements import Absence, BenchmarkedModel
from tftrt_yolo.exporter.official import YAML_SUFFIXES
from tftrt_yolo.ground.environment import Environment
from tftrt_yolo.ground.errors import BenchmarkError
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.tasks.table import TASKS

_CEILING_SECONDS = 2.0
_NO_CEILING = {"INT8"}  # precisions in which no matrix product of TensorFlow's shows what the machine has
_ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def measure(
    plan: Plan, chosen: tuple[Contestant, ...], images: str | Path, on_progress: Callable[[str], None]
) -> BenchmarkReport:
    """Asks who can run, measures the machine's ceilings and then one contestant after the other.

    Args:
      plan: What is measured.
      chosen: Who is.
      images: An image, a folder of images or a glob, which fill the batches.
      on_progress: Called with a line before each step.

    Returns:
      The figures.

    Raises:
      ImageError: If there is no image or one cannot be read.
      BenchmarkError: If nothing could be measured.
    """
    num_images = _write_frames(plan, images)
    on_progress("looking at this machine")
    here = machine.describe()
    environment = _environment()
    circumstances = Circumstances(
        has_gpu=here.gpu is not None,
        tensorflow_sees_gpu=bool(environment.gpus),
        why_no_engines=environment.why_no_engines,
        has_weights=plan.weights is not None,
    )
    reasons = [why_absent(contestant, circumstances) for contestant in chosen]
    absent = [Absence(one.name, None, None, reason) for one, reason in zip(chosen, reasons, strict=True) if reason]
    runnable = [one for one, reason in zip(chosen, reasons, strict=True) if not reason]
    outcomes = []
    if runnable:
        costs, ceilings, why_no_floor = _measure_floor(plan, circumstances, runnable, on_progress)
        versions = (environment.tensorflow_version, environment.engine_runtime, environment.why_no_engines)
        artifacts = Artifacts(plan, machine_key=repr((here.cpu, here.cpu_flags, environment.gpus, versions)))
        decoding_limit = _measure_decoding(plan, runnable)
        outcomes = [session.run(contestant, artifacts, on_progress) for contestant in runnable]
    absent += [absence for outcome in outcomes for absence in outcome.absent]
    crashed = [outcome.crash for outcome in outcomes if outcome.crash]
    if not any(outcome.measurements for outcome in outcomes):
        lines = "\n  ".join([*map(str, absent), *(f"{crash.contestant} {crash.last_words}" for crash in crashed)])
        raise BenchmarkError(f"Nothing could be measured; expected at least one contestant that runs here:\n  {lines}")
    return BenchmarkReport(
        machine=here,
        model=_model(plan),
        batch_sizes=plan.batch_sizes,
        seconds=plan.seconds,
        num_images=num_images,
        contestants=tuple(outcome.run for outcome in outcomes if outcome.run),
        measurements=tuple(measurement for outcome in outcomes for measurement in outcome.measurements),
        absent=tuple(absent),
        crashed=tuple(crashed),
        costs=costs,
        ceilings=ceilings,
        why_no_floor=why_no_floor,
        decoding_limit=decoding_limit,
        budgets=tuple(outcome.budget for outcome in outcomes if outcome.budget),
    )


def _environment() -> Environment:
    """What TensorFlow finds here."""
    try:
        with Worker("tftrt_yolo.benchmarking.machine", environment={"TF_CPP_MIN_LOG_LEVEL": "3"}) as worker:
            worker.start()
            return worker.receive()
    except WorkerCrashedError as error:
        raise BenchmarkError(
            f"TensorFlow does not start here; `tftrt-yolo check` shows what is missing. Its process {error}"
        ) from error


def _measure_floor(
    plan: Plan, circumstances: Circumstances, runnable: list[Contestant], on_progress: Callable[[str], None]
) -> tuple[tuple[Cost, ...], Ceilings | None, str]:
    """Counts the network's costs and measures the ceilings; a failure of either is no reason to stop."""
    if circumstances.has_gpu and not circumstances.tensorflow_sees_gpu:
        return (), None, "TensorFlow sees no GPU here"
    on_progress("measuring the machine's ceilings")
    best = {"FP16"} if circumstances.has_gpu else {"FP32"}
    precisions = tuple(sorted(best | {contestant.precision for contestant in runnable} - _NO_CEILING))
    try:
        with Worker(
            "tftrt_yolo.benchmarking.floor.ceilings", environment={"TF_CPP_MIN_LOG_LEVEL": "3"}, keep_heap=False
        ) as meter:
            with Worker("tftrt_yolo.benchmarking.floor.count", environment=_ON_CPU) as counter:
                counter.start(saved_model_dir=str(plan.source.directory), batch_sizes=plan.batch_sizes)
                costs = tuple(counter.receive())
            meter.start(seconds=min(plan.seconds, _CEILING_SECONDS), precisions=precisions)
            return costs, meter.receive(), ""
    except WorkerCrashedError as error:
        return (), None, str(error)


def _measure_decoding(plan: Plan, runnable: list[Contestant]) -> float | None:
    """Files a second that can be decoded here; None where nobody starts from files, or that failed."""
    if not plan.jpeg_paths or not any(FROM_JPEG in contestant.modes for contestant in runnable):
        return None
    metadata = plan.source.metadata
    try:
        with Worker("tftrt_yolo.benchmarking.floor.decoding", environment=_ON_CPU) as worker:
            worker.start(
                jpeg_paths=plan.jpeg_paths,
                size_hw=metadata.image_size_hw,
                fit=TASKS[metadata.task].fit,
                seconds=min(plan.seconds, _CEILING_SECONDS),
            )
            return worker.receive()
    except WorkerCrashedError:  # the contestants, which read the same files, will say why
        return None


def _write_frames(plan: Plan, images: str | Path) -> int:
    """Letterboxes the pictures into plan.frames_path; returns how many there are."""
    from tftrt_yolo.benchmarking.inputs import read_frames  # with Pillow, which a command's help need not wait for

    frames = read_frames(images, plan.source.metadata.image_size_hw)
    np.save(plan.frames_path, frames)
    return len(frames)


def _model(plan: Plan) -> BenchmarkedModel:
    """What is measured."""
    weights = Path(plan.weights or plan.source.metadata.weights)
    return BenchmarkedModel(
        name=weights.stem,
        task=plan.source.metadata.task,
        image_size_hw=plan.source.metadata.image_size_hw,
        num_classes=len(plan.source.metadata.names),
        has_random_weights=weights.suffix in YAML_SUFFIXES,
    )
