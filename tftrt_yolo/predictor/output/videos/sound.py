"""The sound of a video that is read, written beside the annotated frames.

    sound = Sound(frame.video, container)
    sound.give(2.5)                     # what belongs to the first 2.5 seconds
    sound.give(None)                    # the rest

It is copied where players take the codec in MP4, and encoded as AAC otherwise. Every packet is decoded to see whether
it is whole: damaged ones are left out, and counted.
"""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import counted, first_line, shown
from tftrt_yolo.predictor.sources import containers
from tftrt_yolo.predictor.sources.frame import VideoInfo

_COPIED = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})  # what MP4 holds and players play
_OTHERWISE = "aac"
_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)  # Hz, of AAC
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}  # of so many channels
_MOST_BYTES = 1 << 40  # of a file, as videos.py has it
_LEAST_LEAD_SECONDS = 0.1  # sound before the first frame that is kept; less is what an encoder puts there
_LEAST_GAP_SECONDS = 0.1  # in the sound, that is kept as a gap
_MOST_GAP_SECONDS = 3_600  # which MP4 still has a number for
_AAC_FRAME = 1_024  # samples
_PROBED_PACKETS = 50  # in which something must be whole


class Sound:
    """Reads the sound of a video and writes it into another.

    Attributes:
      lead: By how many seconds the sound begins before the first frame; 0 where it does not.
      notes: What is to be known of it, after `close`.
    """

    def __init__(self, info: VideoInfo, container):
        """Opens the sound and adds it to a file.

        Args:
          info: The video that it is of.
          container: PyAV's, to which nothing was written yet.

        Raises:
          ImageError: If there is no sound that can be decoded; then nothing was added.
        """
        path, name = info.path, shown(info.source)
        self._name, self.notes = name, []
        self._num_damaged, self._fault, self._held = 0, None, None
        ahead = info.begins - _beginning(path, name)
        self._files = contextlib.ExitStack()
        source = self._files.enter_context(_opened(path, name))
        self._stream = source.streams.best("audio")
        self.lead = ahead if ahead >= _LEAST_LEAD_SECONDS else 0.0
        self._zero = info.begins - self.lead  # in the file's own time: where the written one begins
        self._writes = _Copy(container, self._stream) if self._is_copied() else _Encoding(container, self._stream)
        self._packets = self._whole_packets(source)

    def _is_copied(self) -> bool:
        """Whether MP4 takes the sound as it is."""
        return self._stream.codec_context.name in _COPIED or self._stream.codec_context.codec.canonical_name in _COPIED

    def give(self, until: float | None) -> None:
        """Writes what is heard before a time.

        Args:
          until: Seconds of the written file; None for all that is left.

        Raises:
          OSError: If it cannot be written.
        """
        while True:
            if self._held is None:
                self._held = next(self._packets, None)
            if self._held is None or (until is not None and self._held[0] > until):
                break
            _, packet, frames = self._held
            self._held = None
            self._writes.add(packet, frames, self._zero)
        if until is None:
            self._writes.end()

    def close(self) -> None:
        """Closes the file, and says what was damaged."""
        self._packets.close()
        self._files.close()
        damaged = counted(self._num_damaged, "piece was", "pieces were")
        if self._num_damaged:
            self.notes.append(f"The sound of {self._name} is damaged: {damaged} left out.")
        if self._fault:
            self.notes.append(f"The sound of {self._name} ends early: {self._fault}.")

    def _whole_packets(self, source) -> Iterator[tuple[float, object, list]]:
        """The packets that can be decoded: when they are heard, they themselves, and what is in them."""
        av, last = containers.library(), 0.0
        try:
            for packet in source.demux(self._stream):
                try:
                    frames = packet.decode()
                except (av.error.FFmpegError, ValueError):
                    self._num_damaged += 1
                    continue
                time = packet.pts if packet.pts is not None else packet.dts
                if time is None:
                    if frames and not packet.size:  # what the decoder still held
                        yield float("inf"), None, frames
                    continue
                seconds = float(time * packet.time_base) - self._zero
                if seconds - last > _MOST_GAP_SECONDS:
                    self._fault = f"nothing for {seconds - last:,.0f} s"
                    return
                if seconds >= 0:
                    last = seconds
                    yield seconds, packet, frames
        except (av.error.FFmpegError, OSError) as error:
            self._fault = f"FFmpeg says {containers.said(error)}"


