"""Pictures as files.

name = pictures.name_for(Path("bus.jpg"), picture.shape[:2])
pictures.write(picture, pictures.free_path(Path("pictures") / name))
"""

from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.ground.files.image_files import SUFFIXES

# Pixels of a side. Sources: JPEG_MAX_DIMENSION of libjpeg's jmorecfg.h, WEBP_MAX_DIMENSION of libwebp's encode.h.
_MOST_SIDE = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}


def free_path(path: Path) -> Path:
    """The path, or one beside it with a number if an image of that name was written already."""
    candidates = [path, *(path.with_name(f"{path.stem}_{number}{path.suffix}") for number in range(2, 10_000))]
    return next(candidate for candidate in candidates if not candidate.exists())


def name_for(path: Path, size_hw: tuple[int, int]) -> str:
    """The name of an image's picture.

    Args:
      path: The image.
      size_hw: Its height and width in pixels.

    Returns:
      The image's own name; with `.png` behind it where no picture of this ending, or of this size, can be written.
    """
    suffix = path.suffix.lower()
    is_writable = suffix in SUFFIXES and max(size_hw) <= _MOST_SIDE.get(suffix, max(size_hw))
    return path.name if is_writable else f"{path.name}.png"


def write(picture: np.ndarray, path: Path) -> None:
    """Writes a picture; the name's ending gives the format."""
    PIL.Image.fromarray(picture).save(path, quality=95)
