"""Depths as colours over their image: red is near, blue is far, as Ultralytics draws them.

picture = lay_over(image, depth)        # (height, width, 3) uint8, RGB

Source: ultralytics.utils.plotting.colorize_depth with its defaults, and Annotator.depth_map.
"""

import cv2
import numpy as np

_OPACITY = 0.6
_ENDS = 2, 98  # percentiles of the inverse depths that the colours' ends stand for, whatever a few pixels have
_LEAST_RANGE = 1e-6


def lay_over(image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Lays colours over a copy of an image.

    Args:
      image: (height, width, 3) uint8, RGB.
      depth: (height, width) float32, metres; what is no number above 0 becomes black.

    Returns:
      (height, width, 3) uint8, RGB.
    """
    is_valid = np.isfinite(depth) & (depth > 0)
    nearness = np.divide(1, depth, out=np.zeros(depth.shape, np.float32), where=is_valid)
    low, high = np.percentile(nearness[is_valid], _ENDS) if is_valid.any() else (0, 1)
    levels = np.clip((nearness - low) / max(high - low, _LEAST_RANGE), 0, 1) * 255
    colors = cv2.applyColorMap(levels.astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    colors = np.where(is_valid[..., np.newaxis], colors, np.uint8(0))
    return cv2.addWeighted(image, 1 - _OPACITY, colors, _OPACITY, 0)
