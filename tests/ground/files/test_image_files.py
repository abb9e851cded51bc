"""Images that are no files, and files that ask for hours or for all memory: every one is an ImageError, at once."""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from tests.conftest import IMAGES
from tftrt_yolo import ImageError
from tftrt_yolo.ground.files import image_files
from tftrt_yolo.ground.files.image_files import find_images, read_image


def _file(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


_SMALL = PIL.Image.new("RGB", (8, 8), (9, 100, 200))
_JPEG, _PNG = _file(_SMALL, "JPEG"), _file(_SMALL, "PNG")


def _segment(data, marker=0xE1):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _tags(count, size):
    """A TIFF whose tags all have the same bytes."""
    entries = b"".join(struct.pack("<HHII", tag, 7, size, 8) for tag in range(1, count + 1))
    return b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + struct.pack("<H", count) + entries + bytes(4)


def _tiff(*entries):
    base = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 5), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries = sorted([*base, *entries])
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(204)


def _bmp(width, height, compression, data):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1_078 + len(data), 0, 0, 1_078) + header + bytes(1_024) + data


def _empty_webp(width, height):
    """One colour in all pixels, which takes a few bytes without loss. Source: the specification of WebP lossless."""
    data = _file(PIL.Image.new("RGB", (8, 8)), "WEBP", lossless=True)
    place = data.index(b"VP8L") + 9
    bits = int.from_bytes(data[place : place + 4], "little") & ~((1 << 28) - 1) | (width - 1) | (height - 1) << 14
    return data[:place] + bits.to_bytes(4, "little") + data[place + 4 :]


def _jpeg_2000(**options):
    return _file(PIL.Image.new("L", (1_100, 1_000)), "JPEG2000", no_jp2=True, **options)


def _jpeg_2000_with(data, marker, offset, form, *values):
    """A JPEG 2000 with other values in one of its segments."""
    changed = bytearray(data)
    struct.pack_into(
        form[0] + f"{len(values)}" + form[-1], changed, data.index(struct.pack(">H", marker)) + offset, *values
    )
    return bytes(changed)


def _scans(count):
    data = _file(PIL.Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]


def _with_gif_blocks(blocks):
    data = _file(PIL.Image.new("P", (8, 8)), "GIF")
    place = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    return data[:place] + blocks + data[place:]


_MEGABYTES = zlib.compress(bytes(200 << 20), 9)
_ALL_ALIKE = [
    # pixels
    (lambda: _file(PIL.Image.new("1", (16_000, 16_000)), "PNG"), "too large to be safe: it has 16,000 x 16,000 pixels"),
    (lambda: _file(PIL.Image.new("1", (16_000, 16_000)), "TIFF", compression="group4"), "16,000 x 16,000 pixels"),
    (lambda: _empty_webp(16_383, 10_924), "too large to be safe: .*178,?956,?970"),
    (lambda: _file(PIL.Image.new("L", (65_536, 1)), "PNG"), "is 65,536 pixels wide and 1 high. Expected sides of 1 to"),
    (lambda: _bmp(0, 10, 0, b""), "cannot be decoded"),
    (lambda: _bmp(5, -(2**31), 0, bytes(100)), "5 x 2,147,483,648 pixels"),
    (
        lambda: (
            b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
        ),
        "larg",
    ),
    # what unpacks
    (
        lambda: _PNG[:33] + _chunk(b"zTXt", b"a\0\0" + _MEGABYTES) + _PNG[33:],
        r"decoded \(ValueError: Decompressed data",
    ),
    (
        lambda: _PNG[:33] + _chunk(b"iCCP", b"a\0\0" + _MEGABYTES) + _PNG[33:],
        r"decoded \(ValueError: Decompressed data",
    ),
    (lambda: _PNG[:-12] + _chunk(b"iTXt", b"a\0\1\0\0\0" + _MEGABYTES) + _PNG[-12:], "Decompressed data"),
    # what is gone through block after block, in Python
    (lambda: _PNG[:33] + _chunk(b"abCd", b"") * 100_001 + _PNG[33:], "it has more than 100,000 chunks. Save it anew"),
    (lambda: _scans(64), "it has more than 64 scans"),
    (lambda: _JPEG[:2] + _segment(b"") * 2_001 + _JPEG[2:], "more than 2,000 segments"),
    (lambda: _JPEG[:2] + b"\xff" * 20_000 + _JPEG[2:], "more than 10,000 bytes between its segments"),
    (lambda: _JPEG[:2] + b"\xff\0" * 20_000, "more than 10,000 bytes and no scan behind its segments"),
    (lambda: _with_gif_blocks(b"!\xfe" + b"\x01x" * 10_000 + b"\0"), "more than 10,000 blocks before its first frame"),
    (lambda: _with_gif_blocks(b"\x01" * 20_000), "more than 10,000 blocks before its first frame"),
    (lambda: _bmp(9_000, 9_000, 1, b"\1\5\0\0" * 9_000), "more than 16,777,216 pixels in run lengths"),
    (lambda: b"P3 9000 900 255 " + b"1 " * (8 << 20) + b"x", "more than 16,777,216 bytes of decimal digits"),
    (
        lambda: _jpeg_2000_with(_jpeg_2000(codeblock_size=(4, 4)), 0xFF51, 6, ">2I", 8_000, 8_000),
        "1,048,576 code blocks",
    ),
    (lambda: _jpeg_2000_with(_jpeg_2000(precinct_size=(8, 8)), 0xFF51, 6, ">2I", 8_000, 8_000), "262,144 precincts"),
    (lambda: _jpeg_2000_with(_jpeg_2000(), 0xFF52, 6, ">H", 257), "more than 256 layers"),
    (lambda: _jpeg_2000_with(_jpeg_2000(), 0xFF51, 22, ">2I", 1, 1), "more than 65,535 tiles"),
    (lambda: _jpeg_2000_with(_jpeg_2000(), 0xFF51, 6, ">2I", 9_000, 9_000, 0, 0, 9_000, 9_000), "pixels in a tile"),
    # numbers that are taken at their word
    (lambda: _tags(60_000, 1 << 20), "it has tags of 62,914,560,000 bytes in a file of 1,768,"),
    (lambda: _JPEG[:2] + _segment(b"Exif\0\0" + _tags(4_000, 2_000)) + _JPEG[2:], "it has tags of 8,000,000 bytes"),
    (lambda: _JPEG[:2] + _segment(b"Exif\0\0" + bytes(60_000)) * 20 + _JPEG[2:], "it holds EXIF of 1,2"),
    (
        lambda: _tiff((322, 4, 1, 65_536), (323, 4, 1, 65_536), (324, 4, 1, 8), (325, 4, 1, 9)),
        "67,108,864 pixels in a tile",
    ),
    (lambda: _tiff((273, 4, 0x7FFFFFFF, 8), (279, 4, 0x7FFFFFFF, 8)), "more than 1,000,000 values in the tag 273"),
    (lambda: _tiff((273, 4, 1, 8), (279, 4, 1, 0xFFFFFFFF)), "cannot be decoded"),
    (lambda: b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "cannot be decoded"),  # a directory that leads to itself
]


