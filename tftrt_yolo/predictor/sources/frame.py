"""A picture of a video or a stream, and what it is of."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """A video or a stream, as its first frame shows it. Frames of one video have the very same object.

    Attributes:
      source: What it is, as it was given, without a password.
      size_hw: Height and width of the first frame in pixels, upright.
      rate: Frames a second; the average where it varies, and 25 where nothing says it.
      num_frames: How many frames there are, as the file says; None where it does not.
      seconds: Its length, as the file says; None where it does not.
      has_sound: Whether there is sound beside the frames.
      path: A file that holds the video and its sound: the video's own, or a temporary one of a video with a URL, which
        is there as long as this object or one of its frames; None for a stream.
      is_live: Whether it is a stream whose frames come in their own time.
      begins: When the first frame is shown in the file's own time, in seconds, by which its sound counts too.
      keeper: Keeps the temporary file; nothing to a reader.
    """

    source: str
    size_hw: tuple[int, int]
    rate: Fraction
    num_frames: int | None = None
    seconds: float | None = None
    has_sound: bool = False
    path: Path | None = None
    is_live: bool = False
    begins: float = 0.0
    keeper: object = dataclasses.field(default=None, repr=False, compare=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video or a stream; NumPy takes it as its image.

    Attributes:
      image: (height, width, 3) uint8, RGB, upright.
      source: The video or stream that it is of, as it was given, without a password.
      index: Its number in the source, from 0; those that are left out count.
      seconds: When it is shown, from the source's beginning.
      video: What it is of; None for a picture of its own that is no file: from a URL or from standard input.
    """

    image: np.ndarray
    source: str
    index: int
    seconds: float
    video: VideoInfo | None = None

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The image."""
        return np.array(self.image, dtype, copy=bool(copy)) if dtype or copy else self.image
