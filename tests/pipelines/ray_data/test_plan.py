"""Shards: every image once, the same ones whatever the order of the listing."""

import random

import pytest

from tftrt_yolo.ground.errors import BatchError
from tftrt_yolo.pipelines.ray_data import plan
from tftrt_yolo.pipelines.ray_data.listing import Item

ITEMS = [
    *(Item(f"/photos/{index}.jpg") for index in range(7)),
    Item("/table.parquet", "rows", 0, 5),
    Item("/table.parquet", "rows", 5, 11),
    Item("/clip.mp4", "video", 0, None),
    Item("/odd \udcff\n.jpg"),
]


def _images(shards):
    """File and index of each image; of a video, which does not say, of its first."""
    return [
        (item.file, item.first + offset)
        for shard in shards
        for item in shard.items
        for offset in range(item.count or 1)
    ]


@pytest.mark.parametrize("shard_size", [1, 3, 4, 1_000])
def test_every_image_is_in_one_shard(tmp_path, shard_size):
    shuffled = random.Random(0).sample(ITEMS * 2, 2 * len(ITEMS))
    written = plan.write(iter(shuffled), tmp_path / "a", shard_size=shard_size)
    shards = list(plan.read(tmp_path / "a"))
    expected = sorted(_images([plan.Shard(0, tuple(ITEMS))]))
    assert _images(shards) == expected
    assert [shard.index for shard in shards] == list(range(written.num_shards))
    assert (written.num_images, written.num_open, written.num_repeated) == (24, 1, len(ITEMS))
    sizes = [shard.count for shard in shards if shard.count is not None]
    assert max(sizes) <= shard_size
    assert [shard.items for shard in shards if shard.count is None] == [(ITEMS[-2],)]
    plan.write(iter(ITEMS), tmp_path / "b", shard_size=shard_size)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_shard_travels(tmp_path):
    shard = plan.Shard(3, tuple(ITEMS))
    assert plan.Shard.unpacked(3, shard.packed()) == shard


def test_a_damaged_listing(tmp_path):
    plan.write(iter(ITEMS), tmp_path / "a", shard_size=2)
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(whole[:-20])
    with pytest.raises(BatchError, match="missing or damaged"):
        list(plan.read(tmp_path / "a"))
    with pytest.raises(BatchError, match="missing or damaged"):
        list(plan.read(tmp_path / "b"))
