"""Several streams at once: a file .streams names one a line, as Ultralytics has it.

source = several.open_streams(Path("cameras.streams"), options)
"""

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import shown
from tftrt_yolo.predictor.sources import listing, videos
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.source import Source, Tally, Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.sources.streams import feeds, live, urls, web
from tftrt_yolo.predictor.sources.streams.feed import Feed, Stream

_MOST_STREAMS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class _Opened:
    """A stream and its feed, or the error in its place."""

    stream: Stream
    feed: Feed | None = None
    error: ImageError | None = None


def open_streams(path: Path, options: SourceOptions) -> Source:
    """Opens all streams that a file names.

    Args:
      path: The file: a URL, the number of a webcam or a video a line; # begins a comment.
      options: How they are read.

    Returns:
      Their frames in turn, from each stream the newest; of a video every frame.

    Raises:
      ImageError: If it names none, or more than 64, or one cannot be opened and skip_unreadable is false.
    """
    names, tally = listing.lines(path), Tally()
    if not 0 < len(names) <= _MOST_STREAMS:
        raise ImageError(f"{shown(path)} names {len(names):,} streams. Expected 1 to {_MOST_STREAMS}, one a line.")
    with ThreadPoolExecutor(len(names), thread_name_prefix="open") as pool:
        found = list(pool.map(lambda name: _opened(name, path.parent, options, tally), names))
    failed = [one for one in found if one.error is not None]
    if failed and not (options.skip_unreadable and len(failed) < len(found)):
        for one in found:
            if one.feed is not None:
                one.feed.close()
        raise failed[0].error
    there = [one for one in found if one.feed is not None]
    errors = [Unreadable(one.stream.source, one.error) for one in failed]
    return live.source_of([one.stream for one in there], [one.feed for one in there], options, tally, errors)


def _opened(name: str, folder: Path, options: SourceOptions, tally: Tally) -> _Opened:
    """One stream."""
    stream = Stream(urls.without_password(name), lambda: None)
    try:
        if listing.is_url(name) and feeds.scheme_of(name) in ("http", "https"):
            return _behind(name, options, tally)
        if listing.is_url(name):
            stream = feeds.of_url(name, timeout_s=options.timeout_s)
        elif name.isascii() and name.isdecimal():
            stream = feeds.of_webcam(int(name[:9]), timeout_s=options.timeout_s)
        else:
            path = next((path for path in (folder / name, Path(name)) if path.is_file()), folder / name)
            return _of_video(videos.of_file(path, str(path)), tally)
        return _Opened(stream, stream.opened())
    except ImageError as error:
        return _Opened(stream, error=error)


def _behind(url: str, options: SourceOptions, tally: Tally) -> _Opened:
    """What a web server has: a stream, or a video."""
    found = web.look(url, timeout_s=options.timeout_s)
    if isinstance(found, videos.Video):
        return _of_video(found, tally)
    name = urls.without_password(url)
    if isinstance(found, Frame):
        raise ImageError(f"{shown(name)} is one image and no stream. Expected streams and videos; give it by itself.")
    return _Opened(Stream(name, functools.partial(web.feed_of, url, timeout_s=options.timeout_s)), found)


def _of_video(video: videos.Video, tally: Tally) -> _Opened:
    """A video among streams."""
    videos.check(video)
    frames = videos.frames(video, vid_stride=1, tally=tally)
    feed = Feed(((lambda frame=frame: frame) for frame in frames), frames.close)
    return _Opened(Stream(video.source, lambda: feed, is_whole=True), feed)
