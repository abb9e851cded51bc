"""Sensitivity: which convolutions are to blame for what INT8 loses.

    report = tftrt_yolo.sensitivity("yolov8n_saved_model", "coco8.yaml", output_dir="runs/sensitivity")
    print(report)
    report.costliest(3), report.all_layers["scores"].mean

Beside the flow: it reads what `export` wrote and calibrates as `convert` does, but converts nothing. `layer_costs`
measures, in a process of its own, on the graph that `switched` builds; `sensitivity_report` and `sensitivity_chart`
show it.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tftrt_yolo.converter.int8.histogram import METHODS
from tftrt_yolo.converter.int8.in_float.sensitivity_report import CSV_FILE, FILE, SensitivityReport
from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.ground.arguments import argument, check_at_least_one
from tftrt_yolo.ground.errors import SensitivityError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.workers import progress
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.layer_sensitivity import sensitivity_chart
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.trust import digests

_CONTENTS = directories.Contents(FILE, (CSV_FILE, sensitivity_chart.FILE))


def sensitivity(
    saved_model_dir: str | Path,
    calibration_data: str | Path | Iterable,
    *,
    calibration: str | None = None,
    rounding: str | None = None,
    calibration_cache_dir: str | Path | None = None,
    images: int = 8,
    output_dir: str | Path | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> SensitivityReport:
    """Measures what quantising each convolution alone costs, and all together.

    Each layer's filter and input are quantised as `convert` does it for INT8, the rest of the network stays in float32,
    and the dense outputs are compared with those of the unquantised network. The report ranks the layers, and `convert`
    can leave its costliest in float (Int8Options.sensitivity_report), in an engine of their own. Calibration with more
    images or another method may do as much, which the row of all layers shows; otherwise use FP16.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      calibration_data: As `convert` takes it: images like those that the model is to see, as an image, a folder, a
        glob, a data.yaml or, from Python, a tf.data.Dataset.
      calibration: How an activation's range is chosen: "max" (what None means), "percentile" or "mse".
      rounding: How filters are rounded, as `convert` takes it: "calibrated" (what None means) or "nearest".
      calibration_cache_dir: As `convert` takes it; what it measured is used here, and the other way round.
      images: How many of the calibration images to measure on, evenly spread; the time grows with them.
      output_dir: Directory to write: sensitivity.json, sensitivity.csv and sensitivity.png; none to write nothing.
      overwrite: Replace an earlier report that is already there.
      on_progress: Called with what is done and the total: first of the calibration's images, each of which counts
        once a pass, then of the runs of the network.

    Returns:
      The layers in the order of the graph with their differences and costs, and those of all layers together.

    Raises:
      ValueError: If an argument is out of its range, or an element of a data set is no image.
      TypeError: If calibration_data is neither a path nor a data set.
      FileExistsError: If output_dir exists and overwrite is false.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      ImageError: If there is no calibration image, or none can be read.
      DatasetError: If a data.yaml to calibrate with cannot be used.
      ConversionError: If the model is a conversion or is quantised already, or the calibration images say nothing about
        a layer's range.
      SensitivityError: If nothing is found on the images, or the measurement's process ends.
    """
    start = time.perf_counter()
    if calibration is not None and calibration not in METHODS:
        raise ValueError(f"{argument('calibration')} is {calibration!r}; known are {', '.join(METHODS)}.")
    options = Int8Options(
        calibration_data=calibration_data,
        calibration=calibration,
        rounding=rounding,
        calibration_cache_dir=calibration_cache_dir,
    )
    options.check("tensorrt")
    images = check_at_least_one("images", images)
    if output_dir is not None:
        directories.check_free(Path(output_dir), _CONTENTS, overwrite=overwrite)
    source = open_saved_model(saved_model_dir).require_export("measure")
    digests.check(source)
    with Worker("tftrt_yolo.layer_sensitivity.layer_costs", keep_heap=False) as worker:
        chosen = options.quantization(worker.folder).calibration
        worker.start(source=source, calibration=chosen, images=images)
        found = _finish(worker, on_progress)
    report = SensitivityReport(saved_model_dir=str(saved_model_dir), **found, seconds=time.perf_counter() - start)
    if output_dir is not None:
        _write(report, Path(output_dir), overwrite=overwrite)
    return report


def _finish(worker: Worker, on_progress: Callable[[int, int], None] | None) -> dict:
    """Passes progress on until the result comes, and says what a crash means."""
    try:
        return progress.result_of(worker, on_progress)
    except WorkerCrashedError as error:
        raise SensitivityError(
            "The measurement did not come to an end. It holds the weights several times over; see whether there was "
            f"memory for that. The process {error}"
        ) from error


def _write(report: SensitivityReport, output_dir: Path, *, overwrite: bool) -> None:
    """Writes the report and its picture."""
    with directories.written_whole(output_dir, _CONTENTS, overwrite=overwrite) as partial_dir:
        report.write(partial_dir)
        sensitivity_chart.write(report, partial_dir / sensitivity_chart.FILE)
