"""An ONNX file: the network of an export for TensorRT 10 and 11, trtexec, ONNX Runtime, DeepStream.

    report = tftrt_yolo.write_onnx("yolov8n_saved_model", "yolov8n.onnx", precision_mode="FP16")
    print(report)

Beside the flow: signature `network` of the export, decode included, is drawn anew in ONNX's operators, channels first,
and run in ONNX Runtime beside TensorFlow. INT8 is calibrated as `convert` does it, and its integers are the same.
"""

import importlib.util
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tftrt_yolo.contract import PRECISION_MODES
from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.ground import stages
from tftrt_yolo.ground.arguments import argument, setting
from tftrt_yolo.ground.errors import OnnxError, TensorRTUnavailableError
from tftrt_yolo.ground.files import single_files
from tftrt_yolo.ground.text import listed, shown
from tftrt_yolo.ground.workers import progress
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.onnx_twin import onnx_file
from tftrt_yolo.onnx_twin.onnx_options import NETWORK, ULTRALYTICS, OnnxOptions
from tftrt_yolo.onnx_twin.onnx_report import OnnxReport, ParsedReport
from tftrt_yolo.preflighting.real_builder import builders
from tftrt_yolo.preflighting.real_builder.build import check_target
from tftrt_yolo.preflighting.real_builder.engine import Order
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import digests

_TENSORRT = "tensorrt"  # a calibration of convert's
_TOOLS = ("onnx", "onnxruntime")
_BUILT_FOR = (1, 8)  # batch sizes
_REMEDY = "Give another opset or precision mode, or file an issue with the model's architecture."
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1"}  # both sides compute on the CPU, and no GPU's memory is taken


