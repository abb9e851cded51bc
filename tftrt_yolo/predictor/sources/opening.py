"""From what a user calls a source to its images, one by one.

source = open_source(SourceOptions(source="photos"))
for image in source.images:
    ...                             # what `image_files.read_image` takes, a Frame, or an Unreadable
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_formats, reading
from tftrt_yolo.predictor.sources import listing, videos
from tftrt_yolo.predictor.sources.source import Source, Tally, Unreadable
from tftrt_yolo.predictor.sources.source_options import SourceOptions

_SOUND_SUFFIXES = {".aac", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".wma"}  # to be told what is missing


def open_source(options: SourceOptions) -> Source:
    """Opens a source.

    Args:
      options: What it is, and how it is read.

    Returns:
      Its images.

    Raises:
      ImageError: If there is none.
    """
    return _on_disk(options, os.fspath(options.source))


def _on_disk(options: SourceOptions, name: str) -> Source:
    """A file, a folder, a glob or a list."""
    found = listing.found(name, recursive=options.recursive)
    if found.missing and not options.skip_unreadable:
        error = listing.refusal(name, found.missing, len(found.entries))
        raise ImageError(f"{error} Pass {setting('skip_unreadable')} to go on without.")
    are_images = all(isinstance(entry, Path) and not _is_video(entry) for entry in found.entries)
    if len(found.entries) == 1 and not are_images and not options.skip_unreadable:
        videos.check(videos.VideoFile(found.entries[0], name))
    tally = Tally()
    return Source(
        _images(found, options, tally),
        count=len(found.entries) + len(found.missing) if are_images else None,
        left_out=found.left_out,
        tally=tally,
        paths=tuple(entry for entry in found.entries if isinstance(entry, Path)),
    )


def _images(found: listing.Found, options: SourceOptions, tally: Tally) -> Iterator:
    """The images of entries, in order; what is missing first."""
    for name, reason in found.missing:
        yield Unreadable(name, ImageError(reason))
    for entry in found.entries:
        if _is_video(entry):
            yield from _video(videos.VideoFile(entry, str(entry)), options, tally)
        else:
            yield entry


def _video(video: videos.VideoFile, options: SourceOptions, tally: Tally) -> Iterator:
    """The frames of a video; what stands for them where it cannot be read."""
    try:
        yield from videos.frames(video, vid_stride=options.vid_stride, tally=tally)
    except ImageError as error:
        yield Unreadable(video.source, error)


def _is_video(path: Path) -> bool:
    """Whether a file is to be read as a video: what its first bytes say, and otherwise its name."""
    try:
        with reading.opened(path, 1 << 62) as file:
            start = file.read(512)
    except (OSError, ValueError):
        start = b""
    try:
        image_formats.of(start)
        return False
    except ValueError:
        suffix = path.suffix.lower()
        return image_formats.is_video(start) or suffix in image_formats.VIDEO_SUFFIXES or suffix in _SOUND_SUFFIXES
