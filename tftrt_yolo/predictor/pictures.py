"""Pictures as files.

pictures.write(picture, pictures.free_path(Path("pictures/bus.jpg")))
"""

from pathlib import Path

import numpy as np
import PIL.Image


def free_path(path: Path) -> Path:
    """The path, or one beside it with a number if an image of that name was written already."""
    candidates = [path, *(path.with_name(f"{path.stem}_{number}{path.suffix}") for number in range(2, 10_000))]
    return next(candidate for candidate in candidates if not candidate.exists())


def write(picture: np.ndarray, path: Path) -> None:
    """Writes a picture; the name's ending gives the format."""
    PIL.Image.fromarray(picture).save(path, quality=95)
