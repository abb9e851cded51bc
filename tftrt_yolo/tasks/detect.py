"""Detection: boxes with scores. The tasks that find more about each object build on this one.

boxes (batch, A, 4) xyxy in frame pixels, scores (batch, A, C)
"""

import numpy as np

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.selection import Selection
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.task import Quantity, Scene, Task


def branches(head) -> dict:
    """The branches of a head that count at inference: name to modules, level by level.

    Args:
      head: A head of Ultralytics' class Detect or one derived from it.

    Returns:
      "box_head", "cls_head" and the task's own.
    """
    return head.one2one if head.end2end else head.one2many


def raw_outputs(head, features: list) -> dict[str, list]:
    """Raw outputs of a detection head.

    Args:
      head: The head, in PyTorch.
      features: Its inputs, (batch, channels, h, w), level by level.

    Returns:
      "box" (batch, 4 * reg_max, h, w) and "class" (batch, C, h, w), a list of levels each.
    """
    return {
        "box": each_level(branches(head)["box_head"], features),
        "class": each_level(branches(head)["cls_head"], features),
    }


def each_level(modules, features: list) -> list:
    """Applies a branch's module of each level to the level's features."""
    return [module(feature) for module, feature in zip(modules, features, strict=True)]


def reference(outputs: list[np.ndarray], head: HeadSpec) -> dict[str, np.ndarray]:
    """Dense predictions from what Ultralytics' network gives.

    Args:
      outputs: One array (batch, 4 + C + extra, A): box, scores, and what a task has beside.
      head: The head. One that is end to end gives corners, others centre and size.

    Returns:
      `boxes` (batch, A, 4) xyxy in frame pixels and `scores` (batch, A, C).
    """
    rows = outputs[0].transpose(0, 2, 1)
    first, second, scores = rows[..., :2], rows[..., 2:4], rows[..., 4 : 4 + head.num_classes]
    corners = (first, second) if head.is_end_to_end else (first - second / 2, first + second / 2)
    return {"boxes": np.concatenate(corners, axis=-1), "scores": np.ascontiguousarray(scores)}


def beside(outputs: list[np.ndarray], head: HeadSpec) -> np.ndarray:
    """What a task has beside box and scores in Ultralytics' rows, (batch, A, extra)."""
    return np.ascontiguousarray(outputs[0].transpose(0, 2, 1)[..., 4 + head.num_classes :])


def decode(parts: dict[str, list], head: HeadSpec) -> dict:
    """Decodes boxes and scores.

    Args:
      parts: "box" (batch, h, w, 4 * reg_max) and "class" (batch, h, w, C), a list of levels each.
      head: Strides and bins.

    Returns:
      `boxes` (batch, A, 4) float32, xyxy in frame pixels, and `scores` (batch, A, C) float32 in [0, 1]; A anchors,
      level by level, row by row.
    """
    from tftrt_yolo.graph import decoding

    return {"boxes": decoding.boxes(parts["box"], head), "scores": scores(parts)}


def scores(parts: dict[str, list]):
    """Scores (batch, A, C) of all levels."""
    import tensorflow as tf

    from tftrt_yolo.graph import decoding

    return tf.sigmoid(decoding.joined(parts["class"]))


def select(dense: dict, metadata: Metadata, *, static_shapes: bool):
    """Selects detections: greedy suppression, or the best scores where the head gives each object once."""
    from tftrt_yolo.graph import nms

    if metadata.is_end_to_end:
        return nms.best(dense["scores"], metadata.selection)
    return nms.select(dense["boxes"], dense["scores"], metadata.selection, static_shapes=static_shapes)


def place(rows: dict, letterbox) -> dict:
    """Takes the selected boxes to pixels of the images."""
    return {**rows, "boxes": letterbox.to_image_pixels(rows["boxes"])}


