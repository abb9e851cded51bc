"""What is behind a URL of http or https: an image, a video that ends, or a stream.

found = web.look("https://example.org/bus.jpg", timeout_s=10)       # a Frame, a videos.Video or a Feed
"""

import contextlib
import functools
import tempfile
from pathlib import Path, PurePosixPath

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files, image_formats
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.predictor.sources import containers, heads, videos
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.streams import feeds, urls
from tftrt_yolo.predictor.sources.streams.feed import Feed

_MOST_IMAGE_BYTES, _MOST_IMAGE_SECONDS = 512 << 20, 300
_MOST_VIDEO_BYTES = 16 << 30
# An HLS playlist's segments are opened one by one, by us; FFmpeg's own connections are not used.
_HLS_OPTIONS = {"http_persistent": "0", "http_multiple": "0", "protocol_whitelist": "none"}


def look(url: str, *, timeout_s: float) -> Frame | videos.Video | Feed:
    """Asks a server, and finds out what its answer is.

    Args:
      url: http or https.
      timeout_s: Seconds without anything after which it fails.

    Returns:
      An image; a video, which is downloaded to a temporary file, or is a playlist that ends; or a stream that is open.

    Raises:
      ImageError: If it is nothing of these, or is not there.
    """
    answer = urls.ask(url, timeout_s=timeout_s)
    with contextlib.ExitStack() as stack:
        stack.enter_context(answer)
        if answer.is_multipart:
            stack.pop_all()
            return feeds.of_multipart(answer)
        if not answer.start:
            raise ImageError(f"{answer.name} is empty. Expected the URL of an image, a video or a stream.")
        if answer.start.lstrip().startswith(b"#EXTM3U"):
            return _of_playlist(url, answer, timeout_s)
        if not _is_video(answer):
            return _image(answer)
        if answer.size is not None or PurePosixPath(answer.path).suffix.lower() in image_formats.VIDEO_SUFFIXES:
            return _downloaded(answer)
        feed = feeds.of_answer(answer)
        stack.pop_all()
        return feed


def feed_of(url: str, *, timeout_s: float) -> Feed:
    """As `look`, where a stream was before.

    Raises:
      ImageError: If something else is there now.
    """
    found = look(url, timeout_s=timeout_s)
    if isinstance(found, Feed):
        return found
    raise ImageError("what is there now is no stream any more")


def _is_video(answer: urls.Answer) -> bool:
    """Whether an answer is a video: its first bytes say so; or they say nothing, and its kind or its name does."""
    if heads.begins_image(answer.start):
        return False
    if answer.content_type.startswith("text/") or answer.start.lstrip().startswith(b"<"):
        return False
    is_called = heads.is_called_video(answer.path) or answer.content_type.startswith(("video/", "audio/"))
    return is_called or image_formats.is_video(answer.start)


def _image(answer: urls.Answer) -> Frame:
    """An image, read whole."""
    if answer.content_type == "text/html":
        raise ImageError(
            f"{answer.name} is a web page. Expected the URL of an image, a video or a stream itself, not of a page "
            "that shows it."
        )
    try:
        image_formats.of(answer.start)  # before the rest is fetched
    except ValueError as error:
        raise ImageError(f"{answer.name} {error}") from error
    with tempfile.TemporaryFile() as file:
        num_bytes = answer.copy_to(file, _MOST_IMAGE_BYTES, _MOST_IMAGE_SECONDS)
        if answer.size is not None and num_bytes < answer.size:
            raise ImageError(
                f"{answer.name} was cut short: {num_bytes:,} of {answer.size:,} bytes came. Expected a whole image; "
                "try again."
            )
        file.seek(0)
        data = file.read()
    try:
        return Frame(image_files.read_image(data), answer.url, 0, 0.0)
    except ImageError as error:
        raise ImageError(f"{answer.name}: {error}") from error


def _downloaded(answer: urls.Answer) -> videos.Video:
    """A video in a temporary file, which goes when nobody refers to it any more."""
    file = tempfile.NamedTemporaryFile(prefix="tftrt_yolo_", suffix=PurePosixPath(answer.path).suffix[:16])  # noqa: SIM115
    answer.copy_to(file, _MOST_VIDEO_BYTES)
    file.flush()
    video = videos.of_file(Path(file.name), answer.url, keeper=file)
    videos.check(video)
    return video


def _of_playlist(url: str, answer: urls.Answer, timeout_s: float) -> videos.Video | Feed:
    """HLS: a video if its list says where it ends, otherwise a stream."""
    opened = functools.partial(_playlist, url, answer.name, timeout_s)
    container = opened()
    if not container.duration:
        return feeds.of_container(container, answer.name)
    container.close()
    video = videos.Video(answer.url, opened)
    videos.check(video)
    return video


def _playlist(url: str, name: str, timeout_s: float):
    """PyAV's container of an HLS playlist, each of whose files is asked for as the playlist itself was."""

    def ask(named: str, *_) -> urls.Answer:
        urls.check_target(named, named_by=url)
        return urls.ask(named, timeout_s=timeout_s)

    try:
        return containers.library().open(
            url, "r", format="hls", io_open=ask, container_options=_HLS_OPTIONS, timeout=(6 * timeout_s, 3 * timeout_s)
        )
    except (*containers.faults(), ImageError) as error:
        said = first_line(error) if isinstance(error, ImageError) else containers.said(error)
        raise ImageError(
            f"{name} is a playlist that cannot be read: {said}. Expected HLS whose parts are there, by http or "
            "https and not encrypted."
        ) from error
