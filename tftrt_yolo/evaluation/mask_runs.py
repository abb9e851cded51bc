"""Masks at image resolution, as run-length encodings: all that is kept of them.

    wanted = may_match(classes, boxes_xyxy, truth)
    masks = encode(coefficients, prototypes, boxes_xyxy, frame, wanted=wanted)      # n detections of one image

A mask is the sign of a weighted sum of prototypes, a quarter of the frame's resolution, interpolated at each pixel of
the image inside the detection's box. Only the box is ever computed.
"""

import numpy as np

from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.ground.placement import Placement

_STRIDE = 4  # frame pixels per prototype pixel


def may_match(classes: np.ndarray, boxes_xyxy: np.ndarray, truth: Truth) -> np.ndarray:
    """Which detections' masks can overlap a labelled one of their class.

    A mask lies inside its box. Where the boxes do not touch the masks do not, whatever they look like; most of the 300
    detections of an image are of that sort, and their masks need not be computed.

    Args:
      classes: (n,) int64.
      boxes_xyxy: (n, 4), in pixels of the image.
      truth: What is on the image.

    Returns:
      (n,) bool.
    """
    places = _extents(truth)
    low = np.maximum(boxes_xyxy[:, None, :2], places[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], places[None, :, 2:])
    touches = (high > low).all(axis=-1) & (classes[:, None] == truth.classes)
    return touches.any(axis=1)


def _extents(truth: Truth) -> np.ndarray:
    """(n, 4) around each labelled mask; COCO's box of an object need not be that."""
    places = np.tile([-np.inf, -np.inf, np.inf, np.inf], (len(truth), 1))  # of a run-length encoding: anywhere
    for place, outline in zip(places, truth.outlines, strict=True):
        if isinstance(outline, list):
            corners = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in outline])
            place[:] = *(corners.min(axis=0) - 1), *(corners.max(axis=0) + 1)  # pixels that an edge crosses count
    return places


def encode(
    coefficients: np.ndarray, prototypes: np.ndarray, boxes_xyxy: np.ndarray, frame: Placement, *, wanted: np.ndarray
) -> list[dict]:
    """Masks of one image's detections.

    Args:
      coefficients: (n, M) float32.
      prototypes: (S/4, S/4, M) float32, at a quarter of the frame's resolution.
      boxes_xyxy: (n, 4) float32, in pixels of the image; a mask ends where its box ends.
      frame: Where the image lies in the frame.
      wanted: (n,) bool, whose masks to compute; the others are empty.

    Returns:
      For each detection a compressed run-length encoding of the image's size.

    Source: ultralytics.utils.ops.process_mask_native: bilinear interpolation, threshold 0, pixels from the left and top
      edges up to but without the right and bottom ones.
    """
    height, width = (int(side) for side in frame.size_hw)
    axes = [_neighbours(length, frame, axis, prototypes.shape[1 - axis]) for axis, length in enumerate((width, height))]
    empty = encode_runs(np.zeros((0, 0), bool), 0, 0, (height, width))
    masks = [empty] * len(coefficients)
    edges = np.ceil(boxes_xyxy).astype(int)
    wanted = wanted & (edges[:, 0] < edges[:, 2]) & (edges[:, 1] < edges[:, 3])
    for index in np.flatnonzero(wanted):
        weights, (left, top, right, bottom) = coefficients[index], edges[index]
        x0, x1, x_share = (part[left:right] for part in axes[0])
        y0, y1, y_share = (part[top:bottom] for part in axes[1])
        logits = prototypes[y0[0] : y1[-1] + 1, x0[0] : x1[-1] + 1] @ weights
        rows = logits[y0 - y0[0]] * (1 - y_share)[:, None] + logits[y1 - y0[0]] * y_share[:, None]
        values = rows[:, x0 - x0[0]] * (1 - x_share) + rows[:, x1 - x0[0]] * x_share
        masks[index] = encode_runs(values > 0, left, top, (height, width))
    return masks


def _neighbours(length: int, frame: Placement, axis: int, limit: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between which two prototype pixels each image pixel of one axis lies (0 is x), and the second one's share."""
    place = ((np.arange(length) + 0.5) * frame.gain_xy[axis] + frame.padding_xy[axis]) / _STRIDE - 0.5
    place = np.clip(place, 0, limit - 1)
    first = np.minimum(place.astype(int), max(limit - 2, 0))
    return first, np.minimum(first + 1, limit - 1), (place - first).astype(np.float32)


def encode_runs(mask: np.ndarray, left: int, top: int, size_hw: tuple[int, int]) -> dict:
    """Run-length encoding of a mask that lies somewhere in an image.

    Args:
      mask: (h, w) bool, a part of the image.
      left: Column of the image where it begins.
      top: Row of the image where it begins.
      size_hw: Height and width of the image in pixels.

    Returns:
      COCO's compressed run-length encoding of the whole image, column by column.
    """
    from faster_coco_eval.core import mask as mask_api

    runs = runs_of(mask, left, top, size_hw)
    return mask_api.frPyObjects({"size": list(size_hw), "counts": runs}, *size_hw)


def runs_of(mask: np.ndarray, left: int, top: int, size_hw: tuple[int, int]) -> list[int]:
    """Runs of a mask that lies somewhere in an image, column by column; the first is of what is not in it.

    Args:
      mask: (h, w) bool, a part of the image.
      left: Column of the image where it begins.
      top: Row of the image where it begins.
      size_hw: Height and width of the image in pixels.

    Returns:
      Numbers of pixels, which add up to the image's.
    """
    height, width = size_hw
    columns = np.zeros((mask.shape[1], height), bool)
    columns[:, top : top + mask.shape[0]] = mask.T
    changes = np.flatnonzero(np.diff(columns.ravel(), prepend=False, append=False))
    return np.diff(np.concatenate([[0], changes + left * height, [height * width]])).tolist()