def write_onnx(
    saved_model_dir: str | Path,
    onnx_path: str | Path,
    *,
    precision_mode: str = "FP32",
    calibration_data: str | Path | Iterable | None = None,
    calibration: str | None = None,
    options: OnnxOptions | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> OnnxReport:
    """Writes the network of an export as an ONNX file, and runs it beside TensorFlow.

    It takes `images` (batch, 3, height, width), RGB in [0, 1], letterboxed, and gives the outputs of signature
    `network` under their names and in their shapes. Inputs and outputs are float32 in every precision; the batch is
    open. Selection is not in it.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      onnx_path: File to write; its name ends with .onnx.
      precision_mode: "FP32"; "FP16", strongly typed: all but the decode, whose pixels FP16 would round; or "INT8",
        with QuantizeLinear and DequantizeLinear at every convolution, as the SavedModel of `convert` has it.
      calibration_data: For INT8, as `convert` takes it.
      calibration: For INT8, how an activation's range is chosen: "max", "percentile" or "mse", or by the training with
        "trained", as `convert` takes it.
      options: The file's form.
      overwrite: Replace an ONNX file of ours that is already there.
      on_progress: Called with the calibration images that are done and their total; each counts three times, for
        they are run three times. Other precisions report nothing.

    Returns:
      What is in the file, and the largest differences to TensorFlow; `faults` is empty if all is well.

    Raises:
      ValueError: If an argument is out of its range, or an element of a data set is no image.
      TypeError: If calibration_data is neither a path nor a data set, or options are of another type.
      FileExistsError: If onnx_path exists and overwrite is false, or is no ONNX file of ours.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      NotAnExportError: If it was converted.
      ImageError: If no calibration image can be read.
      DatasetError: If a data.yaml to calibrate with cannot be used.
      ConversionError: If the network cannot be quantised, the calibration images say nothing about its ranges, or
        layers that are to stay in float are unknown or leave nothing to quantise.
      SensitivityError: If options.sensitivity_report cannot be read.
      ParityError: If FP32 differs from TensorFlow by more than float32 explains. Nothing is left behind then.
      TensorRTUnavailableError: If options.build is given, and no TensorRT is installed that builds.
      PreflightError: If it does not build for options.compute_capability.
      OnnxError: If ONNX or ONNX Runtime is not installed, the opset is too old for what is asked, the network holds
        what is not translated, or the file is refused by ONNX's checker, ONNX Runtime or TensorRT.
    """
    start, path = time.perf_counter(), Path(onnx_path)
    OnnxOptions.check_is("options", options)
    options = options or OnnxOptions()
    precision_mode, int8 = _checked(precision_mode, calibration_data, calibration, options)
    options.floats(precision_mode)
    _check_suffix(path)
    single_files.check_free(path, onnx_file.is_ours, overwrite=overwrite)
    source = open_saved_model(saved_model_dir).require_export("translate")
    digests.check(source)
    _check_layout(options, source)
    _check_tools()
    order = _order(options)
    with (
        single_files.written_whole(path, onnx_file.is_ours, overwrite=overwrite) as partial,
        Worker("tftrt_yolo.onnx_twin.twin_worker", environment=_ENVIRONMENT) as worker,
    ):
        worker.start(
            source=source,
            onnx_path=partial.resolve(),
            precision_mode=precision_mode,
            options=options,
            calibration_images=int8.quantization(worker.folder).calibration if int8 else None,
        )
        found = _finish(worker, on_progress)
        built = _built(partial.resolve(), order) if order else None
        return OnnxReport(
            onnx_path=path,
            saved_model_dir=source.given,
            task=source.metadata.task,
            precision_mode=precision_mode,
            opset=options.opset,
            layout=options.layout,
            built=built,
            file_bytes=partial.stat().st_size,
            seconds=time.perf_counter() - start,
            **found,
        )


def _checked(
    precision_mode: str, calibration_data: object, calibration: str | None, options: OnnxOptions
) -> tuple[str, Int8Options | None]:
    """The precision, and for INT8 how to calibrate, and what not to quantise."""
    mode, known = str(precision_mode).upper(), PRECISION_MODES["tensorrt"]
    if mode not in known:
        raise ValueError(f"{argument('precision_mode')} is {precision_mode!r}; known are {', '.join(known)}.")
    if calibration == _TENSORRT:
        raise ValueError(
            f"{argument('calibration')} is {_TENSORRT!r}, which is TF-TRT's own calibrator and puts no ranges into the "
            "graph. Leave it out, or choose max, percentile, mse or trained."
        )
    if mode == "INT8":
        int8 = Int8Options(calibration_data=calibration_data, calibration=calibration, **options.in_float)
        int8.check("tensorrt")
        return mode, int8
    given = {"calibration_data": calibration_data, "calibration": calibration, **options.in_float}
    for name, value in (given | {"float_layers": options.float_layers or None}).items():
        if value is not None:
            raise ValueError(
                f"{argument(name)} is for INT8, and {argument('precision_mode')} is {mode}. Leave one of them out."
            )
    return mode, None


def _check_suffix(path: Path) -> None:
    """Refuses a name by which what reads ONNX would not know the file."""
    if path.suffix != onnx_file.SUFFIX:
        raise ValueError(
            f"{argument('onnx_path')} is {shown(path)}; expected a name that ends with {onnx_file.SUFFIX}, by which "
            "what reads ONNX knows it."
        )


def _check_tools() -> None:
    """Says which of the packages that write and run ONNX are missing."""
    missing = [name for name in _TOOLS if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxError(
            f"{listed(missing)} cannot be imported; an ONNX file is written with onnx and run with onnxruntime. "
            "Install them with `pip install tftrt_yolo[export]`, or by their names."
        )


def _check_layout(options: OnnxOptions, source: SavedModelHandle) -> None:
    """Refuses Ultralytics' rows of a head that gives each object once: there they are a selection."""
    if options.layout == ULTRALYTICS and source.metadata.is_end_to_end:
        raise OnnxError(
            f"{argument('layout')} is {ULTRALYTICS}, and the head of {source.given} gives each object once: of such "
            "heads Ultralytics' rows are the best 300, whose selection is not translated. Give "
            f"{setting('layout', NETWORK)}, and take the best scores of it."
        )


def _order(options: OnnxOptions) -> Order | None:
    """How TensorRT is to build the file; None if it is not asked."""
    if not options.build:
        return None
    builder = builders.find()
    if builder is None:
        raise TensorRTUnavailableError(
            f"{argument('build')} is given, and no TensorRT that builds is installed here. {builders.INSTALL}"
        )
    check_target(options.compute_capability)
    return Order(builder, options.compute_capability, _BUILT_FOR, in_half=False, remedy=_REMEDY)


def _built(onnx_path: Path, order: Order) -> ParsedReport:
    """Has a process of TensorRT's own parse and build the file."""
    stages.enter("building an engine")
    try:
        with Worker("tftrt_yolo.onnx_twin.building") as worker:
            worker.start(onnx_path=onnx_path, order=order)
            return worker.receive()
    except WorkerCrashedError as error:
        raise OnnxError(
            f"{order.builder} did not come to an end. {order.builder.how_to_leave_out} The process {error}"
        ) from error


def _finish(worker: Worker, on_progress: Callable[[int, int], None] | None) -> dict:
    """Waits for the worker, passes its progress on, and says what a crash of it means."""
    try:
        return progress.result_of(worker, on_progress)
    except WorkerCrashedError as error:
        remedy = "Report it with the model's architecture"
        if error.is_disk_full:
            remedy = "Free some space, or write to another disk"
        raise OnnxError(f"The ONNX file did not come to an end. {remedy}. The process {error}") from error
