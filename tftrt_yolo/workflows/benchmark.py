"""Benchmarks: how fast an export and its conversions are here, beside what else runs the same model.

    report = tftrt_yolo.benchmark("yolov8n_saved_model", "runs/benchmark", weights="yolov8n.pt")
    print(report)

It converts the export and has `benchmarking` measure what comes of it, which itself knows no converter.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from absl import logging

from tftrt_yolo.benchmarking.artifacts import Plan
from tftrt_yolo.benchmarking.benchmark_options import BenchmarkOptions
from tftrt_yolo.benchmarking.contest import measure
from tftrt_yolo.benchmarking.contestants import Contestant, choose
from tftrt_yolo.benchmarking.results import chart
from tftrt_yolo.benchmarking.results.benchmark_report import CSV_FILE, FILE, BenchmarkReport
from tftrt_yolo.converter.baked.baked_options import BakedOptions
from tftrt_yolo.converter.convert import convert
from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.exporter.official import YAML_SUFFIXES
from tftrt_yolo.ground import assets
from tftrt_yolo.ground.arguments import argument, check_batch_sizes, number
from tftrt_yolo.ground.files import directories
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import digests

_CONTENTS = directories.Contents(FILE, (CSV_FILE, chart.FILE))


def benchmark(
    saved_model_dir: str | Path,
    output_dir: str | Path,
    *,
    weights: str | Path | None = None,
    contestants: tuple[str, ...] | None = None,
    batch_sizes: tuple[int, ...] = (1, 8),
    seconds: float = 2.0,
    options: BenchmarkOptions | None = None,
    overwrite: bool = False,
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
      batch_sizes: Images a call; one that comes again is measured once.
      seconds: Length of each measurement: once for single calls, three times for calls without waiting.
      options: What is seldom given: other pictures, the peers' interpreter, where conversions are kept.
      overwrite: Replace the output of an earlier benchmark.
      on_progress: Called with a line before each step.

    Returns:
      Images per second, latencies, memory, and what they leave to the machine's ceilings.

    Raises:
      ValueError: If an argument is out of its range, a contestant is unknown, or weights has another name than
        what was exported.
      NotAnExportError: If saved_model_dir is a conversion.
      FileExistsError: If output_dir exists and overwrite is false.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      ImageError: If there is no image or one cannot be read.
      BenchmarkError: If nothing could be measured. Nothing is written then.
    """
    BenchmarkOptions.check_is("options", options)
    options = options or BenchmarkOptions()
    saved_model_dir, output_dir = Path(saved_model_dir), Path(output_dir)
    chosen = choose(contestants)
    batch_sizes, seconds = tuple(dict.fromkeys(check_batch_sizes(batch_sizes))), _check_seconds(seconds)
    peer_python = _check_interpreter(options.peer_python)
    directories.check_free(output_dir, _CONTENTS, overwrite=overwrite)
    source = open_saved_model(saved_model_dir).require_export("benchmark")
    digests.check(source)
    weights, images = _check_weights(weights, source), options.images or assets.PHOTO
    with tempfile.TemporaryDirectory(prefix="tftrt_yolo_") as folder:
        plan = Plan(
            source=source,
            weights=weights,
            batch_sizes=batch_sizes,
            seconds=seconds,
            frames_path=Path(folder) / "frames.npy",
            jpeg_paths=_jpegs(images),
            artifacts_dir=Path(options.artifacts_dir or Path(folder) / "artifacts"),
            peer_python=peer_python,
            convert=_convert,
            describe=_describe,
        )
        report = measure(plan, chosen, images, on_progress or (lambda line: None))
    with directories.written_whole(output_dir, _CONTENTS, overwrite=overwrite) as partial_dir:
        _write(report, partial_dir)
    return report


def _write(report: BenchmarkReport, output_dir: Path) -> None:
    """Writes the three files; without matplotlib there is no picture, and the log says so."""
    report.write(output_dir)
    report.write_csv(output_dir)
    if importlib.util.find_spec("matplotlib"):
        chart.write(report, output_dir / chart.FILE)
    else:
        logging.warning("benchmark.png is not drawn, for want of matplotlib: pip install tftrt_yolo[benchmark]")


def _jpegs(images: str | Path) -> tuple[str, ...]:
    """The JPEG files among the pictures."""
    from tftrt_yolo.benchmarking.inputs import find_jpegs  # with Pillow, which a command's help need not wait for

    return find_jpegs(images)


def _convert(source: SavedModelHandle, output_dir: Path, contestant: Contestant, batch_sizes: tuple[int, ...]) -> None:
    """Converts an export as a contestant wants it."""
    convert(source.directory, output_dir, **_wanted(contestant, batch_sizes))


def _wanted(contestant: Contestant, batch_sizes: tuple[int, ...]) -> dict:
    """How a contestant wants an export converted, as `convert`'s arguments."""
    accelerator = contestant.options["accelerator"]
    options = {}
    if accelerator == "tensorrt":
        options = {"tensorrt": TensorRTOptions(batch_sizes=batch_sizes)}
    elif accelerator == "xla":  # each is measured as it is, and not filled up
        options = {"baked": BakedOptions(batch_sizes=batch_sizes)}
    if contestant.precision == "INT8":  # of what the ranges are from does not change the speed
        options |= {"int8": Int8Options(calibration_data=assets.ACCEPTANCE / "images")}
    return {"accelerator": accelerator, "precision_mode": contestant.precision, **options}


def _describe(contestant: Contestant, batch_sizes: tuple[int, ...]) -> str:
    """The same in words, with what is left to TF-TRT's options to choose."""
    wanted = _wanted(contestant, batch_sizes)
    return f"{wanted} {wanted['tensorrt'].strategy if 'tensorrt' in wanted else ''}"


def _check_seconds(seconds: float) -> float:
    """A duration as a float; refuses one that cannot be measured."""
    length = number(seconds)
    if length is None or not 0 < length < float("inf"):
        raise ValueError(f"{argument('seconds')} is {seconds!r}; it must be a number above 0.")
    return length


def _check_weights(weights: str | Path | None, source: SavedModelHandle) -> str | None:
    """Refuses weights that are no file and no name of a model YAML, or that were not exported."""
    if weights is None:
        return None
    path = Path(weights)
    is_official_name = path.suffix in YAML_SUFFIXES and path.name == str(weights)
    if not path.is_file() and not is_official_name:
        raise ValueError(
            f"{argument('weights')} is {weights}, which is no file. Expected the .pt checkpoint or model YAML that "
            "was exported, or the official name of a model YAML, such as yolov8n.yaml."
        )
    exported, content = source.metadata.weights, source.metadata.weights_sha256
    is_named_alike = path.stem == Path(exported).stem
    has_changed = is_named_alike and content and path.is_file() and directories.file_sha256(path) != content
    if not is_named_alike or has_changed:
        raise ValueError(
            f"{argument('weights')} is {weights}, but {argument('saved_model_dir')} was exported from "
            f"{'a file of that name with other content' if has_changed else exported}. Give the file that was "
            "exported, or export this one: the peers would run another model."
        )
    return str(path.resolve()) if path.is_file() else str(weights)


def _check_interpreter(peer_python: str | Path | None) -> str | None:
    """Finds the peers' interpreter; its links are not followed, for a virtual environment's is a link."""
    if peer_python is None:
        return None
    found = shutil.which(str(peer_python))
    if found is None:
        raise ValueError(
            f"{argument('peer_python')} is {peer_python}, which is no program. Expected a Python interpreter, such as "
            "/opt/pytorch/bin/python."
        )
    return str(Path(found).absolute())
