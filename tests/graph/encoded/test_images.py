"""Files inside the graph: pixels as Ultralytics' reader gives them, or the reason, beside others that are read."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import IMAGES
from tests.ground.files import form_files
from tests.ground.files.forms import forms, picture, saved
from tftrt_yolo.graph import letterbox
from tftrt_yolo.graph.encoded import headers, images
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files.image_files import read_image

SIDE = 64
FORMS = {form.name: form for form in forms()}
# What TensorFlow has no decoder for, or gives other colours of, by the first word or by all of the name. What is
# refused everywhere (`Form.refusal`) is refused here too, in words of its own.
REFUSED = {
    "webp": "it is WebP; expected JPEG, PNG, BMP or GIF: save it as one of these",
    "tiff": "it is TIFF; exp",
    "avif": "it is AVIF; exp",
    "heic": "it is HEIC; exp",
    "jpeg 2000": "it is JPEG 2000; exp",
    "ppm": "it is PNM; exp",
    "pgm": "it is PNM; exp",
    "pbm": "it is PNM; exp",
    "pfm": "it is PFM; exp",
    "psd": "it is Photoshop; exp",
    "tga": "it is no image: it starts with the bytes 00 00 02",  # a format without a mark of its own
    "dng": "it is TIFF; exp",
    "heif": "it is HEIC; exp",
    "mp4": "it is a video (MP4); exp",
    "avi": "it is a video (AVI); exp",
    "webm": "it is a video (MKV or WebM); exp",
    "jpeg xl": "it is JPEG XL; exp",
    "exr": "it is OpenEXR; exp",
    "hdr": "it is Radiance HDR; exp",
    "ico": "it is an icon (ICO); exp",
    "svg": "it is SVG; exp",
    "pdf": "it is PDF; exp",
    "eps": "it is PostScript; exp",
    "web page": "it is a page of text (HTML or XML); exp",
    "pointer": "it is a pointer of Git LFS, to be fetched first; exp",
    "archive": "it is a ZIP file; exp",
    "numpy": "it is an array of NumPy; exp",
    "gif of a first frame that is smaller": "it is a GIF whose first frame is a part of the picture",
    "bmp run lengths": "it is a BMP with run lengths",
    "jpeg cmyk without": "it is a CMYK JPEG without Adobe's segment",
}
CMYK_TOLERANCE = 2  # levels; TensorFlow and OpenCV round the product of ink and black in other ways


def _fit(images_, sizes, size_hw):
    """Images as they are, in frames of `SIDE`, in place of letterboxing: every pixel is to be looked at."""
    seen = images_[:, : size_hw[0], : size_hw[1]]  # what could not be read may have claimed more
    frame = tf.image.pad_to_bounding_box(seen, 0, 0, *size_hw)
    ones = tf.ones_like(sizes, tf.float32)
    return frame, letterbox.Letterbox(ones, ones, sizes)


@tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
def _read(files):
    read = images.read_each(files, (SIDE, SIDE), _fit)
    return read.frames, read.sizes_hw, read.status


@pytest.fixture
def read_together(monkeypatch):
    """`_read` as a GPU runs it, which fits images together."""
    monkeypatch.setattr(images, "_device", lambda: tf.constant(1))
    return tf.function(_read.python_function, autograph=False)


def _one(data):
    """The pixels of a file, or why it was not read."""
    frames, sizes, status = (value.numpy() for value in _read(tf.constant([data])))
    return status[0].decode() or frames[0, : sizes[0, 0], : sizes[0, 1]]


def _opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def _refusal(name):
    anything = None if FORMS[name].refusal is None else "it is "
    return next((text for start, text in REFUSED.items() if name.startswith(start)), anything)


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    form, found = FORMS[name], _one(FORMS[name].data)
    if (text := _refusal(name)) is not None:
        assert isinstance(found, str)
        assert found.startswith(text)
        return
    expected = _opencv(form.data) if form.pixels is None else form.pixels
    assert isinstance(found, np.ndarray), found
    assert found.shape == expected.shape
    difference = np.abs(found.astype(int) - expected).max()
    assert difference <= (CMYK_TOLERANCE if "cmyk" in name else 0)


def test_all_forms_in_one_batch():
    """Each as alone, the refused beside the others."""
    found = _read(tf.constant([form.data for form in FORMS.values()]))[2].numpy()
    for name, status in zip(FORMS, found, strict=True):
        assert bool(status) == (_refusal(name) is not None), (name, status)


def test_what_is_fitted_together_is_as_alone(read_together):
    files = tf.constant([form.data for form in FORMS.values()])
    for alone, together in zip(_read(files), read_together(files), strict=True):
        np.testing.assert_array_equal(alone, together)


def test_a_cpu_fits_each_image_by_itself():
    def count(images_, sizes, size_hw):  # in place of pixels, how many images are fitted at once
        return tf.zeros((tf.shape(images_)[0], *size_hw, 3), tf.uint8) + tf.cast(tf.shape(images_)[0], tf.uint8), None

    found = tf.function(lambda files: images.read_each(files, (SIDE, SIDE), count).frames, autograph=False)
    assert (found(tf.constant([_JPEG, _PNG, b""])) == 1).numpy().all()


_JPEG, _PNG = saved(picture(), "JPEG", quality=90), saved(picture(), "PNG")
_SCAN, _FRAME = _JPEG.index(b"\xff\xda"), _JPEG.index(b"\xff\xc0")
_APP1 = form_files.segment


def _exif(orientation, order="<", *, kind=3, count=1, before=0, offset=8):
    """A TIFF with the orientation behind some other tags."""
    entries = b"".join(struct.pack(order + "HHIHH", 0x100 + number, 3, 1, 7, 0) for number in range(before))
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([orientation, 0] if kind == 3 else [orientation]))
    entries += struct.pack(order + "HHI", 0x0112, kind, count) + value
    mark = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", before + 1) + entries + bytes(4)
    return mark + struct.pack(order + "I", offset) + bytes(offset - 8) + directory


def _first(*parts):
    """A JPEG with these segments before all others."""
    return _JPEG[:2] + b"".join(parts) + _JPEG[2:]


def _named(tiff):
    return _APP1(b"Exif\0\0" + tiff)


def _png_with(chunk, *, is_late=False):
    place = len(_PNG) - 12 if is_late else 33
    return _PNG[:place] + chunk + _PNG[place:]


_XMP = _APP1(b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 60_000)
_PROFILE = b"".join(_APP1(b"ICC_PROFILE\0" + bytes([part, 5]) + b"\xff\xda" * 30_000, 0xE2) for part in range(1, 6))
ORIENTATIONS = {  # a file, and EXIF's orientation that is applied
    **{f"{order} {number}": (_first(_named(_exif(number, order))), number) for order in "<>" for number in range(1, 9)},
    "0": (_first(_named(_exif(0))), 1),
    "9": (_first(_named(_exif(9))), 1),
    "behind the first segment": (_JPEG[:20] + _named(_exif(6)) + _JPEG[20:], 6),
    "behind XMP": (_first(_XMP, _named(_exif(6))), 6),
    "behind a long profile, in which pixels seem to begin": (_first(_PROFILE, _named(_exif(6))), 6),
    "of two the first": (_first(_named(_exif(6)), _named(_exif(3))), 6),
    "of two the first, upright": (_first(_named(_exif(1)), _named(_exif(3))), 1),
    "behind one that is empty": (_first(_named(b""), _named(_exif(3))), 3),
    "behind the frame's header": (_JPEG[:_FRAME] + _named(_exif(6)) + _JPEG[_FRAME:], 6),
    "before the pixels": (_JPEG[:_SCAN] + _named(_exif(6)) + _JPEG[_SCAN:], 6),
    "behind the pixels": (_JPEG[:-2] + _named(_exif(6)) + _JPEG[-2:], 1),
    "behind filling bytes": (_JPEG[:2] + b"\xff\xff\xff" + _named(_exif(6)) + _JPEG[2:], 6),
    "a long number": (_first(_named(_exif(6, kind=4))), 6),
    "a long number, the other order": (_first(_named(_exif(6, ">", kind=4))), 6),
    "of two numbers": (_first(_named(_exif(6, count=2))), 6),
    "of no number": (_first(_named(_exif(6, count=0))), 1),
    "of numbers elsewhere": (_first(_named(_exif(6, count=5))), 1),
    "of another type": (_first(_named(_exif(6, kind=1))), 1),
    "behind 17 tags": (_first(_named(_exif(6, before=17))), 6),
    "in a directory further on": (_first(_named(_exif(8, offset=30))), 8),
    "a directory cut short": (_first(_named(_exif(6)[:14])), 1),
    "a directory beyond the end": (_first(_named(b"II*\0" + struct.pack("<I", 9_999) + _exif(6)[8:])), 1),
    "a directory at 0": (_first(_named(b"II*\0" + bytes(4) + _exif(6)[8:])), 1),
    "of unknown order": (_first(_named(b"XX" + _exif(6)[2:])), 1),
    "of unknown version": (_first(_named(b"II+" + _exif(6)[3:])), 1),
    "no TIFF": (_first(_named(b"nothing of the kind")), 1),
    "under another name": (_first(_APP1(b"Exif\0\1" + _exif(6))), 1),
    **{f"PNG {n}": (_png_with(form_files.chunk(b"eXIf", _exif(n, "<>"[n % 2]))), n) for n in range(1, 9)},
    "PNG, behind the pixels": (_png_with(form_files.chunk(b"eXIf", _exif(6)), is_late=True), 6),
    "PNG, with the name of JPEG": (_png_with(form_files.chunk(b"eXIf", b"Exif\0\0" + _exif(6))), 6),
    "PNG, the letters in a text": (_png_with(form_files.chunk(b"tEXt", b"Comment\0eXIf" + _exif(6))), 1),
    "PNG, behind the end": (_PNG + form_files.chunk(b"eXIf", _exif(6)), 1),
}
_TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: a.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_orientations(name):
    """What is expected, and what `Predictor` reads."""
    data, orientation = ORIENTATIONS[name]
    upright = _opencv(_PNG if name.startswith("PNG") else _JPEG)
    found = _one(data)
    np.testing.assert_array_equal(found, _TURNS.get(orientation, lambda image: image)(upright))
    np.testing.assert_array_equal(found, read_image(data))


def _png_of(width, height):
    header = b"IHDR" + struct.pack(">II", width, height) + _PNG[24:29]
    return _PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + _PNG[33:]


def _jpeg_of(width, height):
    return _JPEG[: _FRAME + 5] + struct.pack(">HH", height, width) + _JPEG[_FRAME + 9 :]


_BMP, _GIF = FORMS["bmp 24 bit"].data, FORMS["gif"].data
_PHOTO = IMAGES[0].read_bytes()
_CUT = "it is cut short; expected a whole image file: copy it again"
_DAMAGED = "it is damaged; expected a whole image file: copy it again"
BAD = {  # a file, and the status
    "empty": (b"", "it is empty; expected JPEG, PNG, BMP or GIF"),
    "a byte": (b"\xff", "it is no image: it starts with the bytes ff; expected JPEG, PNG, BMP or GIF"),
    "text": (b"hello, world", "it is no image: it starts with the bytes 68 65 6c 6c 6f 2c 20 77; expected"),
    "a page": (b"<!DOCTYPE html><html>", "it is a page of text (HTML or XML); expected"),
    "a page after blanks": (b"\n  <!doctype HTML><html>", "it is a page of text (HTML or XML); expected"),
    "a page in capitals": (b"<HTML><BODY>", "it is a page of text (HTML or XML); expected"),
    "a page with a mark of UTF-8": (b"\xef\xbb\xbf<html>\xff\xfe", "it is a page of text (HTML or XML); expected"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "it is a pointer of Git LFS, to be fetched first; exp",
    ),
    "base64": (b"/9j/4AAQSkZJRg", "it is text in base64, to be decoded first; expected"),
    "a video": (b"\0\0\0\x20ftypisom" + bytes(20), "it is a video (MP4); expected"),
    "a video of another kind": (b"RIFF\x10\0\0\0AVI LIST", "it is a video (AVI); expected"),
    "a PDF": (b"%PDF-1.7", "it is PDF; expected"),
    "JPEG XL": (b"\xff\x0a" + bytes(20), "it is JPEG XL; expected"),
    "JPEG, its mark": (_JPEG[:3], _CUT),
    "JPEG, its header": (_JPEG[:200], _CUT),
    "JPEG, half": (_JPEG[: len(_JPEG) // 2], _CUT),
    "JPEG, less two bytes": (_JPEG[:-2], _CUT),
    "a photo, most of it": (_PHOTO[:-500], _CUT),
    "JPEG, ones among the pixels": (_JPEG[:-200] + b"\xff" * 40 + _JPEG[-160:], _DAMAGED),
    "JPEG, no frame": (_JPEG[:2] + _JPEG[_SCAN:], _DAMAGED),
    "JPEG without height": (_jpeg_of(61, 0), "it is 61 pixels wide and 0 high; expected sides of 1 to 65535: scale it"),
    "JPEG of too many pixels": (_jpeg_of(65_000, 65_000), "it has 65000 x 65000 pixels; expected at most "),
    "PNG, its mark": (_PNG[:8], _CUT),
    "PNG, half": (_PNG[: len(_PNG) // 2], _CUT),
    "PNG, less a byte": (_PNG[:-16], _CUT),
    "PNG, zeros among the pixels": (_PNG[:300] + bytes(40) + _PNG[340:], _DAMAGED),
    "PNG, a wrong checksum": (_PNG[:29] + b"abcd" + _PNG[33:], _DAMAGED),
    "PNG of too many pixels": (_png_of(60_000, 50_000), "it has 60000 x 50000 pixels; expected at most "),
    "PNG of too long a side": (_png_of(65_536, 2), "it is 65536 pixels wide and 2 high; expected sides of 1 to 65535"),
    "PNG without width": (_png_of(0, 5), "it is 0 pixels wide and 5 high; expected"),
    "PNG of another size": (_png_of(60, 45), _DAMAGED),
    "BMP, its mark": (b"BM", _CUT),
    "BMP, most of its header": (_BMP[:40], _CUT),
    "BMP, some of an old header": (FORMS["bmp 24 bit"].data[:14] + b"\x0c\0\0\0\5\0", _CUT),
    "BMP, less four bytes": (_BMP[:-4], _CUT),
    "BMP of endless width": (_BMP[:18] + b"\xff\xff\xff\x7f" + _BMP[22:], _CUT),
    "BMP of other masks": (
        form_files.bmp(np.zeros((4, 4, 4), np.uint8), bits=32, masks=(255, 65_280, 0xFF0000), compression=3),
        "it is a BMP with run lengths, other masks or other bits",
    ),
    "GIF, its mark": (b"GIF89a", _CUT),
    "GIF, half": (_GIF[: len(_GIF) // 2], _CUT),
    "GIF, a part of a picture": (_GIF[:6] + struct.pack("<HH", 99, 80) + _GIF[10:], "it is a GIF whose first frame is"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name):
    """The reason is given, and `Predictor` refuses them too, but for what Pillow reads and TensorFlow does not."""
    data, text = BAD[name]
    found = _one(data)
    assert isinstance(found, str)
    assert found.startswith(text)
    if name not in ("GIF, a part of a picture", "PNG of another size", "BMP of other masks", "PNG, less a byte"):
        with pytest.raises(ImageError):
            read_image(data)


def test_bad_files_among_good_ones():
    """The good ones are as without them."""
    bad = [data for data, _ in BAD.values()]
    files = [part for data in bad for part in (data, _JPEG, _PNG)]
    frames, sizes, status = (value.numpy() for value in _read(tf.constant(files)))
    assert all(status[0::3])
    assert not any(status[1::3])
    assert not any(status[2::3])
    for start, data in ((1, _JPEG), (2, _PNG)):
        alone, size, _ = (value.numpy() for value in _read(tf.constant([data])))
        assert (frames[start::3] == alone).all()
        assert (sizes[start::3] == size).all()


def test_damage_that_leaves_an_image():
    """A JPEG whose pixels are damaged and whose end is there is read, as OpenCV and Pillow read it."""
    changed = bytearray(_JPEG)
    changed[_SCAN + 200] ^= 0x10
    np.testing.assert_array_equal(_one(bytes(changed)), read_image(bytes(changed)))


def test_no_files():
    frames, sizes, status = _read(tf.zeros((0,), tf.string))
    assert frames.shape == (0, SIDE, SIDE, 3)
    assert sizes.shape == (0, 2)
    assert status.shape == (0,)


@pytest.mark.parametrize("most", [1, 5_000, 1 << 20])
def test_pictures_that_are_laid_out_in_parts(monkeypatch, read_together, most):
    """One by one, some together, all of them: the same frames, also beside what is not read and what is turned."""
    names = [name for name in FORMS if name.startswith(("png", "jpeg", "bmp", "gif", "tga"))]
    files = tf.constant([FORMS[name].data for name in names])
    expected = [values.numpy() for values in _read(files)]
    monkeypatch.setattr(images, "_MOST_PIXELS", most)
    found = read_together(files)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(values, wanted)


def test_no_file_waits_for_another():
    """A data set's element has a side effect, and those of a loop's rounds wait for each other."""
    functions = _read.get_concrete_function().graph.as_graph_def().library.function
    holders = {one.signature.name for one in functions if any(n.op == "DatasetToSingleElement" for n in one.node_def)}
    assert holders
    callers = [
        node for one in functions for node in one.node_def for value in node.attr.values() if value.func.name in holders
    ]
    assert {node.op for node in callers} == {"PartitionedCall"}


def test_every_refusal_says_what_to_do():
    for text in headers.REFUSALS[1:]:
        assert "expected" in text or "save it" in text