@pytest.mark.parametrize("number", range(len(_ALL_ALIKE)))
def test_files_that_ask_for_too_much(number):
    make, message = _ALL_ALIKE[number]
    data = make()
    assert len(data) < 20 << 20
    with pytest.raises(ImageError, match=message) as raised:
        read_image(data)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(11))
def test_orientations_are_pillows(name, orientation):
    """Those out of range, too."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    picture = PIL.Image.open(IMAGES[0]).resize((40, 30))
    data = _file(picture, name, exif=exif)
    expected = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(read_image(data), np.asarray(expected.convert("RGB")))


def test_an_orientation_that_was_deleted_in_memory():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image = PIL.Image.open(io.BytesIO(_file(PIL.Image.new("RGB", (8, 4)), "JPEG", exif=exif)))
    assert read_image(image).shape == (8, 4, 3)
    del image.getexif()[0x0112]
    assert read_image(image).shape == (4, 8, 3)


@pytest.mark.parametrize("tail", [b"", b"\xff\xff\x12\x01\x03\0", b"\x01\0\x12\x01\x03\0\xff\xff\xff\x7f\0\0\0\0"])
def test_damaged_exif_costs_no_image(tail):
    data = _PNG[:33] + _chunk(b"eXIf", b"II*\0\x08\0\0\0" + tail) + _PNG[33:]
    np.testing.assert_array_equal(read_image(data), np.asarray(_SMALL))


def test_more_megapixels_than_pillow_warns_of():
    """Up to where Pillow refuses, whatever another package has set."""
    image = PIL.Image.new("L", (12_000, 9_000), 77)
    image.putpixel((11_999, 8_999), 200)
    got = read_image(_file(image, "JPEG", quality=100))
    assert got.shape == (9_000, 12_000, 3)
    assert got[0, 0].tolist() == [77, 77, 77]
    assert image_files.MOST_PIXELS == 178_956_970


def test_places_that_are_no_image_file(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    with open(tmp_path / "sparse.jpg", "wb") as file:
        file.truncate(10 << 30)
    (tmp_path / "a\x1b[31m\n.jpg").write_bytes(b"\x1b[2J")
    for place, message in (
        (tmp_path / "fifo.jpg", r"fifo\.jpg cannot be read: it is a device, a pipe or a socket"),
        ("/dev/zero", "/dev/zero cannot be read: it is a device"),
        (tmp_path, "cannot be read: it is a folder"),
        (tmp_path / "sparse.jpg", "it has 10,737,418,240 bytes; at most 536,870,912 are read"),
        ("a\0b.jpg", r"'a\\x00b\.jpg' is no path \(embedded null byte\)"),
        ("x" * 5_000, r"x \.\.\. x.* cannot be read: File name too long"),
        ("\udcff\u202e.jpg", r"^\\udcff\\u202e\.jpg cannot be read: No such file"),
        (tmp_path / "a\x1b[31m\n.jpg", r"a\\x1b\[31m\\n\.jpg is no image: it starts with b'\\x1b\[2J'"),
    ):
        with pytest.raises(ImageError, match=message) as raised:
            read_image(place)
        assert str(raised.value).isprintable()


def test_a_folder_named_like_an_image_is_none(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert find_images(tmp_path) == [tmp_path / "b.jpg", tmp_path / "loop.jpg"]
    with pytest.raises(ImageError, match=r"loop\.jpg cannot be read: Too many levels of symbolic links"):
        read_image(tmp_path / "loop.jpg")


def test_sources_that_are_none(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    for source, message in (
        (tmp_path / "fifo.jpg", r"fifo\.jpg is a device, a pipe or a socket and no file"),
        ("x" * 5_000, "cannot be read: File name too long"),
        ("a\0*", r"No file matches the pattern a\\x00\*"),
        ("\x1b]0;x", r"There is no file or folder \\x1b\]0;x"),
    ):
        with pytest.raises(ImageError, match=message):
            find_images(source)
    assert find_images(tmp_path) == [tmp_path / "fifo.jpg"]  # which is refused when it is read


class _Evil:
    def __array__(self, *_, **__):
        raise RuntimeError("\x1b[31m")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([[1], [1, 2]], "The image is a list of 2 and no array"),
        (_Evil(), r"The image is a _Evil and no array \(\\x1b\[31m\)"),
        (np.zeros((2, 2), [("a" * 500, "u1")]), r"dtype \[\('a+ \.\.\. a+', 'u1'\)\] and shape"),
        (
            np.zeros((65_536, 1, 3), np.uint8),
            "The image is 1 pixels wide and 65,536 high. Expected sides of 1 to 65,535",
        ),
        (PIL.Image.new("RGB", (65_536, 1)), "image is 65,536 pixels wide and 1 high"),
        (PIL.Image.new("RGB", (0, 5)), "image is 0 pixels wide"),
    ],
)
def test_objects_that_are_no_image(image, message):
    with pytest.raises(ImageError, match=message):
        read_image(image)


def test_a_pillow_image_that_is_read_late():
    late = PIL.Image.open(io.BytesIO(IMAGES[0].read_bytes()[:5_000]))
    with pytest.raises(ImageError, match=r"image cannot be decoded \(OSError: image file is truncated"):
        read_image(late)


def test_warnings_that_are_errors():
    """Of Pillow's damaged EXIF; and where warnings are none, large images are still refused."""
    damaged = _JPEG[:2] + _segment(b"Exif\0\0II*\0\x08\0\0\0\x05\0" + b"\x12\x01\x03\0\1\0\0\0") + _JPEG[2:]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="cannot be decoded") if _raises(damaged) else warnings.catch_warnings():
            read_image(damaged)
        warnings.simplefilter("ignore")
        with pytest.raises(ImageError, match="too large to be safe"):
            read_image(_ALL_ALIKE[0][0]())


