"""The SavedModel contract: what every SavedModel of this package offers, whoever loads it.

Signatures, all with a dynamic batch:

    serving_default  images uint8 (batch, height, width, 3) RGB            -> detections in pixels of the images
    encoded          image_bytes string (batch,), JPEG, PNG, BMP or GIF    -> the same, and status
    padded           images as above, padded at the right and the bottom,
                     sizes int32 (batch, 2) as height, width               -> the same
    framed           frames uint8 (batch, S, S, 3) RGB, images that were
                     letterboxed, cropped for a classifier, stretched for depth,
                     sizes int32 (batch, 2) of the images                  -> the same
    network          frames float32 (batch, S, S, 3) RGB in [0, 1]         -> boxes, scores of every anchor

Earlier versions' have no `framed`. All but the last give `num_detections`, `boxes`, `scores` and `classes`, zero-padded
to `max_detections`, and what the task has beside: `mask_coefficients` and the image's `prototypes`, `keypoints`,
`boxes_xywhr`. In place of the first two `encoded` gives `masks`, PNG files, and `mask_corners`, where they lie in the
image. A classifier gives `probabilities` instead, in all five, depth `depth`, and semantic segmentation `logits`, in
`encoded` PNG files `class_maps`. `status` string (batch,) is empty for a file that was read, and otherwise says why it
was not; all else of that image is zero or empty. `tftrt_yolo.tasks` has the outputs of every task. `network` is the
part that TF-TRT converts. `metadata.yaml` beside saved_model.pb holds Ultralytics' keys and, under `tftrt_yolo`, ours;
this module writes and reads it:

    metadata = contract.read_metadata("yolov8n_saved_model")
    metadata.names[0], metadata.image_size_hw
"""

import dataclasses
import datetime
import fnmatch
import os
from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import directories, fields, reading
from tftrt_yolo.ground.text import quoted, shown
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.selection import Selection, parse_selection

SERVING = "serving_default"
ENCODED = "encoded"
PADDED = "padded"
FRAMED = "framed"
NETWORK = "network"
SIGNATURES = (SERVING, ENCODED, PADDED, NETWORK)  # which every SavedModel has
ALL_SIGNATURES = (*SIGNATURES[:-1], FRAMED, NETWORK)  # earlier versions' had no `framed`
STATUS = "status"  # the output of `encoded` that says of each file why it was not read

OBJECT_TASKS = DETECT, SEGMENT, POSE, OBB = "detect", "segment", "pose", "obb"  # their heads have branches
CLASSIFY, SEMANTIC, DEPTH = "classify", "semantic", "depth"
TASK_NAMES = (*OBJECT_TASKS, CLASSIFY, SEMANTIC, DEPTH)  # Ultralytics' words

ONE_TO_MANY = "one-to-many"  # the branch of a head whose detections are suppressed
ONE_TO_ONE = "one-to-one"  # the one that gives each object once, of YOLOv10 and YOLO26
AUTO = "auto"  # the first where it is there
NMS_MODES = (AUTO, ONE_TO_MANY, ONE_TO_ONE)

PRECISION_MODES = {  # what a SavedModel can be converted for, and the precisions of each
    "tensorrt": ("FP32", "FP16", "INT8"),
    "xla": ("FP32", "FP16", "BF16"),
    "onednn": ("FP32", "BF16", "INT8"),
}

MOST_SIDE = 16_384  # pixels of a frame
_MOST_NAMES = 100_000
_MOST_KEYPOINTS = 10_000
_MOST_METADATA_BYTES = 4 << 20
_MOST_CONVERSION_BYTES = 64 << 20

