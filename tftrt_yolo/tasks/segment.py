"""Instance segmentation: detection, and a mask for each object, a weighted sum of the image's prototypes.

mask_coefficients (batch, A, 32), prototypes (batch, S/4, S/4, 32)
"""

import dataclasses

import numpy as np

from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.tasks import detect, masks
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.task import Packing, Quantity, Scene


def raw_outputs(head, features: list) -> dict[str, list]:
    """Raw outputs of a segmentation head: those of `detect.raw_outputs`, "coefficients" and, once, "prototypes"."""
    coefficients = detect.each_level(detect.branches(head)["mask_head"], features)
    prototypes = head.proto(features if type(head).__name__ == "Segment26" else features[0])
    return {**detect.raw_outputs(head, features), "coefficients": coefficients, "prototypes": [prototypes]}


def reference(outputs: list[np.ndarray], head: HeadSpec) -> dict[str, np.ndarray]:
    """Dense predictions from Ultralytics' rows and its prototypes (batch, 32, h, w); see `detect.reference`."""
    prototypes = np.ascontiguousarray(outputs[1].transpose(0, 2, 3, 1))
    coefficients = detect.beside(outputs, head)
    return {**detect.reference(outputs, head), "mask_coefficients": coefficients, "prototypes": prototypes}


def decode(parts: dict[str, list], head: HeadSpec) -> dict:
    """Decodes boxes, scores, mask coefficients (batch, A, 32) and prototypes (batch, S/4, S/4, 32)."""
    from tftrt_yolo.graph import decoding

    coefficients = decoding.joined(parts["coefficients"])
    return {**detect.decode(parts, head), "mask_coefficients": coefficients, "prototypes": parts["prototypes"][0]}


def ultralytics(dense: dict, metadata: Metadata) -> list:
    """Ultralytics' rows with the coefficients at their end, and the prototypes (batch, S/4, S/4, 32)."""
    return [detect.ultralytics(dense, metadata, (dense["mask_coefficients"],)), dense["prototypes"]]


def pack(outputs: dict, image_sizes_hw, frame_size_hw: tuple[int, int]) -> dict:
    """Masks as PNG files, and where they lie, of an image whose prototypes take megabytes; see `encoded.masks.pack`."""
    from tftrt_yolo.graph.encoded import masks as encoded_masks

    files, corners_xy = encoded_masks.pack(outputs, image_sizes_hw, frame_size_hw)
    return {"masks": files, "mask_corners": corners_xy}


def to_supervision(outputs: dict[str, np.ndarray], scene: Scene):
    """One image's detections with their masks.

    Args:
      outputs: As `detect.to_supervision`, with `mask_coefficients` (n, 32) and the image's `prototypes` (h, w, 32).
      scene: Names and sizes.

    Returns:
      `supervision.Detections` as `detect.to_supervision`, with `mask` (n, height, width) at the image's resolution,
      which supervision keeps compact: `mask[0]` and `np.asarray(mask)` are arrays. Like Ultralytics it leaves out
      detections whose mask is empty.
    """
    kept, found = masks.compute(
        outputs["mask_coefficients"],
        outputs["prototypes"],
        outputs["boxes"],
        image_size_hw=scene.image_size_hw,
        frame_size_hw=scene.frame_size_hw,
        is_of_image=scene.retina_masks,
    )
    detections = detect.to_supervision({name: outputs[name][kept] for name in ("boxes", "scores", "classes")}, scene)
    detections.mask = found
    return detections


def draw(image: np.ndarray, detections, names: np.ndarray, options: DrawingOptions | None = None) -> np.ndarray:
    """Draws masks, boxes and labels on a copy of an image."""
    import supervision as sv

    from tftrt_yolo.tasks.drawing import annotators

    masked = sv.MaskAnnotator(opacity=0.5, color_lookup=annotators.color_lookup(detections))
    return detect.draw(masked.annotate(image.copy(), detections), detections, names, options)


def rows(detections, names: np.ndarray) -> list[dict]:
    """As `detect.rows`, with "polygons": the outlines of each mask's parts, points x and y in image pixels."""
    from tftrt_yolo.tasks.results import rows as of_results

    return of_results.segments(detections, names)


def differences(expected, found, one: int, other: int) -> dict[str, float]:
    """As `detect.differences`, and what is missing to an overlap of 1 of the masks."""
    first, second = expected.mask[one], found.mask[other]
    lost = np.count_nonzero(first ^ second) / max(np.count_nonzero(first | second), 1)
    return {**detect.differences(expected, found, one, other), "1 - IoU of masks": lost}


TASK = dataclasses.replace(
    detect.TASK,
    name="segment",
    heads=("Segment", "Segment26"),
    level_parts=("box", "class", "coefficients"),
    whole_parts=("prototypes",),
    raw_outputs=raw_outputs,
    reference=reference,
    quantities=(
        detect.BOXES,
        detect.SCORES,
        Quantity("mask coefficients", "mask_coefficients", 1e-3, "relative"),
        Quantity("prototypes", "prototypes", 1e-3, "relative"),
    ),
    decode=decode,
    per_anchor=("boxes", "mask_coefficients"),
    per_image=("prototypes",),
    ultralytics=ultralytics,
    to_supervision=to_supervision,
    draw=draw,
    rows=rows,
    differences=differences,
    packing=Packing(replaced=("mask_coefficients", "prototypes"), given=("masks", "mask_corners"), pack=pack),
)
