"""A stream that is open: picture after picture, in its own time.

with feed.opened() as pictures:
    for take in pictures:
        image = take()                              # decoded or converted when it is wanted
"""

import dataclasses
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np


class BrokenError(Exception):
    """A stream broke or ended without saying so; the message is half a sentence that says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Feed:
    """A stream that is open.

    Attributes:
      pictures: Gives functions, each of which gives an image (height, width, 3) uint8 RGB or a whole Frame, or raises
        an ImageError where that one is damaged. Ends where the stream says that it does; otherwise it raises
        BrokenError.
      close: Ends the stream, once nobody reads it any more.
      interrupt: Has whoever reads in another thread fail soon; nothing where that cannot be done.
      rate: Frames a second; 25 where nothing says it.
    """

    pictures: Iterator[Callable[[], np.ndarray]]
    close: Callable[[], None]
    interrupt: Callable[[], None] = lambda: None
    rate: Fraction = Fraction(25)


@dataclasses.dataclass(frozen=True)
class Stream:
    """A stream by its name, which can be opened again and again.

    Attributes:
      source: Its name, without a password.
      opened: Opens it, or raises an ImageError.
      is_whole: Whether every frame is dealt with in any case: a file among streams.
    """

    source: str
    opened: Callable[[], Feed]
    is_whole: bool = False
