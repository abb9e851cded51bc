"""Labels in YOLO's text format, an object a line, checked: they come from strangers.

    truth = read(Path("labels/000001.txt"), LabelFormat("detect", num_classes=80))

Columns after the class, all as fractions of the image's sides: detect x, y, width, height of a box; pose the same and
x, y and, if there are three values a keypoint, visibility of each; segment and semantic x, y of each corner of a
polygon; obb of four corners.
"""

import dataclasses
from pathlib import Path

import numpy as np
from absl import logging

from tftrt_yolo.evaluation.datasets.examples import BadLabelError
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import counted, first_line, quoted, shown

_TOLERANCE = 0.01  # of a side, by which a coordinate may lie outside. Source: ultralytics.data.utils.verify_image_label
_MOST_BYTES = 16 << 20  # of a label file: half a million boxes
_BOX = 4
_WITH_BOXES = ("detect", "pose")  # tasks whose lines may be poses
_WITH_POLYGONS = ("segment", "semantic")
_CORNERS = 8
_LEAST_POLYGON = 6


@dataclasses.dataclass(frozen=True)
class LabelFormat:
    """What a line must look like.

    Attributes:
      task: Ultralytics' name of the model's task.
      num_classes: Classes of the model; for semantic those that polygons have, without the background.
      keypoint_shape: Keypoints of an object and values of a keypoint (2 or 3); None where the data has none.
      boxes_only: Whether a detect model takes the boxes around polygons, oriented boxes and pose labels.
    """

    task: str
    num_classes: int
    keypoint_shape: tuple[int, int] | None = None
    boxes_only: bool = False


def read(path: Path, label_format: LabelFormat) -> Truth:
    """Reads a label file.

    Args:
      path: The file; if there is none, or nothing in it, the image is background.
      label_format: What its lines must look like.

    Returns:
      The objects, as fractions of the image's sides; a line that stands there twice counts once.

    Raises:
      BadLabelError: If the file cannot be read or a line is not what it must be; the message names file and line.
    """
    try:
        lines = reading.read_text(path, _MOST_BYTES, "utf-8-sig").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"it {first_line(error)}"
        raise BadLabelError(
            f"{shown(path)} cannot be read: {reason}. Expected a label file in YOLO's text format."
        ) from error
    rows, num_rows = {}, 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            row, num_rows = _numbers(line, f"{shown(path)}, line {number}", label_format), num_rows + 1
            rows.setdefault(_identity(row, label_format), row)
    if len(rows) < num_rows:
        one, several = "line stands there twice and counts once", "lines stand there twice and count once"
        logging.warning("%s: %s", shown(path), counted(num_rows - len(rows), one, several))
    return _truth([np.array(row) for row in rows.values()], label_format)


def _identity(row: list[float], label_format: LabelFormat) -> bytes:
    """What makes two lines one: all their values in float32; of a pose of which only the box is taken, the box.

    Source: ultralytics.data.utils.verify_image_label.
    """
    is_box = label_format.task == "detect" and _is_box(len(row) - 1, label_format)
    return (np.array(row[: 1 + _BOX] if is_box else row, np.float32) + 0.0).tobytes()  # -0 is 0


def _numbers(line: str, place: str, label_format: LabelFormat) -> list[float]:
    """The checked values of a line."""
    words = line.split()
    values = [_number(word, place) for word in words]
    if not np.isfinite(values).all():
        raise BadLabelError(f"{place}: a value is not finite. Expected fractions of the image's sides.")
    if values[0] != int(values[0]) or not 0 <= values[0] < label_format.num_classes:
        last = label_format.num_classes - 1
        whose = "polygons have" if label_format.task == "semantic" else "the model has"
        raise BadLabelError(
            f"{place}: class {shown(words[0], 80)}; {whose} the classes 0 to {last}. Give the data set "
            "that the model was trained for, or correct the label."
        )
    _check_columns(len(values) - 1, place, label_format)
    coordinates = np.array(values[1:])
    is_pose = label_format.task in _WITH_BOXES and len(coordinates) == _pose_columns(label_format)
    if is_pose and label_format.keypoint_shape[1] == 3:
        if coordinates[_BOX + 2 :: 3].min() < 0:
            raise BadLabelError(f"{place}: a visibility is negative. Expected 0 (not labelled), 1 or 2.")
        coordinates = np.concatenate([coordinates[:_BOX], np.delete(coordinates[_BOX:], np.s_[2::3])])
    outside = (coordinates < -_TOLERANCE) | (coordinates > 1 + _TOLERANCE)
    if outside.any():
        raise BadLabelError(
            f"{place}: the coordinate {coordinates[outside][0]:g} lies outside of the image. Expected fractions of its "
            "width and height, between 0 and 1, not pixels."
        )
    if _is_box(len(values) - 1, label_format) and min(values[3:5]) < 0:
        raise BadLabelError(f"{place}: a box's width or height is negative. Expected x, y, width, height.")
    return values


