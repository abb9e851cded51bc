"""detections.csv: a row for each object, a column for each number.

image,frame,seconds,track,class,name,score,x1,y1,x2,y2 and what the task has more; a classifier's are its best classes.
"""

import csv
import json
from collections.abc import Callable

from tftrt_yolo.predictor.output.form import Scene
from tftrt_yolo.predictor.output.shot import Shot

FILE = "detections.csv"
_SIDES = ("x1", "y1", "x2", "y2")
_ORIENTED = ("center_x", "center_y", "width", "height", "angle")
_CORNERS = tuple(f"corner_{number}_{axis}" for number in range(1, 5) for axis in "xy")


class Table:
    """Writes detections.csv."""

    def __init__(self, scene: Scene):
        """Begins the file; its first line has the columns.

        Args:
          scene: What the run is of.
        """
        self._columns = columns_of(scene)
        self._file = open(scene.folder / FILE, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed by close()
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(self._columns)

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes a row for each object; none for an image without."""
        where = {"image": shot.source, "frame": shot.frame, "seconds": shot.seconds}
        for row in shot.rows:
            values = where | _flat(row)
            self._writer.writerow([values.get(column) for column in self._columns])
        return {}

    def close(self) -> None:
        """Completes the file."""
        self._file.close()

    def notes(self) -> list[str]:
        """Nothing."""
        return []


def columns_of(scene: Scene) -> tuple[str, ...]:
    """The columns of a task's table."""
    if scene.task.name == "classify":
        return ("image", "frame", "seconds", "class", "name", "probability")
    num_keypoints = scene.keypoint_shape[0] if scene.keypoint_shape else 0
    more = {"segment": ("polygons",), "obb": (*_ORIENTED, *_CORNERS), "pose": _keypoints(num_keypoints)}
    return ("image", "frame", "seconds", "track", "class", "name", "score", *_SIDES, *more.get(scene.task.name, ()))


def _keypoints(count: int) -> tuple[str, ...]:
    """The columns of so many key points."""
    parts = ("x", "y", "confidence")
    return tuple(f"keypoint_{number}_{part}" for number in range(1, count + 1) for part in parts)


def _flat(row: dict) -> dict[str, object]:
    """A row of the task with a value for each column; polygons are JSON, for their corners have no columns."""
    flat = {}
    for key, value in row.items():
        flat |= _PARTS[key](value) if key in _PARTS else {key: value}
    return flat


def _under(columns_for: Callable[[list], tuple[str, ...]]) -> Callable[[list], dict[str, object]]:
    """Spreads a list, or a list of lists, over columns."""

    def spread(values: list) -> dict[str, object]:
        numbers = [number for value in values for number in (value if isinstance(value, list) else [value])]
        return dict(zip(columns_for(values), numbers, strict=True))

    return spread


_PARTS = {
    "xyxy": _under(lambda _: _SIDES),
    "xywhr": _under(lambda _: _ORIENTED),
    "corners": _under(lambda _: _CORNERS),
    "keypoints": _under(lambda points: _keypoints(len(points))),
    "polygons": lambda polygons: {"polygons": json.dumps(polygons, separators=(",", ":"))},
}
