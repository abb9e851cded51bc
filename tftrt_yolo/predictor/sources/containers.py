"""Videos and streams as FFmpeg reads them, by PyAV: frames upright and in RGB.

container = containers.opened(file, "clip.mp4")
stream = containers.video_of(container, "clip.mp4")

Files come from strangers, so only formats are read that hold a video themselves: no list of other files (concat, HLS,
DASH, SDP), no numbered images. And whatever a file asks to have opened beside it is refused.
"""

import http.client
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.text import first_line, listed, with_article

# FFmpeg's names of the formats that hold frames themselves; those of sound alone are there to be named in a message.
FORMATS = (
    *("mov", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv", "asf", "ogg", "ivf", "nut", "mxf", "dv"),
    *("h264", "hevc", "vvc", "av1", "obu", "m4v", "h263", "mjpeg", "yuv4mpegpipe", "rm", "wtv", "gxf", "swf", "vc1"),
    *("aac", "ac3", "aiff", "amr", "caf", "flac", "mp3", "wav", "w64", "eac3", "dts"),
)
_LISTS = {
    b"ffconcat": "a list for FFmpeg's concat",
    b"#EXTM3U": "a playlist (M3U, HLS)",
    b"<MPD": "a playlist (DASH)",
    b"v=0": "a description of a session (SDP)",
}
_EXPECTED = "Expected a video such as H.264 in MP4, MKV or WebM"
_OTHER_RATE = Fraction(25)  # FFmpeg's own where nothing says it
_MOST_RATE = 1_000
_BUFFER_BYTES = 1 << 18


def library():
    """PyAV.

    Raises:
      ImageError: If it is missing; the message says how to install it.
    """
    try:
        import av
    except ImportError as error:
        raise ImageError(
            f"Videos and streams are read by PyAV, which cannot be imported ({first_line(error)}). Expected the extra "
            "video; pip install 'tftrt_yolo[video]'."
        ) from error
    return av


def faults() -> tuple[type[Exception], ...]:
    """What opening and reading raise: FFmpeg's errors, and those of what it reads from."""
    return (library().error.FFmpegError, OSError, ValueError, http.client.HTTPException)


def opened(file: BinaryIO, name: str):
    """Opens a video.

    Args:
      file: An open file; one without `seek` is read from front to back.
      name: Its name for messages.

    Returns:
      PyAV's container.

    Raises:
      ImageError: If it is no video that FFmpeg knows, or is damaged from the beginning.
    """
    av = library()
    _refuse_list(file, name)

    def refuse(url: str, *_) -> BinaryIO:
        raise PermissionError(f"it asks for {url}")

    try:
        return av.open(
            file,
            "r",
            container_options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "none"},
            buffer_size=_BUFFER_BYTES,
            io_open=refuse,
            metadata_errors="replace",
        )
    except faults() as error:
        raise ImageError(
            f"{name} is no video that can be read: FFmpeg says {said(error)}. {_EXPECTED}; of one that was cut short "
            "before its end was written, as MP4 has its index there, nothing can be read: copy or record it again."
        ) from error


def _refuse_list(file: BinaryIO, name: str) -> None:
    """Refuses a file that only names others, by its first bytes, where they can be looked at."""
    start = file.peek(64) if hasattr(file, "peek") else file.start
    what = next((what for mark, what in _LISTS.items() if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(mark)), None)
    if what:
        raise ImageError(
            f"{name} is {what}, which names other files, and none that a file names is opened. {_EXPECTED}; give the "
            "videos themselves, or the URL of the stream."
        )


def said(error: BaseException) -> str:
    """What FFmpeg says of a fault, without the name of what it was opened by."""
    return first_line(ValueError(getattr(error, "strerror", None) or error))


def video_of(container, name: str):
    """The video among a container's streams.

    Args:
      container: PyAV's.
      name: Its name for messages.

    Returns:
      The stream, set to be decoded by several threads.

    Raises:
      ImageError: If there is none, nothing here decodes it, or its frames are too large.
    """
    av = library()
    videos = [one for one in container.streams.video if not one.disposition & av.stream.Disposition.attached_pic]
    if not videos:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        raise ImageError(
            f"{name} has no video track: it is {with_article(container.format.name.partition(',')[0])} file with "
            f"{listed(kinds)}. {_EXPECTED}."
        )
    best = container.streams.best("video")
    stream = best if best in videos else videos[0]
    context = stream.codec_context
    if context is None:
        raise ImageError(
            f"{name} has a video in a codec that FFmpeg does not decode here. {_EXPECTED}; convert it first."
        )
    if context.width * context.height > image_files.MOST_PIXELS:
        raise ImageError(
            f"{name} is too large to be safe: its frames have {context.width:,} x {context.height:,} pixels; at most "
            f"{image_files.MOST_PIXELS:,} are decoded. Scale it down first."
        )
    context.options = {"max_pixels": str(image_files.MOST_PIXELS)}  # whatever comes behind the first frame
    stream.thread_type = "AUTO"
    return stream


def rate_of(stream) -> Fraction:
    """Frames a second, on average; 25 where nothing sensible is said."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= _MOST_RATE:
            return Fraction(rate)
    return _OTHER_RATE


class Converter:
    """Turns PyAV's frames into upright RGB arrays; one for each video, for it keeps what the conversion needs."""

    def __init__(self):
        """Nothing is known yet."""
        self._reformatter = library().video.reformatter.VideoReformatter()
        self._rotation, self._matrix = None, None

    def __call__(self, frame) -> np.ndarray:
        """Converts.

        Args:
          frame: PyAV's, of any format of pixels.

        Returns:
          (height, width, 3) uint8, RGB, turned as the video asks for.
        """
        array = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        # A frame whose side data were looked at refers to itself, and stays in memory until the next round of gc.
        if frame.rotation != self._rotation:
            self._rotation, self._matrix = frame.rotation, _matrix(frame)
        return np.ascontiguousarray(turned(array, self._matrix))


def _matrix(frame) -> np.ndarray | None:
    """The display matrix of a frame, (3, 3) int32; None where there is none."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32)[:9].reshape(3, 3)


def turned(array: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Turns and mirrors an image as a display matrix asks for; what is no multiple of 90 degrees goes to the nearest.

    Args:
      array: (height, width, 3).
      matrix: (3, 3) int32, (x, y) @ matrix is where a pixel is shown; None for none.

    Returns:
      The image as it is shown.

    Source: FFmpeg's libavutil/display.h.
    """
    if matrix is None:
        return array
    (a, b), (c, d) = matrix[0, :2].tolist(), matrix[1, :2].tolist()
    if abs(b) > abs(a):
        array, a, d = array.swapaxes(0, 1), c, b
    return array[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
