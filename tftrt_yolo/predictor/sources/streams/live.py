"""Live streams: read by a thread each, opened anew when they break, and given frame by frame, in turn.

source = live.source_of([stream], [stream.opened()], options, Tally())
for frame in source.images:
    frame.image, frame.index, frame.seconds

A thread reads all that comes, so that nothing waits in the connection. Without `stream_buffer` it keeps the newest
frame alone, and whoever deals with frames gets that one whenever it is free. With `stream_buffer` frames wait in order;
where 30 wait, the thread stops reading, and what happens then is the sender's: over TCP it waits or drops frames
itself, over UDP they are lost.
"""

import collections
import inspect
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from absl import logging

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import counted, first_line, shown
from tftrt_yolo.predictor.sources.frame import Frame, VideoInfo
from tftrt_yolo.predictor.sources.source import Source, Tally, Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.sources.streams.feed import BrokenError, Feed, Stream

_MOST_WAITING = 30  # frames of one stream with stream_buffer. Source: ultralytics.data.loaders.LoadStreams.
_LONGEST_WAIT_S = 30  # between two attempts to open a stream anew
_WELL_AFTER_S = 60  # of a stream that was opened anew; then the count of attempts begins anew
_JOIN_S = 2


def source_of(
    streams: Sequence[Stream],
    feeds: Sequence[Feed],
    options: SourceOptions,
    tally: Tally,
    failed: Iterable[Unreadable] = (),
) -> Source:
    """A live source.

    Args:
      streams: What can be opened anew.
      feeds: The same, open.
      options: How they are read.
      tally: Counts what is given and left out, and notes why a stream ended.
      failed: What is given first: streams that could not be opened.

    Returns:
      The source, whose threads begin with its first frame.
    """
    reading = frames(streams, feeds, options, tally)
    images = itertools.chain(failed, reading)

    def close() -> None:
        if inspect.getgeneratorstate(reading) == inspect.GEN_CREATED:  # otherwise its threads close what they read
            for feed in feeds:
                feed.close()
        reading.close()

    return Source(images, count=None, is_live=True, tally=tally, close=close)


def frames(
    streams: Sequence[Stream], feeds: Sequence[Feed], options: SourceOptions, tally: Tally
) -> Iterator[Frame | Unreadable]:
    """Gives the frames of streams, in turn where there are several.

    Args:
      streams: What can be opened anew.
      feeds: The same, open.
      options: How they are read.
      tally: Counts what is given and left out, and notes why a stream ended.

    Yields:
      Frames until all streams have ended; an Unreadable for a stream that gave none.
    """
    change = threading.Condition()
    everyone = [_Reader(*pair, options, tally, change) for pair in zip(streams, feeds, strict=True)]
    readers = list(everyone)
    try:
        for reader in readers:
            reader.start()
        while (reader := _next_in_turn(readers, change)) is not None:
            readers.remove(reader)  # it is the last in turn now
            has_ended, given = reader.is_finished, reader.give()
            if given is not None:
                yield given
            if not has_ended:
                readers.append(reader)
    finally:
        for reader in everyone:
            reader.stop()


def _next_in_turn(readers: list["_Reader"], change: threading.Condition) -> "_Reader | None":
    """The first reader that has something to give or has ended; None where there is none left."""
    with change:
        while readers:
            ready = next((reader for reader in readers if reader.waiting or reader.has_ended), None)
            if ready is not None:
                return ready
            change.wait()
    return None