def _number(word: str, place: str) -> float:
    """A word as a number."""
    try:
        return float(word)
    except ValueError as error:
        raise BadLabelError(
            f"{place}: {quoted(word)} is no number. Expected numbers between blanks: the class and its coordinates."
        ) from error


def _is_box(num_values: int, label_format: LabelFormat) -> bool:
    """Whether the values behind the class begin with center, width and height of a box."""
    is_pose = label_format.task in _WITH_BOXES and num_values == _pose_columns(label_format)
    return num_values == _BOX or is_pose


def _pose_columns(label_format: LabelFormat) -> int | None:
    """Values behind the class of a pose label; None where the data has no keypoints."""
    return label_format.keypoint_shape and _BOX + label_format.keypoint_shape[0] * label_format.keypoint_shape[1]


def _check_columns(num_values: int, place: str, label_format: LabelFormat) -> None:
    """Refuses a line of another task."""
    task, pose = label_format.task, _pose_columns(label_format)
    is_polygon = num_values >= _LEAST_POLYGON and num_values % 2 == 0
    fits = {
        "detect": num_values == _BOX or (label_format.boxes_only and (is_polygon or num_values == pose)),
        **dict.fromkeys(_WITH_POLYGONS, is_polygon),
        "obb": num_values == _CORNERS,
        "pose": num_values == pose,
    }
    if fits[task]:
        return
    expected = {
        "detect": "4, x, y, width and height of a box",
        **dict.fromkeys(_WITH_POLYGONS, "at least 6 and an even number, the corners of a polygon"),
        "obb": "8, the corners of an oriented box",
        "pose": f"{pose}, a box and {label_format.keypoint_shape} keypoint values",
    }
    looks_like = "a box" if num_values == _BOX else "a pose" if num_values == pose else None
    if looks_like is None and is_polygon:
        looks_like = "an oriented box or a polygon" if num_values == _CORNERS else "a polygon"
    advice = f" {setting('boxes_only')} measures on the boxes around them."
    remedy = advice if task == "detect" and looks_like else ""
    wanted = "segment, or name the folder of masks as masks_dir" if task == "semantic" else task
    raise BadLabelError(
        f"{place}: {counted(num_values, 'value')} behind the class{f', as of {looks_like}' if looks_like else ''}. "
        "A model for "
        f"{task} needs {expected[task]}. Give labels for {wanted}.{remedy}"
    )


def _truth(rows: list[np.ndarray], label_format: LabelFormat) -> Truth:
    """The arrays of checked lines."""
    task, shape = label_format.task, label_format.keypoint_shape
    classes = np.array([row[0] for row in rows], np.int64)
    boxes = np.array([_box_of(row[1:], label_format) for row in rows]).reshape(-1, 4)
    if task in _WITH_POLYGONS:
        return Truth(classes, boxes, outlines=tuple([row[1:]] for row in rows))
    if task == "obb":
        return Truth(classes, boxes, corners=np.array([row[1:] for row in rows]).reshape(-1, 4, 2))
    if task == "pose":
        keypoints = np.array([row[1 + _BOX :] for row in rows]).reshape(-1, *shape)
        if shape[1] == 2:  # without visibility: what lies outside is not labelled, as Ultralytics has it
            keypoints = np.concatenate([keypoints, (keypoints >= 0).all(axis=-1, keepdims=True)], axis=-1)
        return Truth(classes, boxes, keypoints=keypoints)
    return Truth(classes, boxes)


def _box_of(values: np.ndarray, label_format: LabelFormat) -> np.ndarray:
    """(4,) the box of a line, or around its points, xyxy."""
    if _is_box(len(values), label_format):
        return np.concatenate([values[:2] - values[2:4] / 2, values[:2] + values[2:4] / 2])
    points = values.reshape(-1, 2)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])
