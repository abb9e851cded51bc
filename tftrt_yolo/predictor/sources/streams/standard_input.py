"""Images from standard input: JPEG after JPEG with anything between them, one image of another kind, or a video.

for frame in standard_input.images(tally=Tally()):
    frame.image
"""

import contextlib
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files, image_formats
from tftrt_yolo.predictor.sources import containers, videos
from tftrt_yolo.predictor.sources.ahead import ahead
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.source import Tally, Unreadable
from tftrt_yolo.predictor.sources.streams import jpegs

NAME = "-"
_CALLED = "standard input"
_PIECE_BYTES = 1 << 16
_START_BYTES = 512
_MOST_BYTES = 512 << 20  # of one image
_MOST_AHEAD = 4  # images
_EXPECTED = "Expected JPEGs, one image or a video, such as from ffmpeg -i URL -f image2pipe -c:v mjpeg -"


class _Pipe:
    """Bytes from standard input, the first of which can be looked at; for PyAV a file to be read front to back."""

    def __init__(self, read: Callable[[int], bytes]):
        self._read, self.start = read, b""
        while len(self.start) < _START_BYTES and (piece := read(_START_BYTES - len(self.start))):
            self.start += piece
            if self.start.startswith(jpegs.START):  # a camera's first picture is not kept waiting
                break
        self._unread = self.start

    def read(self, num_bytes: int = _PIECE_BYTES) -> bytes:
        """Reads what is there, at most so many bytes and at least one; nothing at the end."""
        if self._unread:
            piece, self._unread = self._unread[:num_bytes], self._unread[num_bytes:]
            return piece
        return self._read(num_bytes)


def images(*, vid_stride: int, tally: Tally) -> Iterator[Frame | Unreadable]:
    """Opens standard input.

    Args:
      vid_stride: Of a video and of several JPEGs, every n-th is given.
      tally: Counts frames, and notes what is missing.

    Returns:
      Its images: all of them, in order, however long the next takes.

    Raises:
      ImageError: If it is a terminal, is empty, or begins with something else.
    """
    pipe = _Pipe(_reader())
    if not pipe.start:
        raise ImageError(f"Standard input is empty. {_EXPECTED}.")
    if pipe.start.startswith(jpegs.START):
        return ahead(itertools.islice(_jpegs(pipe), 0, None, vid_stride), most=_MOST_AHEAD)
    if image_formats.is_video(pipe.start):
        video = videos.Video(NAME, lambda: containers.opened(pipe, _CALLED.capitalize()))
        return videos.frames(video, vid_stride=vid_stride, tally=tally)
    try:
        image_formats.of(pipe.start)
    except ValueError as error:
        raise ImageError(f"Standard input {error} {_EXPECTED}.") from error
    return iter([_image(_whole(pipe), 0)])


def _reader() -> Callable[[int], bytes]:
    """What reads standard input; past Python's own buffer, whose lock would hold up an exit while nothing comes."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        kind = "a terminal" if sys.stdin is not None and not sys.stdin.closed else "closed"
        raise ImageError(f"Standard input is {kind}. {_EXPECTED}, by a pipe.")
    with contextlib.suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
        descriptor = sys.stdin.fileno()
        return lambda num_bytes: os.read(descriptor, num_bytes)
    return sys.stdin.buffer.read1


def _jpegs(pipe: _Pipe) -> Iterator[Frame | Unreadable]:
    """JPEG after JPEG."""
    try:
        for index, data in enumerate(jpegs.Jpegs(pipe.read)):
            yield _image(data, index)
    except (OSError, ValueError) as error:
        yield Unreadable(NAME, ImageError(f"Standard input broke: it {error}. {_EXPECTED}."))


def _image(data: bytes, index: int) -> Frame | Unreadable:
    """One image."""
    try:
        return Frame(image_files.read_image(data), NAME, index, 0.0)
    except ImageError as error:
        return Unreadable(NAME, ImageError(f"Image {index + 1:,} of standard input: {error}"))


def _whole(pipe: _Pipe) -> bytes:
    """All that is left."""
    data = bytearray()
    while piece := pipe.read():
        data += piece
        if len(data) > _MOST_BYTES:
            raise ImageError(f"Standard input has more than {_MOST_BYTES:,} bytes. Expected one image of less.")
    return bytes(data)