METADATA_FILE = "metadata.yaml"
CONVERSION_FILE = "conversion.json"
EXPORT_FILE = "export.json"
RANGES_FILE = "trained_ranges.json"  # of a network that was trained with fake quantisation
OUR_SECTION = "tftrt_yolo"
_OUR_KEYS = ("weights", "selection", "weights_sha256", "trained_size_hw", "files")
# What `export` and `convert` write. Records for a model server to warm up with, in assets.extra, are the user's.
SAVED_MODEL = directories.Contents(
    "saved_model.pb",
    (
        METADATA_FILE,
        CONVERSION_FILE,
        EXPORT_FILE,
        RANGES_FILE,
        "fingerprint.pb",
        "keras_metadata.pb",  # of TensorFlow versions with Keras 2
        "variables/variables.index",
        "variables/variables.data-*-of-*",
        "assets/trt-serialized-engine.*",  # tensorflow/python/compiler/tensorrt/trt_convert.py
    ),
)


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a SavedModel knows about itself.

    Attributes:
      task: Ultralytics' name of the task: "detect", "segment", "pose", "obb", "classify", "semantic" or "depth".
      names: Class index to class name.
      image_size_hw: Height and width of the frames that the network takes, in pixels.
      stride: Ultralytics' largest stride in pixels; the frame's sides are multiples of it.
      selection: Thresholds and limits of the selection.
      weights: File name of the checkpoint or model YAML that was exported.
      keypoint_shape: Key points an object, and numbers a key point; None without them.
      is_end_to_end: Whether the head gives each object once, so that nothing is suppressed.
      weights_sha256: Hash of that file, 64 hexadecimal digits; None if there was none, and for older versions' exports.
      trained_size_hw: Height and width of the images that it was trained at, in pixels; None if the checkpoint did not
        say, and for older versions' exports.
    """

    task: str
    names: dict[int, str]
    image_size_hw: tuple[int, int]
    stride: int
    selection: Selection
    weights: str
    keypoint_shape: tuple[int, int] | None = None
    is_end_to_end: bool = False
    weights_sha256: str | None = None
    trained_size_hw: tuple[int, int] | None = None

    @property
    def nms(self) -> str:
        """The branch of the head that it is of, as `branch_of`."""
        return branch_of(self.task, is_end_to_end=self.is_end_to_end)


def branch_of(task: str, *, is_end_to_end: bool) -> str:
    """ONE_TO_MANY or ONE_TO_ONE; empty for a task that finds no objects, whose head has no branches."""
    return (ONE_TO_ONE if is_end_to_end else ONE_TO_MANY) if task in OBJECT_TASKS else ""


@dataclasses.dataclass(frozen=True)
class HeadSpec:
    """What a decode needs to know of a head.

    Attributes:
      strides: Pixels per cell, level by level; empty for a head that has no cells.
      reg_max: Bins of the distribution that gives each side's distance; 1 where the head regresses it directly.
      kind: Ultralytics' class of the head.
      num_classes: Classes.
      keypoint_shape: Key points an object, and numbers a key point: 2 for x, y; 3 with confidence. None without them.
      is_end_to_end: Whether it was trained to give each object once, and needs no suppression.
    """

    strides: tuple[int, ...]
    reg_max: int = 1
    kind: str = "Detect"
    num_classes: int = 0
    keypoint_shape: tuple[int, int] | None = None
    is_end_to_end: bool = False


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """What export learns from a checkpoint.

    Attributes:
      task: Ultralytics' name of the task.
      names: Class index to class name.
      head: What a decode needs to know of the head.
      stride: The sides of a frame must be multiples of it, in pixels.
      num_parameters: Weights of the fused network.
      default_size_hw: Height and width of the frames in pixels, unless the user says otherwise: the size that it was
        trained at, the next multiples of the stride if it is none; without one, the task's own.
      trained_size_hw: Height and width of the images that it was trained at; None if that is not known.
      size_note: Why it is not known, half a sentence; empty if it is.
      trained_ranges: Of a network that was trained with fake quantisation its ranges, an
        `exporter.ranges.trained_ranges.TrainedRanges`; None without.
      branches: Those of the checkpoint's head: ONE_TO_MANY, ONE_TO_ONE or both; empty where it finds no objects.
    """

    task: str
    names: dict[int, str]
    head: HeadSpec
    stride: int
    num_parameters: int
    default_size_hw: tuple[int, int] = (640, 640)
    trained_size_hw: tuple[int, int] | None = None
    size_note: str = ""
    trained_ranges: object = None
    branches: tuple[str, ...] = ()


def write_metadata(saved_model_dir: Path, metadata: Metadata, files: dict[str, str] | None = None) -> None:
    """Writes metadata.yaml with the keys that Ultralytics' loader reads, and ours.

    Args:
      saved_model_dir: Directory of the SavedModel.
      metadata: What to write.
      files: SHA-256 of every other file that belongs to the SavedModel, by its name; None to record none.

    Source: the keys are those of ultralytics.engine.exporter.Exporter and
      ultralytics.nn.backends.base.BaseBackend.apply_metadata.
    """
    import yaml

    document = {
        "description": f"{Path(metadata.weights).stem} as a TensorFlow SavedModel",
        **common_document(metadata),
        "batch": 1,
        "args": {"batch": 1, "half": False, "nms": False, "dynamic": None},  # with False it runs batches one by one
        OUR_SECTION: {"weights": metadata.weights, "selection": dataclasses.asdict(metadata.selection)}
        | ({"weights_sha256": metadata.weights_sha256} if metadata.weights_sha256 else {})
        | ({"trained_size_hw": list(metadata.trained_size_hw)} if metadata.trained_size_hw else {})
        | ({"files": files} if files is not None else {}),
    }
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    (saved_model_dir / METADATA_FILE).write_text(text, encoding="utf-8")


def common_document(metadata: Metadata) -> dict:
    """Ultralytics' keys that every file of ours has, whatever it is."""
    keypoint_shape = {"kpt_shape": list(metadata.keypoint_shape)} if metadata.keypoint_shape else {}
    return keypoint_shape | {
        "author": "tftrt_yolo",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "version": __version__,
        "license": "AGPL-3.0-or-later",
        "stride": metadata.stride,
        "task": metadata.task,
        "imgsz": list(metadata.image_size_hw),
        "names": metadata.names,
        "channels": 3,
        "end2end": metadata.is_end_to_end,
    }


