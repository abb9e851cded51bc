"""Pictures with boxes and labels, drawn by supervision.

picture = draw(image, detections)
write(picture, Path("bus.jpg"))
"""

from pathlib import Path

import numpy as np
import PIL.Image
import supervision as sv


def draw(image: np.ndarray, detections: sv.Detections) -> np.ndarray:
    """Draws detections on a copy of an image.

    Args:
      image: (height, width, 3) uint8, RGB.
      detections: With class names in `data["class_name"]`.

    Returns:
      (height, width, 3) uint8, RGB.
    """
    size_wh = (image.shape[1], image.shape[0])
    thickness = sv.calculate_optimal_line_thickness(size_wh)
    labels = [
        f"{name} {score:.2f}" for name, score in zip(detections.data["class_name"], detections.confidence, strict=True)
    ]
    picture = sv.BoxAnnotator(thickness=thickness).annotate(image.copy(), detections)
    label_annotator = sv.LabelAnnotator(
        text_scale=sv.calculate_optimal_text_scale(size_wh),
        text_color=sv.Color.BLACK,
        text_padding=3,
        smart_position=True,
    )
    return label_annotator.annotate(picture, detections, labels=labels)


def free_path(path: Path) -> Path:
    """The path, or one beside it with a number if an image of that name was written already."""
    candidates = [path, *(path.with_name(f"{path.stem}_{number}{path.suffix}") for number in range(2, 10_000))]
    return next(candidate for candidate in candidates if not candidate.exists())


def write(picture: np.ndarray, path: Path) -> None:
    """Writes a picture; the name's ending gives the format."""
    PIL.Image.fromarray(picture).save(path, quality=95)