def _raises(data):
    """Whether Pillow itself takes a damaged EXIF for an error when warnings are."""
    try:
        PIL.Image.open(io.BytesIO(data)).load()
    except UserWarning:
        return True
    return False


def test_read_ahead_keeps_what_came_before():
    def camera():
        yield IMAGES[0]
        yield b"no image"
        raise OSError("unplugged")

    read = []
    with pytest.raises(OSError, match="unplugged"):
        read.extend(image_files.read_ahead(camera(), raises=False))
    assert [type(image).__name__ for _, image in read] == ["ndarray", "ImageError"]


def test_read_ahead_bounds_what_waits(monkeypatch):
    """Once an image is so large that several would fill the memory, one is read ahead; the results are the same."""
    monkeypatch.setattr(image_files, "_MOST_AHEAD_BYTES", 1)
    given = []

    def paths():
        for path in IMAGES * 2:
            given.append(path)
            yield path

    ahead = []
    for number, (path, image) in enumerate(image_files.read_ahead(paths())):
        assert path == (IMAGES * 2)[number]
        np.testing.assert_array_equal(image, read_image(path))
        ahead.append(len(given) - number - 1)
    assert len(ahead) == 2 * len(IMAGES)
    assert max(ahead[-len(IMAGES) :]) <= 1
