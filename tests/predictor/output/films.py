"""Small videos, made by PyAV of the digits' pictures."""

from fractions import Fraction

import av
import numpy as np
import PIL.Image

from tests.conftest import IMAGES

SOUND_RATE = 44_100


def pictures(size=(320, 240), count=5):
    """Pictures of digits, (height, width, 3)."""
    return [np.asarray(PIL.Image.open(path).convert("RGB").resize(size)) for path in IMAGES[:count]]


def film(path, *, frames=12, size=(320, 240), rate=25, codec="libx264", sound=None, times=None, sound_start=0.0):
    """Writes a video; each picture stays for three frames.

    Args:
      path: The file; its ending gives the format.
      times: When each frame is shown, in seconds; None for one after the other.
      sound: A codec; the sound beeps at 440 Hz from `sound_start` on to the end of the frames.
    """
    shown, rate = pictures(size), Fraction(rate)
    times = [Fraction(index) / rate for index in range(frames)] if times is None else times
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 600) if codec == "libx264" else 1 / rate
        heard = container.add_stream(sound, rate=SOUND_RATE, layout="stereo") if sound else None
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(shown[index // 3 % len(shown)], format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / frame.time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if heard:
            _beep(container, heard, sound_start, float(times[-1] + 1 / rate))
    return path


def _beep(container, stream, start, end):
    """Writes a sine of 440 Hz."""
    samples = np.arange(round((end - start) * SOUND_RATE))
    wave = (np.sin(2 * np.pi * 440 * samples / SOUND_RATE) * 8_000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[np.newaxis], format="s16", layout="stereo")
    frame.sample_rate = SOUND_RATE
    layout, kind = stream.codec_context.layout.name, stream.codec_context.format.name
    fifo, place = av.AudioFifo(), round(start * SOUND_RATE)
    resampler = av.AudioResampler(format=kind, layout=layout, rate=SOUND_RATE)
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        part.pts = None
        fifo.write(part)
    while fifo.samples:
        part = fifo.read(min(stream.codec_context.frame_size or 1_024, fifo.samples))
        part.pts, part.time_base = place, Fraction(1, SOUND_RATE)
        place += part.samples
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def decoded(path):
    """The frames of a video: seconds and pixels of each."""
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def heard(path):
    """The sound of a video: its codec's name, and the seconds from and to which parts of it are a tone."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None, np.zeros(0)
        stream, times = container.streams.audio[0], []
        for frame in container.decode(stream):
            samples = frame.to_ndarray()
            samples = samples.reshape(len(samples), -1)
            loud = np.abs(samples.astype(np.float64)).max() > (0.02 if samples.dtype.kind == "f" else 500)
            if loud:
                times += [frame.time, frame.time + frame.samples / frame.sample_rate]
        return stream.codec_context.codec.canonical_name, np.array(times)
