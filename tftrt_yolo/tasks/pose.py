"""Pose: detection, and key points for each object.

keypoints (batch, A, K, 3): x and y in frame pixels, confidence
"""

import dataclasses

import numpy as np

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.tasks import detect
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.task import Quantity, Scene


def raw_outputs(head, features: list) -> dict[str, list]:
    """Raw outputs of a pose head: those of `detect.raw_outputs`, and "keypoints" (batch, K * numbers, h, w)."""
    branches = detect.branches(head)
    keypoints = detect.each_level(branches["pose_head"], features)
    if "kpts_head" in branches:  # Pose26 has a last layer of its own
        keypoints = detect.each_level(branches["kpts_head"], keypoints)
    return {**detect.raw_outputs(head, features), "keypoints": keypoints}


def reference(outputs: list[np.ndarray], head: HeadSpec) -> dict[str, np.ndarray]:
    """Dense predictions from Ultralytics' rows; see `detect.reference`. Key points without confidence get 1."""
    rows = detect.beside(outputs, head)
    keypoints = rows.reshape(*rows.shape[:2], *head.keypoint_shape)
    if head.keypoint_shape[1] == 2:
        keypoints = np.concatenate([keypoints, np.ones_like(keypoints[..., :1])], axis=-1)
    return {**detect.reference(outputs, head), "keypoints": keypoints}


def decode(parts: dict[str, list], head: HeadSpec) -> dict:
    """Decodes boxes, scores and key points (batch, A, K, 3); without confidence of their own they get 1.

    Source: ultralytics.nn.modules.head.Pose.kpts_decode and Pose26.kpts_decode.
    """
    import tensorflow as tf

    from tftrt_yolo.graph import decoding

    centers, strides = (values[:, :, np.newaxis] for values in decoding.anchors(parts["keypoints"], head))
    rows = decoding.joined(parts["keypoints"])
    points = tf.reshape(rows, (-1, rows.shape[1], *head.keypoint_shape))
    if head.kind == "Pose26":
        xy = (points[..., :2] + centers) * strides
    else:
        xy = (points[..., :2] * 2.0 + (centers - 0.5)) * strides
    has_confidence = head.keypoint_shape[1] == 3
    confidence = tf.sigmoid(points[..., 2:]) if has_confidence else tf.ones_like(points[..., :1])
    return {**detect.decode(parts, head), "keypoints": tf.concat([xy, confidence], axis=-1)}


def place(rows: dict, letterbox) -> dict:
    """Takes the selected boxes and key points to pixels of the images."""
    import tensorflow as tf

    keypoints = rows["keypoints"]
    xy = letterbox.points_to_image_pixels(keypoints[..., :2])
    return {**detect.place(rows, letterbox), "keypoints": tf.concat([xy, keypoints[..., 2:]], axis=-1)}


def ultralytics(dense: dict, metadata: Metadata):
    """Ultralytics' rows with the key points' numbers at their end."""
    import tensorflow as tf

    points, numbers = metadata.keypoint_shape
    flat = tf.reshape(dense["keypoints"][..., :numbers], (-1, dense["keypoints"].shape[1], points * numbers))
    return detect.ultralytics(dense, metadata, (flat,))


def to_supervision(outputs: dict[str, np.ndarray], scene: Scene):
    """One image's objects with their key points.

    Args:
      outputs: As `detect.to_supervision`, with `keypoints` (n, K, 3).
      scene: The names.

    Returns:
      `supervision.KeyPoints`: xy, keypoint_confidence, detection_confidence, class_id, and in `data` what it has no
      field for: the names in "class_name" and the boxes in "xyxy", where supervision's own metrics look for them.
    """
    from tftrt_yolo.tasks.results.readable import KeyPoints

    return KeyPoints(
        xy=outputs["keypoints"][..., :2],
        keypoint_confidence=outputs["keypoints"][..., 2],
        detection_confidence=outputs["scores"],
        class_id=outputs["classes"].astype(int),
        data={"class_name": scene.names[outputs["classes"]], "xyxy": outputs["boxes"]},
    )


def boxes(key_points):
    """The boxes of `supervision.KeyPoints` as `supervision.Detections`, in the same order, with their tracks if any."""
    from tftrt_yolo.tasks.results import kinds

    return kinds.boxes_of(key_points)


def draw(image: np.ndarray, key_points, names: np.ndarray, options: DrawingOptions | None = None) -> np.ndarray:
    """Draws boxes, labels, the key points that are sure enough, and of a person the limbs, on a copy of an image.

    The key points and limbs of COCO's persons have Ultralytics' colours, by part of the body; of any other skeleton
    each key point has one of its own.
    """
    from tftrt_yolo.tasks.drawing import skeleton

    options = options or DrawingOptions()
    return skeleton.draw(detect.draw(image, boxes(key_points), names, options), key_points, options)


def rows(key_points, names: np.ndarray) -> list[dict]:
    """As `detect.rows`, with "keypoints": x, y and confidence of each."""
    from tftrt_yolo.tasks.results import rows as of_results

    return of_results.key_points(key_points, names)


def differences(expected, found, one: int, other: int) -> dict[str, float]:
    """As `detect.differences`, and of the key points."""
    return {
        **detect.differences(boxes(expected), boxes(found), one, other),
        "key points (px)": np.abs(expected.xy[one] - found.xy[other]).max(),
        "their confidence": np.abs(expected.keypoint_confidence[one] - found.keypoint_confidence[other]).max(),
    }


TASK = dataclasses.replace(
    detect.TASK,
    name="pose",
    heads=("Pose", "Pose26"),
    level_parts=("box", "class", "keypoints"),
    raw_outputs=raw_outputs,
    reference=reference,
    quantities=(
        detect.BOXES,
        detect.SCORES,
        Quantity("key points", "keypoints", 0.2, "px", (0, 2)),
        Quantity("their confidence", "keypoints", 1e-3, columns=(2, 3)),
    ),
    decode=decode,
    per_anchor=("boxes", "keypoints"),
    place=place,
    ultralytics=ultralytics,
    to_supervision=to_supervision,
    draw=draw,
    rows=rows,
    boxes=boxes,
    differences=differences,
)
