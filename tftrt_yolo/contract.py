"""The SavedModel contract: what every SavedModel of this package offers, whoever loads it.

Signatures, all with a dynamic batch:

    serving_default  images uint8 (batch, height, width, 3) RGB            -> detections in pixels of the images
    encoded          image_bytes string (batch,), JPEG or PNG              -> the same
    padded           images as above, padded at the right and the bottom,
                     sizes int32 (batch, 2) as height, width               -> the same
    network          frames float32 (batch, S, S, 3) RGB in [0, 1]         -> boxes, scores of every anchor

The first three give `num_detections`, `boxes`, `scores` and `classes`, zero-padded to `max_detections`, and what the
task has beside: `mask_coefficients` and the image's `prototypes`, `keypoints`, `boxes_xywhr`. A classifier gives
`probabilities` instead, in all four. `tftrt_yolo.tasks` has the outputs of every task. `network` is the part that
TF-TRT converts. `metadata.yaml` beside saved_model.pb holds Ultralytics' keys and, under `tftrt_yolo`, ours; this
module writes and reads it:

    metadata = contract.read_metadata("yolov8n_saved_model")
    metadata.names[0], metadata.image_size_hw
"""

import dataclasses
import datetime
import json
from pathlib import Path

from tftrt_yolo.ground.arguments import check_at_least_one, check_share
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.version import __version__

SERVING = "serving_default"
ENCODED = "encoded"
PADDED = "padded"
NETWORK = "network"
SIGNATURES = (SERVING, ENCODED, PADDED, NETWORK)

DETECT = "detect"
SEGMENT = "segment"
POSE = "pose"
OBB = "obb"
CLASSIFY = "classify"
TASK_NAMES = (DETECT, SEGMENT, POSE, OBB, CLASSIFY)  # Ultralytics' words

METADATA_FILE = "metadata.yaml"
CONVERSION_FILE = "conversion.json"
_OUR_SECTION = "tftrt_yolo"
# What `export` and `convert` write. Records for a model server to warm up with, in assets.extra, are the user's.
SAVED_MODEL = directories.Contents(
    "saved_model.pb",
    (
        METADATA_FILE,
        CONVERSION_FILE,
        "fingerprint.pb",
        "keras_metadata.pb",  # of TensorFlow versions with Keras 2
        "variables/variables.index",
        "variables/variables.data-*-of-*",
        "assets/trt-serialized-engine.*",  # tensorflow/python/compiler/tensorrt/trt_convert.py
    ),
)


@dataclasses.dataclass(frozen=True)
class Selection:
    """How dense predictions become detections; the numbers are constants of the SavedModel.

    Attributes:
      score_threshold: Detections score above this, in [0, 1].
      iou_threshold: Of two boxes of one class that overlap by more than this, the better one stays, in [0, 1].
      max_detections: At most this many detections an image; the outputs are padded to it.
      max_candidates: At most this many boxes an image, the best, take part in non-maximum suppression.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.7
    max_detections: int = 300
    max_candidates: int = 1_024

    def __post_init__(self):
        """Raises ValueError for a number that is out of its range."""
        checks = dict.fromkeys(("score_threshold", "iou_threshold"), check_share)
        checks |= dict.fromkeys(("max_detections", "max_candidates"), check_at_least_one)
        for name, check in checks.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))  # the dataclass is frozen


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a SavedModel knows about itself.

    Attributes:
      task: Ultralytics' name of the task: "detect", "segment", "pose", "obb" or "classify".
      names: Class index to class name.
      image_size_hw: Height and width of the frames that the network takes, in pixels.
      stride: Ultralytics' largest stride in pixels; the frame's sides are multiples of it.
      selection: Thresholds and limits of the selection.
      weights: File name of the checkpoint or model YAML that was exported.
      keypoint_shape: Key points an object, and numbers a key point; None without them.
      is_end_to_end: Whether the head gives each object once, so that nothing is suppressed.
      weights_sha256: Hash of that file, 64 hexadecimal digits; None if there was none, and for older versions' exports.
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
    """

    task: str
    names: dict[int, str]
    head: HeadSpec
    stride: int
    num_parameters: int