def read_metadata(saved_model_dir: str | Path) -> Metadata:
    """Reads and checks metadata.yaml.

    Args:
      saved_model_dir: Directory of a SavedModel that this package wrote.

    Returns:
      The metadata.

    Raises:
      SavedModelError: If the directory is no SavedModel, or its metadata.yaml is missing, damaged or not ours.
    """
    return read_recorded(saved_model_dir)[0]


def read_recorded(saved_model_dir: str | Path) -> tuple[Metadata, dict[str, str] | None]:
    """As `read_metadata`, with the SHA-256 of the other files by their names; None where older versions wrote none."""
    saved_model_dir = Path(saved_model_dir)
    if not os.path.lexists(saved_model_dir / SAVED_MODEL.marker):  # it swallows what a strange path raises
        found = "is no directory" if not os.path.isdir(saved_model_dir) else f"has no {SAVED_MODEL.marker}"
        wanted = "Expected a SavedModel directory that `tftrt-yolo export` or `tftrt-yolo convert` wrote."
        if saved_model_dir.suffix == ".engine":
            wanted += " What runs an engine is tftrt_yolo.EnginePredictor."
        raise SavedModelError(f"{shown(saved_model_dir)} {found}. {wanted}")
    path = saved_model_dir / METADATA_FILE
    if not os.path.lexists(path):
        raise SavedModelError(
            f"{shown(saved_model_dir)} has no {METADATA_FILE}, so it is not a SavedModel of tftrt_yolo. "
            "Export the checkpoint again with `tftrt-yolo export`."
        )
    remedy = (
        f"Expected Ultralytics' keys and a section '{OUR_SECTION}', as `export` wrote them; a SavedModel that "
        "Ultralytics wrote itself lacks it. Copy the directory again, or export the checkpoint again with `tftrt-yolo "
        "export`."
    )
    document = _read(path, _MOST_METADATA_BYTES, reading.parse_yaml, remedy)
    try:
        return _parse_metadata(document), _parse_files(fields.mapping(document, OUR_SECTION))
    except reading.UnreadableError as error:
        raise SavedModelError(f"{path} cannot be used: it {error}. {remedy}") from error


def _read(path: Path, most_bytes: int, parse: Callable[[str], object], remedy: str) -> dict:
    """A document whose top is a mapping; what cannot be read is a SavedModelError."""
    try:
        document = parse(reading.read_text(path, most_bytes))
    except OSError as error:
        raise SavedModelError(f"{path} cannot be read: {error.strerror}. {remedy}") from error
    except reading.UnreadableError as error:
        raise SavedModelError(f"{path} cannot be used: it {error}. {remedy}") from error
    if not isinstance(document, dict):
        raise SavedModelError(f"{path} cannot be used: it holds {quoted(document)} and no mapping. {remedy}")
    return document


def _parse_metadata(document: dict) -> Metadata:
    """Metadata from what metadata.yaml holds."""
    ours = fields.mapping(document, OUR_SECTION)
    fields.no_others(ours, _OUR_KEYS, f"its section {OUR_SECTION}")
    trained = None
    if ours.get("trained_size_hw") is not None:
        trained = fields.wholes(ours, "trained_size_hw", count=2, least=1, most=MOST_SIDE)
    return Metadata(
        **parse_common(document),
        selection=parse_selection(fields.mapping(ours, "selection")),
        weights=fields.text(ours, "weights"),
        weights_sha256=fields.sha256(ours, "weights_sha256") if ours.get("weights_sha256") is not None else None,
        trained_size_hw=trained,
    )