class _Reader:
    """Reads one stream in a thread.

    Attributes:
      waiting: Frames that were read and not yet given: number, seconds, and what gives the image.
      has_ended: Whether no more will be read.
    """

    def __init__(self, stream: Stream, feed: Feed, options: SourceOptions, tally: Tally, change: threading.Condition):
        self._stream, self._feed, self._options, self._tally, self._change = stream, feed, options, tally, change
        self.waiting: collections.deque[tuple[int, float, Callable[[], np.ndarray]]] = collections.deque()
        self.has_ended, self._is_stopped, self._failure = False, threading.Event(), None
        self._name, self._began = shown(stream.source), time.monotonic()
        self._num_read = self._num_given = self._attempts = 0
        self._info: VideoInfo | None = None
        self._thread = threading.Thread(target=self._work, name="stream", daemon=True)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be given."""
        return self.has_ended and not self.waiting

    def start(self) -> None:
        """Begins to read."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; at the latest it ends with the stream's time limit."""
        self._is_stopped.set()
        with self._change:
            self._change.notify_all()
        self._feed.interrupt()
        self._thread.join(_JOIN_S)

    def give(self) -> Frame | Unreadable | None:
        """The next frame; None for one that is damaged, and at the end."""
        with self._change:
            if not self.waiting:
                return self._end()
            index, seconds, take = self.waiting.popleft()
            self._change.notify_all()
        try:
            image = take()
        except ImageError as error:
            self._tally.count(dropped=1)
            self._tally.note(f"{self._name} has frames that cannot be decoded, which are left out: {error}")
            return None
        self._num_given += 1
        if isinstance(image, Frame):  # of a file, which counts them itself
            return image
        self._tally.count(frames=1)
        self._info = self._info or self._described(image)
        return Frame(image, self._stream.source, index, seconds, self._info)

    def _described(self, image: np.ndarray) -> VideoInfo:
        return VideoInfo(self._stream.source, image.shape[:2], self._feed.rate or Fraction(25), is_live=True)

    def _end(self) -> Unreadable | None:
        """What is said of a stream that has ended."""
        if self._failure is None and self._num_given:
            return None
        why = self._failure or "it ended at once"
        if not self._num_given:
            return Unreadable(
                self._stream.source,
                ImageError(f"{self._name} gave no frame: {why}. Expected a stream of frames; look at its sender."),
            )
        self._tally.note(f"{self._name} stopped: {why}. Its {counted(self._num_given, 'frame')} before are used.")
        return None

    def _work(self) -> None:
        """Reads until the stream ends for good."""
        try:
            while not self._is_stopped.is_set():
                since = time.monotonic()
                try:
                    self._read(self._feed)
                    break
                except BrokenError as error:
                    reason = str(error)
                finally:
                    self._feed.close()
                if time.monotonic() - since >= _WELL_AFTER_S:
                    self._attempts = 0
                if self._is_stopped.is_set() or not self._reopen(reason):
                    break
        except ImageError as error:
            self._failure = str(error)
        except Exception as error:  # noqa: BLE001 - told at the end, for nobody waits for this thread
            self._failure = f"{type(error).__name__}: {first_line(error)}"
        finally:
            with self._change:
                self.has_ended = True
                self._change.notify_all()

    def _read(self, feed: Feed) -> None:
        """Reads an open stream to its end."""
        for take in feed.pictures:
            if self._is_stopped.is_set():
                return
            index, self._num_read = self._num_read, self._num_read + 1
            if index % self._options.vid_stride == 0:
                self._keep(index, time.monotonic() - self._began, take)

    def _keep(self, index: int, seconds: float, take: Callable[[], np.ndarray]) -> None:
        """Keeps a frame: behind the others, or in their place."""
        is_whole = self._options.stream_buffer or self._stream.is_whole
        with self._change:
            if is_whole:
                while len(self.waiting) >= _MOST_WAITING and not self._is_stopped.is_set():
                    self._change.wait()
            elif self.waiting:
                self._tally.count(dropped=len(self.waiting))
                self.waiting.clear()
            self.waiting.append((index, seconds, take))
            self._change.notify_all()

    def _reopen(self, reason: str) -> bool:
        """Opens a stream that broke anew; false where that failed too often."""
        most = self._options.max_retries
        while self._attempts < most and not self._stream.is_whole:
            seconds = min(2**self._attempts, _LONGEST_WAIT_S)
            self._attempts += 1
            self._tally.count(retries=1)
            logging.warning(
                "%s: %s; it is opened anew in %d s (%d of %d)", self._name, reason, seconds, self._attempts, most
            )
            if self._is_stopped.wait(seconds):
                return False
            try:
                self._feed = self._stream.opened()
                return True
            except ImageError as error:
                reason = str(error).removeprefix(f"{self._name} ").rstrip(".")
        tried = f", and it was tried again {counted(most, 'time')}" if most and not self._stream.is_whole else ""
        self._failure = reason + tried
        return False
