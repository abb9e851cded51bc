"""The shards that a job's items are cut into: the same whenever it is continued, for they are written down first.

plan.write(items, path, shard_size=1_000)           # listing.jsonl.gz: a line a shard, in order
for shard in plan.read(path):                       # a shard at a time is in memory
    shard.index, shard.items
"""

import dataclasses
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tftrt_yolo.ground.errors import BatchError
from tftrt_yolo.ground.text import first_line, shown
from tftrt_yolo.pipelines.ray_data.listing import Item

_DAMAGES = (OSError, EOFError, ValueError, TypeError, zlib.error)


@dataclasses.dataclass(frozen=True)
class Shard:
    """What is computed and written together.

    Attributes:
      index: Its number, from 0.
      items: Its items, in order.
    """

    index: int
    items: tuple[Item, ...]

    @property
    def count(self) -> int | None:
        """How many images it has; None where only reading tells."""
        counts = [item.count for item in self.items]
        return None if None in counts else sum(counts)

    def packed(self) -> bytes:
        """Its items, small: the paths of a folder have much in common."""
        return zlib.compress(_line(self.items).encode())

    @classmethod
    def unpacked(cls, index: int, packed: bytes) -> "Shard":
        """The shard of a number whose items `packed` gave."""
        return cls(index, _items(zlib.decompress(packed)))


@dataclasses.dataclass(frozen=True)
class Plan:
    """What was cut.

    Attributes:
      num_shards: How many shards.
      num_images: Images of those items that say how many they have.
      num_open: Items that do not, such as videos.
      num_repeated: Items that were named more than once, and count once.
    """

    num_shards: int
    num_images: int
    num_open: int
    num_repeated: int


def write(items: Iterable[Item], path: Path, *, shard_size: int) -> Plan:
    """Sorts items, cuts them into shards and writes these down.

    Args:
      items: In any order.
      path: The file to write; no other is there.
      shard_size: Images a shard, but for the last; an item that does not say how many it has is a shard of its own.

    Returns:
      What was cut.
    """
    ordered = sorted(items, key=_place)
    distinct = list(_distinct(ordered))
    # No name and no time in the file: it is the same for the same items.
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        num_shards = sum(bool(packed.write(f"{_line(shard)}\n".encode())) for shard in _cut(distinct, shard_size))
    counts = [item.count for item in distinct]
    return Plan(
        num_shards=num_shards,
        num_images=sum(count for count in counts if count is not None),
        num_open=counts.count(None),
        num_repeated=len(ordered) - len(distinct),
    )


def read(path: Path) -> Iterator[Shard]:
    """Reads shards, one by one.

    Args:
      path: What `write` wrote.

    Yields:
      Them, in order.

    Raises:
      BatchError: If the file is missing or damaged.
    """
    try:
        with gzip.open(path, "rb") as lines:
            for index, line in enumerate(lines):
                yield Shard(index, _items(line))
    except _DAMAGES as error:
        raise BatchError(
            f"{shown(path)} is missing or damaged ({first_line(error)}). Expected the listing that the job wrote when "
            "it began; begin anew in another directory."
        ) from error


def _place(item: Item) -> tuple[str, str, int]:
    return item.file, item.kind, item.first


def _distinct(ordered: Iterable[Item]) -> Iterator[Item]:
    """Items without those that are the same as the one before."""
    before = None
    for item in ordered:
        if _place(item) != before:
            yield item
        before = _place(item)


def _cut(items: Iterable[Item], shard_size: int) -> Iterator[list[Item]]:
    """Cuts items into shards, within an item where it has more images than there is room for."""
    shard, room = [], shard_size
    for item in items:
        if item.count is None:
            if shard:
                yield shard
            yield [item]
            shard, room = [], shard_size
            continue
        first, left = item.first, item.count
        while left:
            taken = min(left, room)
            shard.append(dataclasses.replace(item, first=first, count=taken))
            first, left, room = first + taken, left - taken, room - taken
            if not room:
                yield shard
                shard, room = [], shard_size
    if shard:
        yield shard


def _line(items: Iterable[Item]) -> str:
    """Items as JSON, in the order of their fields; what no text can hold of a name is escaped."""
    return json.dumps([dataclasses.astuple(item) for item in items], separators=(",", ":"))


def _items(line: bytes) -> tuple[Item, ...]:
    return tuple(Item(*fields) for fields in json.loads(line))
