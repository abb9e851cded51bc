"""Image files in the network's frames, decoded and fitted on the host as `Predictor` does it, each beside the others.

    files = ServedFiles((640, 640), fit="letterbox", max_pixels=50_000_000, pins=False)
    read = files.read([jpeg, b"no image"], num_rows=4)
    read.frames.shape, read.statuses                # (4, 640, 640, 3), [b"", b"it is no image: ..."]
    files.give_back(read)

A picture that has too many pixels is answered for before it is decoded, and of large ones few are decoded at once.
`predictor.batches.Reader` is for streams: it reads ahead of the network and closes up the rows of what cannot be read.
Here every file keeps its row and has a status, for each is a request of its own, and nothing is read ahead.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.files.jpegs import Scratch
from tftrt_yolo.ground.text import first_line, shown
from tftrt_yolo.predictor import framing
from tftrt_yolo.predictor.frame_memory import FrameMemory

_MOST_PIXELS_AT_ONCE = 64 << 20  # of files that are decoded side by side; each pixel takes ten bytes meanwhile


class Read(NamedTuple):
    """Files that were read.

    Attributes:
      frames: (rows, S, S, 3) uint8; of a file that was not read, and behind the last, of any content.
      sizes_hw: (rows, 2) int32, height and width of the upright images in pixels; 1 and 1 elsewhere.
      statuses: For each file why it was not read; empty if it was.
      memory: What the frames are the first of.
    """

    frames: np.ndarray
    sizes_hw: np.ndarray
    statuses: list[bytes]
    memory: np.ndarray

    @property
    def were_read(self) -> np.ndarray:
        """(rows,) bool, where there is an image."""
        found = np.zeros(len(self.frames), bool)
        found[: len(self.statuses)] = [not status for status in self.statuses]
        return found


class ServedFiles:
    """Reads files; several threads may use it."""

    def __init__(self, frame_size_hw: tuple[int, int], *, fit: str, max_pixels: int, pins: bool):
        """Prepares; no thread is started.

        Args:
          frame_size_hw: Height and width of the network's frames in pixels.
          fit: How images are laid into frames: one of `placement.FITS`.
          max_pixels: The largest picture that is decoded, width times height.
          pins: Whether a GPU is to read the frames.
        """
        self._fit, self._max_pixels = framing.FITS[fit], max_pixels
        self._scratch = Scratch()
        self._memory = FrameMemory(frame_size_hw, pins=pins)
        self._pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="read")

    def read(self, files: list[bytes], num_rows: int) -> Read:
        """Decodes files and lays them into frames.

        Args:
          files: Of any content.
          num_rows: Frames that are wanted, at least one for each file.

        Returns:
          What was read; its memory is to be given back.
        """
        memory = self._memory.take(num_rows)
        frames = memory[:num_rows]
        sizes_hw, statuses = np.ones((num_rows, 2), np.int32), [b""] * len(files)
        pixels = [_stored_pixels(file) for file in files]

        def read_row(row: int) -> None:
            try:
                sizes_hw[row] = self._read_one(files[row], pixels[row], frames[row])
            except (ImageError, MemoryError) as error:
                sizes_hw[row], statuses[row] = 1, _status(error)

        for rows in _rows_within([min(count, self._max_pixels) for count in pixels]):
            # A thread's round trip costs a tenth of a millisecond, and one picture has nobody to wait for.
            for _ in map(read_row, rows) if len(rows) == 1 else self._pool.map(read_row, rows):
                pass
        return Read(frames, sizes_hw, statuses, memory)

    def give_back(self, read: Read) -> None:
        """Takes the memory of frames back that nobody needs any more."""
        self._memory.give_back(read.memory)

    def _read_one(self, file: bytes, pixels: int, frame: np.ndarray) -> tuple[int, int]:
        """Lays one file into its frame; gives the image's height and width."""
        if pixels > self._max_pixels:
            raise ImageError(f"it has {pixels:,} pixels; at most {self._max_pixels:,} are taken: scale it down first")
        image = image_files.read_image(file, name="it", memory=self._scratch)
        self._fit(image, frame)
        return image.shape[:2]


def _stored_pixels(file: bytes) -> int:
    """How many pixels a file's header says that it has; 0 if that cannot be read, and then nothing is decoded."""
    width, height = image_files.upright_size(file) or (0, 0)
    return width * height


def _rows_within(pixels: list[int]) -> list[range]:
    """Rows of files that are decoded side by side, in order."""
    parts, first, total = [], 0, 0
    for row, count in enumerate(pixels):
        if row > first and total + count > _MOST_PIXELS_AT_ONCE:
            parts.append(range(first, row))
            first, total = row, 0
        total += count
    return [*parts, range(first, len(pixels))]


def _status(error: Exception) -> bytes:
    """What is said of a file that was not read: the rest of a sentence, without its full stop."""
    if isinstance(error, MemoryError):
        return b"there is no memory for its pixels; scale it down first"
    return shown(first_line(error)).removesuffix(".").encode()
