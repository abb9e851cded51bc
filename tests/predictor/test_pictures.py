"""Names that pictures can be written under, whatever the images are called, and what is said where one cannot be."""

import resource
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.ground.files import forms
from tftrt_yolo.ground.files.image_files import SUFFIXES, read_image
from tftrt_yolo.predictor import pictures


@pytest.mark.parametrize(
    ("image", "size_hw", "expected"),
    [
        ("bus.jpg", (40, 60), "bus.jpg"),
        ("bus.JPEG", (40, 60), "bus.JPEG"),
        ("bus.png", (40, 60), "bus.png"),
        ("bus.TIF", (40, 60), "bus.TIF"),
        ("bus.webp", (40, 60), "bus.webp"),
        ("bus.bmp", (40, 60), "bus.bmp"),
        ("bus", (40, 60), "bus.png"),  # no ending
        ("bus.", (40, 60), "bus..png"),
        ("bus.bak", (40, 60), "bus.bak.png"),  # endings of no format
        ("bus.JPG.tmp", (40, 60), "bus.JPG.tmp.png"),
        ("bus.jfif", (40, 60), "bus.jfif.png"),
        ("bus.gif", (40, 60), "bus.gif.png"),  # formats that are read and not written
        ("bus.mpo", (40, 60), "bus.mpo.png"),
        ("bus.avif", (40, 60), "bus.avif.png"),
        ("bus.jp2", (40, 60), "bus.jp2.png"),
        ("bus.pdf", (40, 60), "bus.pdf.png"),  # which Pillow writes
        (".jpg", (40, 60), ".jpg.png"),  # nothing but an ending
        ("...", (40, 60), "....png"),
        ("..jpg", (40, 60), "..jpg"),
        ("Ψυχή 犬.jpg", (40, 60), "Ψυχή 犬.jpg"),
        ("a\nb\x1b[31m.jpg", (40, 60), "a\nb\x1b[31m.jpg"),
        ("bus.jpg", (65_501, 1), "bus.jpg.png"),  # sides that no JPEG and no WebP has
        ("bus.webp", (1, 16_384), "bus.webp.png"),
        ("bus.tif", (65_535, 1), "bus.tif"),
    ],
)
def test_the_ending_is_one_that_can_be_written(tmp_path, image, size_hw, expected):
    path = pictures.Names(tmp_path).path_for(Path("somewhere") / image, size_hw)
    assert path == tmp_path / expected
    pictures.write(np.full((*size_hw, 3), 9, np.uint8), path)
    np.testing.assert_allclose(read_image(path), 9, atol=1)


@pytest.mark.parametrize("stem", ["x" * 300, "犬" * 100, "\udcff" * 300, "x" * 251, "x" * 250])
@pytest.mark.parametrize("ending", [".jpg", ".bak", ""])
def test_long_names_are_cut_and_stay_apart(tmp_path, stem, ending):
    names, picture = pictures.Names(tmp_path), np.zeros((4, 4, 3), np.uint8)
    for _ in range(12):
        pictures.write(picture, names.path_for(Path(stem + ending), (4, 4)))
    written = list(tmp_path.iterdir())
    assert len(written) == 12
    assert {path.suffix for path in written} == {".jpg" if ending == ".jpg" else ".png"}


def test_names_that_meet_each_other(tmp_path):
    """An image without an ending beside one that has that of its picture, and a number that another image has."""
    names, found = pictures.Names(tmp_path), []
    for image in ("bus.png", "bus", "a/bus.png", "bus_2.png", "bus_3.png", "b/bus.png", "bus.jpg"):
        path = names.path_for(Path(image), (4, 4))
        pictures.write(np.zeros((4, 4, 3), np.uint8), path)
        found.append(path.name)
    assert found == ["bus.png", "bus_2.png", "bus_3.png", "bus_2_2.png", "bus_3_2.png", "bus_4.png", "bus.jpg"]


def test_many_of_one_name(tmp_path):
    """As of a camera that begins anew in each folder; every name is looked for where the last one ended."""
    names = pictures.Names(tmp_path)
    for _ in range(12_000):
        names.path_for(Path("image.jpg"), (4, 4)).touch()
    assert (tmp_path / "image_12000.jpg").exists()
    assert len(list(tmp_path.iterdir())) == 12_000


def test_every_form_that_is_read_can_be_written(tmp_path):
    names = pictures.Names(tmp_path)
    for form in forms.forms():
        if form.refusal is None:
            picture = read_image(form.data)
            path = names.path_for(Path(f"image{form.suffix}"), picture.shape[:2])
            pictures.write(picture, path)
            assert read_image(path).shape == picture.shape
    assert {path.suffix for path in tmp_path.iterdir()} <= SUFFIXES


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))  # as a full disk
    try:
        noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
        with pytest.raises(
            OSError, match=r"The picture bus\.jpg of 300 x 200 pixels cannot be written: File too large\."
        ):
            pictures.write(noise, tmp_path / "bus.jpg")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(OSError, match=r"The picture a\\n\.jpg of 4 x 4 pixels cannot be written: No such file"):
        pictures.write(np.zeros((4, 4, 3), np.uint8), tmp_path / "gone" / "a\n.jpg")


def test_an_encoder_that_this_pillow_lacks(tmp_path, monkeypatch):
    PIL.Image.init()
    monkeypatch.delitem(PIL.Image.SAVE, "WEBP")
    assert pictures.Names(tmp_path).path_for(Path("bus.webp"), (4, 4)).name == "bus.webp.png"
