"""Export: from an Ultralytics checkpoint to a TensorFlow SavedModel.

    report = tftrt_yolo.export("yolov8n.pt", "yolov8n_saved_model")
    print(report)

PyTorch → ONNX → onnx2tf → decode and selection in TensorFlow → signatures → parity with PyTorch. The first stage of the
flow: what it writes, `convert` and `Predictor` read.
"""

import dataclasses
import importlib.util
import itertools
import time
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.contract import AUTO, MOST_SIDE, NMS_MODES, ONE_TO_ONE, SAVED_MODEL, Metadata, ModelFacts
from tftrt_yolo.exporter import official, pytorch_parity
from tftrt_yolo.exporter.export_report import ExportReport
from tftrt_yolo.exporter.ranges import trained_ranges  # and with it what a worker may give
from tftrt_yolo.ground import environment, stages
from tftrt_yolo.ground.arguments import argument, whole_number
from tftrt_yolo.ground.errors import CheckpointError, ExportError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.selection import Selection
from tftrt_yolo.tasks.table import TASKS

_TENSORFLOW_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",  # an export needs no GPU and takes none of its memory
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_USE_LEGACY_KERAS": "1",  # onnx2tf imports tf_keras anyway; Keras 3 beside it costs a second
}


_NUM_STAGES = 5


