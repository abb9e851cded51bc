"""What a result is: ours, or any of supervision's objects, by what it holds.

kind = kinds.of(result)                 # "segment"
names = kinds.names_of(result)          # what its class indices stand for
"""

import numpy as np
import supervision as sv
from supervision.config import CLASS_NAME_DATA_FIELD, ORIENTED_BOX_COORDINATES

from tftrt_yolo.ground.text import quoted
from tftrt_yolo.tasks.results.pixel_map import PixelMap

_MOST_CLASSES = 65_536


def of(result: object) -> str:
    """The task that a result is of.

    Args:
      result: `supervision.Detections`, `KeyPoints` or `Classifications`, or a `PixelMap`.

    Returns:
      Ultralytics' name of the task, by what the result holds.

    Raises:
      TypeError: If it is something else.
    """
    if isinstance(result, PixelMap):
        return result.task
    if isinstance(result, sv.Classifications):
        return "classify"
    if isinstance(result, sv.KeyPoints):
        return "pose"
    if isinstance(result, sv.Detections):
        is_oriented = result.data.get(ORIENTED_BOX_COORDINATES) is not None
        return "obb" if is_oriented else "detect" if result.mask is None else "segment"
    remedy = " Take one of them, as in [result] = predictor(image)." if isinstance(result, (list, tuple)) else ""
    raise TypeError(
        f"The result is {quoted(result)}; expected one of what a Predictor gives: supervision's Detections, KeyPoints "
        f"or Classifications, or a map of an image.{remedy}"
    )


def boxes_of(key_points: sv.KeyPoints) -> sv.Detections:
    """The boxes of key points, in the same order, with their tracks if any.

    supervision has no field for the tracks of key points; they are in `data["tracker_id"]`.

    Args:
      key_points: With the boxes in `data["xyxy"]`; without them a box is drawn around the points that are there.

    Returns:
      A detection for each object.
    """
    data = key_points.data
    xyxy = data.get("xyxy")
    if xyxy is None:
        around = [key_points[index].as_detections().xyxy for index in range(len(key_points))]
        xyxy = [box[0] if len(box) else np.zeros(4) for box in around]
    tracks = data.get("tracker_id")
    return sv.Detections(
        xyxy=np.asarray(xyxy, np.float32).reshape(-1, 4),
        confidence=key_points.detection_confidence,
        class_id=key_points.class_id,
        tracker_id=None if tracks is None else np.asarray(tracks),
        data={name: value for name, value in data.items() if name == CLASS_NAME_DATA_FIELD},
    )


def names_of(result) -> np.ndarray:
    """The names of a result's classes, by index: (C,) str; an index that has none stands for itself.

    Args:
      result: As of `of`.

    Returns:
      Names of all indices up to the largest that the result has.

    Raises:
      ValueError: If a class index is negative, or beyond all that models have.
    """
    if isinstance(result, PixelMap):
        return np.asarray(result.class_name, str)
    classes = np.asarray([] if result.class_id is None else result.class_id).astype(int)
    if classes.size and not 0 <= classes.min() <= classes.max() < _MOST_CLASSES:
        raise ValueError(
            f"The result has the classes {classes.min()} to {classes.max()}; expected indices from 0 to "
            f"{_MOST_CLASSES - 1:,}."
        )
    names = [str(index) for index in range(classes.max() + 1 if classes.size else 0)]
    for index, name in zip(classes, own_names(result) or (), strict=False):
        names[index] = str(name)
    return np.array(names, dtype=str)


def own_names(result) -> list | None:
    """The class name of each of a result's parts, as the result has it; None if it has none."""
    if isinstance(result, PixelMap):
        return [row["name"] for row in result.rows() if "name" in row] or None
    names = getattr(result, "class_name", None)  # of our Classifications
    names = result.data.get(CLASS_NAME_DATA_FIELD) if hasattr(result, "data") else names
    return None if names is None else list(names)
