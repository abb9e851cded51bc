"""Boxes, labels and captions on pictures, drawn by supervision; each task says what of it it draws.

picture = draw_labels(draw_boxes(image.copy(), detections), detections)
"""

import numpy as np
import supervision as sv

_CAPTION_LINE_PX = 44  # at a text scale of 1
_MINIMUM_TEXT_SCALE = 0.5
_MINIMUM_SIDE_PX = 224  # smaller images are enlarged before a caption is put below them


def draw_boxes(picture: np.ndarray, detections: sv.Detections) -> np.ndarray:
    """Draws upright boxes.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      detections: With class indices.

    Returns:
      The picture.
    """
    thickness = sv.calculate_optimal_line_thickness((picture.shape[1], picture.shape[0]))
    return sv.BoxAnnotator(thickness=thickness).annotate(picture, detections)


def draw_labels(picture: np.ndarray, detections: sv.Detections) -> np.ndarray:
    """Draws names and scores, side by side where they would lie on each other.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      detections: With class names in `data["class_name"]`.

    Returns:
      The picture.
    """
    labels = [
        f"{name} {score:.2f}" for name, score in zip(detections.data["class_name"], detections.confidence, strict=True)
    ]
    annotator = sv.LabelAnnotator(
        text_scale=sv.calculate_optimal_text_scale((picture.shape[1], picture.shape[0])),
        text_color=sv.Color.BLACK,
        text_padding=3,
        smart_position=True,
    )
    return annotator.annotate(picture, detections, labels=labels)


def with_caption(image: np.ndarray, lines: list[str]) -> np.ndarray:
    """Puts lines of text below an image.

    Args:
      image: (height, width, 3) uint8, RGB.
      lines: The text.

    Returns:
      (height + caption, width, 3) uint8, RGB; an image whose shorter side has less than 224 pixels is enlarged.
    """
    factor = -(-_MINIMUM_SIDE_PX // min(image.shape[:2]))
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = image.shape[:2]
    scale = max(_MINIMUM_TEXT_SCALE, sv.calculate_optimal_text_scale((width, height)))
    line_px = round(_CAPTION_LINE_PX * scale)
    picture = np.full((height + line_px * len(lines) + 4, width, 3), 255, np.uint8)
    picture[:height] = image
    for number, line in enumerate(lines):
        anchor = sv.Point(x=width // 2, y=height + 2 + line_px * number + line_px // 2)  # the middle of the text
        picture = sv.draw_text(picture, line, anchor, text_scale=scale, text_thickness=max(1, round(scale)))
    return picture
