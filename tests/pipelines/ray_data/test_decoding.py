"""Decoding: the pixels that a Predictor would read, in parts of bounded size that travel as they are."""

import shutil

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("ray")

from tests.conftest import IMAGES
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.pipelines.ray_data import decoding
from tftrt_yolo.pipelines.ray_data.listing import Item
from tftrt_yolo.pipelines.ray_data.plan import Shard


def _shard(paths):
    return Shard(7, tuple(Item(str(path)) for path in paths))


def test_pixels_and_reasons_are_those_of_reading_files(tmp_path):
    shutil.copy(IMAGES[0], tmp_path / "b.jpg")
    PIL.Image.open(IMAGES[1]).save(tmp_path / "turned.jpg", exif=_turned())
    (tmp_path / "a.jpg").write_bytes(IMAGES[0].read_bytes()[:1_000])
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.jpg").mkdir()
    paths = [tmp_path / "a.jpg", *IMAGES[:8], *sorted(tmp_path.iterdir()), tmp_path / "gone.jpg"]
    [part] = decoding.parts(_shard(paths), batch_size=8)
    back = decoding.Part.unpacked(part.packed())
    assert (back.shard, back.first, back.is_last, back.paths) == (7, 0, True, [str(path) for path in paths])
    for (_, expected), image, error in zip(
        image_files.read_ahead(paths, raises=False), back.images, back.errors, strict=True
    ):
        is_read = isinstance(expected, np.ndarray)
        assert error == (None if is_read else str(expected))
        np.testing.assert_array_equal(image, expected if is_read else None)
    assert sum(error is not None for error in back.errors) == 5


def _turned():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(("part_bytes", "most"), [(1, 1_000), (400_000, 1_000), (1 << 30, 5)])
def test_parts_are_bounded_and_of_full_batches(monkeypatch, part_bytes, most):
    monkeypatch.setattr(decoding, "PART_BYTES", part_bytes)
    monkeypatch.setattr(decoding, "_MOST_IN_A_PART", most)
    paths = (IMAGES * 5)[:23]
    parts = list(decoding.parts(_shard(paths), batch_size=2))
    assert [path for part in parts for path in part.paths] == [str(path) for path in paths]
    assert [part.first for part in parts] == list(np.cumsum([0, *(len(part.paths) for part in parts[:-1])]))
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    largest = max(image.nbytes for part in parts for image in part.images)
    for part in parts:
        assert sum(image.nbytes for image in part.images) <= 2 * part_bytes + 2 * largest
        assert len(part.paths) <= max(2, most)
    assert len(parts) > 1
