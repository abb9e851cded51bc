"""From what a job calls its source to the items that it is cut into, and from an item to its images.

    for item in listing.items(BatchSourceOptions(source="photos")):      # on the driver, once; written down
        item.file, item.first, item.count
    for path, content in listing.read(item):                             # on a node
        path, content                                                    # "/data/photos/a.jpg", bytes of the file

An item is the smallest part of a source that is opened once: an image file, some rows of a table, a video. It is
written down and sent to nodes, so it holds text and numbers alone. What `read` gives as path is an image's identity in
the result, the same in every run and no other's: the file's path or URL, with "#12" behind it for a row or a frame.
"""

import dataclasses
import os
from collections.abc import Iterator

import numpy as np

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import first_line, shown
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions
from tftrt_yolo.predictor.sources import listing

IMAGE = "image"
_MOST_BYTES = 512 << 20  # of a file, as everywhere where images are read


@dataclasses.dataclass(frozen=True, order=True)
class Item:
    """The smallest part of a source that is opened once.

    Attributes:
      file: Path, absolute, or URL of the file that holds it.
      kind: What it is, which says how it is read: "image", a file that is one.
      first: Index of its first image in the file.
      count: How many images it has; None where only reading tells, as of a video.
    """

    file: str
    kind: str = IMAGE
    first: int = 0
    count: int | None = 1


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
    found = listing.found(name, recursive=source.recursive)
    if found.missing:
        raise listing.refusal(name, found.missing, len(found.entries))
    for entry in found.entries:
        yield Item(os.path.abspath(entry))


def read(item: Item) -> Iterator[tuple[str, bytes | np.ndarray | ImageError]]:
    """Reads an item's images; none is decoded that is a file's bytes.

    Args:
      item: One of a listing.

    Yields:
      Each image's identity, and its file's bytes, its pixels (height, width, 3) uint8 RGB, or why it cannot be read.
    """
    yield item.file, _bytes_of(item.file)


def _name(source: BatchSourceOptions) -> str:
    """A source's path, which means the same in every process."""
    return os.path.abspath(os.fsdecode(source.source))


def _bytes_of(path: str) -> bytes | ImageError:
    """The bytes of an image file, or why they cannot be read."""
    try:
        return reading.read_bytes(path, _MOST_BYTES)
    except OSError as error:
        return ImageError(f"{shown(path)} cannot be read: {error.strerror}. Expected the path of an image file.")
    except ValueError as error:
        return ImageError(f"{shown(path)} cannot be read: it {first_line(error)}. Expected the path of an image file.")
