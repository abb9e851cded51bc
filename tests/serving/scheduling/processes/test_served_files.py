"""Files in frames as they are served: the pixels are Predictor's, and what cannot be read is said of alone."""

import io

import numpy as np
import PIL.Image
import pytest

from tests.conftest import IMAGES
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.ground.placement import FITS
from tftrt_yolo.predictor import framing
from tftrt_yolo.serving.scheduling.processes import served_files
from tftrt_yolo.serving.scheduling.processes.served_files import ServedFiles

JPEG = IMAGES[0].read_bytes()


def saved(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def of_every_kind():
    """Files that are read, some of which signature `encoded` itself does not read."""
    image = PIL.Image.open(IMAGES[1]).convert("RGB")
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    return {
        "JPEG": JPEG,
        "progressive": saved(image, "JPEG", progressive=True),
        "turned": saved(image, "JPEG", exif=turned),
        "grey": saved(image.convert("L"), "JPEG"),
        "CMYK": saved(image.convert("CMYK"), "JPEG"),
        "WebP": saved(image, "WEBP"),
        "TIFF": saved(image, "TIFF"),
        "PNG with alpha": saved(image.convert("RGBA"), "PNG"),
        "a line": saved(PIL.Image.new("RGB", (60_000, 1), (9, 8, 7)), "PNG"),
    }


STRANGE = {
    b"": "it is empty",
    b"no image": "it is no image: it starts with b'no image'",
    b"<html>": "it is a web page or XML",
    JPEG[:5_000]: "it cannot be decoded (OSError: image file is truncated",
    saved(PIL.Image.new("L", (3_000, 1_000)), "PNG"): "it has 3,000,000 pixels; at most 2,000,000 are taken: scale it",
    saved(PIL.Image.new("L", (70_000, 1)), "PNG"): "it is 70,000 pixels wide and 1 high",
}


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("most_at_once", [64 << 20, 100_000])
def test_each_file_is_alone(monkeypatch, fit, most_at_once):
    monkeypatch.setattr(served_files, "_MOST_PIXELS_AT_ONCE", most_at_once)
    reader = ServedFiles((64, 96), fit=fit, max_pixels=2_000_000, pins=False)
    good, strange = of_every_kind(), [*STRANGE]
    files = [file for pair in zip(good.values(), [*strange, *strange], strict=False) for file in pair]
    read = reader.read(files, num_rows=len(files) + 1)
    assert read.frames.shape == (len(files) + 1, 64, 96, 3)
    assert read.were_read.tolist() == [True, False] * len(good) + [False]
    for row, (kind, file) in enumerate(good.items()):
        image, frame = read_image(file), np.empty((64, 96, 3), np.uint8)
        framing.FITS[fit](image, frame)
        np.testing.assert_array_equal(read.frames[2 * row], frame, kind)
        assert read.sizes_hw[2 * row].tolist() == [*image.shape[:2]], kind
        said = read.statuses[2 * row + 1].decode()
        assert said.startswith(STRANGE[files[2 * row + 1]])
        assert not said.endswith(".")
        assert read.sizes_hw[2 * row + 1].tolist() == [1, 1]
    reader.give_back(read)
    [again] = reader.read([JPEG], num_rows=1).frames
    assert np.shares_memory(again, read.frames)  # a picture's memory is used again


def test_few_large_pictures_are_decoded_at_once():
    most = served_files._MOST_PIXELS_AT_ONCE
    pixels = [most // 2, most // 2, 1, most, 5, most // 2, most // 3, most // 4]
    parts = served_files._rows_within(pixels)
    assert [row for part in parts for row in part] == [*range(len(pixels))]
    assert [[*part] for part in parts] == [[0, 1], [2], [3], [4, 5, 6], [7]]
    assert [[*part] for part in served_files._rows_within([])] == [[]]
