"""Results with a value for each pixel of the image: what each kind of them says of itself.

class SemanticMap(Readable, PixelMap): ...      # its values, `rows` and `summary`
"""

from typing import ClassVar

import numpy as np


class PixelMap:
    """A result that has a value for each pixel of its image, and no parts.

    Attributes:
      task: Ultralytics' name of the task that it is of.
      class_name: (C,) str, the names of its classes by index; empty where its values are none.
    """

    task: ClassVar[str] = ""
    class_name: np.ndarray = np.zeros(0, str)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        raise NotImplementedError

    def rows(self) -> list[dict]:
        """What it shows, as rows for files and tables, of the columns that `data_frame.COLUMNS` has of the task."""
        raise NotImplementedError

    def summary(self) -> str:
        """What it shows in a few words."""
        raise NotImplementedError
