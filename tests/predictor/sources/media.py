"""Small videos, sounds and JPEGs, made where they are needed."""

import io
from fractions import Fraction

import av
import numpy as np
import PIL.Image

SIZE = (64, 48)  # width and height
RATE = 10


def jpeg(number, size=SIZE):
    """A JPEG of one shade of grey, which is its number."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((size[1], size[0], 3), number, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def picture(number, size=SIZE):
    """Green at the left and black at the right, as light as the number is large at the very bottom."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[: size[1] // 2, : size[0] // 2, 1] = 200
    image[-size[1] // 4 :] = number * 5 % 256
    return image


def video(
    path, num_frames=20, *, codec="mpeg4", pixels="yuv420p", size=SIZE, sound=False, form=None, times=None, **options
):
    """Writes a video of `picture`s; options beginning with "container_" are the container's."""
    of_container = {
        name.removeprefix("container_"): options.pop(name) for name in list(options) if "container_" in name
    }
    with av.open(str(path), "w", format=form, options=of_container) as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        heard = container.add_stream("aac", rate=16_000) if sound else None
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(number, size), "rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if heard:
            _add_silence(container, heard, num_frames / RATE)
    return path


def sound(path):
    """Writes a second of silence, without a picture."""
    with av.open(str(path), "w") as container:
        _add_silence(container, container.add_stream("mp3", rate=16_000), 1, 1_152)
    return path


def _add_silence(container, stream, seconds, num_samples=1_024):
    for number in range(int(seconds * 16_000 / num_samples)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, num_samples), np.float32), "fltp", "mono")
        frame.rate, frame.pts = 16_000, number * num_samples
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
