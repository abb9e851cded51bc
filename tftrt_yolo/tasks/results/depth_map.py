"""How far each pixel of an image is: what a Predictor gives for depth.

found.depth                             # (height, width) float32, metres
print(found)                            # depth 0.42 to 9.87 m, median 7.95 m
found.depth < 2                         # what is near
"""

import numpy as np

from tftrt_yolo.tasks.results.pixel_map import PixelMap
from tftrt_yolo.tasks.results.readable import Readable

_DIGITS = 3  # of metres, in rows: millimetres


class DepthMap(Readable, PixelMap):
    """The depth of each pixel of an image.

    Attributes:
      depth: (height, width) float32, metres. What is no number above 0 stands for no depth; a network gives none of it.
    """

    task = "depth"

    def __init__(self, depth: np.ndarray):
        """Keeps it.

        Args:
          depth: (height, width) float32, metres.
        """
        self.depth, self._figures = depth, None

    def __len__(self) -> int:
        """One map, or none if no pixel has a depth."""
        return int(self.num_valid > 0)

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same depths at the same pixels."""
        return np.array_equal(self.depth, other.depth) if isinstance(other, DepthMap) else NotImplemented

    __hash__ = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.depth.shape[:2]

    @property
    def num_valid(self) -> int:
        """How many pixels have a depth."""
        return self._of_valid()[0]

    @property
    def minimum(self) -> float:
        """The least depth in metres; NaN without one."""
        return self._of_valid()[1]

    @property
    def median(self) -> float:
        """The median depth in metres; NaN without one."""
        return self._of_valid()[2]

    @property
    def maximum(self) -> float:
        """The largest depth in metres; NaN without one."""
        return self._of_valid()[3]

    def rows(self) -> list[dict]:
        """One row: the least, the median and the largest depth in metres; none if no pixel has one."""
        if not self.num_valid:
            return []
        figures = {"minimum": self.minimum, "median": self.median, "maximum": self.maximum}
        return [{name: round(value, _DIGITS) for name, value in figures.items()}]

    def summary(self) -> str:
        """The least, the largest and the median depth."""
        if not self.num_valid:
            return "no depth"
        return f"depth {self.minimum:.2f} to {self.maximum:.2f} m, median {self.median:.2f} m"

    def _of_valid(self) -> tuple[int, float, float, float]:
        """Number, least, median and largest of the depths that are some."""
        if self._figures is None:
            valid = self.depth[np.isfinite(self.depth) & (self.depth > 0)]
            figures = (float(of(valid)) for of in (np.min, np.median, np.max)) if valid.size else (float("nan"),) * 3
            self._figures = (int(valid.size), *figures)
        return self._figures
