"""Benchmarks: how fast an export and its conversions are here, beside what else runs the same model.

    report = tftrt_yolo.benchmark("yolov8n_saved_model", "runs/benchmark", weights="yolov8n.pt")
    print(report)

Beside the flow of export, convert and predict: it calls them, and none of them knows it. Who is measured stands in
`contestants`, how in `protocol`; each contestant runs in a process of its own (`session`, `runners`). The floor under
the times is counted in `graph` and measured in `ceilings`. `report` is what is written, `page` makes the repository's
benchmark pages of it.
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo import contract, directories
from tftrt_yolo.environment import Environment
from tftrt_yolo.errors import BenchmarkError
from tftrt_yolo.measure import machine, session
from tftrt_yolo.measure.artifacts import Artifacts, Plan
from tftrt_yolo.measure.contestants import Circumstances, Contestant, choose, why_absent
from tftrt_yolo.measure.floor import Ceilings, Cost
from tftrt_yolo.measure.report import FILE, Absence, BenchmarkReport, Model
from tftrt_yolo.showcase import PHOTO
from tftrt_yolo.worker import Worker, WorkerCrashedError

_CEILING_SECONDS = 2.0
_YAML = (".yaml", ".yml")
_ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def benchmark(
    saved_model_dir: str | Path,
    output_dir: str | Path,
    *,
    weights: str | Path | None = None,
    contestants: tuple[str, ...] | None = None,
    batch_sizes: tuple[int, ...] = (1, 8),
    seconds: float = 2.0,
    images: str | Path | None = None,
    peer_python: str | Path | None = None,
    artifacts_dir: str | Path | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> BenchmarkReport:
    """Measures an exported SavedModel, its conversions and its peers, each in a process of its own.

    A contestant that cannot run here is reported with the reason, one that crashes with its last words; the others
    go on.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      output_dir: Directory to write: benchmark.json, benchmark.csv and benchmark.png.
      weights: The checkpoint or model YAML that was exported, for the peers: PyTorch, Ultralytics, ONNX Runtime and
        OpenVINO. Without it they are absent.
      contestants: Names of those to measure, such as xla-fp16,pytorch-compile-fp16; none for all.
      batch_sizes: Images a call.
      seconds: Length of each measurement: once for single calls, three times for calls without waiting.
      images: An image, a folder of images or a glob, of which the first 64 fill the batches, letterboxed beforehand;
        none for the packaged photo.
      peer_python: Python interpreter that has PyTorch, Ultralytics, ONNX Runtime or OpenVINO, where this one does not.
        It gets neither PYTHONPATH nor LD_LIBRARY_PATH nor XLA_FLAGS of this process; the environment variable
        TFTRT_YOLO_PEER_PYTHONPATH is its PYTHONPATH.
      artifacts_dir: Folder in which conversions and Ultralytics' exports are looked for and kept; none for a temporary
        one.
      on_progress: Called with a line before each step.

    Returns:
      Images per second, latencies, memory, and what they leave to the machine's ceilings.

    Raises:
      ValueError: If an argument is out of its range, a contestant is unknown, saved_model_dir is a conversion, or
        weights has another name than what was exported.
      FileExistsError: If output_dir exists.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      ImageError: If there is no image or one cannot be read.
      BenchmarkError: If nothing could be measured. Nothing is written then.
    """
    on_progress = on_progress or (lambda line: None)
    saved_model_dir, output_dir = Path(saved_model_dir), Path(output_dir)
    chosen = choose(contestants)
    batch_sizes = _check_numbers(batch_sizes, seconds)
    peer_python = _check_interpreter(peer_python)
    directories.check_free(output_dir, overwrite=False, marker=FILE)
    metadata = contract.read_metadata(saved_model_dir)
    if (saved_model_dir / contract.CONVERSION_FILE).exists():
        raise ValueError(
            f"{saved_model_dir} is a conversion. Give the export that it was made of; benchmark converts it itself."
        )
    weights = _check_weights(weights, metadata.weights)
    with contextlib.ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="tftrt_yolo_")))
        plan = Plan(
            saved_model_dir=saved_model_dir,
            metadata=metadata,
            weights=weights,
            batch_sizes=batch_sizes,
            seconds=seconds,
            frames_path=folder / "frames.npy",
            artifacts_dir=Path(artifacts_dir) if artifacts_dir else folder / "artifacts",
            peer_python=peer_python,
        )
        num_images = _write_frames(plan, images or PHOTO)
        report = _measure_all(plan, chosen, num_images, on_progress)
        _write(report, output_dir)
    return report


def _measure_all(
    plan: Plan, chosen: tuple[Contestant, ...], num_images: int, on_progress: Callable[[str], None]
) -> BenchmarkReport:
    """Asks who can run, measures the machine's ceilings and then one contestant after the other."""
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
        artifacts = Artifacts(plan, machine_key=f"{here.cpu} {environment.gpus} {environment.tensorflow_version}")
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
    )


