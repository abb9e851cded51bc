"""Images into the network's frames on the host, by the very functions that Ultralytics calls: OpenCV's and Pillow's.

    FITS["letterbox"](image, frame)     # (height, width, 3) uint8 of any size into memory (S, S, 3)

A letterbox takes OpenCV a third of a millisecond; in TensorFlow's ops, of which each signature has it as well, it takes
a CPU ten times as long, and a GPU some forty launches.
"""

from collections.abc import Callable

import numpy as np
import PIL.Image
from absl import logging

from tftrt_yolo.ground import placement
from tftrt_yolo.ground.text import first_line

try:
    import cv2
except ImportError as error:  # not installed, or libGL is missing, which the package with windows needs
    cv2, _why_no_opencv = None, ImportError(str(error))  # without the frames that it holds

Fit = Callable[[np.ndarray, np.ndarray], None]  # of an image (height, width, 3) uint8 and a frame's memory

# Pillow scales the whole image before its middle is taken; of a strip a thousand times as long as it is high, that
# would be gigabytes, so of such a one it scales the middle alone, which may be a grey level off.
_MOST_SCALED_PIXELS = 1 << 24


def why_slow() -> str:
    """What an operator should know where OpenCV cannot be loaded; empty where it can."""
    if cv2 is not None:
        return ""
    return (
        f"{first_line(_why_no_opencv)}; images are resized by NumPy, in some thirty times the time. Install "
        "opencv-python-headless."
    )


def letterbox(image: np.ndarray, frame: np.ndarray) -> None:
    """Resizes an image into the middle of a frame, keeping its aspect ratio.

    Args:
      image: (height, width, 3) uint8.
      frame: (frame height, frame width, 3) uint8, which is filled: grey where there is no image.

    Source: ultralytics.data.augment.LetterBox (auto=False).
    """
    place = placement.letterboxed(image.shape[:2], frame.shape[:2])
    height, width = placement.scaled_size(image.shape[:2], frame.shape[:2])
    left, top = (int(side) for side in place.padding_xy)
    for margin in (frame[:top], frame[top + height :], frame[top:, :left], frame[top:, left + width :]):
        margin[...] = placement.PADDING_VALUE
    stretch(image, frame[top : top + height, left : left + width])


def stretch(image: np.ndarray, frame: np.ndarray) -> None:
    """Resizes an image to a frame's height and width, whatever becomes of its aspect ratio.

    Args:
      image: (height, width, 3) uint8.
      frame: (frame height, frame width, 3) uint8, which is filled.

    Source: ultralytics.data.augment.LetterBox (scale_fill=True).
    """
    height, width = frame.shape[:2]
    if image.shape == frame.shape:
        frame[...] = image
    elif cv2 is not None:
        cv2.resize(np.ascontiguousarray(image), (width, height), dst=frame, interpolation=cv2.INTER_LINEAR)
    else:
        logging.log_first_n(logging.WARNING, why_slow(), 1)
        frame[...] = resized(image, (height, width))


def resized(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resizes as OpenCV does, to the bit, for machines where that cannot be loaded.

    Args:
      image: (height, width, 3) uint8.
      size_hw: The new height and width in pixels.

    Returns:
      (*size_hw, 3) uint8.

    Source: modules/imgproc/src/resize.cpp of OpenCV: HResizeLinear, VResizeLinear for uchar, which weigh in steps of
      1/2048 and cut off bits twice.
    """
    (top, bottom, above, below), (left, right, before, behind) = (
        _neighbours(of_image, of_result) for of_image, of_result in zip(image.shape[:2], size_hw, strict=True)
    )

    def across(rows: np.ndarray) -> np.ndarray:
        whole = image[rows].astype(np.int32)
        return (whole[:, left] * before[:, None] + whole[:, right] * behind[:, None]) >> 4

    total = (across(top) * above[:, None, None] >> 16) + (across(bottom) * below[:, None, None] >> 16)
    return ((total + 2) >> 2).astype(np.uint8)


def _neighbours(of_image: int, of_result: int) -> tuple[np.ndarray, ...]:
    """Between which pixels of an axis each pixel of the result lies, and the weights of both in 1/2048, int32."""
    position = ((np.arange(of_result) + 0.5) * (of_image / of_result) - 0.5).astype(np.float32)
    first = np.floor(position)
    share = position - first
    places = (np.clip(first + step, 0, of_image - 1).astype(np.int32) for step in (0, 1))
    weights = (np.round(part * np.float32(2048)).astype(np.int32) for part in (np.float32(1) - share, share))
    return (*places, *weights)


def crop(image: np.ndarray, frame: np.ndarray) -> None:
    """Resizes an image so that its shorter side is the frame's, and takes its middle.

    A frame that is not square takes the whole image, whatever its aspect ratio.

    Args:
      image: (height, width, 3) uint8.
      frame: (frame height, frame width, 3) uint8, which is filled.

    Source: ultralytics.data.augment.classify_transforms: torchvision's Resize and CenterCrop of Pillow images.
    """
    picture, bilinear = PIL.Image.fromarray(np.ascontiguousarray(image)), PIL.Image.Resampling.BILINEAR
    frame_wh, image_wh = frame.shape[1::-1], picture.size
    if frame_wh[0] != frame_wh[1]:
        frame[...] = picture.resize(frame_wh, bilinear)
        return
    side, short = frame_wh[0], min(image_wh)
    scaled_wh = tuple(side if length == short else int(side * length / short) for length in image_wh)
    left, top = (round((length - side) / 2.0) for length in scaled_wh)
    if scaled_wh[0] * scaled_wh[1] > _MOST_SCALED_PIXELS:
        scale_x, scale_y = (of_image / scaled for of_image, scaled in zip(image_wh, scaled_wh, strict=True))
        box = (left * scale_x, top * scale_y, (left + side) * scale_x, (top + side) * scale_y)
        frame[...] = picture.resize(frame_wh, bilinear, box=box)
    else:
        frame[...] = picture.resize(scaled_wh, bilinear).crop((left, top, left + side, top + side))


FITS: dict[str, Fit] = {  # what lays an image into a frame, all of which it fills
    placement.LETTERBOX: letterbox,
    placement.CROP: crop,
    placement.STRETCH: stretch,
}
