"""An image coloured by the class of each pixel, with the classes' names on it."""

import cv2
import numpy as np
import supervision as sv

from tftrt_yolo.graph.class_values import first_value
from tftrt_yolo.tasks.drawing import annotators
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions


def draw(image: np.ndarray, found, names: np.ndarray, options: DrawingOptions, *, opacity: float) -> np.ndarray:
    """Colours a copy of an image; what is of no class keeps its colours.

    Args:
      image: (height, width, 3) uint8, RGB.
      found: A `SemanticMap` of it.
      names: (C,) str, the classes.
      options: What of it is drawn.
      opacity: Of the colours, from 0 to 1.

    Returns:
      (height, width, 3) uint8.
    """
    present = np.flatnonzero(found.pixel_counts)
    first = first_value(len(found.class_name))
    size = max(int(found.class_map.max(initial=0)), 255) + 1
    colours, are_classes = np.zeros((size, 3), np.uint8), np.zeros(size, np.uint8)
    for index in present:
        colours[index + first] = sv.ColorPalette.DEFAULT.by_idx(int(index)).as_bgr()  # as supervision colours masks
        are_classes[index + first] = 1
    blended = cv2.addWeighted(image, 1 - opacity, colours[found.class_map], opacity, 0)
    picture = np.where(are_classes[found.class_map][..., np.newaxis], blended, image)
    if not (options.show_labels and len(present)):
        return picture
    points = [_inside((found.class_map == index + first).astype(np.uint8)) for index in present]
    parts = sv.Detections(xyxy=np.tile(np.array(points, np.float32), 2), class_id=present)
    return annotators.draw_labels(picture, parts, names, options)


def _inside(mask: np.ndarray) -> tuple[int, int]:
    """The pixel of a mask (height, width) uint8 that is farthest from its edge, x and y, where a name fits."""
    distances = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3)  # the image's edge is one, too
    y, x = np.unravel_index(distances.argmax(), distances.shape)
    return int(x) - 1, int(y) - 1
