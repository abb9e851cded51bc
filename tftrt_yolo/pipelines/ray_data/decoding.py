"""Decoding, in tasks of their own: a shard's images as pixels, in parts of a few megabytes that wait for a predictor.

    for part in decoding.parts(shard, batch_size=8):
        part.paths, part.images, part.errors
        part.packed()                               # a row for Ray Data

A part travels as one row of an Arrow table whose pixels lie in one piece, so that a predictor reads them where Ray's
object store has them.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.text import shown
from tftrt_yolo.pipelines.ray_data import listing
from tftrt_yolo.pipelines.ray_data.plan import Shard
from tftrt_yolo.pipelines.ray_data.sources import stores

PART_BYTES = 32 << 20  # of pixels; a part is cut behind the image that reaches it
_MOST_IN_A_PART = 256  # images
_THREADS = 4  # of one task, which wait for files more than they decode
_THREADS_OF_STORES = 16  # where each file is a request, of some tens of milliseconds
_MOST_AHEAD_BYTES = 128 << 20  # of images that are decoded and wait to be packed
SHARDS = pa.schema([("shard", pa.int64()), ("items", pa.binary())])
_STRINGS, _WHOLES = pa.list_(pa.string()), pa.list_(pa.int32())
PARTS = pa.schema(
    [
        ("shard", pa.int64()),
        ("first", pa.int64()),
        ("is_last", pa.bool_()),
        *(("paths", _STRINGS), ("errors", _STRINGS), ("heights", _WHOLES), ("widths", _WHOLES)),
        ("pixels", pa.large_binary()),
    ]
)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some images of a shard, in order.

    Attributes:
      shard: The shard's number.
      first: The index of the first of them in the shard.
      is_last: Whether the shard ends with it.
      paths: Their identities.
      errors: Why each cannot be read; None for one that was.
      images: Pixels of each that was read, (height, width, 3) uint8 RGB; None for the others.
    """

    shard: int
    first: int
    is_last: bool
    paths: list[str]
    errors: list[str | None]
    images: list[np.ndarray | None]

    def packed(self) -> pa.Table:
        """The part as a table of one row."""
        read = [image for image in self.images if image is not None]
        pixels = np.concatenate([image.reshape(-1) for image in read]) if read else np.zeros(0, np.uint8)
        offsets = np.array([0, pixels.size], np.int64)
        column = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, *map(pa.py_buffer, (offsets, pixels))])
        sides = [[0 if image is None else image.shape[axis] for image in self.images] for axis in (0, 1)]
        values = (self.shard, self.first, self.is_last, [*map(as_text, self.paths)], self.errors, *sides)
        columns = [pa.array([value], field.type) for value, field in zip(values, PARTS, strict=False)]
        return pa.Table.from_arrays([*columns, column], schema=PARTS)

    @classmethod
    def unpacked(cls, table: pa.Table) -> "Part":
        """The part of a table of one row; its pixels are the table's own, not to be written to."""
        [row] = table.drop_columns(["pixels"]).to_pylist()
        pixels = np.frombuffer(table["pixels"][0].as_buffer(), np.uint8)
        images, end = [], 0
        for height, width in zip(row.pop("heights"), row.pop("widths"), strict=True):
            first, end = end, end + height * width * 3
            images.append(pixels[first:end].reshape(height, width, 3) if height else None)
        return cls(**row, images=images)


def decode(shards: pa.Table, *, batch_size: int) -> Iterator[pa.Table]:
    """What Ray Data calls: decodes shards.

    Args:
      shards: As `SHARDS`.
      batch_size: As `parts`.

    Yields:
      A row as `PARTS` for each part.
    """
    for row in shards.to_pylist():
        for part in parts(Shard.unpacked(row["shard"], row["items"]), batch_size=batch_size):
            yield part.packed()


def parts(shard: Shard, *, batch_size: int) -> Iterator[Part]:
    """Decodes a shard.

    Args:
      shard: The shard.
      batch_size: Images a call of the network, with which parts are full as long as memory allows.

    Yields:
      Its parts, the same ones whenever it is decoded; at least one, of at least one image.
    """
    first, paths, errors, images, num_bytes = 0, [], [], [], 0
    for path, image in _decoded(shard.items):
        if num_bytes >= PART_BYTES * 2 or len(paths) >= _most(batch_size) or _is_full(images, num_bytes, batch_size):
            yield Part(shard.index, first, False, paths, errors, images)
            first, paths, errors, images, num_bytes = first + len(paths), [], [], [], 0
        is_read = isinstance(image, np.ndarray)
        paths.append(path)
        errors.append(None if is_read else str(image))
        images.append(image if is_read else None)
        num_bytes += image.nbytes if is_read else 0
    yield Part(shard.index, first, True, paths, errors, images)


def as_text(path: str) -> str:
    """A path as Unicode has it: bytes that are none of UTF-8 are spelt out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _most(batch_size: int) -> int:
    """How many images a part has at most: full batches."""
    return max(1, _MOST_IN_A_PART // batch_size) * batch_size


def _is_full(images: list, num_bytes: int, batch_size: int) -> bool:
    """Whether a part is large enough, and its last batch whole."""
    return num_bytes >= PART_BYTES and sum(image is not None for image in images) % batch_size == 0


def _decoded(items: Iterable[listing.Item]) -> Iterator[tuple[str, np.ndarray | ImageError]]:
    """Reads and decodes items in order, files by several threads."""
    items = tuple(items)
    threads = _THREADS_OF_STORES if any(stores.is_url(item.file) for item in items) else _THREADS
    pool, pending = ThreadPoolExecutor(threads, thread_name_prefix="decode"), collections.deque()
    most_ahead = 2 * threads

    def finish() -> Iterator[tuple[str, np.ndarray | ImageError]]:
        nonlocal most_ahead
        for path, image in pending.popleft().result():
            if isinstance(image, np.ndarray):
                most_ahead = min(2 * threads, max(1, _MOST_AHEAD_BYTES // image.nbytes))
            yield path, image

    try:
        for task in _tasks(items, pool):
            pending.append(task)
            while len(pending) > most_ahead:
                yield from finish()
        while pending:
            yield from finish()
    finally:
        pool.shutdown(cancel_futures=True)


def _tasks(items: Iterable[listing.Item], pool: ThreadPoolExecutor) -> Iterator[Future]:
    """What decodes items: one that is a file reads it, too; of others, whoever takes this reads."""
    for item in items:
        if item.kind == listing.IMAGE:
            yield pool.submit(lambda item=item: [_of_content(*found) for found in _read(item)])
        else:
            for found in _read(item):
                yield pool.submit(lambda found=found: [_of_content(*found)])


def _read(item: listing.Item) -> Iterator[tuple[str, bytes | np.ndarray | ImageError]]:
    """As `listing.read`; what gives nothing, or less than was listed, is told of."""
    is_empty = True
    for found in listing.read(item):
        yield found
        is_empty = False
    if is_empty:
        yield item.file, ImageError(f"{shown(item.file)} holds no image any more. Expected what was listed.")


def _of_content(path: str, content: bytes | np.ndarray | ImageError) -> tuple[str, np.ndarray | ImageError]:
    """An image's pixels, or why it has none."""
    if isinstance(content, ImageError):
        return path, content
    try:
        return path, image_files.read_image(content, name=shown(path))
    except ImageError as error:
        return path, error
