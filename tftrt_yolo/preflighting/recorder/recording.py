"""A SavedModel's networks, recorded as TF-TRT gives them to TensorRT's builder; what `preflight` and others start with.

    with recording.recorded(source, folder, plan) as (tensorflow_side, conversion):
        networks = recorded_network.read(folder)
        conversion["coverage"], tensorflow_side          # a process that can compare what was recorded

TF-TRT converts the model as `convert` has it do by default, against a library of ours that stands in for TensorRT
8.6.1. Two processes do it: `tensorflow_side` freezes the graph, `record` has TF-TRT convert it.
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo.contract import PRECISION_MODES
from tftrt_yolo.converter.int8.calibration_images import TENSORRT
from tftrt_yolo.converter.int8.int8_options import Int8Options
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.ground import stages
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.workers import progress
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.preflighting.recorder.graph import Frozen
from tftrt_yolo.preflighting.stand_in import library
from tftrt_yolo.saved_model.handle import SavedModelHandle

# Grappler copies the weights a dozen times: what it lets go of goes back to the system at once (glibc).
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10), "MALLOC_TOP_PAD_": str(64 << 20)}


# Of INT8's options, those that only a conversion can use.
_OF_CONVERT = ("evaluation_data", "maximum_map_drop", "maximum_score_shift")


@dataclasses.dataclass(frozen=True)
class RecordingPlan:
    """What is to be recorded.

    Attributes:
      precision_mode: "FP32", "FP16" or "INT8".
      options: TF-TRT's.
      int8: For INT8, how to calibrate; None for other precisions.
      images: Paths of images, absolute, to compare the recording on; none where nothing is compared.
    """

    precision_mode: str
    options: TensorRTOptions
    int8: Int8Options | None
    images: tuple[str, ...] = ()


def plan(precision_mode: str, calibration_data: object, options: TensorRTOptions) -> RecordingPlan:
    """Checks what is asked for.

    Args:
      precision_mode: "FP32", "FP16" or "INT8", in small letters too.
      calibration_data: For INT8, as `convert` takes it, or Int8Options; None for other precisions.
      options: TF-TRT's.

    Returns:
      The plan, without images.

    Raises:
      ValueError: If precision_mode is not known, or calibration_data is missing or too much.
      TypeError: If calibration_data is neither a path nor a data set.
    """
    precision_mode, known = str(precision_mode).upper(), PRECISION_MODES["tensorrt"]
    if precision_mode not in known:
        raise ValueError(f"{argument('precision_mode')} is {precision_mode!r}; known are {', '.join(known)}.")
    if precision_mode == "INT8":
        int8 = calibration_data
        if not isinstance(int8, Int8Options):
            int8 = Int8Options(calibration_data=calibration_data)
        _check_recordable(int8)
        int8.check("tensorrt")
        return RecordingPlan(precision_mode, options, int8)
    if isinstance(calibration_data, Int8Options):
        calibration_data.refuse("INT8", f"{argument('precision_mode')} is {precision_mode}")
    if calibration_data is not None:
        raise ValueError(
            f"{argument('calibration_data')} is for INT8, and {argument('precision_mode')} is {precision_mode}. Leave "
            "one of them out."
        )
    return RecordingPlan(precision_mode, options, None)


def _check_recordable(int8: Int8Options) -> None:
    """Refuses what says nothing of a recording: how accurate the model must be, and a calibrator that needs engines."""
    strange = [name for name in int8.given if name in _OF_CONVERT]
    if strange:
        raise ValueError(
            f"{argument(strange[0])} is for `convert`, which measures the INT8 model's accuracy; here no model is "
            "written. Leave it out."
        )
    if int8.calibration == TENSORRT:
        raise ValueError(
            f"{argument('calibration')} is 'tensorrt', and TF-TRT's own calibrator runs while TensorRT builds an "
            "engine; here none is built. Leave it out, or choose max, percentile or mse."
        )


@contextlib.contextmanager
def recorded(
    source: SavedModelHandle,
    folder: Path,
    asked: RecordingPlan,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    of: str = "The preflight",
) -> Iterator[tuple[Worker, dict]]:
    """Records the networks of an export.

    Args:
      source: The export.
      folder: Where network.json and weights.bin go.
      asked: What is to be recorded.
      on_progress: As `preflight`.
      of: What it is done for, for messages: "The preflight".

    Yields:
      The process that froze the graph and takes folders of recordings to compare, and what is known of the conversion.

    Raises:
      PreflightError: If TF-TRT asks the stand-in for what it does not have, or a process ends.
      TftrtYoloError: As `preflight`.
    """
    with _worker("tensorflow_side", of) as tensorflow_side:
        with _recording(library.built(), folder, of) as recorder:  # it imports TensorFlow meanwhile
            calibration = asked.int8 and asked.int8.quantization(tensorflow_side.folder).calibration
            tensorflow_side.open(
                source=source,
                graph_dir=recorder.folder,
                calibration_images=calibration,
                precision_mode=asked.precision_mode,
                images=list(asked.images),
            )
            stages.enter("freezing the network")
            frozen: Frozen = progress.result_of(tensorflow_side, on_progress)
            stages.enter("converting with TF-TRT and recording")
            recorder.start(given=source.given, frozen=frozen, options=asked.options)
            conversion = recorder.receive()
        yield tensorflow_side, conversion


@contextlib.contextmanager
def _recording(stand_in: bytes, folder: Path, of: str) -> Iterator[Worker]:
    """The process that records, with the stand-in in TensorRT's place."""
    with contextlib.ExitStack() as stack:
        links = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tftrt_yolo_"))).resolve()
        yield stack.enter_context(_worker("record", of, library.environment_for(stand_in, links, folder)))


@contextlib.contextmanager
def _worker(name: str, of: str, environment: dict[str, str] | None = None) -> Iterator[Worker]:
    """A process for a module of this room; says what a crash of it means."""
    try:
        environment = _GIVE_BACK | (environment or {})
        with Worker(f"tftrt_yolo.preflighting.recorder.{name}", environment=environment, keep_heap=False) as worker:
            yield worker
    except WorkerCrashedError as error:
        raise PreflightError(f"{of} did not come to an end. {_hint(error)}. The process {error}") from error


def _hint(error: WorkerCrashedError) -> str:
    """What to do about a process that ended."""
    crash = str(error)
    if error.is_disk_full:
        temporary = f"temporary files go to {tempfile.gettempdir()} unless TMPDIR names another folder"
        return f"Free some space, or write to another disk; {temporary}"
    if "stand-in for TensorRT: TF-TRT calls" in crash:
        return "TF-TRT asked the stand-in for TensorRT for what it does not have; report it with the architecture"
    if "was ended by SIGKILL" in crash:
        return "It holds the weights a dozen times and more; give it memory"
    return "Report it with the model's architecture"