def ultralytics(dense: dict, metadata: Metadata, beside: tuple = ()):
    """Packs dense predictions as Ultralytics' own loader expects them.

    Args:
      dense: What `network` gives.
      metadata: Says whether the head is end to end; then Ultralytics expects the best detections, sorted.
      beside: What a task has beside box and score, (batch, A, n) each.

    Returns:
      (batch, 4 + C + n, A) float32: centre x, centre y, width, height in frame pixels, the scores, the rest. End to
      end: (batch, 300, 6 + n): two corners, score, class, the rest.
    """
    import tensorflow as tf

    if metadata.is_end_to_end:
        return best_rows(dense["boxes"], dense["scores"], beside)
    top_left, bottom_right = dense["boxes"][..., :2], dense["boxes"][..., 2:]
    center_and_size = [(top_left + bottom_right) / 2, bottom_right - top_left]
    return tf.transpose(tf.concat([*center_and_size, dense["scores"], *beside], axis=-1), (0, 2, 1))


def best_rows(boxes, scores, beside: tuple = ()):
    """What Ultralytics' end-to-end heads give: (batch, 300, 6 + n) of boxes, scores and what is beside them."""
    import tensorflow as tf

    from tftrt_yolo.graph import nms

    everything = Selection(score_threshold=0.0, max_detections=min(_ULTRALYTICS_MAX_DETECTIONS, boxes.shape[1]))
    best = nms.best(scores, everything)
    numbers = [best.scores[..., tf.newaxis], tf.cast(best.classes, tf.float32)[..., tf.newaxis]]
    return tf.concat([best.take(boxes), *numbers, *map(best.take, beside)], axis=-1)


def to_supervision(outputs: dict[str, np.ndarray], scene: Scene):
    """One image's detections.

    Args:
      outputs: `boxes`, `scores` and `classes` without padding.
      scene: The names.

    Returns:
      `supervision.Detections` that print themselves: xyxy, confidence, class_id, and the names in
      `data["class_name"]`.
    """
    from tftrt_yolo.tasks.results.readable import Detections

    return Detections(
        xyxy=outputs["boxes"],
        confidence=outputs["scores"],
        class_id=outputs["classes"].astype(int),
        data={"class_name": scene.names[outputs["classes"]]},
    )


def draw(image: np.ndarray, detections, names: np.ndarray, options: DrawingOptions | None = None) -> np.ndarray:
    """Draws boxes and labels on a copy of an image."""
    from tftrt_yolo.tasks.drawing import annotators

    options = options or DrawingOptions()
    return annotators.draw_labels(annotators.draw_boxes(image.copy(), detections, options), detections, names, options)


def rows(detections, names: np.ndarray) -> list[dict]:
    """Box, score and class of each detection, and the number of its track if they are tracked, for a file."""
    from tftrt_yolo.tasks.results import rows as of_results

    return of_results.boxes(detections, names)


def boxes(detections):
    """The detections themselves."""
    return detections


def differences(expected, found, one: int, other: int) -> dict[str, float]:
    """The largest differences between detection `one` of the first and `other` of the second."""
    return {
        "boxes (px)": np.abs(expected.xyxy[one] - found.xyxy[other]).max(),
        "scores": abs(expected.confidence[one] - found.confidence[other]),
    }


_ULTRALYTICS_MAX_DETECTIONS = 300  # ultralytics.nn.modules.head.Detect.max_det
BOXES = Quantity("boxes", "boxes", 0.1, "px")
SCORES = Quantity("scores", "scores", 1e-3)

TASK = Task(
    name="detect",
    heads=("Detect", "v10Detect"),
    level_parts=("box", "class"),
    whole_parts=(),
    raw_outputs=raw_outputs,
    reference=reference,
    quantities=(BOXES, SCORES),
    decode=decode,
    per_anchor=("boxes",),
    per_image=(),
    select=select,
    place=place,
    ultralytics=ultralytics,
    to_supervision=to_supervision,
    draw=draw,
    rows=rows,
    boxes=boxes,
    differences=differences,
)
