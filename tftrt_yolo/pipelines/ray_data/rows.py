"""A row an image, as Parquet or as lines of JSON: packed on the nodes, written and summed up by the driver.

form = rows.FORMS["parquet"](task)
packed = form.pack([{"image": "/data/a.jpg", "height": 404, "width": 401, "detections": [...]}])
form.write([packed, ...], path)
form.summary(path).class_counts
"""

import collections
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tftrt_yolo import contract
from tftrt_yolo.tasks.task import Task

IMAGE, ERROR, MODEL = "image", "error", "model"
_NUMBERS = pa.list_(pa.float64())
_POINTS = pa.list_(_NUMBERS)
_CLASS = [("class", pa.int32()), ("name", pa.string())]
_BOX = [("xyxy", _NUMBERS), ("score", pa.float64()), *_CLASS]
# What a detection has, by task: the keys of `Task.rows`, in their order.
_FIELDS = {
    contract.DETECT: _BOX,
    contract.SEGMENT: [*_BOX, ("polygons", pa.list_(_POINTS))],
    contract.POSE: [*_BOX, ("keypoints", _POINTS)],
    contract.OBB: [*_BOX, ("xywhr", _NUMBERS), ("corners", _POINTS)],
    contract.CLASSIFY: [*_CLASS, ("probability", pa.float64())],
    contract.SEMANTIC: [*_CLASS, ("pixels", pa.int64()), ("share", pa.float64())],
    contract.DEPTH: [(name, pa.float64()) for name in ("minimum", "median", "maximum")],  # metres
}


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a file, or several, hold.

    Attributes:
      num_images: Rows.
      num_unreadable: Rows of images that could not be read.
      class_counts: Class name to detections; to images of a classifier, by the best class, and of a map.
    """

    num_images: int = 0
    num_unreadable: int = 0
    class_counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def __add__(self, other: "Summary") -> "Summary":
        """Both together."""
        return Summary(
            self.num_images + other.num_images,
            self.num_unreadable + other.num_unreadable,
            self.class_counts + other.class_counts,
        )


class Parquet:
    """Rows as Parquet, a row group a file, packed with Zstandard."""

    ending = ".parquet"

    def __init__(self, task: Task, model: str):
        """Prepares.

        Args:
          task: The model's task.
          model: The model's digest, which every row has.
        """
        self._label, self._task, self._model = task.row_label, task, model
        self.schema = pa.schema(
            [
                pa.field(IMAGE, pa.string(), nullable=False),
                *((side, pa.int32()) for side in ("height", "width")),
                (ERROR, pa.string()),
                pa.field(MODEL, pa.string(), nullable=False),
                (self._label, pa.list_(pa.struct(_FIELDS[task.name]))),
            ]
        )

    def pack(self, rows: list[dict]) -> bytes:
        """Rows of a part, as they travel to the driver.

        Args:
          rows: For each image its identity, its height and width and what was found, by the task's label; or its
            identity and the error.

        Returns:
          Bytes for `write`.
        """
        table = pa.Table.from_pylist([row | {MODEL: self._model} for row in rows], self.schema)
        buffer = io.BytesIO()
        with pa.ipc.new_stream(buffer, self.schema) as stream:
            stream.write_table(table)
        return buffer.getvalue()

    def write(self, packed: Iterable[bytes], path: Path) -> None:
        """Writes a file of what `pack` gave, in order."""
        tables = []
        for one in packed:
            with pa.ipc.open_stream(one) as stream:
                tables.append(stream.read_all())
        table = pa.concat_tables(tables).combine_chunks()
        pq.write_table(table, path, row_group_size=max(1, len(table)), compression="zstd")

    def rows(self, path: Path) -> Iterator[dict]:
        """A file's rows as JSON's lines have them: without what is null."""
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield {name: value for name, value in row.items() if value is not None and name != MODEL}

    def summary(self, path: Path) -> Summary:
        """Sums up a file; raises one of `FAULTS` if it is damaged."""
        columns = [name for name, _ in _FIELDS[self._task.name]]
        name = "name" if "name" in columns else columns[0]  # a depth has none, and is read to show that it is there
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[IMAGE, ERROR, f"{self._label}.list.element.{name}"])
        counts = collections.Counter()
        found = table[self._label].combine_chunks()
        if self._task.finds_objects:
            values = pa.compute.value_counts(pa.compute.list_flatten(found).field("name"))
            counts.update({one["values"]: one["counts"] for one in values.to_pylist()})
        else:
            counts.update(name for row in found.to_pylist() for name in self._task.counted_names(row or []))
        return Summary(len(table), len(table) - table[ERROR].null_count, counts)


class JsonLines:
    """Rows as lines of JSON, those of `predict`'s detections.jsonl."""

    ending = ".jsonl"

    def __init__(self, task: Task, model: str):
        """As `Parquet`; lines do not have the model, which the manifest has."""
        self._label, self._task = task.row_label, task

    def pack(self, rows: list[dict]) -> bytes:
        """As `Parquet.pack`."""
        return "".join(f"{json.dumps(row)}\n" for row in rows).encode()

    def write(self, packed: Iterable[bytes], path: Path) -> None:
        """As `Parquet.write`."""
        with open(path, "wb") as file:
            file.writelines(packed)

    def rows(self, path: Path) -> Iterator[dict]:
        """A file's rows."""
        with open(path, encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    def summary(self, path: Path) -> Summary:
        """As `Parquet.summary`."""
        num_images = num_unreadable = 0
        counts = collections.Counter()
        for row in self.rows(path):
            num_images += 1
            num_unreadable += ERROR in row
            counts.update(self._task.counted_names(row.get(self._label, [])))
        return Summary(num_images, num_unreadable, counts)


FORMS = {"parquet": Parquet, "jsonl": JsonLines}
FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException)  # how a damaged file shows
