"""Pictures as files.

names = pictures.Names(Path("pictures"))
path = names.path_for(Path("bus.jpg"), picture.shape[:2])
path = pictures.write(picture, path)
"""

import collections
import itertools
import os
from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.ground.text import shown

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
        suffix = image.suffix.lower()
        is_writable = suffix in _MOST_SIDE and max(size_hw) <= (_MOST_SIDE[suffix] or max(size_hw))
        stem, ending = (image.stem, image.suffix) if is_writable else (image.name, _OTHERWISE)
        stem = _cut(stem, _MOST_NAME_BYTES - len(os.fsencode(ending)))
        for number in itertools.count(self._given[stem + ending] + 1):
            numbered = f"{_cut(stem, _MOST_NAME_BYTES - _NUMBER_BYTES - len(ending))}_{number}" if number > 1 else stem
            path = self._folder / (numbered + ending)
            if not path.exists():
                self._given[stem + ending] = number
                return path


def _cut(text: str, most_bytes: int) -> str:
    """The beginning of a name that takes at most so many bytes, without a torn letter."""
    encoded = os.fsencode(text)
    if len(encoded) <= most_bytes:
        return text
    return encoded[:most_bytes].decode("utf-8", "ignore") or os.fsdecode(encoded[:most_bytes])


def write(picture: np.ndarray, path: Path) -> Path:
    """Writes a picture; the name's ending gives the format.

    Args:
      picture: (height, width, 3) uint8, RGB.
      path: A path that `Names` gave.

    Returns:
      The path; of a picture that its format cannot hold, that of a PNG in its place.

    Raises:
      OSError: If it cannot be written; the message says which picture, and why.
    """
    image = PIL.Image.fromarray(picture)
    try:
        image.save(path, quality=95)
        return path
    except (KeyError, OSError, ValueError) as error:
        path.unlink(missing_ok=True)
        if getattr(error, "errno", None) is None and path.suffix.lower() != _OTHERWISE:  # the encoder's, not the disk's
            return write(picture, path.with_name(path.name[-_MOST_NAME_BYTES + len(_OTHERWISE) :] + _OTHERWISE))
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise OSError(
            f"The picture {shown(path.name)} of {picture.shape[1]:,} x {picture.shape[0]:,} pixels cannot be written: "
            f"{reason}. Nothing of this run was kept; make room or choose another folder."
        ) from error
