"""A standalone engine: the network of an export as a plan for TensorRT's own runtime, with Ultralytics' header.

    report = tftrt_yolo.build_engine("yolov8n_saved_model", "yolov8n.engine", precision_mode="FP16", batch_sizes=(1,))
    print(report)
    tftrt_yolo.EnginePredictor("yolov8n.engine")("bus.jpg")          # on a GPU, with the TensorRT that built it

Beside the flow: TF-TRT converts the export as for `preflight`, and its network, which is recorded, gets Ultralytics'
tensors (`ultralytics_layout`) and is built by the TensorRT that is installed (`plan_worker`): TensorRT-RTX on a CPU,
for a GPU that is named; `tensorrt` 10 or newer for the GPU that is here. TF-TRT is not needed to run it.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.engines import engine_file, plan
from tftrt_yolo.engines.engine_report import EngineFileReport
from tftrt_yolo.ground import stages
from tftrt_yolo.ground.arguments import argument, check_bool, setting
from tftrt_yolo.ground.errors import EngineError, TensorRTUnavailableError
from tftrt_yolo.ground.files import single_files
from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.real_builder import builders
from tftrt_yolo.preflighting.real_builder.build import check_target
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport
from tftrt_yolo.preflighting.real_builder.engine import Order
from tftrt_yolo.preflighting.recorder import recording
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import digests

# An op left to TensorFlow, the preflight's remedy, is one that an engine of its own cannot do without.
_REMEDY = "If the SavedModel was changed after its export, export it again; else file an issue with its architecture."


def build_engine(
    saved_model_dir: str | Path,
    engine_path: str | Path,
    *,
    precision_mode: str = "FP16",
    batch_sizes: tuple[int, ...] = (1,),
    compute_capability: str | None = None,
    calibration_data: str | Path | Iterable | None = None,
    header: bool = True,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> EngineFileReport:
    """Builds an engine for TensorRT's own runtime from an export, with Ultralytics' header and tensors.

    TensorRT-RTX (extra `preflight`) builds without a GPU, for one that is named; `tensorrt` builds for the GPU that is
    here. An engine runs on a GPU of its compute capability, with the TensorRT of its version, and here nothing is run.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      engine_path: File to write; its name ends with .engine, by which Ultralytics' YOLO(...) knows what it is, and
        without a header with .plan.
      precision_mode: "FP32", "FP16" or "INT8". Inputs and outputs are FP32 in all, and so is what comes behind the
        last convolutions in FP16: the decode, whose pixels FP16 would round.
      batch_sizes: Batch sizes that it is for. A single one is fixed in its shapes, as Ultralytics expects it unless
        rect=False is given; of several the engine takes every batch from the least to the largest.
      compute_capability: Of the GPU to build for, such as "8.6"; None for "8.9" with TensorRT-RTX, and with TensorRT
        for the GPU that is here.
      calibration_data: For INT8, as `convert` takes it.
      header: Whether Ultralytics' header stands before the plan, with what the model is. Ultralytics and
        `EnginePredictor` need it; trtexec, Triton and TensorRT's own runtime take a plan alone.
      overwrite: Replace an engine of ours that is already there; never a plan alone, which does not say whose it is.
      on_progress: Called with the calibration images that are done and their total; each counts three times, for
        they are run three times. Other precisions report nothing.

    Returns:
      What was built, by what, and what the plan itself says; `faults` is empty if all is well.

    Raises:
      ValueError: If an argument is out of its range, or an element of a data set is no image.
      TypeError: If calibration_data is neither a path nor a data set.
      FileExistsError: If engine_path exists and overwrite is false, or is no engine of ours.
      SavedModelError: If saved_model_dir is no SavedModel of ours.
      ImageError: If no calibration image can be read.
      DatasetError: If a data.yaml to calibrate with cannot be used.
      TensorRTUnavailableError: If this TensorFlow has no TF-TRT, or no TensorRT is installed that builds.
      ConversionError: If TF-TRT makes no engine or leaves too much to TensorFlow, or the calibration images say nothing
        about a layer's range.
      PreflightError: If the network cannot be recorded, or no engine can be built for compute_capability.
      EngineError: If the network is not one engine that gives all its outputs, or TensorRT does not build it: its own
        words.
    """
    start, path = time.perf_counter(), Path(engine_path)
    options = TensorRTOptions(batch_sizes=batch_sizes)
    asked = recording.plan(precision_mode, calibration_data, options)
    _check_name(path, has_header=check_bool("header", header), overwrite=overwrite)
    single_files.check_free(path, engine_file.is_ours, overwrite=overwrite)
    is_half = asked.precision_mode == "FP16"
    order = Order(
        _installed(),
        compute_capability,
        options.batch_sizes,
        in_half=is_half,
        keeps_decode=is_half,
        remedy=f"Try smaller {argument('batch_sizes')}. {_REMEDY}",
    )
    check_target(compute_capability)
    source = open_saved_model(saved_model_dir).require_export("build an engine of")
    digests.check(source)
    with (
        single_files.written_whole(path, engine_file.is_ours, overwrite=overwrite) as partial,
        _recorded(source, asked, on_progress) as (folder, conversion),
    ):
        job = {"recording_dir": folder, "metadata": source.metadata, "precision_mode": asked.precision_mode}
        whole = partial.resolve() if header else folder / f"whole{engine_file.SUFFIX}"
        said = _built(whole, order, job)
        found = _read_again(whole)
        if not header:
            partial.write_bytes(engine_file.read(whole).plan())
        return EngineFileReport(
            engine_path=path,
            saved_model_dir=source.given,
            builder=said,
            left_to_tensorflow=conversion["left_to_tensorflow"],
            file_bytes=partial.stat().st_size,
            has_header=bool(header),
            seconds=time.perf_counter() - start,
            **found,
        )


def _check_name(path: Path, *, has_header: bool, overwrite: bool) -> None:
    """Refuses a name by which nobody would know what the file is, and to replace what does not say that it is ours."""
    suffix = engine_file.SUFFIX if has_header else engine_file.PLAN_SUFFIX
    if path.suffix != suffix:
        why = "by which Ultralytics' YOLO(...) knows an engine" if has_header else "for a plan without a header"
        raise ValueError(f"{argument('engine_path')} is {shown(path)}; expected a name that ends with {suffix}, {why}.")
    if overwrite and not has_header:
        raise ValueError(
            f"{argument('overwrite')} is given, and with {setting('header', False)} there is nothing in a file that "
            "says whose it is, so that none is replaced. Leave it out, and remove the earlier file yourself."
        )


def _installed() -> builders.Builder:
    """The TensorRT that builds."""
    builder = builders.find()
    if builder is None:
        raise TensorRTUnavailableError(f"No TensorRT that builds engines is installed here. {builders.INSTALL}")
    return builder


@contextlib.contextmanager
def _recorded(
    source: SavedModelHandle, asked: recording.RecordingPlan, on_progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Path, dict]]:
    """A folder with the recording of the export's one network, and what is known of its conversion."""
    with tempfile.TemporaryDirectory(prefix="tftrt_yolo_") as temporary:
        folder = Path(temporary).resolve()
        with recording.recorded(source, folder, asked, on_progress=on_progress, of="The build") as (_, conversion):
            pass  # nothing is compared, and its processes hold memory
        networks = recorded_network.read(folder)
        if len(networks) != 1:
            left = "; ".join(map(str, conversion["left_to_tensorflow"])) or "nothing"
            raise EngineError(
                f"TF-TRT makes {counted(len(networks), 'engine')} of {source.given}; expected one, for an engine of "
                "its own runs "
                f"without TensorFlow. Left to TensorFlow: {left}. Unset TF_TRT_OP_DENYLIST, or use `convert`."
            )
        yield folder, conversion


