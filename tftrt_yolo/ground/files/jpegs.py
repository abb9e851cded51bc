"""JPEG files by libjpeg-turbo at once: Pillow's pixels in less time, and nearly without the lock of Python.

    memory, decoded = Scratch(), Decoded()      # of several threads
    array = jpegs.decode(data, facts, "a.jpg", memory=memory, decoded=decoded)     # None: it is Pillow's turn
    print(decoded.num_fast, decoded.num_fallbacks)

Pillow goes through a file's segments in Python and copies the pixels three times. What is done here is what both do
alike: grey and three channels of 8 bits in Huffman's codes, segments without surprises. All else, and every file that
this decoder has anything to say against, is left to Pillow, whose verdict counts.
"""

import math
import threading

import numpy as np
import PIL.features
from absl import logging

from tftrt_yolo.ground.files import image_structure
from tftrt_yolo.ground.files.image_arrays import MOST_SIDE
from tftrt_yolo.ground.files.image_structure import JpegFacts

try:
    import simplejpeg
except ImportError:  # where there is no wheel of it
    simplejpeg = None

_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2  # in Huffman's codes
# Versions before 3 of libjpeg-turbo smooth a progressive picture that lacks scans in another way.
_IS_PILLOWS_ALIKE = int((PIL.features.version("libjpeg_turbo") or "0").split(".")[0]) >= 3
_KINDS = (_BASELINE, _EXTENDED, *([_PROGRESSIVE] if _IS_PILLOWS_ALIKE else []))
# Of a file: where Pillow itself refuses, which is at twice its MAX_IMAGE_PIXELS; other packages set that to None.
MOST_PIXELS = 2 * ((1 << 30) // 4 // 3)
_END, _MOST_TRAILING_BYTES = b"\xff\xd9", 4_096  # of what some cameras write behind the end
# EXIF's orientation to the steps through rows and columns, and whether these are then exchanged. Source: TIFF 6.0,
# page 36.
_TURNS = {
    2: (1, -1, False),
    3: (-1, -1, False),
    4: (-1, 1, False),
    5: (1, 1, True),
    6: (-1, 1, True),
    7: (-1, -1, True),
    8: (1, -1, True),
}
_MOST_KEPT_BYTES = 64 << 20  # of a thread's memory; larger pictures are rare, and have their own


class Decoded:
    """Who decoded files; it grows meanwhile, from any thread.

    Attributes:
      num_fast: JPEG files that were decoded here.
      num_pillow: Files that Pillow decoded or refused, those of `num_fallbacks` among them.
      num_fallbacks: JPEG files of a usual kind on which the decoder here failed, so that Pillow was asked.
    """

    def __init__(self):
        """None so far."""
        self.num_fast = self.num_pillow = self.num_fallbacks = 0
        self._lock = threading.Lock()

    def count(self, *, fast: int = 0, pillow: int = 0, fallbacks: int = 0) -> None:
        """Adds to the counts."""
        with self._lock:
            self.num_fast += fast
            self.num_pillow += pillow
            self.num_fallbacks += fallbacks


class Scratch:
    """Memory for pictures that each thread uses again, so that the system need not find new pages for each.

    An array in it is good until the same thread takes memory again; what is to be kept is copied before.
    """

    def __init__(self):
        """Without memory; a thread's grows with its pictures."""
        self._of_thread = threading.local()

    def take(self, size_hw: tuple[int, int], place: int = 0) -> np.ndarray:
        """Gives memory for a picture.

        Args:
          size_hw: Its height and width in pixels.
          place: Which of two pictures that are needed together, 0 or 1.

        Returns:
          (height, width, 3) uint8 of any values. Of more than 64 MB it is the caller's own.
        """
        num_bytes = 3 * math.prod(size_hw)
        if num_bytes > _MOST_KEPT_BYTES:
            return np.empty((*size_hw, 3), np.uint8)
        kept = self._of_thread.__dict__.setdefault("kept", {})
        if place not in kept or kept[place].size < num_bytes:
            kept[place] = np.empty(num_bytes, np.uint8)
        return kept[place][:num_bytes].reshape(*size_hw, 3)


def decoder() -> str:
    """What decodes the usual JPEG files here: "simplejpeg", or "Pillow" where that is not installed."""
    return "Pillow" if simplejpeg is None else "simplejpeg"


def decode(
    data: bytes, facts: JpegFacts, name: str, *, memory: Scratch | None = None, decoded: Decoded | None = None
) -> np.ndarray | None:
    """Decodes a JPEG, if it is of a usual kind.

    Args:
      data: The whole file, which `image_structure.check` has let through.
      facts: What `image_structure.jpeg_facts` says of it.
      name: The file's, for the log.
      memory: Where the picture is to lie; new memory if it is None.
      decoded: Counts a picture that is decoded, and one on which the decoder fails.

    Returns:
      (height, width, 3) uint8, RGB, upright as EXIF says, the very values of Pillow; None if Pillow is to decode it.
    """
    if simplejpeg is None:
        logging.log_first_n(logging.INFO, "simplejpeg is not installed; Pillow decodes JPEG files, in more time", 1)
        return None
    orientation = orientation_of(facts)
    if orientation is None or data.rfind(_END, -_MOST_TRAILING_BYTES) < 0:  # or, cut short, Pillow refuses it soon
        return None
    is_turned = orientation in _TURNS
    try:
        array = simplejpeg.decode_jpeg(data, "RGB", buffer=_take(memory, (facts.height, facts.width), int(is_turned)))
    except (ValueError, RuntimeError):  # of what libjpeg only warns of, too
        if decoded is not None:
            decoded.count(fallbacks=1)
        return None
    if decoded is not None:
        decoded.count(fast=1)
    if facts.num_channels == 1:
        logging.warning("%s has Pillow's mode L; converted to RGB", name)
    return _turned(array, _TURNS[orientation], memory) if is_turned else array


def orientation_of(facts: JpegFacts) -> int | None:
    """How a camera was held.

    Args:
      facts: What `image_structure.jpeg_facts` says of a file.

    Returns:
      EXIF's orientation of a JPEG of a usual kind, whose other facts are true; None of one that is Pillow's.
    """
    is_usual = facts.is_plain and facts.kind in _KINDS and facts.bits == 8
    if not is_usual or facts.num_channels not in (1, 3) or facts.height * facts.width > MOST_PIXELS:
        return None
    if not 0 < min(facts.height, facts.width) <= max(facts.height, facts.width) <= MOST_SIDE:
        return None
    return image_structure.orientation(facts.exif)


def _take(memory: Scratch | None, size_hw: tuple[int, int], place: int) -> np.ndarray:
    """Memory for a picture, from where it is to come."""
    return np.empty((*size_hw, 3), np.uint8) if memory is None else memory.take(size_hw, place)


def _turned(array: np.ndarray, turn: tuple[int, int, bool], memory: Scratch | None) -> np.ndarray:
    """Copies a picture (height, width, 3) once, mirrored and turned."""
    down, right, is_on_its_side = turn
    pixels = _pixels(array)[::down, ::right]
    pixels = pixels.T if is_on_its_side else pixels
    upright = _take(memory, pixels.shape, 0)
    _pixels(upright)[...] = pixels
    return upright


def _pixels(array: np.ndarray) -> np.ndarray:
    """The same memory as (height, width) of three bytes each, which NumPy copies three times as fast as single ones."""
    return array.view("V3")[..., 0]
