"""masks/NAME_N.png: the mask of each object, 255 on it and 0 beside it; N is its number in the line of JSON."""

import numpy as np
import PIL.Image

from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.forms.shot import Shot
from tftrt_yolo.predictor.output.names import free_path
from tftrt_yolo.predictor.pictures import unwritable

_FOLDER = "masks"


class MaskFiles:
    """Writes a black and white picture of the image's size for each object."""

    def __init__(self, scene: Scene):
        """Makes the folder.

        Args:
          scene: What the run is of.
        """
        self._folder = scene.folder / _FOLDER
        self._folder.mkdir()

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes the masks of an image; gives the names of the files, as "masks"."""
        written = []
        for index, mask in enumerate(shot.result.mask if len(shot.rows) else ()):
            path = free_path(self._folder, f"{shot.name}_{index}", ".png")
            try:
                PIL.Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(path, compress_level=1)
            except OSError as error:
                raise unwritable(path, shot.size_hw, error) from error
            written.append(f"{_FOLDER}/{path.name}")
        return {_FOLDER: written} if written else {}

    def close(self) -> None:
        """Does nothing: each file is complete."""

    def notes(self) -> list[str]:
        """Nothing."""
        return []
