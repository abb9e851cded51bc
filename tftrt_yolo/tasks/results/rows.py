"""Results as rows, a dictionary for each part of one, best first: for files and for tables.

rows.boxes(detections, names)           # [{"xyxy": [...], "score": 0.91, "class": 0, "name": "person"}]
rows.of(result)                         # of any task, with the names that the result has itself

What a result lacks, such as the scores of labels that somebody made, its rows lack, too.
"""

import numpy as np
import supervision as sv
from supervision.config import ORIENTED_BOX_COORDINATES

from tftrt_yolo.tasks.results import kinds
from tftrt_yolo.tasks.results.pixel_map import PixelMap

NUM_SHOWN = 5  # of a classifier's classes


def of(result) -> list[dict]:
    """The rows of a result of any task.

    Args:
      result: What a Predictor gives, or supervision's own objects.

    Returns:
      As the function of its task below.

    Raises:
      TypeError: If it is something else.
    """
    kind = kinds.of(result)
    return result.rows() if isinstance(result, PixelMap) else _ROWS_OF[kind](result, None)


def boxes(detections: sv.Detections, names: np.ndarray | None) -> list[dict]:
    """Box, score and class of each detection, and the number of its track if they are tracked.

    Args:
      detections: Of any task that has boxes.
      names: (C,) str, the classes; None for the names that the detections have.

    Returns:
      A row a detection.
    """
    columns: dict[str, list] = {"xyxy": rounded(detections.xyxy)}
    if detections.confidence is not None:
        columns["score"] = [round(float(score), 5) for score in detections.confidence]
    if detections.class_id is not None:
        columns["class"] = [int(index) for index in detections.class_id]
    own = kinds.own_names(detections) if names is None or detections.class_id is None else names[detections.class_id]
    if own is not None:
        columns["name"] = [str(name) for name in own]
    if detections.tracker_id is not None:
        columns["track"] = [int(index) for index in detections.tracker_id]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def segments(detections: sv.Detections, names: np.ndarray | None) -> list[dict]:
    """As `boxes`, with "polygons": the outlines of each mask's parts, points x and y in image pixels."""
    return [
        {**row, "polygons": [polygon.tolist() for polygon in sv.mask_to_polygons(mask)]}
        for row, mask in zip(boxes(detections, names), detections.mask, strict=True)
    ]


def oriented(detections: sv.Detections, names: np.ndarray | None) -> list[dict]:
    """As `boxes`, with "xywhr" if there is one, the angle in radians, and the four "corners"."""
    xywhr = detections.data.get("xywhr")
    beside = [{} for _ in detections.xyxy]
    if xywhr is not None:
        beside = [{"xywhr": [*rounded(own[:4]), round(float(own[4]), 5)]} for own in xywhr]
    corners = detections.data[ORIENTED_BOX_COORDINATES]
    return [
        {**row, **own, "corners": rounded(points)}
        for row, own, points in zip(boxes(detections, names), beside, corners, strict=True)
    ]


def key_points(found: sv.KeyPoints, names: np.ndarray | None) -> list[dict]:
    """As `boxes`, with "keypoints": x, y and, if it is known, confidence of each."""
    points = found.xy
    if found.keypoint_confidence is not None:
        points = np.concatenate([points[..., :2], found.keypoint_confidence[..., np.newaxis]], axis=-1)
    return [
        {**row, "keypoints": rounded(own, 3)}
        for row, own in zip(boxes(kinds.boxes_of(found), names), points, strict=True)
    ]


def classes(classifications: sv.Classifications, names: np.ndarray | None) -> list[dict]:
    """Class, name and probability of the five best classes."""
    confidence, class_id = classifications.confidence, classifications.class_id
    order = np.arange(len(class_id)) if confidence is None else np.argsort(-confidence, kind="stable")
    names = kinds.names_of(classifications) if names is None else names
    return [
        {
            "class": int(class_id[index]),
            "name": str(names[class_id[index]]),
            **({} if confidence is None else {"probability": round(float(confidence[index]), 5)}),
        }
        for index in order[:NUM_SHOWN]
    ]


def rounded(values: np.ndarray, digits: int = 2) -> list:
    """Numbers of any shape as nested lists, in a file's precision."""
    return np.round(np.asarray(values, np.float64), digits).tolist()


_ROWS_OF = {"detect": boxes, "segment": segments, "obb": oriented, "pose": key_points, "classify": classes}
