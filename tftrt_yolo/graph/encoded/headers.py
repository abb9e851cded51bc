"""What files say of themselves before they are decoded: format, size, orientation, and whether they are refused.

    headers = look(files)
    headers.kinds, headers.sizes_hw, headers.orientations, headers.refusals

The size is known before a pixel is decoded, so a file of a few kilobytes cannot ask for all memory.
"""

import itertools
from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.graph.encoded import bitmaps, exif, file_bytes, gif, jpeg, png
from tftrt_yolo.ground.files.image_arrays import MOST_SIDE
from tftrt_yolo.ground.files.image_files import MOST_PIXELS

NOT_READ, JPEG_OR_PNG, BMP, GIF = range(4)  # kinds: how a file is decoded

_PAGE = "a page of text (HTML or XML)"
# How texts begin, behind blanks and a mark of UTF-8; of several that fit the last counts.
_TEXTS = (
    (_PAGE, r"(?is)\x{FEFF}?\s*<(!doctype|html|\?xml)\C*"),
    ("SVG", r"(?is)\x{FEFF}?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg\C*"),
)
_TEXT_BYTES = 512
_PNG = b"\x89PNG\r\n\x1a\n"
# What other files begin with: name, and a place and the bytes there, or several; the first that fits counts.
_STRANGERS = (
    ("WebP", ((0, b"RIFF"), (8, b"WEBP"))),
    *(("TIFF", ((0, start),)) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *(("AVIF", ((4, b"ftyp" + brand),)) for brand in (b"avif", b"avis")),
    *(("HEIC", ((4, b"ftyp" + brand),)) for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")),
    ("a video (MP4)", ((4, b"ftyp"),)),
    ("a video (AVI)", ((0, b"RIFF"), (8, b"AVI "))),
    ("a video (MKV or WebM)", ((0, b"\x1a\x45\xdf\xa3"),)),
    ("JPEG 2000", ((0, b"\0\0\0\x0cjP  "),)),
    ("JPEG 2000", ((0, b"\xff\x4f\xff\x51"),)),
    ("JPEG XL", ((0, b"\0\0\0\x0cJXL "),)),
    ("JPEG XL", ((0, b"\xff\x0a"),)),
    *(("PNM", ((0, b"P%d" % digit + space),)) for digit, space in itertools.product(range(1, 8), (b"\n", b" ", b"\r"))),
    *(("PFM", ((0, start),)) for start in (b"PF\n", b"Pf\n")),
    *(("Radiance HDR", ((0, start),)) for start in (b"#?RADIANCE", b"#?RGBE")),
    ("OpenEXR", ((0, b"\x76\x2f\x31\x01"),)),
    ("Photoshop", ((0, b"8BPS"),)),
    ("an icon (ICO)", ((0, b"\0\0\1\0"),)),
    ("DDS", ((0, b"DDS "),)),
    ("PDF", ((0, b"%PDF"),)),
    ("PostScript", ((0, b"%!PS"),)),
    ("a pointer of Git LFS, to be fetched first", ((0, b"version https://"),)),
    ("an array of NumPy", ((0, b"\x93NUMPY"),)),
    *(
        ("text in base64, to be decoded first", ((0, start),))
        for start in (b"/9j/", b"iVBORw0KGgo", b"R0lGOD", b"data:")
    ),
    ("a gzip file", ((0, b"\x1f\x8b"),)),
    ("a ZIP file", ((0, b"PK\x03\x04"),)),
)
_START_BYTES = 16
_READ = "expected JPEG, PNG, BMP or GIF"
_SAVE = f"{_READ}: save it as one of these"
_NAMES = tuple(dict.fromkeys(name for name, _ in (*_STRANGERS, *_TEXTS)))
REFUSALS = (
    "",
    f"it is empty; {_READ}",
    "it is no image: it starts with the bytes {}; " + _READ,
    "it is {}; expected sides of 1 to " + f"{MOST_SIDE}: scale it down first",
    "it has {}; " + f"expected at most {MOST_PIXELS} in all: scale it down first",
    "it is cut short; expected a whole image file: copy it again",
    "it is damaged; expected a whole image file: copy it again",
    "it is a CMYK JPEG without Adobe's segment, whose colours TensorFlow inverts; save it as RGB",
    "it is a BMP with run lengths, other masks or other bits than 1, 4, 8, 16, 24 or 32; save it as one without",
    "it is a GIF whose first frame is a part of the picture; save it as one that is whole, or as PNG",
    *(f"it is {name}; {_SAVE}" for name in _NAMES),
)
FINE, EMPTY, NO_IMAGE, SIDES, PIXELS, CUT_SHORT, DAMAGED, CMYK, BITMAP, PART_OF_GIF, _FIRST_NAME = range(11)


class Headers(NamedTuple):
    """What files say of themselves.

    Attributes:
      kinds: (batch,) int32, JPEG_OR_PNG, BMP or GIF; NOT_READ for what is refused.
      sizes_hw: (batch, 2) int64, height and width in pixels as they are stored, as far as they are known.
      orientations: (batch,) int32, EXIF's.
      refusals: (batch,) int32, an index of REFUSALS.
      frame_ends: (batch,) int64, as `ends` of `gif.Frames`.
      flag_places: (batch,) int64, as there.
    """

    kinds: tf.Tensor
    sizes_hw: tf.Tensor
    orientations: tf.Tensor
    refusals: tf.Tensor
    frame_ends: tf.Tensor
    flag_places: tf.Tensor


class _Others(NamedTuple):
    """As `Headers`, of what is no JPEG, with EXIF's place and end, (batch,) int64."""

    kinds: tf.Tensor
    sizes_hw: tf.Tensor
    exif_places: tf.Tensor
    exif_ends: tf.Tensor
    refusals: tf.Tensor
    frame_ends: tf.Tensor
    flag_places: tf.Tensor


def look(files: tf.Tensor) -> Headers:
    """Looks at the headers of files.

    Args:
      files: (batch,) string, whatever it is.

    Returns:
      What they say.
    """
    is_jpeg = file_bytes.starts_with(
        file_bytes.bytes_at(files, tf.zeros_like(file_bytes.lengths_of(files)), 3), b"\xff\xd8\xff"
    )
    found = jpeg.segments(files, is_jpeg)
    others = tf.cond(tf.reduce_all(is_jpeg), lambda: _none(files), lambda: _others(files, is_jpeg))
    is_cmyk = (found.channels == 4) & ~found.has_adobe
    sizes = tf.where(is_jpeg[:, tf.newaxis], found.sizes_hw, others.sizes_hw)
    refusals = tf.where(is_jpeg, tf.where(is_cmyk, CMYK, FINE), others.refusals)
    refusals = tf.where(refusals == FINE, _of_sizes(sizes), refusals)
    return Headers(
        kinds=tf.where(refusals == FINE, tf.where(is_jpeg, JPEG_OR_PNG, others.kinds), NOT_READ),
        sizes_hw=sizes,
        orientations=_orientations(files, found.exif_places, others),
        refusals=refusals,
        frame_ends=others.frame_ends,
        flag_places=others.flag_places,
    )


def _orientations(files: tf.Tensor, segments: tf.Tensor, others: _Others) -> tf.Tensor:
    """EXIF's orientations, of JPEG files by the places of their segments."""

    def found():
        places, ends = jpeg.exif(files, segments)
        return exif.orientations(files, tf.maximum(places, others.exif_places), tf.maximum(ends, others.exif_ends))

    has_any = tf.reduce_any(tf.maximum(segments, others.exif_places) > 0)
    return tf.cond(has_any, found, lambda: tf.fill(tf.shape(files), exif.UPRIGHT))


def _of_sizes(sizes_hw: tf.Tensor) -> tf.Tensor:
    """Refusals by the size, which is zero where the header has none."""
    least, most = tf.reduce_min(sizes_hw, axis=1), tf.reduce_max(sizes_hw, axis=1)
    refusals = tf.where(tf.reduce_prod(sizes_hw, axis=1) > MOST_PIXELS, PIXELS, FINE)
    return tf.where(most == 0, DAMAGED, tf.where((least < 1) | (most > MOST_SIDE), SIDES, refusals))


def _none(files: tf.Tensor) -> _Others:
    """Of a batch without others."""
    zeros = tf.zeros_like(file_bytes.lengths_of(files))
    places = tf.cast(zeros, tf.int64)
    return _Others(zeros, tf.stack([places, places], axis=-1), places, places, zeros, places, places)


def _others(files: tf.Tensor, is_jpeg: tf.Tensor) -> _Others:
    """Looks at what is no JPEG."""
    head = file_bytes.bytes_at(files, tf.zeros_like(file_bytes.lengths_of(files)), bitmaps.HEADER_BYTES)
    is_png = file_bytes.starts_with(head, _PNG)
    is_gif = file_bytes.starts_with(head, b"GIF87a") | file_bytes.starts_with(head, b"GIF89a")
    is_bmp = file_bytes.starts_with(head, b"BM")
    kinds = tf.where(is_png, JPEG_OR_PNG, tf.where(is_gif, GIF, tf.where(is_bmp, BMP, NOT_READ)))
    exif_places, exif_ends = png.exif(files, is_png)
    frames = gif.first_frames(files, is_gif)
    bitmap_sizes, ends, is_other_bitmap = bitmaps.of_headers(head)
    lengths = tf.cast(file_bytes.lengths_of(files), tf.int64)
    is_other_bitmap &= bitmaps.header_ends(head) <= lengths
    is_cut = is_gif & (frames.ends == 0) | is_bmp & (tf.maximum(ends, bitmaps.header_ends(head)) > lengths)
    sizes = tf.where(is_bmp[:, tf.newaxis], bitmap_sizes, tf.zeros_like(bitmap_sizes))  # of no image there is none
    sizes = tf.where(is_gif[:, tf.newaxis], frames.sizes_hw, sizes)
    refusals = tf.where(kinds == NOT_READ, _stranger(files, head), FINE)
    refusals = tf.where(is_cut, CUT_SHORT, refusals)
    refusals = tf.where(is_bmp & is_other_bitmap, BITMAP, tf.where(frames.is_part, PART_OF_GIF, refusals))
    return _Others(
        kinds,
        tf.where(is_png[:, tf.newaxis], png.sizes_hw(head), sizes),
        *(exif_places, exif_ends, refusals, frames.ends, frames.flag_places),
    )


def _stranger(files: tf.Tensor, head: tf.Tensor) -> tf.Tensor:
    """The refusal of what is no image that is read, by its first bytes."""
    values, counts = [[0] * _START_BYTES for _ in _STRANGERS], [[False] * _START_BYTES for _ in _STRANGERS]
    for row, (_, parts) in enumerate(_STRANGERS):
        for place, part in parts:
            values[row][place : place + len(part)] = part
            counts[row][place : place + len(part)] = [True] * len(part)
    fits = tf.reduce_all((head[:, tf.newaxis, :_START_BYTES] == values) | ~tf.constant(counts), axis=-1)
    names = tf.constant([_FIRST_NAME + _NAMES.index(name) for name, _ in _STRANGERS])
    named = tf.gather(names, tf.argmax(tf.cast(fits, tf.int32), axis=1))
    unnamed = tf.where(file_bytes.lengths_of(files) == 0, EMPTY, NO_IMAGE)
    start = tf.strings.substr(files, 0, _TEXT_BYTES)
    for name, pattern in _TEXTS:
        unnamed = tf.where(tf.strings.regex_full_match(start, pattern), _FIRST_NAME + _NAMES.index(name), unnamed)
    return tf.where(tf.reduce_any(fits, axis=1), named, unnamed)
