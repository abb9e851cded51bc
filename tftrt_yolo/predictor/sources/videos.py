"""Frames of video files: all of them, in order, decoded ahead of the consumer.

for frame in videos.frames(videos.of_file(Path("clip.mp4"), "clip.mp4"), vid_stride=2, tally=Tally()):
    frame.image, frame.seconds
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import clause, counted, shown
from tftrt_yolo.predictor.sources import containers
from tftrt_yolo.predictor.sources.ahead import ahead
from tftrt_yolo.predictor.sources.frame import Frame, VideoInfo
from tftrt_yolo.predictor.sources.source import Tally

_MOST_BYTES = 1 << 40  # of a file
_MOST_AHEAD = 4  # frames
# Formats whose files say how long they are; of the others FFmpeg estimates it.
_KNOW_LENGTH = {"mov", "matroska", "avi", "flv", "asf"}
_MISSING_SECONDS = 0.5  # what may be missing at the end without being told, such as a last frame's duration


@dataclasses.dataclass(frozen=True, eq=False)
class Video:
    """A video that ends.

    Attributes:
      source: What the user called it; for messages and frames.
      opened: Opens it: gives a context with PyAV's container, or raises an ImageError.
      path: The file that holds it and its sound; None where there is none.
      keeper: What keeps the file, if it is a temporary one.
    """

    source: str
    opened: Callable[[], contextlib.AbstractContextManager]
    path: Path | None = None
    keeper: object = None

    @property
    def name(self) -> str:
        """Its name for messages."""
        return shown(self.source)


def of_file(path: Path, source: str, *, keeper: object = None) -> Video:
    """A video that is a file; the arguments are fields of `Video`."""
    return Video(source, functools.partial(_opened, path, shown(source)), path, keeper)


def check(video: Video) -> None:
    """Opens a video and closes it.

    Args:
      video: The video.

    Raises:
      ImageError: If it cannot be read, or has no video.
    """
    with video.opened() as container:
        containers.video_of(container, video.name)


def frames(video: Video, *, vid_stride: int, tally: Tally) -> Iterator[Frame]:
    """Reads a video.

    Args:
      video: The video.
      vid_stride: Every n-th frame is given.
      tally: Counts frames, and notes what is missing.

    Yields:
      Frames.

    Raises:
      ImageError: If it cannot be read, or has no frame.
    """
    for frame in ahead(_frames(video, vid_stride, tally), most=_MOST_AHEAD):
        tally.count(frames=1)
        yield frame


def _frames(video: Video, vid_stride: int, tally: Tally) -> Iterator[Frame]:
    """As `frames`, in the thread of whoever calls."""
    with video.opened() as container:
        stream = containers.video_of(container, video.name)
        decoding, convert, info, index = _Decoding(container, stream), containers.Converter(), None, -1
        for index, decoded in enumerate(decoding):
            if index % vid_stride:
                continue
            image, seconds = convert(decoded), decoding.seconds_of(decoded, index)
            info = info or _info(video, container, stream, image.shape[:2], decoding.begins)
            yield Frame(image, video.source, index, seconds, info)
        decoding.tell(video.name, index + 1, tally)


def _info(video: Video, container, stream, size_hw: tuple[int, int], begins: float) -> VideoInfo:
    """What is known of a video."""
    return VideoInfo(
        source=video.source,
        size_hw=size_hw,
        rate=containers.rate_of(stream),
        num_frames=stream.frames or None,
        seconds=container.duration / 1e6 if container.duration else None,
        has_sound=bool(container.streams.audio),
        path=video.path,
        begins=begins,
        keeper=video.keeper,
    )


@contextlib.contextmanager
def _opened(path: Path, name: str) -> Iterator:
    """A file's container, closed with it."""
    expected = "Expected the path of a video file."
    try:
        file = reading.opened(path, _MOST_BYTES)
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}. {expected}") from error
    except ValueError as error:
        raise ImageError(f"{name} cannot be read: it {clause(error)}. {expected}") from error
    with file:
        if not file.peek(1):
            raise ImageError(f"{name} is empty. {expected}")
        with containers.opened(file, name) as container:
            yield container


class _Decoding:
    """Decodes a container's video, goes on after what is damaged, and says in the end what is missing."""

    def __init__(self, container, stream):
        self._container, self._stream = container, stream
        self._num_damaged, self._fault, self._end = 0, None, 0.0
        self._rate = containers.rate_of(stream)
        self._start = None  # seconds, of the first frame

    @property
    def begins(self) -> float:
        """When the first frame is shown, in the file's own time."""
        return self._start or 0.0

    def seconds_of(self, decoded, index: int) -> float:
        """When a frame is shown; by its number where it has no time stamp."""
        time = decoded.time
        if time is None:
            return float(index / self._rate)
        self._start = time if self._start is None else self._start
        return max(0.0, time - self._start)

    def __iter__(self) -> Iterator:
        """PyAV's frames."""
        av = containers.library()
        try:
            for packet in self._container.demux():
                self._look_at(packet)
                if packet.stream is not self._stream:
                    continue
                try:
                    decoded = packet.decode()
                except av.error.InvalidDataError:
                    self._num_damaged += 1
                    continue
                self._num_damaged += max(packet.is_corrupt, sum(frame.is_corrupt for frame in decoded))
                yield from decoded
        except containers.faults() as error:
            self._fault = containers.said(error)

    def _look_at(self, packet) -> None:
        """Notes how far the file reaches, and whether a packet is torn."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and packet.time_base:
            self._end = max(self._end, float((time + (packet.duration or 0)) * packet.time_base))

    def tell(self, name: str, num_frames: int, tally: Tally) -> None:
        """Notes what is missing; raises an ImageError where everything is."""
        if not num_frames:
            why = self._fault or ("none of them can be decoded" if self._num_damaged else "there is none")
            raise ImageError(
                f"{name} holds no frame of video: {why}. Expected a whole video file; copy or record it again."
            )
        after = f"the {counted(num_frames, 'frame')} before are used"
        if self._fault:
            tally.note(f"{name} is damaged or cut short: FFmpeg says {self._fault}; {after}.")
        elif self._missing_seconds() > _MISSING_SECONDS:
            tally.note(f"{name} is cut short: its last {self._missing_seconds():.1f} s are missing; {after}.")
        elif self._container.format.name == "avi" and num_frames < (held := self._num_held()):
            missing = counted(held - num_frames, "frame")
            tally.note(f"{name} is damaged or cut short: of {held:,} frames it lacks {missing}; the others count.")
        if self._num_damaged:
            tally.note(f"{name} is damaged: {counted(self._num_damaged, 'frame')} could not be decoded whole.")

    def _num_held(self) -> int:
        """How many frames an AVI says that it has; those that repeat the one before are counted and have no entry."""
        entries = getattr(self._stream, "index_entries", ())  # which PyAV has from 17 on
        is_whole = len(entries) > 0 and entries[-1].timestamp >= self._stream.frames - 1
        return len(entries) if is_whole else self._stream.frames

    def _missing_seconds(self) -> float:
        """How much shorter the file is than it says."""
        container = self._container
        if container.duration is None or container.format.name.partition(",")[0] not in _KNOW_LENGTH:
            return 0.0
        return (container.duration + (container.start_time or 0)) / 1e6 - self._end
