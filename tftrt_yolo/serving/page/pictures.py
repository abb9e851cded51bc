"""Pictures that were dropped on the page: read within limits, and drawn on.

image = read(Path("dog.jpg"), most_pixels=50_000_000)
write(annotate(image, answer.result), Path("drawn.jpg"))
"""

from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files, image_formats
from tftrt_yolo.ground.text import shown

_QUALITY = 92  # of the JPEG that a browser shows
_SHOWN_PX = 2_560  # its longer side


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its name and its first bytes."""
    if path.suffix.lower() in image_formats.VIDEO_SUFFIXES:
        return True
    with path.open("rb") as file:
        return image_formats.is_video(file.read(512))


def read(path: Path, name: str, *, most_pixels: int) -> np.ndarray:
    """Reads a picture.

    Args:
      path: The file.
      name: What the user called it; messages name this, for where the file lies is nobody's business.
      most_pixels: Width times height at most; what is larger is not decoded.

    Returns:
      (height, width, 3) uint8, RGB, upright.

    Raises:
      ImageError: If it cannot be read, or is too large.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{shown(name)} is no longer here: {error.strerror}. Drop it again.") from error
    width, height = image_files.upright_size(data) or (0, 0)  # what cannot be read says so itself
    if width * height > most_pixels:
        raise ImageError(
            f"{shown(name)} has {width:,} x {height:,} pixels; expected at most {most_pixels:,} "
            "(--max_pixels). Scale it down first."
        )
    try:
        return image_files.read_image(data)
    except ImageError as error:
        raise ImageError(str(error).replace(f"image of {len(data):,} bytes", shown(name), 1)) from error


def write(picture: np.ndarray, path: Path) -> None:
    """Writes a picture for a browser, scaled down where it is large.

    Args:
      picture: (height, width, 3) uint8, RGB.
      path: A file that ends in .jpg.
    """
    image = PIL.Image.fromarray(np.asarray(picture))
    image.thumbnail((_SHOWN_PX, _SHOWN_PX))
    image.save(path, "JPEG", quality=_QUALITY, subsampling=0)
