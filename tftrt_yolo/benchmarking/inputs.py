"""The pictures that every contestant gets: letterboxed once, here, so that all do the same work.

    frames = read_frames("photos", (640, 640))       # (N, 640, 640, 3) uint8
    paths = find_jpegs("photos")                     # the files themselves, for who starts from files

Pictures of exactly the frame's size need no letterboxing; whoever letterboxes anyway, in a pipeline, has nothing to do.
"""

from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.placement import PADDING_VALUE, letterboxed, scaled_size

MAX_IMAGES = 64  # 79 MB at 640 x 640; a batch that is larger repeats them
_JPEG = b"\xff\xd8\xff"  # how such a file begins


def read_frames(images: str | Path, size_hw: tuple[int, int]) -> np.ndarray:
    """Reads pictures and letterboxes them.

    Args:
      images: An image, a folder of images or a glob; the first `MAX_IMAGES` are taken.
      size_hw: Height and width of the frames, in pixels.

    Returns:
      (N, height, width, 3) uint8, RGB, the pictures in the middle and grey around them.

    Raises:
      ImageError: If there is no image or one cannot be read.
    """
    paths = image_files.find_images(images)[:MAX_IMAGES]
    return np.stack([_letterbox(image_files.read_image(path), size_hw) for path in paths])


def find_jpegs(images: str | Path) -> tuple[str, ...]:
    """Finds the JPEG files among the pictures that `read_frames` reads.

    Args:
      images: As `read_frames`.

    Returns:
      Their absolute paths; none where the pictures are of other formats.

    Raises:
      ImageError: If there is no image.
    """
    paths = [path.resolve() for path in image_files.find_images(images)[:MAX_IMAGES]]
    return tuple(str(path) for path in paths if _begins_as_jpeg(path))


def _begins_as_jpeg(path: Path) -> bool:
    """Whether a file's content says that it is a JPEG; its name may say anything."""
    with open(path, "rb") as file:
        return file.read(len(_JPEG)) == _JPEG


def _letterbox(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """One picture in a frame, with Pillow."""
    height, width = scaled_size(image.shape[:2], size_hw)
    frame = PIL.Image.new("RGB", size_hw[::-1], (PADDING_VALUE,) * 3)
    resized = PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BILINEAR)
    frame.paste(resized, tuple(letterboxed(image.shape[:2], size_hw).padding_xy.astype(int)))
    return np.asarray(frame)
