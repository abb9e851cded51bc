"""Oriented boxes: from corners to width, height and angle, and two ways to say how much they overlap.

overlap = probabilistic_iou(boxes_xywhr, others_xywhr)       # Ultralytics' way, of Gaussians: (N, M)
overlap = polygon_iou(corners, other_corners)                # of the rectangles themselves: (N, M)
"""

import itertools

import numpy as np

_EPSILON = 1e-7


def smallest_rectangles(corners: np.ndarray) -> np.ndarray:
    """The smallest oriented rectangle around each quadrilateral.

    One of its sides lies on a side of the convex hull, which of four points is one of six lines.

    Args:
      corners: (n, 4, 2), in any order.

    Returns:
      (n, 5) float64, center, width, height, angle in radians.
    """
    corners = np.asarray(corners, np.float64)
    candidates = []
    for first, second in itertools.combinations(range(4), 2):
        side = corners[:, second] - corners[:, first]
        angle = np.arctan2(side[:, 1], side[:, 0])
        cosine, sine = np.cos(angle), np.sin(angle)
        turned = np.stack(
            [
                corners[..., 0] * cosine[:, None] + corners[..., 1] * sine[:, None],
                corners[..., 1] * cosine[:, None] - corners[..., 0] * sine[:, None],
            ],
            axis=-1,
        )
        low, high = turned.min(axis=1), turned.max(axis=1)
        x, y = ((low + high) / 2).T
        center = np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1)
        candidates.append(np.concatenate([center, high - low, angle[:, None]], axis=1))
    boxes = np.stack(candidates, axis=1)
    best = np.argmin(boxes[..., 2] * boxes[..., 3], axis=1)
    return boxes[np.arange(len(boxes)), best]


def _covariance(boxes_xywhr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance along x, along y, and covariance of the uniform distributions in the boxes."""
    along, across = boxes_xywhr[:, 2] ** 2 / 12, boxes_xywhr[:, 3] ** 2 / 12
    cosine, sine = np.cos(boxes_xywhr[:, 4]), np.sin(boxes_xywhr[:, 4])
    return (
        along * cosine**2 + across * sine**2,
        along * sine**2 + across * cosine**2,
        (along - across) * cosine * sine,
    )


def probabilistic_iou(boxes_xywhr: np.ndarray, others_xywhr: np.ndarray) -> np.ndarray:
    """Similarity of oriented boxes as Gaussians: 1 - their Hellinger distance.

    Args:
      boxes_xywhr: (n, 5).
      others_xywhr: (m, 5).

    Returns:
      (n, m) in [0, 1].

    Source: Llerena et al., Probabilistic Intersection-over-Union, arXiv:2106.06072; clamping as
      ultralytics.utils.metrics.batch_probiou.
    """
    a1, b1, c1 = (part[:, None] for part in _covariance(boxes_xywhr))
    a2, b2, c2 = (part[None] for part in _covariance(others_xywhr))
    dx = boxes_xywhr[:, None, 0] - others_xywhr[None, :, 0]
    dy = boxes_xywhr[:, None, 1] - others_xywhr[None, :, 1]
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    determinant = a * b - c**2
    distance = (a * dy**2 + b * dx**2 - 2 * c * dx * dy) / (determinant + _EPSILON) / 4
    own = np.clip(a1 * b1 - c1**2, 0, None) * np.clip(a2 * b2 - c2**2, 0, None)
    distance = distance + np.log(determinant / (4 * np.sqrt(own) + _EPSILON) + _EPSILON) / 2
    return 1 - np.sqrt(1 - np.exp(-np.clip(distance, _EPSILON, 100)) + _EPSILON)


def polygon_iou(corners: np.ndarray, other_corners: np.ndarray) -> np.ndarray:
    """Intersection over union of the rectangles themselves, (n, 4, 2) and (m, 4, 2) to (n, m)."""
    from supervision.detection.utils.iou_and_nms import oriented_box_iou_batch

    if not len(corners) or not len(other_corners):
        return np.zeros((len(corners), len(other_corners)))
    return oriented_box_iou_batch(np.asarray(corners, np.float32), np.asarray(other_corners, np.float32))
