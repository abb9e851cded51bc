"""Pictures as files.

names = pictures.Names(Path("pictures"))
path = names.path_for(Path("bus.jpg"), picture.shape[:2])
pictures.write(picture, path)
"""

import collections
import io
import itertools
import os
from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.ground.text import first_line, shown

# The formats that pictures are written in; of the others that are read, a GIF has too few colours, and the rest are not
# written by every Pillow. Pixels of a side. Sources: JPEG_MAX_DIMENSION of libjpeg's jmorecfg.h, WEBP_MAX_DIMENSION of
# libwebp's encode.h.
_MOST_SIDE = {".bmp": None, ".jpg": 65_500, ".jpeg": 65_500, ".png": None, ".tif": None, ".tiff": None, ".webp": 16_383}
_OTHERWISE = ".png"
_MOST_NAME_BYTES = 255  # of nearly every file system
_NUMBER_BYTES = 12  # that a number behind the name may take


class Names:
    """Gives each picture of a folder a name of its own."""

    def __init__(self, folder: Path):
        """Prepares; nothing is written.

        Args:
          folder: The pictures' folder, which exists.
        """
        self._folder, self._given = folder, collections.Counter()

    def path_for(self, image: Path, size_hw: tuple[int, int]) -> Path:
        """A path for an image's picture.

        Args:
          image: The image.
          size_hw: Height and width of the picture in pixels.

        Returns:
          A path at which there is nothing: the image's own name; with `.png` behind it where no picture of this ending,
          or of this size, can be written; its end cut where it is too long for a file; with a number where an image of
          that name was before.
        """
        ending = ending_for(image, size_hw)
        stem = image.stem if ending == image.suffix else image.name
        stem = cut(stem, _MOST_NAME_BYTES - len(os.fsencode(ending)))
        numbers = itertools.count(self._given[stem + ending] + 1)
        number, path = next(
            (number, path) for number in numbers if not (path := self._numbered(stem, number, ending)).exists()
        )
        if number > 1:  # of the others the folder itself knows, so that memory stays flat
            self._given[stem + ending] = number
        return path

    def _numbered(self, stem: str, number: int, ending: str) -> Path:
        """The path of the first, second, ... picture of a name."""
        if number > 1:
            stem = f"{cut(stem, _MOST_NAME_BYTES - _NUMBER_BYTES - len(ending))}_{number}"
        return self._folder / (stem + ending)


def ending_for(image: Path, size_hw: tuple[int, int]) -> str:
    """The ending of an image's picture.

    Args:
      image: The image.
      size_hw: Height and width of the picture in pixels.

    Returns:
      The image's own; `.png` where no picture of that ending, or of this size, can be written.
    """
    suffix = image.suffix.lower()
    has_encoder = PIL.Image.registered_extensions().get(suffix) in PIL.Image.SAVE
    is_writable = suffix in _MOST_SIDE and has_encoder and max(size_hw) <= (_MOST_SIDE[suffix] or max(size_hw))
    return image.suffix if is_writable else _OTHERWISE


def cut(text: str, most_bytes: int) -> str:
    """Cuts a name without tearing a letter.

    Args:
      text: The name.
      most_bytes: What it may take.

    Returns:
      Its beginning; all of it where it fits.
    """
    encoded = os.fsencode(text)
    if len(encoded) <= most_bytes:
        return text
    return encoded[:most_bytes].decode("utf-8", "ignore") or os.fsdecode(encoded[:most_bytes])


def write(picture: np.ndarray, path: Path) -> None:
    """Writes a picture; the name's ending gives the format.

    Args:
      picture: (height, width, 3) uint8, RGB.
      path: A path that `Names` gave.

    Raises:
      OSError: If it cannot be written; the message says which picture, and why.
    """
    write_encoded(encoded(picture, path), path, picture.shape[:2])


def encoded(picture: np.ndarray, path: Path) -> bytes:
    """A picture as its file holds it.

    Args:
      picture: (height, width, 3) uint8, RGB.
      path: A path whose name ends as its file's will.

    Returns:
      The file's bytes.

    Raises:
      OSError: If there is no such file; the message says which picture, and why.
    """
    # Pillow itself sees no ending in "..jpg", a name that begins with dots.
    file_format = next(PIL.Image.registered_extensions()[end] for end in _MOST_SIDE if path.name.lower().endswith(end))
    file = io.BytesIO()
    try:
        PIL.Image.fromarray(picture).save(file, file_format, quality=95)
    except (KeyError, OSError, ValueError) as error:
        raise unwritable(path, picture.shape[:2], error) from error
    return file.getvalue()


def write_encoded(data: bytes, path: Path, size_hw: tuple[int, int]) -> None:
    """Writes what `encoded` gave.

    Args:
      data: The file's bytes.
      path: A path that `Names` gave.
      size_hw: Height and width of the picture in pixels.

    Raises:
      OSError: If it cannot be written; the message says which picture, and why.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise unwritable(path, size_hw, error) from error


def unwritable(path: Path, size_hw: tuple[int, int], error: Exception) -> OSError:
    """The error of a picture or a video that cannot be written.

    Args:
      path: Where it was to be.
      size_hw: Its height and width in pixels.
      error: What was raised.

    Returns:
      An OSError that says which it is, and why.
    """
    reason = getattr(error, "strerror", None) or first_line(error)
    what = "video" if path.suffix == ".mp4" else "picture"
    return OSError(
        f"The {what} {shown(path.name)} of {size_hw[1]:,} x {size_hw[0]:,} pixels cannot be written: {reason}. "
        "Expected a folder with room for it; nothing of this run was kept."
    )
