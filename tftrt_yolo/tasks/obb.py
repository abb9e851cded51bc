"""Oriented boxes: a centre, a width, a height and an angle in radians for each object.

boxes_xywhr (batch, A, 5) in frame pixels; boxes (batch, A, 4) is the upright box around it
"""

import dataclasses
import math

import numpy as np

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.tasks import detect
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.task import Quantity, Scene


def raw_outputs(head, features: list) -> dict[str, list]:
    """Raw outputs of an oriented head: those of `detect.raw_outputs`, and "angle" (batch, 1, h, w)."""
    angle = detect.each_level(detect.branches(head)["angle_head"], features)
    return {**detect.raw_outputs(head, features), "angle": angle}


def reference(outputs: list[np.ndarray], head: HeadSpec) -> dict[str, np.ndarray]:
    """Dense predictions from Ultralytics' rows: centre, size, scores, angle."""
    rows, angle = outputs[0].transpose(0, 2, 1), detect.beside(outputs, head)
    boxes_xywhr = np.concatenate([rows[..., :4], angle], axis=-1)
    return {**detect.reference(outputs, head), "boxes": upright(boxes_xywhr), "boxes_xywhr": boxes_xywhr}


def corners(boxes_xywhr: np.ndarray) -> np.ndarray:
    """The corners of oriented boxes.

    Args:
      boxes_xywhr: (..., 5), angle in radians, clockwise on the screen.

    Returns:
      (..., 4, 2), x and y.

    Source: ultralytics.utils.ops.xywhr2xyxyxyxy, and its order.
    """
    center, size, angle = boxes_xywhr[..., :2], boxes_xywhr[..., 2:4], boxes_xywhr[..., 4:]
    along = np.concatenate([np.cos(angle), np.sin(angle)], axis=-1) * size[..., :1] / 2
    across = np.concatenate([-np.sin(angle), np.cos(angle)], axis=-1) * size[..., 1:] / 2
    offsets = [along + across, along - across, -along - across, across - along]
    return center[..., np.newaxis, :] + np.stack(offsets, axis=-2)


def upright(boxes_xywhr: np.ndarray) -> np.ndarray:
    """The upright boxes around oriented ones: (..., 5) to (..., 4) xyxy."""
    points = corners(boxes_xywhr)
    return np.concatenate([points.min(axis=-2), points.max(axis=-2)], axis=-1)


def decode(parts: dict[str, list], head: HeadSpec) -> dict:
    """Decodes oriented boxes (batch, A, 5), the upright boxes around them, and scores.

    Source: ultralytics.nn.modules.head.OBB and OBB26; ultralytics.utils.tal.dist2rbox.
    """
    import tensorflow as tf

    from tftrt_yolo.graph import decoding

    sides, (centers, strides) = decoding.distances(parts["box"], head), decoding.anchors(parts["box"], head)
    angle = decoding.joined(parts["angle"])
    if head.kind != "OBB26":  # which regresses the angle itself
        angle = (tf.sigmoid(angle) - 0.25) * math.pi
    left_top, right_bottom = sides[..., :2], sides[..., 2:]
    offset = (right_bottom - left_top) / 2.0
    x, y, cos, sin = offset[..., :1], offset[..., 1:], tf.cos(angle), tf.sin(angle)
    center = (tf.concat([x * cos - y * sin, x * sin + y * cos], axis=-1) + centers) * strides
    boxes_xywhr = tf.concat([center, (left_top + right_bottom) * strides, angle], axis=-1)
    return {"boxes": _upright(boxes_xywhr), "scores": detect.scores(parts), "boxes_xywhr": boxes_xywhr}


def _upright(boxes_xywhr):
    """As `upright`, in TensorFlow and without corners: half the extent is the sum of two shares."""
    import tensorflow as tf

    # A head that regresses distances directly can give a negative size, whose box is as large as that of its magnitude.
    center, half, angle = boxes_xywhr[..., :2], tf.abs(boxes_xywhr[..., 2:4]) / 2.0, boxes_xywhr[..., 4:]
    cos, sin, width, height = tf.abs(tf.cos(angle)), tf.abs(tf.sin(angle)), half[..., :1], half[..., 1:]
    extent = tf.concat([width * cos + height * sin, width * sin + height * cos], axis=-1)
    return tf.concat([center - extent, center + extent], axis=-1)


