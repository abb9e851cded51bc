"""How streams are opened: MJPEG and other answers of web servers, RTSP and its like, webcams, videos among streams.

stream = feeds.stream_of("rtsp://camera/1", timeout_s=10)
feed = stream.opened()
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.text import shown
from tftrt_yolo.predictor.sources import containers
from tftrt_yolo.predictor.sources.streams import urls
from tftrt_yolo.predictor.sources.streams.feed import BrokenError, Feed, Stream
from tftrt_yolo.predictor.sources.streams.jpegs import Jpegs

# Scheme to the protocols that FFmpeg may use for it, and options. Over UDP, RTSP loses frames that are then seen torn.
_SCHEMES = {
    "rtsp": ("rtsp,rtp,tcp,udp", {"rtsp_transport": "tcp"}),
    "rtsps": ("rtsp,rtsps,rtp,srtp,tcp,tls,udp", {"rtsp_transport": "tcp"}),
    "rtmp": ("rtmp,tcp", {}),
    "rtmps": ("rtmps,rtmp,tcp,tls", {}),
    "tcp": ("tcp", {}),
    "udp": ("udp", {}),
    "rtp": ("rtp,udp", {}),
    "srt": ("srt", {}),
}
SCHEMES = ("http", "https", *_SCHEMES)
_PROBE_MICROSECONDS = 2_000_000  # of a stream's beginning, to find out what it is
DEVICES = "/dev/video"


def scheme_of(url: str) -> str:
    """The scheme of a URL, checked.

    Raises:
      ImageError: If it is none that is read.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise ImageError(
            f"{shown(urls.without_password(url))} begins with {shown(scheme, 30)}://. Expected a path, or a URL of "
            f"{', '.join(SCHEMES)}; save it to a file first."
        )
    return scheme


def of_url(url: str, *, timeout_s: float) -> Stream:
    """A stream that FFmpeg opens by its URL: RTSP and its like.

    Args:
      url: With one of the schemes but http and https.
      timeout_s: Seconds without anything after which it counts as broken.

    Returns:
      The stream.
    """
    protocols, own = _SCHEMES[scheme_of(url)]
    options = dict(own)
    source = urls.without_password(url)
    formats = ",".join((*containers.FORMATS, "rtsp", "rtp", "live_flv"))  # none that sends FFmpeg elsewhere
    options |= {"protocol_whitelist": protocols, "format_whitelist": formats}
    options["analyzeduration"] = str(_PROBE_MICROSECONDS)
    return Stream(source, functools.partial(_by_ffmpeg, url, shown(source), None, options, timeout_s))


def of_webcam(number: int, *, timeout_s: float) -> Stream:
    """A webcam.

    Args:
      number: Its number: N of /dev/videoN.
      timeout_s: Seconds without a frame after which it counts as broken.

    Returns:
      The stream.
    """

    def opened() -> Feed:
        device = Path(f"{DEVICES}{number}")
        if not device.is_char_device():
            there = sorted(path.name.removeprefix("video") for path in device.parent.glob("video[0-9]*"))
            raise ImageError(
                f"There is no webcam {number} ({device}). Expected the number of one that is here: "
                f"{', '.join(there) or 'there is none'}; a container needs --device={device}."
            )
        return _by_ffmpeg(str(device), f"webcam {number}", "v4l2", {}, timeout_s)

    return Stream(str(number), opened)


def _by_ffmpeg(url: str, name: str, form: str | None, options: dict[str, str], timeout_s: float) -> Feed:
    """Opens what FFmpeg reads by itself."""
    av = containers.library()
    try:
        container = av.open(
            url,
            "r",
            format=form,
            container_options=options,
            timeout=(max(timeout_s, 2 * _PROBE_MICROSECONDS / 1e6), timeout_s),
            metadata_errors="replace",
        )
    except containers.faults() as error:
        raise ImageError(
            f"{name} cannot be opened: {_why(error)}. Expected a stream or a webcam that is there; look at its address "
            "and its sender."
        ) from error
    return of_container(container, name)


def _why(error: BaseException) -> str:
    """What FFmpeg says of a stream's fault, in half a sentence."""
    said = containers.said(error)
    return "nothing came within the time limit" if said.startswith("Immediate exit") else said


def of_container(container, name: str, close: Callable[[], None] = lambda: None, interrupt=lambda: None) -> Feed:
    """A stream that FFmpeg decodes.

    Args:
      container: PyAV's.
      name: Its name for messages.
      close: Closes what it reads from.
      interrupt: Interrupts that.

    Returns:
      The feed.

    Raises:
      ImageError: If it has no video.
    """

    def close_all() -> None:
        container.close()
        close()

    try:
        stream = containers.video_of(container, name)
    except ImageError:
        close_all()
        raise
    stream.thread_type = "SLICE"  # threads for several frames would hold as many frames back
    return Feed(_decoded(container, stream), close_all, interrupt, containers.rate_of(stream))


def _decoded(container, stream) -> Iterator[Callable[[], np.ndarray]]:
    """The frames of a stream until it breaks."""
    av, convert = containers.library(), containers.Converter()
    try:
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                continue  # after a gap, until the next key frame
            for frame in decoded:
                yield functools.partial(convert, frame)
    except containers.faults() as error:
        raise BrokenError(_why(error)) from error
    raise BrokenError("it ended")


def of_multipart(answer: urls.Answer) -> Feed:
    """An MJPEG stream: an answer of picture after picture.

    Args:
      answer: The answer.

    Returns:
      The feed.
    """
    return Feed(_jpegs(answer), answer.close, answer.interrupt)


def _jpegs(answer: urls.Answer) -> Iterator[Callable[[], np.ndarray]]:
    """The pictures of an answer until it breaks."""
    jpegs = Jpegs(answer.read)
    try:
        for data in jpegs:
            yield functools.partial(image_files.read_image, data)
    except urls.FAULTS as error:
        raise BrokenError(urls.reason_of(error)) from error
    if not jpegs.says_its_end:
        raise BrokenError("the connection was closed")


def of_answer(answer: urls.Answer) -> Feed:
    """A stream of video that a web server sends, without an end that it tells.

    Args:
      answer: The answer.

    Returns:
      The feed.

    Raises:
      ImageError: If it is none that FFmpeg knows.
    """
    container = containers.opened(answer, answer.name)
    return of_container(container, answer.name, answer.close, answer.interrupt)
