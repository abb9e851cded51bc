"""The class of each pixel of an image: what a Predictor gives for semantic segmentation.

found.class_map                         # (height, width) uint8
print(found)                            # 3 classes: background 81 %, 3 12 %, 7 7 %
found.class_map == 3                    # where a class is
"""

import numpy as np

from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.tasks.results.pixel_counts import counts_of, rows_of
from tftrt_yolo.tasks.results.pixel_map import PixelMap
from tftrt_yolo.tasks.results.readable import Readable

_SHOWN = 5  # classes, in the summary
_MOST_LETTERS = 40  # of a name


class SemanticMap(Readable, PixelMap):
    """The class of each pixel of an image.

    Attributes:
      class_map: (height, width) class indices: uint8, of more than 256 classes int16 and of more than 32,768 int32.
        Of a model of one class 1 where it is and 0 elsewhere. 255 and what else is no class stands for no class.
      class_name: (C,) str, the names of the classes by index.
    """

    task = "semantic"

    def __init__(self, class_map: np.ndarray, class_name: np.ndarray):
        """Keeps them.

        Args:
          class_map: (height, width) class indices.
          class_name: (C,) str.
        """
        self.class_map, self.class_name = class_map, np.asarray(class_name, str)
        self._counts = None

    def __len__(self) -> int:
        """How many classes it shows."""
        return int(np.count_nonzero(self.pixel_counts))

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same classes at the same pixels."""
        if not isinstance(other, SemanticMap):
            return NotImplemented
        return np.array_equal(self.class_map, other.class_map) and np.array_equal(self.class_name, other.class_name)

    __hash__ = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.class_map.shape[:2]

    @property
    def pixel_counts(self) -> np.ndarray:
        """(C,) int64, how many pixels each class has."""
        if self._counts is None:
            self._counts = counts_of(self.class_map, len(self.class_name))
        return self._counts

    def rows(self) -> list[dict]:
        """Class, name, pixels and share of the image of each class that it shows, the largest first."""
        return rows_of(self.pixel_counts, self.class_map.size, self.class_name)

    def summary(self) -> str:
        """The classes that it shows, with their shares."""
        found = self.rows()
        listed = [f"{shown(row['name'], _MOST_LETTERS)} {_percent(row['share'])}" for row in found[:_SHOWN]]
        more = ", ..." if len(found) > _SHOWN else ""
        classes = f": {', '.join(listed)}{more}" if listed else ""
        return f"{counted(len(found), 'class', 'classes') if found else 'no class'}{classes}"


def _percent(share: float) -> str:
    """A share for a reader; a class that is there is not said to have none of the image."""
    return f"{share:.0%}" if share >= 0.005 else "<1%"