def select(dense: dict, metadata: Metadata, *, static_shapes: bool):
    """Selects detections by the probabilistic overlap of oriented boxes, as Ultralytics does."""
    from tftrt_yolo.graph import nms

    if metadata.is_end_to_end:
        return nms.best(dense["scores"], metadata.selection)
    return nms.select(
        dense["boxes_xywhr"],
        dense["scores"],
        metadata.selection,
        static_shapes=static_shapes,
        suppress=nms.suppress_rotated,
    )


def place(rows: dict, letterbox) -> dict:
    """Takes the selected boxes to pixels of the images; like Ultralytics it does not clip them to the image.

    Source: ultralytics.utils.ops.scale_boxes with xywh=True, which scales width and height by the axes' own gains.
    """
    import tensorflow as tf

    boxes_xywhr = rows["boxes_xywhr"]
    center, size, angle = boxes_xywhr[..., :2], boxes_xywhr[..., 2:4], boxes_xywhr[..., 4:]
    gain = letterbox.gain_xy[:, tf.newaxis]
    center = (center - letterbox.padding_xy[:, tf.newaxis]) / gain
    boxes_xywhr = tf.concat([center, size / gain, angle], axis=-1)
    return {"boxes": _upright(boxes_xywhr), "boxes_xywhr": boxes_xywhr}


def ultralytics(dense: dict, metadata: Metadata):
    """Ultralytics' rows: centre, size, scores, angle; end to end: centre, size, score, class, angle."""
    import tensorflow as tf

    boxes_xywh, angle = dense["boxes_xywhr"][..., :4], dense["boxes_xywhr"][..., 4:]
    if metadata.is_end_to_end:
        return detect.best_rows(boxes_xywh, dense["scores"], (angle,))
    return tf.transpose(tf.concat([boxes_xywh, dense["scores"], angle], axis=-1), (0, 2, 1))


def to_supervision(outputs: dict[str, np.ndarray], scene: Scene):
    """One image's oriented detections.

    Args:
      outputs: As `detect.to_supervision`, with `boxes_xywhr` (n, 5).
      scene: The names.

    Returns:
      `supervision.Detections`: xyxy is the upright box around each; the corners (n, 4, 2) are in `data["xyxyxyxy"]`,
      where supervision looks for them, and centre, size and angle (n, 5) in `data["xywhr"]`.
    """
    from supervision.config import ORIENTED_BOX_COORDINATES

    detections = detect.to_supervision(outputs, scene)
    detections.data[ORIENTED_BOX_COORDINATES] = corners(outputs["boxes_xywhr"])
    detections.data["xywhr"] = outputs["boxes_xywhr"]
    return detections


def draw(image: np.ndarray, detections, names: np.ndarray, options: DrawingOptions | None = None) -> np.ndarray:
    """Draws oriented boxes and labels on a copy of an image."""
    from tftrt_yolo.tasks.drawing import annotators

    options = options or DrawingOptions()
    picture = annotators.draw_boxes(image.copy(), detections, options, is_oriented=True)
    return annotators.draw_labels(picture, detections, names, options)


def rows(detections, names: np.ndarray) -> list[dict]:
    """As `detect.rows`, with "xywhr", the angle in radians, and the four "corners"."""
    from tftrt_yolo.tasks.results import rows as of_results

    return of_results.oriented(detections, names)


def differences(expected, found, one: int, other: int) -> dict[str, float]:
    """As `detect.differences`, and of the oriented boxes' corners."""
    from supervision.config import ORIENTED_BOX_COORDINATES

    first, second = (detections.data[ORIENTED_BOX_COORDINATES] for detections in (expected, found))
    return {
        **detect.differences(expected, found, one, other),
        "corners (px)": np.abs(first[one] - second[other]).max(),
    }


TASK = dataclasses.replace(
    detect.TASK,
    name="obb",
    heads=("OBB", "OBB26"),
    level_parts=("box", "class", "angle"),
    raw_outputs=raw_outputs,
    reference=reference,
    quantities=(
        detect.BOXES,
        detect.SCORES,
        Quantity("oriented boxes", "boxes_xywhr", 0.1, "px", (0, 4)),
        Quantity("angles", "boxes_xywhr", 1e-3, "rad", (4, 5)),
    ),
    decode=decode,
    per_anchor=("boxes", "boxes_xywhr"),
    select=select,
    place=place,
    ultralytics=ultralytics,
    to_supervision=to_supervision,
    draw=draw,
    rows=rows,
    differences=differences,
)