class _Copy:
    """Writes packets as they are."""

    def __init__(self, container, stream):
        self._container, self._stream = container, container.add_stream_from_template(stream)
        self._last = None

    def add(self, packet, frames: list, zero: float) -> None:
        if packet is None:
            return
        shift = round(zero / packet.time_base)
        time = (packet.pts if packet.pts is not None else packet.dts) - shift
        if self._last is not None and time <= self._last:  # a file that goes back in time
            return
        self._last = packet.pts = packet.dts = time
        packet.stream = self._stream
        self._container.mux(packet)

    def end(self) -> None:
        """Does nothing: packets are whole."""


class _Encoding:
    """Encodes as AAC."""

    def __init__(self, container, stream):
        av = containers.library()
        rate = stream.codec_context.sample_rate
        rate = rate if rate in _RATES else 48_000
        few = stream.codec_context.layout.nb_channels in _LAYOUTS
        self._num_channels = stream.codec_context.layout.nb_channels if few else 2
        self._layout = layout = _LAYOUTS[self._num_channels]
        self._container, self._stream = container, container.add_stream(_OTHERWISE, rate=rate, layout=layout)
        self._stream.codec_context.time_base = Fraction(1, rate)
        self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
        self._fifo, self._rate = av.AudioFifo(), rate
        self._written = None  # samples so far, with silence where the source has gaps

    def add(self, packet, frames: list, zero: float) -> None:
        for frame in frames:
            if frame.time is not None:
                self._go_to(max(0, round((frame.time - zero) * self._rate)))
            frame.pts = None
            for resampled in self._resampler.resample(frame):
                self._put(resampled)

    def _go_to(self, place: int) -> None:
        """Goes on at a sample; where some are missing before it, nothing is heard."""
        if self._written is None:
            self._written = place
        elif place - (self._written + self._fifo.samples) > _LEAST_GAP_SECONDS * self._rate:
            if self._fifo.samples:
                self._put(self._silence(self._size - self._fifo.samples))
            self._written = place

    def _silence(self, num_samples: int):
        """So many samples of nothing."""
        planes = np.zeros((self._num_channels, num_samples), np.float32)
        silence = containers.library().AudioFrame.from_ndarray(planes, format="fltp", layout=self._layout)
        silence.sample_rate = self._rate
        return silence

    @property
    def _size(self) -> int:
        """Samples of an encoded frame."""
        return self._stream.codec_context.frame_size or _AAC_FRAME

    def _put(self, frame) -> None:
        """Encodes what is complete."""
        self._written = self._written or 0
        frame.pts = None
        self._fifo.write(frame)
        while self._fifo.samples >= self._size:
            self._encode(self._fifo.read(self._size))

    def _encode(self, frame) -> None:
        frame.pts, frame.time_base = self._written, Fraction(1, self._rate)
        self._written += frame.samples
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Encodes what is left."""
        if self._written is None:
            return
        for resampled in self._resampler.resample(None):
            self._put(resampled)
        rest = self._fifo.read(0, partial=True) if self._fifo.samples else None
        if rest is not None:
            self._encode(rest)
        self._container.mux(self._stream.encode(None))


def _beginning(path: Path, name: str) -> float:
    """When the sound begins, in the file's own time; refuses sound of which nothing can be decoded."""
    av = containers.library()
    with _opened(path, name) as container:
        stream = container.streams.best("audio")
        if stream is None or stream.codec_context is None:
            raise ImageError(f"The sound of {name} is left out: FFmpeg does not decode it here.")
        reason = "there is none"
        try:
            for count, packet in enumerate(container.demux(stream)):
                with contextlib.suppress(av.error.FFmpegError):
                    frames = packet.decode()
                    if frames:
                        return frames[0].time or 0.0
                reason = "it is damaged" if packet.size else reason
                if count >= _PROBED_PACKETS:
                    break
        except (av.error.FFmpegError, OSError) as error:
            reason = f"FFmpeg says {containers.said(error)}"
        raise ImageError(f"The sound of {name} is left out: {reason}.")


@contextlib.contextmanager
def _opened(path: Path, name: str) -> Iterator:
    """The container of a video that was read already."""
    try:
        file = reading.opened(path, _MOST_BYTES)
    except (OSError, ValueError) as error:
        raise ImageError(f"The sound of {name} is left out: it cannot be read ({first_line(error)}).") from error
    with file, containers.opened(file, name) as container:
        yield container
