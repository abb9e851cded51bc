"""supervision's objects that print themselves: what a Predictor gives.

print(detections)                       # 3 objects: 2 person, 1 dog
detections                              # in a notebook, a table
detections.to_dataframe()               # for pandas

They are supervision's own in everything else: its annotators, metrics and trackers take them, and slices are of the
same kind.
"""

import dataclasses

import numpy as np
import supervision as sv

from tftrt_yolo.tasks.results import data_frame, tables


class Readable:
    """What a result says of itself."""

    def __str__(self) -> str:
        """The classes with their counts, and a line for each part of the result."""
        return tables.text(self)

    def __repr__(self) -> str:
        """The kind, and the classes with their counts."""
        return f"<{type(self).__name__}: {tables.summary(self)}>"

    def _repr_html_(self) -> str:
        """The same as a table, for a notebook."""
        return tables.page(self)

    def to_dataframe(self):
        """The result as a pandas.DataFrame, a row a detection; see `tftrt_yolo.to_dataframe`."""
        return data_frame.to_dataframe(self)


class _Sliced(Readable):
    """A result whose slices are of its own kind, as is what several are merged to."""

    def select(self, index):
        """As supervision's, and of this kind."""
        return _of_kind(type(self), super().select(index))

    def __getitem__(self, index):
        """As supervision's: a part of the result, of this kind, or what `data` has under a name."""
        found = super().__getitem__(index)
        return found if isinstance(index, str) else _of_kind(type(self), found)

    @classmethod
    def merge(cls, results: list):
        """As supervision's, and of this kind."""
        return _of_kind(cls, super().merge(results))


class Detections(_Sliced, sv.Detections):
    """`supervision.Detections` that print themselves."""


class KeyPoints(_Sliced, sv.KeyPoints):
    """`supervision.KeyPoints` that print themselves."""


class Classifications(Readable, sv.Classifications):
    """`supervision.Classifications` that print themselves, and know the names of their classes.

    Attributes:
      class_name: (n,) str, the name of each class, in the order of `class_id`; None if they have none.
    """

    def __init__(
        self, class_id: np.ndarray, confidence: np.ndarray | None = None, class_name: np.ndarray | None = None
    ):
        """As supervision's.

        Args:
          class_id: (n,) int.
          confidence: (n,) float, the probabilities.
          class_name: (n,) str, the names.
        """
        super().__init__(class_id=class_id, confidence=confidence)
        self.class_name = class_name


def _of_kind(kind: type, found):
    """An object of supervision's as one of ours."""
    if isinstance(found, kind):
        return found
    return kind(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})
