"""Images in every form, against Ultralytics' own reader: the same pixels, or a refusal that says what to do."""

import os
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from tests.ground.files import forms
from tftrt_yolo import ImageError
from tftrt_yolo.ground.files import image_formats
from tftrt_yolo.ground.files.image_files import SUFFIXES, read_image

_FORMS = {form.name: form for form in forms.forms()}
# In a process of its own, for Ultralytics patches Pillow. Grey images have one channel there.
_ULTRALYTICS = """
import pathlib, sys
import cv2, numpy as np
from ultralytics.utils.patches import imread
for place in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        image = imread(place)
    except cv2.error:  # a format that is switched off
        continue
    if image is not None:
        np.save(place, np.repeat(image, 3, -1) if image.shape[-1] == 1 else image[..., ::-1])
"""


@pytest.fixture(scope="module")
def ultralytics(tmp_path_factory):
    """What Ultralytics reads: the form's name to pixels, RGB."""
    pytest.importorskip("ultralytics")
    folder = tmp_path_factory.mktemp("forms")
    places = {name: folder / f"{number}{form.suffix}" for number, (name, form) in enumerate(_FORMS.items())}
    for name, place in places.items():
        place.write_bytes(_FORMS[name].data)
    environment = {**os.environ, "YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
    subprocess.run([sys.executable, "-c", _ULTRALYTICS, folder], check=True, capture_output=True, env=environment)
    saved = {name: place.with_name(place.name + ".npy") for name, place in places.items()}
    return {name: np.load(file) for name, file in saved.items() if file.exists()}


def test_there_are_enough():
    assert len(_FORMS) >= 200
    assert sum(form.refusal is None and form.pixels is None for form in _FORMS.values()) >= 64


@pytest.mark.parametrize("name", [name for name, form in _FORMS.items() if form.refusal is None])
def test_pixels_are_those_of_ultralytics(ultralytics, name):
    """Of a path, of bytes, and of an opened Pillow image where Pillow does not change its values on its own."""
    form = _FORMS[name]
    expected = ultralytics[name] if form.pixels is None else form.pixels
    got = read_image(form.data)
    assert (got.dtype, got.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", [name for name, form in _FORMS.items() if form.refusal is not None])
def test_what_has_no_right_value_is_refused_by_name(tmp_path, name):
    form = _FORMS[name]
    file = tmp_path / f"file{form.suffix}"
    file.write_bytes(form.data)
    for given in (file, form.data):
        with pytest.raises(ImageError, match=form.refusal) as raised:
            read_image(given)
        message = str(raised.value)
        assert message.endswith(".")
        assert message.isprintable()
        assert message.startswith(str(file) if given is file else "image of ")


def test_where_ultralytics_reads_and_this_does_not(ultralytics):
    """These have no right value there: numbers that wrap, or a preview in the place of the picture."""
    refused = {name for name, form in _FORMS.items() if form.refusal is not None and name in ultralytics}
    assert refused <= {
        "tiff 16 bit planar",
        "tiff big, big endian",
        "tiff rgb float 32 bit",
        "tiff rgb float 64 bit",
        "tiff grey signed 16 bit",
        "tiff rgb signed 16 bit",
        "tiff rgb signed 32 bit",
        "dng with a preview",
        "jpeg 2000 rgb 16 bit",
        "pam",
        "pfm",
        "pfm grey",
        "hdr",
    }


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pillow_images_without_range(mode):
    image = forms.picture().convert("L").convert(mode)
    with pytest.raises(ImageError, match=f"image has Pillow's mode {mode}, .* whose range nobody knows. Scale them"):
        read_image(image)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_pillow_images_in_memory(mode):
    """Pillow's own conversion: an image without a file has no reader of Ultralytics'."""
    image = {
        "La": lambda: forms.picture().convert("LA").convert("La"),
        "RGBa": lambda: forms.picture().convert("RGBA").convert("RGBa"),
        "PA": lambda: forms.picture().convert("P").convert("PA"),
        "LAB": lambda: PIL.Image.frombytes("LAB", (61, 45), forms.picture().tobytes()),
    }.get(mode, lambda: forms.picture().convert(mode))()
    expected = {"La": "LA", "RGBa": "RGBA"}.get(mode, mode)
    np.testing.assert_array_equal(read_image(image), np.asarray(image.convert(expected).convert("RGB")))


def test_pillow_images_of_16_bits(tmp_path):
    deep = np.arange(45 * 61, dtype=np.uint16).reshape(45, 61) * 23
    for name in ("deep.png", "deep.tif"):
        PIL.Image.fromarray(deep).save(tmp_path / name)
        with PIL.Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(read_image(image)[..., 1], deep >> 8)


def test_no_form_warns(recwarn):
    for form in _FORMS.values():
        if form.refusal is None:
            read_image(form.data)
    assert not [str(warning.message) for warning in recwarn if "tag" not in str(warning.message)]


def test_names_of_formats():
    assert {".jpg", ".jpeg", ".mpo", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"} <= SUFFIXES
    assert (".avif" in SUFFIXES) == ("AVIF" in image_formats.FORMATS)
    assert (".jp2" in SUFFIXES) == ("JPEG2000" in image_formats.FORMATS)
    readable = {form.suffix for form in _FORMS.values() if form.refusal is None}
    assert readable >= SUFFIXES - {".jpeg", ".tiff"}


def test_a_format_that_this_pillow_lacks(monkeypatch):
    monkeypatch.setattr(image_formats, "FORMATS", ("BMP", "JPEG", "PNG"))
    avif = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1" + bytes(100)
    with pytest.raises(ImageError, match=r"is AVIF\..* reads no AVIF; pip install 'pillow>=11\.3'\."):
        read_image(avif)
    for start in (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51\0\x2f"):
        with pytest.raises(ImageError, match=r"is JPEG 2000\. .*This Pillow reads none"):
            read_image(start + bytes(100))


def test_refusals_are_sentences():
    for pattern, what, remedy in image_formats._STRANGERS:
        assert isinstance(pattern, re.Pattern)
        assert what
        assert not remedy.endswith(".")
