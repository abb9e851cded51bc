"""detections.csv: a row for each object, with the columns of `to_dataframe`; a classifier's rows are its best classes.

image,frame,seconds,class,name,score,x1,y1,x2,y2,...,track
"""

import csv
import json

from tftrt_yolo.predictor.output.forms.form import Scene
from tftrt_yolo.predictor.output.forms.shot import Shot

FILE = "detections.csv"
_WHERE = ("image", "frame", "seconds")


class Table:
    """Writes detections.csv."""

    def __init__(self, scene: Scene):
        """Begins the file; its first line has the columns.

        Args:
          scene: What the run is of.
        """
        from tftrt_yolo.tasks.results import data_frame  # with supervision, which a command's help need not wait for

        self._flat = data_frame.flat
        tracks = ("track",) if scene.task.finds_objects else ()
        self._columns = (*_WHERE, *data_frame.COLUMNS[scene.task.name], *tracks)
        self._file = open(scene.folder / FILE, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed by close()
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(self._columns)

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes a row for each object; none for an image without. What is a list is JSON."""
        where = {"image": shot.source, "frame": shot.frame, "seconds": shot.seconds}
        for row in shot.rows:
            values = where | self._flat(row)
            cells = (values.get(column) for column in self._columns)
            self._writer.writerow([json.dumps(cell) if isinstance(cell, list) else cell for cell in cells])
        return {}

    def close(self) -> None:
        """Completes the file."""
        self._file.close()

    def notes(self) -> list[str]:
        """Nothing."""
        return []
