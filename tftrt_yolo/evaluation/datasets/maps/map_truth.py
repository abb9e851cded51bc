"""What an image's pixels are, in a file beside the image, which is read when the image is."""

import dataclasses
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class MapTruth:
    """The label of an image that has a value for each pixel: it has no objects, and is never background.

    Attributes:
      path: The file.
      values: What it holds, as the task has it; None before `in_pixels` read it.
    """

    path: Path
    values: np.ndarray | None = dataclasses.field(default=None, kw_only=True)

    num_objects = 0
    are_crowds = None
    classes = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """One: the image is labelled."""
        return 1

    def in_pixels(self, size_hw: tuple[int, int]) -> "MapTruth":
        """Reads the file, so that `values` are there.

        Args:
          size_hw: Height and width of the image in pixels.

        Returns:
          The truth with its values.

        Raises:
          BadLabelError: If it cannot be read, or does not fit the image.
        """
        return dataclasses.replace(self, values=self.read(size_hw))

    def read(self, size_hw: tuple[int, int]) -> np.ndarray:
        """The values of the file, checked against the image; each task has its own."""
        raise NotImplementedError
