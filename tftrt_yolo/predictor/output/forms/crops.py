"""crops/CLASS/NAME_N.jpg: each object cut out of its image; N is its number in the image's line of detections.jsonl.

As with Ultralytics' save_crop a box is widened by 2 % and 10 pixels, and an oriented box is turned upright.
"""

import math
from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.predictor import pictures
from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.forms.shot import Shot
from tftrt_yolo.predictor.output.names import folder_names

_FOLDER = "crops"
_GAIN, _PADDING_PX = 1.02, 10  # ultralytics.utils.plotting.save_one_box


class Crops:
    """Writes a picture of each object into its class's folder."""

    def __init__(self, scene: Scene):
        """Makes the folder; those of the classes come with their first objects.

        Args:
          scene: What the run is of.
        """
        self._folder, self._is_oriented = scene.folder / _FOLDER, scene.task.name == "obb"
        self._folder.mkdir()
        self._class_folders = folder_names(scene.names)
        self._scene, self._names = scene, {}

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes the crops of an image.

        Args:
          shot: The image.

        Returns:
          Names of the files, as "crops", None for an object without a pixel inside the image; nothing without objects.
        """
        written = []
        for index, row in enumerate(shot.rows):
            crop = self._crop(shot, index)
            written.append(None if crop is None else self._write(crop, f"{shot.name}_{index}.jpg", row["class"]))
        return {_FOLDER: written} if written else {}

    def _crop(self, shot: Shot, index: int) -> np.ndarray | None:
        """The pixels of an object; None if there are none."""
        if self._is_oriented:
            return upright(shot.image, shot.result.data["xywhr"][index])
        return widened(shot.image, self._scene.task.boxes(shot.result).xyxy[index])

    def _write(self, crop: np.ndarray, name: str, class_index: int) -> str:
        """Writes a crop and gives its path in the output."""
        folder = self._class_folders[class_index]
        if folder not in self._names:
            (self._folder / folder).mkdir()
            self._names[folder] = pictures.Names(self._folder / folder)
        path = self._names[folder].path_for(Path(name), crop.shape[:2])
        pictures.write(crop, path)
        return f"{_FOLDER}/{folder}/{path.name}"

    def close(self) -> None:
        """Does nothing: each file is complete."""

    def notes(self) -> list[str]:
        """Nothing."""
        return []


def widened(image: np.ndarray, box_xyxy: np.ndarray) -> np.ndarray | None:
    """Cuts a box out of an image, with a margin.

    Args:
      image: (height, width, 3) uint8.
      box_xyxy: (4,), in pixels of the image.

    Returns:
      The part of the image, without a copy; None for a box without an area inside the image.
    """
    sides = np.array(image.shape[1::-1], np.float64)
    low, high = np.reshape(box_xyxy, (2, 2)).astype(np.float64)
    if not (np.isfinite([low, high]).all() and (np.minimum(high, sides) - np.maximum(low, 0) > 0).all()):
        return None
    center, half = (low + high) / 2, ((high - low) * _GAIN + _PADDING_PX) / 2
    left, top = np.clip(np.trunc(center - half), 0, sides).astype(int)
    right, bottom = np.clip(np.trunc(center + half), 0, sides).astype(int)
    return image[top:bottom, left:right] if left < right and top < bottom else None


def upright(image: np.ndarray, box_xywhr: np.ndarray) -> np.ndarray | None:
    """Cuts an oriented box out of an image and turns it upright; what lies outside of the image is black.

    Args:
      image: (height, width, 3) uint8.
      box_xywhr: (5,) centre, width, height in pixels and angle in radians.

    Returns:
      (height, width, 3) uint8 of the box's size; None for a box without an area inside the image.
    """
    x, y, width, height, angle = (float(value) for value in box_xywhr)
    if not math.isfinite(x + y + width + height + angle) or min(width, height) <= 0:
        return None
    cos, sin = math.cos(angle), math.sin(angle)
    extent_x, extent_y = (abs(width * cos) + abs(height * sin)) / 2, (abs(width * sin) + abs(height * cos)) / 2
    rows, columns = image.shape[:2]
    if not (-extent_x < x < columns + extent_x and -extent_y < y < rows + extent_y):
        return None
    most = 2 * max(image.shape[:2])
    columns, rows = (min(max(round(side), 1), most) for side in (width, height))
    # Where each pixel of the crop lies in the image.
    place = (cos, -sin, x - cos * width / 2 + sin * height / 2, sin, cos, y - sin * width / 2 - cos * height / 2)
    affine = PIL.Image.Transform.AFFINE
    turned = PIL.Image.fromarray(image).transform((columns, rows), affine, place, PIL.Image.Resampling.BILINEAR)
    return np.asarray(turned)
