"""Images of any kind into batches of the network's frames, by as many threads as there are cores.

    reader = Reader(fit="letterbox", memory=FrameMemory((640, 640), pins=False))
    for batch in reader.batches(paths, Reading(batch_size=8)):
        batch.frames[: len(batch.images)]                   # (n, 640, 640, 3) uint8

Each thread decodes a file and lays it where the network reads it, so nothing is copied afterwards, and what is decoded
is gone when the next file comes. Batches come in the images' order.
"""

import collections
import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from absl import logging

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_arrays, image_files, jpegs
from tftrt_yolo.ground.files.image_arrays import ArrayOptions
from tftrt_yolo.ground.files.jpegs import Decoded, Scratch
from tftrt_yolo.ground.streams import UntilFailure
from tftrt_yolo.ground.text import counted
from tftrt_yolo.predictor import framing
from tftrt_yolo.predictor.frame_memory import FrameMemory

_MOST_AHEAD_BYTES = 1 << 30  # of images that are decoded ahead of the network, by the largest that was seen


class Framed(NamedTuple):
    """An image that lies in a frame.

    Attributes:
      given: The image as it was given.
      size_hw: Its height and width in pixels.
      array: (height, width, 3) uint8; None where it is not kept.
    """

    given: object
    size_hw: tuple[int, int]
    array: np.ndarray | None


class Batch(NamedTuple):
    """Frames of several images.

    Attributes:
      frames: (batch or more, S, S, 3) uint8; those behind the images' are anything.
      images: What lies in them, in order.
    """

    frames: np.ndarray
    images: list[Framed]


@dataclasses.dataclass(frozen=True)
class Reading:
    """How images are read.

    Attributes:
      batch_size: At most this many a batch.
      arrays: How arrays among them are read.
      on_error: What is done about an image that cannot be read, with it and its ImageError; None to raise that.
      keeps_arrays: Whether the images themselves are needed, and not only their frames.
      decoded: Who decoded files; it grows while they are read.
    """

    batch_size: int
    arrays: ArrayOptions = image_arrays.PLAIN
    on_error: Callable[[object, ImageError], object] | None = None
    keeps_arrays: bool = False
    decoded: Decoded = dataclasses.field(default_factory=Decoded)

    def notes(self) -> list[str]:
        """What whoever reads is to know of the files so far, a sentence each."""
        if not self.decoded.num_fallbacks:
            return []
        files = counted(self.decoded.num_fallbacks, "JPEG file")
        return [f"{files}, on which {jpegs.decoder()} failed, went through Pillow, which takes longer."]


def leave_out(_: object, error: ImageError) -> None:
    """Says in the log that an image is left out: for `Reading.on_error`."""
    logging.warning("skipped: %s", error)


class _Open(NamedTuple):
    """A batch whose images are being read.

    Attributes:
      frames: The batch's memory.
      given: The images as they were given.
      read: For each a function that waits until it lies in its frame; it returns a Framed or raises an ImageError.
    """

    frames: np.ndarray
    given: list
    read: list[Callable[[], Framed]]


class Reader:
    """Makes batches; several threads may use one."""

    def __init__(self, *, fit: str, memory: FrameMemory):
        """Prepares; no thread is started.

        Args:
          fit: How images are laid into frames: one of `placement.FITS`.
          memory: Where batches lie.
        """
        self._memory = memory
        self._fit, self._scratch = framing.FITS[fit], Scratch()
        self._num_threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._num_threads, thread_name_prefix="read")

    def batches(self, images: Iterable, reading: Reading) -> Iterator[Batch]:
        """Reads images.

        Args:
          images: What `image_files.read_image` takes, one by one; an endless iterator is fine.
          reading: How.

        Yields:
          Batches in order, each of one image or more: less than were asked for where images are large, or cannot be
          read.

        Raises:
          Exception: What the iterable raises, ImageError for an image that cannot be read where `on_error` is None, and
            what that raises; after the batches of all images before it.
        """
        until = UntilFailure(images)
        iterator = iter(until)
        head = list(itertools.islice(iterator, 2))
        if len(head) == 1:  # nothing to overlap with, and a thread's round trip costs a tenth of a millisecond
            batch = _Open(self._memory.take(1), [], [])
            self._add(batch, head[0], reading, functools.partial)
            yield from self._settled(batch, reading)
        elif head:
            yield from self._ahead(itertools.chain(head, iterator), reading)
        until.raise_failure()

    def _ahead(self, images: Iterable, reading: Reading) -> Iterator[Batch]:
        """As `batches`, by threads."""
        open_batches, futures = collections.deque(), collections.deque()
        largest = 1

        def submit(*call) -> Callable[[], Framed]:
            futures.append(self._pool.submit(*call))
            return futures[-1].result

        try:
            for image in images:
                if not open_batches or len(open_batches[-1].given) == reading.batch_size:
                    open_batches.append(_Open(self._memory.take(reading.batch_size), [], []))
                self._add(open_batches[-1], image, reading, submit)
                # An array is there already: reading ahead of it would only hold more of them.
                ahead = 0 if hasattr(image, "__array__") else 2 * self._num_threads + reading.batch_size
                while _is_due(open_batches, reading.batch_size, ahead, _MOST_AHEAD_BYTES // largest):
                    for batch in self._settled(open_batches.popleft(), reading):
                        largest = max(largest, *(3 * one.size_hw[0] * one.size_hw[1] for one in batch.images))
                        yield batch
                    while futures and futures[0].done():
                        futures.popleft()
            while open_batches:
                yield from self._settled(open_batches.popleft(), reading)
        finally:
            for future in futures:
                future.cancel()

    def _add(self, batch: _Open, image: object, reading: Reading, call: Callable) -> None:
        """Has an image read into the batch's next frame."""
        frame = batch.frames[len(batch.given)]
        batch.given.append(image)
        batch.read.append(call(self._read, image, frame, reading))

    def _read(self, image: object, frame: np.ndarray, reading: Reading) -> Framed:
        """Reads one image into its frame."""
        memory = None if reading.keeps_arrays else self._scratch
        array = image_files.read_image(image, reading.arrays, memory=memory, decoded=reading.decoded)
        self._fit(array, frame)
        return Framed(image, array.shape[:2], array if reading.keeps_arrays else None)

    def _settled(self, batch: _Open, reading: Reading) -> Iterator[Batch]:
        """The batch once its images are read, without those that cannot be; nothing if there is none."""
        images, failure = [], None
        for row, (given, read) in enumerate(zip(batch.given, batch.read, strict=True)):
            try:
                image = read()
            except ImageError as error:
                failure = self._dealt_with(given, error, reading)
                if failure is not None:
                    break
                continue
            if len(images) < row:
                batch.frames[len(images)] = batch.frames[row]
            images.append(image)
        if images:
            yield Batch(batch.frames, images)
        elif failure is None:
            self._memory.give_back(batch.frames)
        if failure is not None:
            raise failure

    def _dealt_with(self, given: object, error: ImageError, reading: Reading) -> Exception | None:
        """What is to be raised for an image that cannot be read, behind the images before it; None for nothing."""
        if reading.on_error is None:
            return error
        try:
            reading.on_error(given, error)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is raised in its turn
            return failure
        return None


def _is_due(open_batches: Sequence[_Open], batch_size: int, ahead: int, room: int) -> bool:
    """Whether the first batch is to be waited for: it is full and enough is read behind it, or the memory is full."""
    if not open_batches:
        return False
    first, count = len(open_batches[0].given), sum(len(batch.given) for batch in open_batches)
    return (first == batch_size and count - first >= ahead) or count >= max(room, 1)