def export(
    weights: str | Path,
    saved_model_dir: str | Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    score_threshold: float = 0.25,
    iou_threshold: float = 0.7,
    max_detections: int = 300,
    nms: str = AUTO,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Exports a YOLO checkpoint of any task to a SavedModel and checks the saved file against PyTorch.

    Args:
      weights: A .pt checkpoint, a model YAML (random weights) or an official name such as yolov8n, which Ultralytics
        downloads where it can.
      saved_model_dir: Directory to write. Ultralytics' YOLO(...) loads it too if its name holds "_saved_model".
      image_size: Side of the network's frame in pixels, or height and width; multiples of the model's stride (32, of a
        classifier 1), at most 16,384. None for the size that the checkpoint was trained at; where it does not say, as a
        model YAML, for 640, of a classifier 224.
      score_threshold: Detections score above this, in [0, 1].
      iou_threshold: Of two boxes of one class that overlap by more than this, the better one stays, in [0, 1].
      max_detections: At most this many detections an image.
      nms: Which branch of the head is exported, of models such as YOLO26 and YOLOv10 that have two: "one-to-many",
        whose detections are suppressed, or "one-to-one", which gives each object once and needs no suppression. "auto"
        for the first where it is there, as Ultralytics takes it.
      overwrite: Replace a SavedModel that is already there.
      on_progress: Called with the stages that are done and their number.

    Returns:
      What was done, with the largest differences to PyTorch.

    Raises:
      ValueError: If an argument is out of its range.
      FileExistsError: If saved_model_dir exists and overwrite is false.
      CheckpointError: If the weights cannot be used, or have not the branch that nms names.
      ExportError: If a tool of the export chain is missing or fails.
      ParityError: If boxes differ by more than 0.1 px, scores by more than 1e-3, or another output by more than its
        task's tolerance. Nothing is left behind then.
    """
    start = time.perf_counter()
    weights, saved_model_dir = str(weights), Path(saved_model_dir)
    selection = Selection(score_threshold, iou_threshold, max_detections)
    size_hw = None if image_size is None else _size_hw(image_size)
    _check_nms(nms)
    directories.check_free(saved_model_dir, SAVED_MODEL, overwrite=overwrite)
    _check_file(weights)
    _check_tools()
    next_stage = _stages(on_progress)
    stages.enter("finding the weights")
    found = _call(lambda: official.locate(weights))

    with (
        directories.written_whole(saved_model_dir, SAVED_MODEL, overwrite=overwrite) as partial_dir,
        Worker("tftrt_yolo.exporter.pytorch_half") as pytorch,
        Worker("tftrt_yolo.exporter.tensorflow_half", environment=_TENSORFLOW_ENVIRONMENT) as tensorflow,
    ):
        next_stage("reading the checkpoint")
        pytorch.start(weights=found, nms=nms, size_hw=size_hw, onnx_path=tensorflow.folder / "trunk.onnx")
        facts = _call(pytorch.receive)
        metadata = _metadata(facts, size_hw, selection, Path(weights))
        _check_stride(metadata.image_size_hw, facts.stride)
        next_stage("writing ONNX")
        onnx_path = _call(pytorch.receive)
        next_stage("converting to TensorFlow with onnx2tf")
        tensorflow.start(onnx_path=onnx_path, head=facts.head, metadata=metadata, saved_model_dir=partial_dir.resolve())
        _call(tensorflow.receive)
        next_stage("writing the SavedModel")
        _call(tensorflow.receive)
        next_stage("comparing with PyTorch")
        reference, dense = _call(pytorch.receive), _call(tensorflow.receive)
        report = ExportReport(
            saved_model_dir=saved_model_dir,
            weights=weights,
            task=facts.task,
            image_size_hw=metadata.image_size_hw,
            num_classes=len(facts.names),
            num_parameters=facts.num_parameters,
            parity=pytorch_parity.check(TASKS[facts.task], dense, reference),
            size_bytes=0,
            seconds=time.perf_counter() - start,
            trained_size_hw=facts.trained_size_hw,
            size_note="" if size_hw else facts.size_note,
            trained_ranges=len(facts.trained_ranges.layers) if facts.trained_ranges else 0,
            versions=_versions(),
            nms=metadata.nms,
            branches=facts.branches,
        )
        if facts.trained_ranges is not None:
            trained_ranges.write(facts.trained_ranges, partial_dir)
        report = _written(report, partial_dir, metadata)
    next_stage("")
    return report


def _stages(on_progress: Callable[[int, int], None] | None) -> Callable[[str], None]:
    """What is to be called with each stage's name as it begins, and with "" at the end."""
    begun = itertools.count()

    def next_stage(name: str) -> None:
        done = next(begun)
        if on_progress:
            on_progress(done, _NUM_STAGES)
        if name:
            stages.enter(name)

    return next_stage


def _versions() -> dict[str, str]:
    """The export tools and TensorFlow, with their versions."""
    names = ("tftrt_yolo", "tensorflow", *environment.TESTED_EXPORT_TOOLS)
    found = {name: environment.installed(name) for name in names} | {"tftrt_yolo": __version__}
    return {name: version for name, version in found.items() if version is not None}


def _written(report: ExportReport, partial_dir: Path, metadata: Metadata) -> ExportReport:
    """Writes export.json and metadata.yaml, which has its SHA-256; gives the report with the size of it all."""
    report.write(partial_dir)
    digests.seal(partial_dir, metadata)
    while (size_bytes := directories.size_bytes(partial_dir)) != report.size_bytes:  # its own digits count too
        report = dataclasses.replace(report, size_bytes=size_bytes)
        report.write(partial_dir)
    digests.seal(partial_dir, metadata)
    return report


def _metadata(facts: ModelFacts, size_hw: tuple[int, int] | None, selection: Selection, weights: Path) -> Metadata:
    """What the SavedModel is to know about itself."""
    return Metadata(
        task=facts.task,
        names=facts.names,
        image_size_hw=size_hw or facts.default_size_hw,
        stride=facts.stride,
        selection=selection,
        weights=weights.name,
        keypoint_shape=facts.head.keypoint_shape,
        is_end_to_end=facts.head.is_end_to_end,
        weights_sha256=directories.file_sha256(weights) if weights.is_file() else None,
        trained_size_hw=facts.trained_size_hw,
    )


def _check_nms(nms: object) -> None:
    """Refuses what names no branch; Ultralytics' values are answered with ours."""
    if isinstance(nms, str) and nms in NMS_MODES:
        return
    words = ", ".join(NMS_MODES[:-1]) + f" or {NMS_MODES[-1]}"
    raise ValueError(
        f"{argument('nms')} is {quoted(nms)}; expected {words}. Ultralytics' False is {ONE_TO_ONE} here, as its "
        f"end2end was, and its None is {AUTO}; suppression itself, its True, is in every export."
    )


def _size_hw(image_size) -> tuple[int, int]:
    """Frame height and width, checked."""
    side = whole_number(image_size)
    try:
        sides = (side, side) if side is not None else tuple(map(whole_number, image_size))
    except TypeError:  # neither a number nor two
        sides = ()
    if len(sides) != 2 or not all(side is not None and 0 < side <= MOST_SIDE for side in sides):
        raise ValueError(
            f"{argument('image_size')} is {image_size!r}; expected a positive whole number or (height, width), "
            f"in pixels, up to {MOST_SIDE:,}."
        )
    return sides


def _check_stride(size_hw: tuple[int, int], stride: int) -> None:
    """Refuses a frame that the network's strides do not divide."""
    if any(side % stride for side in size_hw):
        nearest = tuple(max(stride, round(side / stride) * stride) for side in size_hw)
        nearest = nearest[0] if nearest[0] == nearest[1] else nearest
        raise ValueError(
            f"{argument('image_size')} is {size_hw[0]} x {size_hw[1]} (height x width); both must be multiples of the "
            f"model's stride, {stride}. The nearest that is: {nearest}."
        )


def _check_file(weights: str) -> None:
    """Reports a missing file before anything heavy is imported."""
    path = Path(weights)
    if path.is_dir():
        raise CheckpointError(f"{weights} is a directory. Expected a .pt checkpoint, a model YAML or an official name.")
    if path.name != weights and not path.is_file():
        raise CheckpointError(f"{weights} does not exist. Expected a .pt checkpoint or a model YAML at this path.")


def _check_tools() -> None:
    """Says which export tools are missing."""
    missing = [name for name in environment.TESTED_EXPORT_TOOLS if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"The export tools are not complete here: {', '.join(missing)} cannot be imported. Install them with "
            "`pip install tftrt_yolo[export]`; prediction and conversion work without them."
        )


def _call(step: Callable[[], object]):
    """Calls a step that a process does, and says what a crash of that means."""
    try:
        return step()
    except WorkerCrashedError as error:
        raise ExportError(
            "A tool of the export chain failed. Check with `tftrt-yolo check` that the tools are there in the tested "
            f"versions. The process {error}"
        ) from error
