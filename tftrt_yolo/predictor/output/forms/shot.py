"""One image or frame of a run, with what was found on it: what every form is written from."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """One image or frame of a run, with what was found on it.

    Attributes:
      name: Of its files, without an ending: no other of the run has it.
      source: The image or the video, as files name it.
      image: (height, width, 3) uint8, RGB.
      result: The task's object.
      rows: What the task says of each of its parts, best first.
      frame: The frame's number in its video, from 0; None of an image.
      seconds: When the frame is shown; None of an image.
    """

    name: str
    source: str
    image: np.ndarray
    result: object
    rows: list[dict]
    frame: int | None = None
    seconds: float | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.image.shape[:2]
