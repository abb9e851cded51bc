"""A map of the network's frame at the pixels of the image, on the host.

    depth = resized(values, image_size_hw=(1080, 1920), frame_size_hw=(640, 640))      # (1080, 1920) float32

The image was stretched to the frame, so the map is stretched back. Ultralytics interpolates twice, to the frame and to
the image; both steps together are a matrix for each axis.

Source: ultralytics.models.yolo.depth.predict; torch.nn.functional.interpolate with mode="bilinear", align_corners=True.
"""

import numpy as np

_STEP = 4_096  # rows of a matrix that are made at once: of 16,384 pixels the second step alone takes a gigabyte


def resized(values: np.ndarray, *, image_size_hw: tuple[int, int], frame_size_hw: tuple[int, int]) -> np.ndarray:
    """Interpolates a map at the pixels of its image.

    Args:
      values: (h, w) float32, of the whole frame.
      image_size_hw: Height and width of the image in pixels.
      frame_size_hw: Height and width of the frame in pixels.

    Returns:
      (*image_size_hw) float32.
    """
    rows, columns = (_both(*lengths) for lengths in zip(values.shape, frame_size_hw, image_size_hw, strict=True))
    return rows @ values.astype(np.float32, copy=False) @ columns.T


def corner_weights(length: int, size: int, first: int = 0, end: int | None = None) -> np.ndarray:
    """The matrix that resizes an axis bilinearly so that its first and its last pixel keep their places.

    Positions are float32, as PyTorch computes them.

    Args:
      length: Pixels that there are.
      size: Pixels that are wanted.
      first: The first of these whose row is given.
      end: The one behind the last; None for all.

    Returns:
      (end - first, length) float32.
    """
    scale = np.float32(length - 1) / np.float32(size - 1) if size > 1 else np.float32(0)
    wanted = np.arange(first, size if end is None else end)
    places = scale * wanted.astype(np.float32)
    before = np.minimum(places.astype(int), length - 1)
    share = places - before.astype(np.float32)
    matrix, pixels = np.zeros((len(wanted), length), np.float32), np.arange(len(wanted))
    np.add.at(matrix, (pixels, before), 1 - share)
    np.add.at(matrix, (pixels, np.minimum(before + 1, length - 1)), share)
    return matrix


def _both(length: int, frame: int, image: int) -> np.ndarray:
    """The matrix (image, length) of both steps."""
    to_frame = corner_weights(length, frame)
    parts = [
        corner_weights(frame, image, first, min(first + _STEP, image)) @ to_frame for first in range(0, image, _STEP)
    ]
    return np.concatenate(parts)