def write_metadata(saved_model_dir: Path, metadata: Metadata) -> None:
    """Writes metadata.yaml with the keys that Ultralytics' loader reads, and ours.

    Args:
      saved_model_dir: Directory of the SavedModel.
      metadata: What to write.

    Source: the keys are those of ultralytics.engine.exporter.Exporter and
      ultralytics.nn.backends.base.BaseBackend.apply_metadata.
    """
    import yaml

    document = {
        "description": f"{Path(metadata.weights).stem} as a TensorFlow SavedModel",
        "author": "tftrt_yolo",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "version": __version__,
        "license": "AGPL-3.0-or-later",
        "stride": metadata.stride,
        "task": metadata.task,
        "batch": 1,
        "imgsz": list(metadata.image_size_hw),
        "names": metadata.names,
        "channels": 3,
        "end2end": metadata.is_end_to_end,
        "args": {"batch": 1, "half": False, "nms": False},
        _OUR_SECTION: {"weights": metadata.weights, "selection": dataclasses.asdict(metadata.selection)},
    }
    if metadata.weights_sha256:
        document[_OUR_SECTION]["weights_sha256"] = metadata.weights_sha256
    if metadata.keypoint_shape:
        document["kpt_shape"] = list(metadata.keypoint_shape)
    (saved_model_dir / METADATA_FILE).write_text(
        yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )


def read_metadata(saved_model_dir: str | Path) -> Metadata:
    """Reads and checks metadata.yaml.

    Args:
      saved_model_dir: Directory of a SavedModel that this package wrote.

    Returns:
      The metadata.

    Raises:
      SavedModelError: If the directory is no SavedModel, or its metadata.yaml is missing, damaged or not ours.
    """
    import yaml

    saved_model_dir = Path(saved_model_dir)
    if not (saved_model_dir / "saved_model.pb").is_file():
        found = "is no directory" if not saved_model_dir.is_dir() else "has no saved_model.pb"
        raise SavedModelError(
            f"{saved_model_dir} {found}. Expected a SavedModel directory that `tftrt-yolo export` or "
            "`tftrt-yolo convert` wrote."
        )
    path = saved_model_dir / METADATA_FILE
    try:
        return _parse_metadata(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise SavedModelError(
            f"{saved_model_dir} has no {METADATA_FILE}, so it is not a SavedModel of tftrt_yolo. "
            "Export the checkpoint again with `tftrt-yolo export`."
        ) from error
    except OSError as error:
        raise SavedModelError(f"{path} cannot be read: {error.strerror}. Expected what `export` wrote.") from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise SavedModelError(
            f"{path} cannot be used ({type(error).__name__}: {error}). Expected Ultralytics' keys and a section "
            f"'{_OUR_SECTION}'; a SavedModel that Ultralytics wrote itself lacks it. Export the checkpoint again with "
            "`tftrt-yolo export`."
        ) from error


def _parse_metadata(document: dict) -> Metadata:
    """Metadata from what metadata.yaml holds."""
    if document["task"] not in TASK_NAMES:
        raise ValueError(f"its task is {document['task']!r}; known are {', '.join(TASK_NAMES)}")
    ours = document[_OUR_SECTION]
    height, width = (int(side) for side in document["imgsz"])
    return Metadata(
        task=document["task"],
        names={int(index): str(name) for index, name in document["names"].items()},
        image_size_hw=(height, width),
        stride=int(document["stride"]),
        selection=Selection(**ours["selection"]),
        weights=str(ours["weights"]),
        keypoint_shape=tuple(document["kpt_shape"]) if "kpt_shape" in document else None,
        is_end_to_end=bool(document["end2end"]),
        weights_sha256=None if ours.get("weights_sha256") is None else str(ours["weights_sha256"]),
    )


def read_conversion(saved_model_dir: str | Path) -> dict | None:
    """Reads conversion.json, which `convert` writes.

    Args:
      saved_model_dir: Directory of a SavedModel.

    Returns:
      The document, with at least `accelerator` and `precision_mode`; None if the model was not converted.

    Raises:
      SavedModelError: If the file is damaged or cannot be read.
    """
    path = Path(saved_model_dir) / CONVERSION_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or not {"accelerator", "precision_mode"} <= set(document):
            raise ValueError("it names no accelerator or no precision_mode")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SavedModelError(f"{path} cannot be read: {error.strerror}. Expected what `convert` wrote.") from error
    except (ValueError, RecursionError) as error:
        raise SavedModelError(f"{path} is damaged ({error}). Convert the model again.") from error
    return document
