"""Conversion: from a SavedModel to a faster one, by TF-TRT, XLA or oneDNN.

    report = tftrt_yolo.convert("yolov8n_saved_model", "yolov8n_tensorrt_saved_model")
    report.engines, report.coverage, report.engines_built
    report = tftrt_yolo.convert("yolov8n_saved_model", "yolov8n_xla_saved_model", accelerator="xla")
    report.parity

The second stage of the flow: it reads what `export` wrote, and `Predictor` runs what it writes. Only signature
`network` is converted; every other signature is built around the converted one (saved_model.write).
"""

import time
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.converter.accelerators import ACCELERATORS, check_precision
from tftrt_yolo.converter.baked.baked_options import BakedOptions
from tftrt_yolo.converter.conversion_report import ConversionReport
from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.exporter import export_report
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.workers import progress
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.tasks.table import TASKS


def convert(
    saved_model_dir: str | Path,
    output_saved_model_dir: str | Path,
    *,
    accelerator: str = "tensorrt",
    precision_mode: str | None = None,
    tensorrt: TensorRTOptions | None = None,
    int8: Int8Options | None = None,
    baked: BakedOptions | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConversionReport:
    """Converts a SavedModel for TensorRT, XLA or oneDNN.

    "tensorrt" is TF-TRT's TrtGraphConverterV2. With a GPU and the TensorRT that TensorFlow was built against, which
    for its wheels is 8.6.1, the engines are built, saved, loaded again and run. Elsewhere the same conversion is
    done without building; the report says so, and TensorRT builds the engines at first use. "xla" is for GPUs
    without TensorRT: the precision is baked into the graph, and XLA compiles network and selection together, a few
    seconds for each batch size; the SavedModel itself fills batches up to a few sizes. "onednn" is for CPUs: the
    precision is baked, and TensorFlow's own kernels run it. These two are compared with the export on images.

    INT8 puts quantisations with scales from calibration images into the graph, for TensorRT to run in INT8 and for
    TensorFlow to compute alike anywhere: `evaluate` gives its accuracy before there is a GPU. With onednn the
    convolutions themselves are of integers, which CPUs with VNNI or AMX multiply faster.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      output_saved_model_dir: Directory to write. Ultralytics' YOLO(...) loads it too if its name holds "_saved_model".
      accelerator: "tensorrt", "xla" or "onednn".
      precision_mode: "FP32", "FP16" or "INT8" for tensorrt; "FP32", "FP16" or "BF16" for xla; "FP32", "BF16" or
        "INT8" for onednn. None for FP16, with onednn for FP32.
      tensorrt: Options of TF-TRT; with tensorrt only.
      int8: What INT8 is calibrated with, and how accurate it must be; with INT8 only.
      baked: Options of XLA and oneDNN; with these only.
      overwrite: Replace a SavedModel that is already there.
      on_progress: Called with the calibration images that are done and their total; each counts as often as it is
        run: for tensorrt three times, with filters rounded to the nearest steps twice, for onednn once. Other
        precisions report nothing, nor does calibration by "tensorrt".

    Returns:
      An EngineReport (engines, coverage, what stayed in TensorFlow and why) or a BakedReport (precision, parity).

    Raises:
      ValueError: If an argument is out of its range, or makes no sense with this accelerator, or an element of a data
        set to calibrate with is no image.
      TypeError: If options are of another type, or calibration_data is neither a path nor a data set.
      FileExistsError: If output_saved_model_dir exists and overwrite is false.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      ImageError: If baked.parity_images are none, or one cannot be read, or no calibration image can.
      SensitivityError: If a sensitivity report that names layers to stay in float cannot be read.
      DatasetError: If evaluation_data, or a data.yaml to calibrate with, cannot be used.
      TensorRTUnavailableError: If this TensorFlow was built without TensorRT; or calibration is "tensorrt", and engines
        cannot be built here.
      ConversionError: If there is no engine, the coverage is too small, a built engine does not run, the precision was
        not taken everywhere, onednn is asked for BF16 or INT8 and this CPU has no instructions for it, calibration is
        "trained" and not every convolution was trained with a range, the calibration images say nothing about a layer's
        range, layers that are to stay in float are unknown or leave nothing to quantise, or INT8 loses more than
        maximum_map_drop or shifts scores by more than maximum_score_shift.
    """
    start = time.perf_counter()
    precision_mode = check_precision(accelerator, precision_mode)
    for name, value, options in (
        ("tensorrt", tensorrt, TensorRTOptions),
        ("int8", int8, Int8Options),
        ("baked", baked, BakedOptions),
    ):
        options.check_is(name, value)
    kind = ACCELERATORS[accelerator]
    int8 = _check_int8(int8, precision_mode, accelerator)
    arguments = kind.check(accelerator, tensorrt, baked)
    output_saved_model_dir = Path(output_saved_model_dir)
    source = _check_directories(Path(saved_model_dir), output_saved_model_dir, overwrite=overwrite)
    task = TASKS[source.metadata.task]
    if int8 and int8.maximum_score_shift is not None and task.gives_map:
        raise ValueError(
            f"{argument('maximum_score_shift')} is for models that give scores, and {source.given} is {task.kind}. "
            f"Leave it out; {argument('maximum_map_drop')} limits what its figures lose."
        )
    with (
        directories.written_whole(output_saved_model_dir, contract.SAVED_MODEL, overwrite=overwrite) as partial_dir,
        Worker(kind.module, environment=kind.environment) as worker,
    ):
        if int8:
            arguments["quantization"] = int8.quantization(worker.folder)
        worker.start(source=source, output_dir=partial_dir.resolve(), precision_mode=precision_mode, **arguments)
        found = _finish(worker, kind.crash_hint, on_progress)
        report = kind.report(
            saved_model_dir=str(saved_model_dir),
            output_saved_model_dir=str(output_saved_model_dir),
            accelerator=accelerator,
            precision_mode=precision_mode,
            **found,
            seconds=time.perf_counter() - start,
        )
        report.write(partial_dir)
        export_report.keep(source, partial_dir)
        digests.seal(partial_dir, source.metadata)
    return report


def _check_int8(options: Int8Options | None, precision_mode: str, accelerator: str) -> Int8Options | None:
    """INT8's options, checked; None for another precision, for which there must be none."""
    if precision_mode == "INT8":
        options = options or Int8Options()
        options.check(accelerator)
    elif options is not None:
        options.refuse("INT8", f"{argument('precision_mode')} is {precision_mode}")
    return options


def _check_directories(saved_model_dir: Path, output_saved_model_dir: Path, *, overwrite: bool) -> SavedModelHandle:
    """Opens the source; refuses one that is no export, and an output that is in the way."""
    if output_saved_model_dir.resolve() == saved_model_dir.resolve():
        raise ValueError(
            f"{argument('output_saved_model_dir')} is {argument('saved_model_dir')}, {saved_model_dir}. Choose another "
            "directory."
        )
    directories.check_free(output_saved_model_dir, contract.SAVED_MODEL, overwrite=overwrite)
    source = open_saved_model(saved_model_dir).require_export("convert")
    digests.check(source)
    return source


def _finish(worker: Worker, crash_hint: str, on_progress: Callable[[int, int], None] | None) -> dict:
    """Waits for the conversion, passes its progress on, and says what a crash of it means."""
    try:
        return progress.result_of(worker, on_progress)
    except WorkerCrashedError as error:
        hint = crash_hint
        if error.is_disk_full:
            hint = "Free some space, or write to another disk"
        elif error.is_gpu_full:
            hint = "The GPU has no memory left: end what else uses it (`nvidia-smi` lists it)"
        raise ConversionError(f"The conversion did not come to an end. {hint}. The process {error}") from error