def _environment() -> Environment:
    """What TensorFlow finds here."""
    try:
        with Worker("tftrt_yolo.measure.machine", environment={"TF_CPP_MIN_LOG_LEVEL": "3"}) as worker:
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
    precisions = tuple(sorted(best | {contestant.precision for contestant in runnable}))
    try:
        with Worker("tftrt_yolo.measure.ceilings", environment={"TF_CPP_MIN_LOG_LEVEL": "3"}, keep_heap=False) as meter:
            with Worker("tftrt_yolo.measure.graph", environment=_ON_CPU) as counter:
                counter.start(saved_model_dir=str(plan.saved_model_dir.resolve()), batch_sizes=plan.batch_sizes)
                costs = tuple(counter.receive())
            meter.start(seconds=min(plan.seconds, _CEILING_SECONDS), precisions=precisions)
            return costs, meter.receive(), ""
    except WorkerCrashedError as error:
        return (), None, str(error)


def _write_frames(plan: Plan, images: str | Path) -> int:
    """Letterboxes the pictures into plan.frames_path; returns how many there are."""
    import numpy as np

    from tftrt_yolo.measure.inputs import read_frames

    frames = read_frames(images, plan.metadata.image_size_hw)
    np.save(plan.frames_path, frames)
    return len(frames)


def _write(report: BenchmarkReport, output_dir: Path) -> None:
    """Writes the three files; without matplotlib there is no picture, and the log says so."""
    import importlib.util

    from absl import logging

    from tftrt_yolo.measure import chart

    has_matplotlib = importlib.util.find_spec("matplotlib") is not None
    if not has_matplotlib:
        logging.warning("benchmark.png is not drawn, for want of matplotlib: pip install tftrt_yolo[benchmark]")
    with directories.written_whole(output_dir, overwrite=False, marker=FILE) as partial_dir:
        report.write(partial_dir)
        report.write_csv(partial_dir)
        if has_matplotlib:
            chart.write(report, partial_dir / chart.FILE)


def _model(plan: Plan) -> Model:
    """What is measured."""
    weights = Path(plan.weights or plan.metadata.weights)
    return Model(
        name=weights.stem,
        task=plan.metadata.task,
        image_size_hw=plan.metadata.image_size_hw,
        num_classes=len(plan.metadata.names),
        has_random_weights=weights.suffix in _YAML,
    )


def _check_numbers(batch_sizes: tuple[int, ...], seconds: float) -> tuple[int, ...]:
    """Refuses batch sizes and a duration that cannot be measured; returns the batch sizes, each once."""
    if isinstance(batch_sizes, (int, str)) or not batch_sizes:
        raise ValueError(f"batch_sizes is {batch_sizes!r}; expected one or more whole numbers, such as (1, 8).")
    for batch_size in batch_sizes:
        contract.check_at_least_one("batch_sizes", batch_size)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
        raise ValueError(f"seconds is {seconds!r}; it must be a number above 0.")
    return tuple(dict.fromkeys(batch_sizes))


def _check_weights(weights: str | Path | None, exported: str) -> str | None:
    """Refuses weights that are no file and no name of a model YAML, or that were not exported."""
    if weights is None:
        return None
    path = Path(weights)
    is_official_name = path.suffix in _YAML and path.name == str(weights)
    if not path.is_file() and not is_official_name:
        raise ValueError(
            f"weights is {weights}, which is no file. Expected the .pt checkpoint or model YAML that was exported, or "
            "the official name of a model YAML, such as yolov8n.yaml."
        )
    if path.stem != Path(exported).stem:
        raise ValueError(
            f"weights is {weights}, but saved_model_dir was exported from {exported}. Give the file that was exported, "
            "or export this one: the peers would run another model."
        )
    return str(path.resolve()) if path.is_file() else str(weights)


def _check_interpreter(peer_python: str | Path | None) -> str | None:
    """Finds the peers' interpreter; its links are not followed, for a virtual environment's is a link."""
    import shutil

    if peer_python is None:
        return None
    found = shutil.which(str(peer_python))
    if found is None:
        raise ValueError(
            f"peer_python is {peer_python}, which is no program. Expected a Python interpreter, such as "
            "/opt/pytorch/bin/python."
        )
    return str(Path(found).absolute())
