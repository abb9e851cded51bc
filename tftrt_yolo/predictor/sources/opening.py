"""From what a user calls a source to its images, one by one.

source = open_source(SourceOptions(source="photos"))
for image in source.images:
    ...                             # what `image_files.read_image` takes, a Frame, or an Unreadable
"""

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tftrt_yolo.ground.arguments import argument, setting, whole_number
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import quoted, shown
from tftrt_yolo.predictor.sources import heads, listing, videos
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.sources.source import Source, Tally, Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.sources.streams import feeds, live, several, standard_input, urls, web
from tftrt_yolo.predictor.sources.streams.feed import Feed, Stream

_WEB = ("http", "https")


def open_source(options: SourceOptions) -> Source:
    """Opens a source.

    Args:
      options: What it is, and how it is read.

    Returns:
      Its images.

    Raises:
      ImageError: If there is none.
      TypeError: If the source is neither text, nor a path, nor a number.
    """
    name, tally = _named(options.source), Tally()
    if isinstance(name, int):
        return _of_stream(feeds.of_webcam(name, timeout_s=options.timeout_s), options)
    if name == standard_input.NAME:
        return _closing(standard_input.images(vid_stride=options.vid_stride, tally=tally), tally=tally)
    if listing.is_url(name):
        return _of_url(name, options)
    if Path(name).suffix.lower() == listing.STREAMS_SUFFIX and Path(name).is_file():
        return several.open_streams(Path(name), options)
    return _on_disk(options, name)


def _closing(images: Iterator, *, count: int | None = None, **fields) -> Source:
    """A source of a generator, which its closing ends."""
    return Source(images, count=count, close=getattr(images, "close", lambda: None), **fields)


def is_live_by_name(source: object) -> bool:
    """Whether a source is live, by its name alone; behind a URL of http may be a stream as well.

    Args:
      source: What `SourceOptions.source` takes.

    Returns:
      Whether it is a webcam, a stream that FFmpeg opens, or a file of streams.
    """
    name = _named(source)
    if isinstance(name, int):
        return True
    if listing.is_url(name):
        return feeds.scheme_of(name) not in _WEB
    return Path(name).suffix.lower() == listing.STREAMS_SUFFIX and Path(name).is_file()


def is_source(images: object) -> bool:
    """Whether images are a source by its name, and not themselves.

    Args:
      images: Anything that a Predictor takes.

    Returns:
      Whether it is a path, a URL, a webcam's number or `SourceOptions`.
    """
    return isinstance(images, (str, os.PathLike, SourceOptions)) or whole_number(images) is not None


def endless(source: object) -> ValueError:
    """The error of a call that would never end.

    Args:
      source: What is live, or "The source" where it has no name.

    Returns:
      The error.
    """
    return ValueError(
        f"{shown(urls.without_password(str(source)))} is live and has no end, and a call returns a list of all "
        "results. Expected a source that ends; use stream, which gives each result as it comes."
    )


def _named(source: object) -> str | int:
    """A source's name, or a webcam's number."""
    number = whole_number(source)
    if number is not None:
        return number
    try:
        name = os.fsdecode(source)
    except TypeError as error:
        raise TypeError(
            f"{argument('source')} is {quoted(source)}; expected a path, a URL, a glob or the number of a webcam."
        ) from error
    if not name:
        raise ImageError(f"{argument('source')} is empty. {listing.EXPECTED}")
    is_number = name.isascii() and name.isdecimal() and not os.path.lexists(name)
    if is_number or (name.startswith(feeds.DEVICES) and name.removeprefix(feeds.DEVICES).isdecimal()):
        return int(name.removeprefix(feeds.DEVICES)[:9])
    return name


def _of_url(url: str, options: SourceOptions) -> Source:
    """An image, a video or a stream behind a URL."""
    if feeds.scheme_of(url) not in _WEB:
        return _of_stream(feeds.of_url(url, timeout_s=options.timeout_s), options)
    found, tally = web.look(url, timeout_s=options.timeout_s), Tally()
    if isinstance(found, Feed):
        opened = functools.partial(web.feed_of, url, timeout_s=options.timeout_s)
        return _of_stream(Stream(urls.without_password(url), opened), options, found)
    if isinstance(found, Frame):
        return Source([found], count=1)
    return _closing(_video(found, options, tally), tally=tally)


def _of_stream(stream: Stream, options: SourceOptions, feed: Feed | None = None) -> Source:
    """A stream; it is opened now, if it is not yet."""
    return live.source_of([stream], [feed or stream.opened()], options, Tally())