def _built(partial: Path, order: Order, job: dict) -> BuilderReport:
    """Has a process build the engine and write its file."""
    try:
        with Worker("tftrt_yolo.engines.plan_worker") as worker:
            stages.enter("building the engine")
            worker.start(order=order, engine_path=partial, **job)
            return worker.receive()
    except WorkerCrashedError as error:
        remedy = f"Try smaller {argument('batch_sizes')}. {order.builder.how_to_leave_out}"
        if error.is_disk_full:
            remedy = "Free some space, or write to another disk; nothing half written is left."
        elif error.is_gpu_full:
            remedy = f"The GPU's memory is full: end what else uses it, or give smaller {argument('batch_sizes')}."
        raise EngineError(f"{order.builder} did not come to an end. {remedy} The process {error}") from error


def _read_again(whole: Path) -> dict:
    """What is in the file, as EngineFileReport's fields: read from the disk, and its plan from its bytes."""
    file = engine_file.read(whole)
    found = plan.read(file.plan(), tuple(tensor.name for tensor in file.facts.tensors))
    return {
        "task": file.metadata.task,
        "precision_mode": file.facts.precision_mode,
        "batch_sizes": file.facts.batch_sizes,
        "tensors": file.facts.tensors,
        "plan": found,
        "disagreements": plan.disagreements(found, file.facts),
    }