def parse_common(document: dict) -> dict:
    """Those fields of Metadata that Ultralytics' keys hold; what does not fit is an UnreadableError."""
    task = fields.value(document, "task", f"one of {', '.join(TASK_NAMES)}")
    if task not in TASK_NAMES:
        raise reading.UnreadableError(
            f"cannot be a model of ours: its task is {quoted(task)}; known are {', '.join(TASK_NAMES)}"
        )
    return {
        "task": task,
        "names": _parse_names(fields.value(document, "names", "the classes' names")),
        **_parse_frame(document),
        "keypoint_shape": _parse_keypoints(document, task),
        "is_end_to_end": fields.flag(document, "end2end"),
    }


def _parse_frame(document: dict) -> dict:
    """The frame's sides and the stride that divides them."""
    sides = fields.wholes(document, "imgsz", count=2, least=1, most=MOST_SIDE)
    stride = fields.whole(document, "stride", least=1, most=MOST_SIDE)
    if any(side % stride for side in sides):
        raise reading.UnreadableError(
            f"has 'imgsz': {sides[0]} x {sides[1]} (height x width) and 'stride': {stride}; expected multiples of the "
            "stride"
        )
    return {"image_size_hw": sides, "stride": stride}


def _parse_names(names: object) -> dict[int, str]:
    """Class index to class name; a list is taken as Ultralytics takes it."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not 1 <= len(names) <= _MOST_NAMES:
        raise reading.UnreadableError(f"has 'names': {quoted(names)}; expected 1 to {_MOST_NAMES:,} names of classes")
    strange = [index for index in names if not fields.is_whole(index, 0, len(names) - 1)]
    if strange:
        raise reading.UnreadableError(
            f"has 'names' with the class {quoted(strange[0])} among {len(names):,}; expected the indices 0 to "
            f"{len(names) - 1:,} without gaps"
        )
    return {index: fields.text(names, index) for index in sorted(names)}


def _parse_keypoints(document: dict, task: str) -> tuple[int, int] | None:
    """Key points an object, and numbers a key point, of a model for poses."""
    if document.get("kpt_shape") is None and task != POSE:
        return None
    points, numbers = fields.wholes(document, "kpt_shape", count=2, least=1, most=_MOST_KEYPOINTS)
    if task != POSE or numbers not in (2, 3):
        raise reading.UnreadableError(
            f"has 'kpt_shape': [{points}, {numbers}] of a model for {task}; expected 2 or 3 numbers a key point, and "
            f"none but for {POSE}"
        )
    return points, numbers


def is_own(name: str) -> bool:
    """Whether `export` or `convert` writes a file of this name, a path in the directory, beside metadata.yaml."""
    patterns = {SAVED_MODEL.marker, *SAVED_MODEL.others} - {METADATA_FILE}
    return any(name.count("/") == pattern.count("/") and fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _parse_files(ours: dict) -> dict[str, str] | None:
    """File name to SHA-256; None for exports of older versions."""
    if ours.get("files") is None:
        return None
    files = fields.mapping(ours, "files")
    strange = [name for name in files if not isinstance(name, str) or not is_own(name)]
    if strange or SAVED_MODEL.marker not in files:
        found = f"lists {quoted(strange[0])}" if strange else f"does not list {SAVED_MODEL.marker}"
        raise reading.UnreadableError(f"{found} among its files; expected all that `export` and `convert` write")
    return {name: fields.sha256(files, name) for name in files}


def read_conversion(saved_model_dir: str | Path) -> dict | None:
    """Reads conversion.json, which `convert` writes.

    Args:
      saved_model_dir: Directory of a SavedModel.

    Returns:
      The document, with at least `accelerator` and `precision_mode`, which are known; None if the model was not
      converted.

    Raises:
      SavedModelError: If the file is damaged or cannot be read.
    """
    path = Path(saved_model_dir) / CONVERSION_FILE
    if not os.path.lexists(path):
        return None
    remedy = "Expected what `convert` wrote. Copy the directory again, or convert the model again."
    document = _read(path, _MOST_CONVERSION_BYTES, reading.parse_json, remedy)
    try:
        accelerator = fields.one_of(document, "accelerator", PRECISION_MODES)
        fields.one_of(document, "precision_mode", PRECISION_MODES[accelerator])
    except reading.UnreadableError as error:
        raise SavedModelError(f"{path} cannot be used: it {error}. {remedy}") from error
    return document
