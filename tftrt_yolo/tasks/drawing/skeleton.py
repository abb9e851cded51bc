"""Key points and limbs on pictures, in the colours by which Ultralytics' users know them.

picture = skeleton.draw(picture, key_points, options)
"""

import math

import numpy as np
import supervision as sv

from tftrt_yolo.tasks.drawing import annotators
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions

_VISIBLE_CONFIDENCE = 0.25  # ultralytics.utils.plotting.Annotator.kpts: conf_thres
# Of COCO's persons: the colour (red, green, blue) of key points, by index, and of limbs, by the indices of their ends.
# Source: ultralytics.utils.plotting.Colors.pose_palette, which is drawn as blue, green, red; Annotator.skeleton,
# kpt_color and limb_color.
_HEAD, _ARMS, _LEGS, _TRUNK = (0, 255, 0), (0, 128, 255), (255, 153, 51), (255, 51, 255)
_COCO_POINTS = {_HEAD: range(5), _ARMS: range(5, 11), _LEGS: range(11, 17)}
_COCO_LIMBS = {
    _LEGS: ((15, 13), (13, 11), (16, 14), (14, 12)),
    _TRUNK: ((11, 12), (5, 11), (6, 12)),
    _ARMS: ((5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    _HEAD: ((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
}
_COCO_KEYPOINTS = 17


def draw(picture: np.ndarray, key_points: sv.KeyPoints, options: DrawingOptions) -> np.ndarray:
    """Draws the key points that are sure enough, and the limbs of COCO's skeleton.

    Args:
      picture: (height, width, 3) uint8, RGB; it is changed.
      key_points: `xy` (n, K, 2) and, if there is one, `keypoint_confidence` (n, K).
      options: With the width of lines, by which limbs are as thick as Ultralytics'.

    Returns:
      The picture. A skeleton of 17 key points is COCO's; of any other each key point has a colour of its own.
    """
    thickness, radius = _sizes(picture, options)
    points, confidence = key_points.xy[..., :2], key_points.keypoint_confidence
    shown = np.isfinite(points).all(-1) & (points != 0).any(-1)
    if confidence is not None:
        shown &= confidence > _VISIBLE_CONFIDENCE
    is_person = points.shape[1] == _COCO_KEYPOINTS
    for rgb, limbs in _COCO_LIMBS.items() if is_person else ():
        for first, second in limbs:
            for one, other in points[shown[:, first] & shown[:, second]][:, (first, second)]:
                sv.draw_line(picture, sv.Point(*one), sv.Point(*other), annotators.swapped(*rgb), thickness)
    for rgb, indices in (_COCO_POINTS if is_person else _colors_of(points.shape[1])).items():
        found = points[:, indices][shown[:, indices]][np.newaxis]  # as those of one object
        if found.size:
            annotator = sv.VertexAnnotator(annotators.swapped(*rgb), radius=radius)
            picture = annotator.annotate(picture, sv.KeyPoints(found))
    return picture


def _sizes(picture: np.ndarray, options: DrawingOptions) -> tuple[int, int]:
    """Thickness of limbs and radius of key points in pixels.

    Source: ultralytics.utils.plotting.Annotator.kpts, for limbs where a width of lines is given.
    """
    width = annotators.line_width(picture, options)
    return (math.ceil(width / 2) if options.line_width else width), width + 2


def _colors_of(num_points: int) -> dict[tuple[int, int, int], list[int]]:
    """A colour of supervision's palette for each key point; the colours repeat after some twenty."""
    found: dict[tuple[int, int, int], list[int]] = {}
    for index in range(num_points):
        found.setdefault(sv.ColorPalette.DEFAULT.by_idx(index).as_rgb(), []).append(index)
    return found
