"""From what a job calls its source to the items that it is cut into, and from an item to its images.

    for item in listing.items(BatchSourceOptions(source="photos")):      # on the driver, once; written down
        item.file, item.first, item.count
    for path, content in listing.read(item):                             # on a node
        path, content                                                    # "/data/photos/a.jpg", bytes of the file

An item is the smallest part of a source that is opened once: an image file, some rows of a table, a video. It is
written down and sent to nodes, so it holds text and numbers alone. What `read` gives as path is an image's identity in
the result, the same in every run and no other's: the file's path or URL, with "#12" behind it for a row or a frame.
"""

import collections
import dataclasses
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_formats, reading
from tftrt_yolo.ground.text import clause, shown
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions
from tftrt_yolo.pipelines.ray_data.sources import clips, stores, tables
from tftrt_yolo.predictor.sources import heads, listing

IMAGE, ROWS, VIDEO = "image", "rows", "video"
_IMAGES = image_formats.SUFFIXES
_DISK = "file://"
_EXPECTED = (
    "Expected an image, a video, a folder or a glob of these such as 'photos/*.jpg', a list (.txt, .csv), Parquet "
    "tables with their column of images, or a URL, such as 's3://bucket/photos'."
)
_THREADS = 16
_MOST_BYTES = 512 << 20  # of a file, as everywhere where images are read


@dataclasses.dataclass(frozen=True, order=True)
class Item:
    """The smallest part of a source that is opened once.

    Attributes:
      file: Path, absolute, or URL of the file that holds it.
      kind: What it is, which says how it is read: "image", a file that is one; "rows" of a table; or a "video".
      first: Index of its first image in the file.
      count: How many images it has; None where only reading tells, as of a video.
      column: Of rows, the column of images.
      vid_stride: Of a video, every n-th frame is taken.
    """

    file: str
    kind: str = IMAGE
    first: int = 0
    count: int | None = 1
    column: str = ""
    vid_stride: int = 1


def identity(source: BatchSourceOptions) -> dict[str, str | bool | int | float | None]:
    """What a source is, by which a job that is continued is told from another.

    Args:
      source: What it is.

    Returns:
      Its fields, a path absolute.
    """
    return {**dataclasses.asdict(source), "source": _name(source)}


def items(source: BatchSourceOptions) -> Iterator[Item]:
    """Lists a source; in any order, which the job sorts, and it takes what is named twice once.

    Args:
      source: What it is.

    Yields:
      Its items; parts of one file do not overlap.

    Raises:
      ImageError: If there is none, or one that is named is not there.
    """
    name = _name(source)
    if source.image_column is not None:
        yield from _of_tables(name, source)
    elif stores.is_url(name):
        for url in _files(name, source.recursive, _IMAGES | image_formats.VIDEO_SUFFIXES):
            yield _item(url, source)
    else:
        yield from _on_disk(name, source)


def _files(name: str, recursive: bool, suffixes: frozenset[str]) -> Iterator[str]:
    """The files that a path or a URL means, whatever they hold."""
    if stores.is_url(name):
        yield from stores.listed(name, recursive=recursive, suffixes=suffixes)
        return
    for url in stores.listed(_DISK + name, recursive=recursive, suffixes=suffixes):
        yield url.removeprefix(_DISK)


def _of_tables(name: str, source: BatchSourceOptions) -> Iterator[Item]:
    """The row groups of tables; several are looked at at a time, for each is a request or two to a store."""
    files, column = _files(name, source.recursive, stores.TABLE_SUFFIXES), source.image_column
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="tables") as pool:
        pending, is_empty = collections.deque(), True
        for file in itertools.chain(files, itertools.repeat(None, _THREADS)):
            pending.append((file, file and pool.submit(tables.row_groups, file, column)))
            if len(pending) > _THREADS:
                table, found = pending.popleft()
                for first, count in found.result():
                    is_empty = False
                    yield Item(table, ROWS, first, count, column)
    if is_empty:
        raise ImageError(f"{shown(name)} has no row. Expected Parquet tables with images in a column {shown(column)}.")


def _on_disk(name: str, source: BatchSourceOptions) -> Iterator[Item]:
    """What a path means, as `predict` takes it."""
    try:
        found = listing.found(name, recursive=source.recursive, expected=_EXPECTED)
    except ImageError as error:
        if os.path.isdir(name) and any(stores.suffix(one) in stores.TABLE_SUFFIXES for one in os.listdir(name)):
            raise ImageError(f"{error} {stores.hint_of_tables()}") from error
        raise
    if found.missing:
        raise listing.refusal(name, found.missing, len(found.entries))
    for entry in found.entries:
        yield _item(entry if isinstance(entry, str) else os.path.abspath(entry), source)


def _item(file: str, source: BatchSourceOptions) -> Item:
    """A file that is an image or a video, by its ending; one on disk without a known ending by its first bytes."""
    suffix = stores.suffix(file)
    if suffix in stores.TABLE_SUFFIXES:
        columns = ", ".join(shown(column, 40) for column in tables.candidates(file)) or "none"
        raise ImageError(
            f"{shown(file)} is a Parquet table. Expected the name of its column of images in "
            f"{argument('image_column')}; the columns that can be one: {columns}."
        )
    is_unknown = suffix not in _IMAGES and not heads.is_called_video(f"x{suffix}")
    if heads.is_called_video(f"x{suffix}") or (is_unknown and not stores.is_url(file) and heads.is_video(Path(file))):
        return Item(file, VIDEO, count=None, vid_stride=source.vid_stride)
    return Item(file)


def read(item: Item) -> Iterator[tuple[str, bytes | np.ndarray | ImageError]]:
    """Reads an item's images; none is decoded that is a file's bytes.

    Args:
      item: One of a listing.

    Yields:
      Each image's identity, and its file's bytes, its pixels (height, width, 3) uint8 RGB, or why it cannot be read.
    """
    yield from _READERS[item.kind](item)


def _name(source: BatchSourceOptions) -> str:
    """A source's path, which means the same in every process, or its URL."""
    name = os.fsdecode(source.source)
    return name if stores.is_url(name) else os.path.abspath(name)


def _of_image(item: Item) -> Iterator[tuple[str, bytes | ImageError]]:
    """The bytes of an image file, or why they cannot be read."""
    try:
        yield item.file, stores.read(item.file) if stores.is_url(item.file) else _bytes_of(item.file)
    except ImageError as error:
        yield item.file, error


def _of_rows(item: Item) -> Iterator[tuple[str, bytes | ImageError]]:
    """Some rows of a table."""
    for row, content in tables.rows(item.file, item.column, item.first, item.count):
        yield f"{item.file}#{row}", content


def _of_video(item: Item) -> Iterator[tuple[str, np.ndarray | ImageError]]:
    """The frames of a video; the video itself where it cannot be read, or some frames are missing."""
    for index, content in clips.frames(item.file, vid_stride=item.vid_stride):
        yield item.file if index is None else f"{item.file}#{index}", content


_READERS = {IMAGE: _of_image, ROWS: _of_rows, VIDEO: _of_video}


def _bytes_of(path: str) -> bytes:
    """The bytes of an image file on disk."""
    expected = "Expected the path of an image file."
    try:
        return reading.read_bytes(path, _MOST_BYTES)
    except OSError as error:
        raise ImageError(f"{shown(path)} cannot be read: {error.strerror}. {expected}") from error
    except ValueError as error:
        raise ImageError(f"{shown(path)} cannot be read: it {clause(error)}. {expected}") from error
