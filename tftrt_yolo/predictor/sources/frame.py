"""A picture of a video or a stream, and where it comes from."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video or a stream; NumPy takes it as its image.

    Attributes:
      image: (height, width, 3) uint8, RGB.
      source: The video or stream that it is of, as it was given.
      index: Its number in the source, from 0; those that are left out count.
      seconds: When it is shown, from the source's beginning.
    """

    image: np.ndarray
    source: str
    index: int
    seconds: float

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The image."""
        return np.array(self.image, dtype, copy=bool(copy)) if dtype or copy else self.image
