"""The class of each pixel, on the host, from scores on a grid that is coarser than the image.

    found = class_map(logits, image_size_hw=(1080, 1920), frame_size_hw=(640, 640))     # (1080, 1920) uint8
    of_frame = frame_map(logits, (640, 640))                                            # (640, 640), padding too

What Ultralytics' predict computes: bilinear to the frame, the padding cut off, bilinear to the image, and the class of
the largest. Both steps together are a matrix for each axis. Memory stays small however large the image and however many
the classes are: it is done in stripes of rows, class by class, and only for classes that can win somewhere in a stripe.
A pixel's score lies between the least and the largest of the few on the grid that it is interpolated from, so where a
class's largest is below another's least it never wins.

Source: ultralytics.models.yolo.semantic.predict, ultralytics.utils.ops.scale_masks,
torch.nn.functional.interpolate with mode="bilinear", align_corners=False.
"""

import numpy as np

from tftrt_yolo.graph import class_values
from tftrt_yolo.ground.placement import letterboxed, scaled_size

MOST_CLASSES = 65_536  # that a PNG has values for
_STRIPE_PIXELS = 1 << 21  # 8 MB of scores


def class_map(logits: np.ndarray, *, image_size_hw: tuple[int, int], frame_size_hw: tuple[int, int]) -> np.ndarray:
    """Computes the classes of an image's pixels.

    Args:
      logits: (h, w, C) float32, of the whole frame.
      image_size_hw: Height and width of the image in pixels.
      frame_size_hw: Height and width of the frame in pixels.

    Returns:
      (*image_size_hw) class indices, of the first of equal ones: uint8, of more than 256 classes int16 and of more
      than 32,768 int32. Of one class 1 where it is and 0 elsewhere.
    """
    placement, scaled = letterboxed(image_size_hw, frame_size_hw), scaled_size(image_size_hw, frame_size_hw)
    starts = [int(padding) for padding in placement.padding_xy[::-1]]
    of_axes = zip(logits.shape[:2], frame_size_hw, starts, scaled, image_size_hw, strict=True)
    axes = [_both(*of_axis) for of_axis in of_axes]
    return _largest(logits, *axes)


def frame_map(logits: np.ndarray, frame_size_hw: tuple[int, int]) -> np.ndarray:
    """As `class_map`, of the frame's pixels, those of the padding among them."""
    return _largest(logits, *(steps(*pair) for pair in zip(logits.shape[:2], frame_size_hw, strict=True)))


def steps(length: int, size: int) -> np.ndarray:
    """The matrix (size, length) float32 that resizes an axis bilinearly; pixels are measured at their centres."""
    return _resized(np.eye(length, dtype=np.float32), size)


def _both(length: int, frame: int, start: int, size: int, image: int) -> np.ndarray:
    """The matrix (image, length) of both steps: to the frame, of which `size` pixels from `start` show the image."""
    return _resized(steps(length, frame)[start : start + size], image)


def _resized(matrix: np.ndarray, size: int) -> np.ndarray:
    """Resizes a matrix's first axis.

    Positions are float32, as PyTorch computes them: on an axis of thousands of pixels that shows in the fourth digit.
    """
    length = len(matrix)
    scale = np.float32(length) / np.float32(size)
    places = np.maximum(scale * (np.arange(size, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5), 0)
    first = np.minimum(places.astype(int), length - 1)
    share = (places - first.astype(np.float32))[:, np.newaxis]
    return matrix[first] * (1 - share) + matrix[np.minimum(first + 1, length - 1)] * share


def _largest(logits: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The index of the largest class at each pixel, of matrices (height, h) and (width, w) and logits (h, w, C)."""
    num_classes, height, width = logits.shape[-1], len(rows), len(columns)
    planes = np.ascontiguousarray(np.moveaxis(logits.astype(np.float32, copy=False), -1, 0))
    found = np.zeros((height, width), dtype_for(num_classes))
    across = np.ascontiguousarray(columns.T)
    can_win = _can_win(planes)
    step = max(1, _STRIPE_PIXELS // width)
    for first in range(0, height, step):
        part = rows[first : first + step]
        used = np.flatnonzero(part.any(axis=0))
        own = slice(used[0], used[-1] + 1)
        stripe = found[first : first + step]
        if class_values.first_value(num_classes):  # nothing is compared with it
            stripe[:] = part[:, own] @ planes[0, own] @ across > class_values.THRESHOLD
            continue
        best = None
        for index in np.flatnonzero(can_win[:, own].any(axis=1)):
            scores = part[:, own] @ planes[index, own] @ across
            if best is None:
                best = scores
                stripe[:] = index
                continue
            is_larger = scores > best
            np.copyto(best, scores, where=is_larger)
            np.copyto(stripe, index, where=is_larger, casting="unsafe")
    return found


def _can_win(planes: np.ndarray) -> np.ndarray:
    """Which classes can be the largest at a pixel that is interpolated around a row of the grid: (C, h) bool.

    A pixel of the image is interpolated from two neighbours of the frame, and these from three neighbours of the grid
    on each axis at most.
    """
    least, largest = (_of_neighbours(planes, of) for of in (np.minimum, np.maximum))
    slack = class_values.SLACK * float(np.abs(planes).max(initial=0))
    return ~(largest < least.max(axis=0) - slack).all(axis=2)  # what is no number rules nothing out


def _of_neighbours(planes: np.ndarray, of: np.ufunc) -> np.ndarray:
    """The least or the largest of each 3 x 3 neighbours, (C, h, w)."""
    for axis in (1, 2):
        padded = np.concatenate([np.take(planes, [0], axis), planes, np.take(planes, [-1], axis)], axis=axis)
        length = planes.shape[axis]
        parts = [np.take(padded, range(shift, shift + length), axis) for shift in range(3)]
        planes = of(of(parts[0], parts[1]), parts[2])
    return planes


def dtype_for(num_classes: int) -> type:
    """The type of a class map, as Ultralytics has it."""
    return np.uint8 if num_classes <= 256 else np.int16 if num_classes <= 32_768 else np.int32
