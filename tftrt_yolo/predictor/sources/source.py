"""A source that was opened: its images, and what is counted while they are read."""

import dataclasses
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from absl import logging

from tftrt_yolo.ground.errors import ImageError

_MOST_NOTES = 1_000  # of an endless stream


class Tally:
    """What happens while a source is read; it grows meanwhile, from any thread.

    Attributes:
      num_frames: Frames of videos and streams that were given.
      num_dropped: Frames of live streams that were left out, because newer ones were there.
      num_retries: Attempts to open a live stream anew.
      notes: What the user is to know, a sentence each: a video that is cut short, a stream that ended.
    """

    def __init__(self):
        """Nothing happened yet."""
        self.num_frames = self.num_dropped = self.num_retries = 0
        self.notes: list[str] = []
        self._lock = threading.Lock()

    def count(self, *, frames: int = 0, dropped: int = 0, retries: int = 0) -> None:
        """Adds to the counts."""
        with self._lock:
            self.num_frames += frames
            self.num_dropped += dropped
            self.num_retries += retries

    def note(self, sentence: str) -> None:
        """Keeps a sentence, and says it in the log."""
        logging.warning("%s", sentence)
        with self._lock:
            if len(self.notes) < _MOST_NOTES and sentence not in self.notes:
                self.notes.append(sentence)


@dataclasses.dataclass(frozen=True, eq=False)
class Unreadable:
    """An entry of a source that cannot be read: whoever reads its image gets the error, in its turn.

    Attributes:
      source: The entry, as it was given or found.
      error: Why it cannot be read.
    """

    source: str
    error: ImageError

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Raises the error."""
        raise self.error

    def __str__(self) -> str:
        """The entry."""
        return self.source


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """An opened source.

    Attributes:
      images: What gives its images, once: paths, bytes of image files, Frames, and an `Unreadable` for each entry that
        cannot be read.
      count: How many there are; None if that shows only at the end.
      is_live: Whether images come in their own time, so that each is to be dealt with at once.
      left_out: What of a folder looks like pictures and is not taken, a line for each ending, and why.
      tally: What is counted while its images are read.
      paths: The files that are read, which are not to be written over.
      close: Ends its threads and connections, whether its images were read or not; it may be called again.
    """

    images: Iterable
    count: int | None
    is_live: bool = False
    left_out: tuple[str, ...] = ()
    tally: Tally = dataclasses.field(default_factory=Tally)
    paths: tuple[Path, ...] = ()
    close: Callable[[], None] = lambda: None
