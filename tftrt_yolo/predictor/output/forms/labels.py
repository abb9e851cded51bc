"""Labels in YOLO's text format, as Ultralytics' save_txt writes them: labels/NAME.txt, an object a line.

detect: class, centre x and y, width, height; segment: class and a polygon; pose: a box and key points; obb: class and
four corners; all as fractions of the image's sides. classify: probability and name of the best five classes. The score
stands behind them if it is asked for, and at the end the number of a tracked object.
"""

import numpy as np

from tftrt_yolo.ground.text import shown
from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.forms.shot import Shot
from tftrt_yolo.predictor.output.names import free_path

_FOLDER = "labels"
# How far outside of the image a coordinate may lie for who reads labels: ultralytics.data.utils.verify_image_label.
_LEAST, _MOST = -0.01, 1.01


class Labels:
    """Writes labels/NAME.txt for each image on which something is."""

    def __init__(self, scene: Scene):
        """Makes the folder.

        Args:
          scene: What the run is of.
        """
        self._scene, self._folder = scene, scene.folder / _FOLDER
        self._folder.mkdir()

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes an image's labels.

        Args:
          shot: The image.

        Returns:
          Name of the file, as "labels"; nothing for an image without an object, which as with Ultralytics has none.
        """
        lines = lines_of(shot, self._scene)
        if not lines:
            return {}
        path = free_path(self._folder, shot.name, ".txt")
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return {_FOLDER: f"{_FOLDER}/{path.name}"}

    def close(self) -> None:
        """Does nothing: each file is complete."""

    def notes(self) -> list[str]:
        """Nothing."""
        return []


def lines_of(shot: Shot, scene: Scene) -> list[str]:
    """The lines of an image.

    Args:
      shot: The image.
      scene: The task, whether scores are asked for, and how many numbers a key point has.

    Returns:
      A line for each object, best first; without those whose mask has no outline.

    Source: ultralytics.engine.results.Results.save_txt.
    """
    if scene.task.classifies:
        return [f"{row['probability']:.2f} {shown(row['name'])}" for row in shot.rows]
    height, width = shot.size_hw
    values_of, sides, lines = _VALUES[scene.task.name], np.array([width, height], np.float64), []
    for index, row in enumerate(shot.rows):
        values = values_of(shot, index, sides, scene)
        if values is None:
            continue
        numbers = [row["class"], *np.ravel(values).tolist()]
        numbers += [row["score"]] if scene.options.save_confidence else []
        numbers += [row["track"]] if row.get("track") is not None else []
        lines.append(" ".join(f"{number:g}" if isinstance(number, float) else str(number) for number in numbers))
    return lines


def _box(shot: Shot, index: int, sides: np.ndarray, scene: Scene) -> np.ndarray:
    """(4,) centre and size of a box."""
    corners = scene.task.boxes(shot.result).xyxy[index].astype(np.float64).reshape(2, 2) / sides
    return np.concatenate([corners.mean(axis=0), corners[1] - corners[0]])


def _pose(shot: Shot, index: int, sides: np.ndarray, scene: Scene) -> np.ndarray:
    """A box and its key points, with their confidence where the model has one."""
    points = inside(shot.result.xy[index] / sides)
    numbers = np.column_stack([points, shot.result.keypoint_confidence[index]])[:, : scene.keypoint_shape[1]]
    return np.concatenate([_box(shot, index, sides, scene), numbers.ravel()])


def _corners(shot: Shot, index: int, sides: np.ndarray, scene: Scene) -> np.ndarray:
    """(4, 2) of an oriented box."""
    from supervision.config import ORIENTED_BOX_COORDINATES

    return inside(shot.result.data[ORIENTED_BOX_COORDINATES][index].astype(np.float64) / sides)


def _polygon(shot: Shot, index: int, sides: np.ndarray, scene: Scene) -> np.ndarray | None:
    """(n, 2) around all parts of a mask; None where it has no outline."""
    parts = [np.array(part, np.float64) for part in shot.rows[index]["polygons"]]
    return joined(parts) / sides if parts else None


def inside(values: np.ndarray) -> np.ndarray:
    """Fractions as far outside of the image as a reader takes them, and no farther."""
    return np.clip(values, _LEAST, _MOST)


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """One outline of several: each further one is visited from the nearest corner, and left there again.

    Args:
      parts: (n, 2) each, one at least.

    Returns:
      (n, 2).
    """
    outline = parts[0]
    for part in parts[1:]:
        distances = np.abs(outline[:, np.newaxis] - part).sum(axis=-1)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        around = np.concatenate([part[there:], part[: there + 1]])
        outline = np.concatenate([outline[: here + 1], around, outline[here:]])
    return outline


_VALUES = {"detect": _box, "pose": _pose, "obb": _corners, "segment": _polygon}