def _on_disk(options: SourceOptions, name: str) -> Source:
    """A file, a folder, a glob or a list."""
    found, tally = _found(options, name), Tally()
    [only] = found.entries if len(found.entries) == 1 else [None]
    if isinstance(only, Path) and heads.is_video(only) and not options.skip_unreadable:
        videos.check(videos.of_file(only, str(only)))
    return _closing(
        _images(found, options, tally),
        count=_count(found),
        left_out=found.left_out,
        tally=tally,
        paths=tuple(entry for entry in found.entries if isinstance(entry, Path)),
    )


def _found(options: SourceOptions, name: str) -> listing.Found:
    """What a source on disk is made of; refuses what is missing, unless it may be skipped."""
    found = listing.found(name, recursive=options.recursive)
    if found.missing and not options.skip_unreadable:
        error = listing.refusal(name, found.missing, len(found.entries))
        raise ImageError(f"{error} Pass {setting('skip_unreadable')} to go on without.")
    return found


def _count(found: listing.Found) -> int | None:
    """How many images a source on disk has, what is missing counted; None if there is a video or a URL among them."""
    are_images = all(isinstance(entry, Path) and not heads.is_video(entry) for entry in found.entries)
    return len(found.entries) + len(found.missing) if are_images else None


def divided(options: SourceOptions) -> Source:
    """Opens a source for several processes.

    Args:
      options: What it is, how it is read, and the devices.

    Returns:
      Its files as `paths`, each of which one process reads; its `images` are but what is missing.

    Raises:
      ValueError: If it cannot be divided: a camera, a stream, a URL or a list of some, standard input or a single
        video; or if objects are to be followed from image to image.
      ImageError: If there is none.
    """
    name = _named(options.source)
    what = _indivisible(name)
    if what is None:
        found = _found(options, name)
        only = found.entries[0] if len(found.entries) == 1 else None
        what = "is one video" if isinstance(only, Path) and heads.is_video(only) else None
        what = "lists URLs" if any(isinstance(entry, str) for entry in found.entries) else what
    if what is not None:
        raise ValueError(
            f"{argument('devices')} names {len(options.devices)}, between which files are divided, and "
            f"{shown(urls.without_password(str(options.source)))} {what}. Expected a folder, a glob or a list of "
            "several files; give one device."
        )
    if options.tracker is not None:
        raise ValueError(
            f"{argument('tracker')} tells objects by the images before, and {argument('devices')} divides the images "
            f"between {len(options.devices)}. Leave one of them out, or give one device."
        )
    return Source(
        images=[Unreadable(name, ImageError(reason)) for name, reason in found.missing],
        count=_count(found),
        left_out=found.left_out,
        paths=found.entries,
    )


def _indivisible(name: str | int) -> str | None:
    """What a source is that no two processes can read, by its name; None if it is on disk."""
    if name == standard_input.NAME:
        return "is standard input"
    if is_live_by_name(name):
        return "is live"
    return "is one URL" if listing.is_url(name) else None


def of_entry(entry: Path | str, options: SourceOptions, tally: Tally) -> Iterator:
    """The images of one entry of a source on disk.

    Args:
      entry: A file, or a URL of a list.
      options: How it is read.
      tally: What is counted meanwhile.

    Yields:
      What `Source.images` gives.
    """
    if isinstance(entry, str):
        yield from _behind(entry, options, tally)
    elif heads.is_video(entry):
        yield from _video(videos.of_file(entry, str(entry)), options, tally)
    else:
        yield entry


def _images(found: listing.Found, options: SourceOptions, tally: Tally) -> Iterator:
    """The images of entries, in order; what is missing first."""
    for name, reason in found.missing:
        yield Unreadable(name, ImageError(reason))
    for entry in found.entries:
        yield from of_entry(entry, options, tally)


def _behind(url: str, options: SourceOptions, tally: Tally) -> Iterable:
    """The images behind a URL of a list."""
    name = urls.without_password(url)
    try:
        found = web.look(url, timeout_s=options.timeout_s) if feeds.scheme_of(url) in _WEB else None
    except ImageError as error:
        return [Unreadable(name, error)]
    if isinstance(found, Frame):
        return [found]
    if isinstance(found, videos.Video):
        return _video(found, options, tally)
    if found is not None:
        found.close()
    reason = f"{shown(name)} is a live stream, which has no end. Expected images and videos in a list of files"
    return [Unreadable(name, ImageError(f"{reason}; streams go into a file {listing.STREAMS_SUFFIX}."))]


def _video(video: videos.Video, options: SourceOptions, tally: Tally) -> Iterator:
    """The frames of a video; what stands for them where it cannot be read."""
    try:
        yield from videos.frames(video, vid_stride=options.vid_stride, tally=tally)
    except ImageError as error:
        yield Unreadable(video.source, error)
