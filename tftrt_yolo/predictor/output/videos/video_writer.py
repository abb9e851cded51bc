"""Annotated videos: H.264 in MP4, each frame at its time, with the sound of the video that was read.

writer = VideoWriter(Path("clip.mp4"), frame.video, vid_stride=1)
writer.add(picture, frame.seconds)
writer.close()
"""

import contextlib
from fractions import Fraction
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import clause, shown
from tftrt_yolo.predictor import pictures
from tftrt_yolo.predictor.output.videos.sound import Sound
from tftrt_yolo.predictor.sources import containers
from tftrt_yolo.predictor.sources.frame import VideoInfo

ENDING = ".mp4"
_CODEC = "libx264"
# The cheapest that x264 has: a network on the same cores leaves it a tenth of the time. 18 is what eyes take for the
# original with the better presets; 23 is x264's own.
_OPTIONS = {"preset": "ultrafast", "crf": "23"}
_TICKS = 120_000  # a second; whole numbers of them are a frame of 24, 25, 30, 50, 60 and, nearly all, their 1000/1001
_YCBCR = 6  # BT.601, SMPTE 170M: AVCOL_SPC_, AVCOL_PRI_ and AVCOL_TRC_SMPTE170M of FFmpeg's pixfmt.h
_LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
# The index stands before the frames, so that browsers play at once; a stream, whose end may not come, is written in
# pieces that can be played each, and is an ordinary file when it is closed.
_WHOLE, _PIECES = {"movflags": "+faststart"}, {"movflags": "+hybrid_fragmented"}


class VideoWriter:
    """Writes one video; it belongs to one thread.

    Attributes:
      notes: What is to be known of its sound.
    """

    def __init__(self, path: Path, info: VideoInfo, *, vid_stride: int):
        """Prepares; the file comes with the first picture.

        Args:
          path: The file, which ends in .mp4.
          info: The video whose frames these are.
          vid_stride: Every n-th of them comes.
        """
        self._path, self._info = path, info
        self._rate = (info.rate or Fraction(25)) / vid_stride
        self._container = self._stream = self._sound = None
        self._lead, self._last, self._size_hw = 0.0, -1, (0, 0)
        self.notes: list[str] = []

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """Writes a picture.

        Args:
          picture: (height, width, 3) uint8, RGB. Where a side is odd, its last row or column is doubled; one of another
            size than the first is scaled to that.
          seconds: When it is shown.

        Raises:
          OSError: If it cannot be written, such as on a full disk; the message names the video.
        """
        picture = _even(picture)
        with self._failures_named(picture.shape[:2]):
            if self._container is None:
                self._begin(picture.shape[:2])
            self._container.mux(self._stream.encode(self._frame(picture, seconds)))
            if self._sound:
                self._sound.give(self._lead + seconds)

    def close(self) -> None:
        """Completes the file.

        Raises:
          OSError: As `add`.
        """
        if self._container is None:
            return
        with self._failures_named(self._size_hw):
            self._container.mux(self._stream.encode(None))
            if self._sound:
                self._sound.give(None)
            self._container.close()
        self._close_sound()

    def abandon(self) -> None:
        """Closes the file, which is not to be kept."""
        if self._container is not None:
            with contextlib.suppress(OSError, ValueError, containers.library().error.FFmpegError):
                self._container.close()
        self._close_sound()

    def _begin(self, size_hw: tuple[int, int]) -> None:
        """Opens the file for pictures of a size."""
        av = containers.library()
        self._size_hw = size_hw
        options = _PIECES if self._info.is_live else _WHOLE
        self._container = av.open(str(self._path), "w", format="mp4", container_options=options)
        self._stream = self._container.add_stream(_CODEC, rate=self._rate, options=_OPTIONS)
        self._stream.height, self._stream.width = size_hw
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.colorspace = context.color_primaries = context.color_trc = _YCBCR
        context.color_range = _LIMITED_RANGE
        self._reformatter = av.video.reformatter.VideoReformatter()
        if self._info.has_sound and self._info.path is not None and not self._info.is_live:
            self._add_sound()

    def _add_sound(self) -> None:
        """Has the sound of the video written beside the frames; one that cannot be is left out, and said."""
        try:
            self._sound = Sound(self._info, self._container)
            self._lead = self._sound.lead
        except ImageError as error:
            self.notes.append(str(error))

    def _close_sound(self) -> None:
        """Closes what the sound was read from."""
        if self._sound:
            self._sound.close()
            self.notes += self._sound.notes
            self._sound = None

    def _frame(self, picture: np.ndarray, seconds: float):
        """A picture as PyAV's frame, in the pixels and at the time that the encoder takes."""
        av = containers.library()
        rgb = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(picture), format="rgb24")
        height, width = self._size_hw
        scaling = "POINT" if picture.shape[:2] == self._size_hw else "BILINEAR"
        frame = self._reformatter.reformat(rgb, width, height, "yuv420p", interpolation=scaling)
        self._last = max(self._last + 1, round((self._lead + seconds) * _TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        frame.duration = max(1, round(_TICKS / self._rate))
        return frame

    @contextlib.contextmanager
    def _failures_named(self, size_hw: tuple[int, int]):
        """Says which video cannot be written, and why."""
        try:
            yield
        except (OSError, ValueError, containers.library().error.FFmpegError) as error:
            if type(error).__name__ == "UnknownCodecError":
                raise OSError(
                    f"The video {shown(self._path.name)} cannot be written: this PyAV has no {clause(error)}. "
                    "Expected PyAV's own wheel, which has libx264; pip install --force-reinstall av."
                ) from error
            raise pictures.unwritable(self._path, size_hw, error) from error


def _even(picture: np.ndarray) -> np.ndarray:
    """A picture with even sides, as H.264 has them."""
    odd = [length % 2 for length in picture.shape[:2]]
    return np.pad(picture, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else picture
