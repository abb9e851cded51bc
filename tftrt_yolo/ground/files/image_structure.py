"""What an image file is made of, counted before it is decoded: a small file can ask for hours or for all memory.

    check(data, "JPEG")                     # raises ValueError: "has more than 64 scans"

Decoders go through a file block after block, some of them in Python, and take a size at its word. Files of cameras and
of image editors stay far below these limits.
"""

import dataclasses
import re
import struct
from collections.abc import Iterator

_MOST_SCANS = 64  # of a progressive JPEG, each as slow as an image; ten are usual
_MOST_SEGMENTS = 2_000  # of a JPEG; a large colour profile has 255
_MOST_FILLING = 10_000  # bytes between the segments of a JPEG, which Pillow reads one by one
_MOST_CHUNKS = 100_000  # of a PNG, each 8 KB or more in 179 megapixels
_MOST_BLOCKS = 10_000  # of a GIF before its first frame, comments for the most part
_MOST_EXIF_BYTES = 1 << 20
_MOST_VALUES = 1_000_000  # of a TIFF's tag; there may be a strip for each of 65,535 rows
_MOST_TILE_PIXELS = 1 << 26
_MOST_RUN_LENGTH_BYTES, _MOST_RUN_LENGTH_PIXELS = 16 << 20, 1 << 24  # of a BMP; Pillow decodes these in Python
_MOST_LAYERS, _MOST_TILES, _MOST_TILE_PARTS = 256, 65_535, 100_000  # of a JPEG 2000
_MOST_CODE_BLOCKS, _MOST_PRECINCTS = 1 << 20, 1 << 18  # of one of its channels; a decoder keeps books of each
_MOST_DIGITS_BYTES = 16 << 20  # of a PPM in decimal digits, which Pillow reads in Python

# The next marker of a JPEG; in compressed data FF stands before 00 or a restart marker (D0 to D7).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SIZE_OF_2000, _TILE_PART, _START_OF_DATA, _STYLE, _STYLE_OF_CHANNEL = (
    b"\xff\x4f\xff\x51",
    0xFF90,
    0xFF93,
    0xFF52,
    0xFF53,
)
HIERARCHICAL = (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)  # frames of a JPEG that differ from one of another size
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the others hold tables
_START, _END, _SCAN, _APP1, _PHOTOSHOP = 0xD8, 0xD9, 0xDA, 0xE1, 0xED
_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112  # its beginning in a JPEG; its tag
# Frames, tables, comments and applications' segments that are read alike everywhere; and of some of these the fewest
# bytes that readers expect, more than there can be where a reader would take the file for another kind (MPO).
_PLAIN = frozenset({0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
_LEAST_BYTES = ((0xE0, b"JFIF", 14), (0xE2, b"ICC_PROFILE\0", 14), (0xE2, b"MPF\0", 1 << 16), (0xEE, b"Adobe", 12))
_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_BYTE_TYPES = (1, 2, 6, 7)  # kept as they are, not as a number each
_DIRECTORIES = (34_665, 34_853, 40_965)  # tags that are the place of another directory: EXIF, GPS, interoperability
_TILE_SIDES = (322, 323)


def check(data: bytes, file_format: str) -> None:
    """Refuses a file that would take a decoder too long, or too much memory.

    Args:
      data: A whole file.
      file_format: Pillow's name of its format.

    Raises:
      ValueError: If there is too much of something; the message is half a sentence.
    """
    check_of = {
        **{"BMP": _check_bmp, "GIF": _check_gif, "JPEG": _check_jpeg, "PNG": _check_png, "PPM": _check_ppm},
        **{"JPEG2000": _check_jpeg_2000, "TIFF": check_tiff},
    }
    if file_format in check_of:
        try:
            check_of[file_format](data)
        except (struct.error, IndexError):  # cut short, which the decoder says better
            return


def check_exif(data: bytes) -> None:
    """As `check`, of the EXIF that an image carries: b"Exif", two zeros and a TIFF without an image."""
    if len(data) > _MOST_EXIF_BYTES:
        raise ValueError(f"holds EXIF of {len(data):,} bytes; at most {_MOST_EXIF_BYTES:,} are read")
    try:
        check_tiff(data.removeprefix(b"Exif\0\0"))
    except (struct.error, IndexError):
        return


def _limit(count: int, most: int, what: str) -> None:
    """Refuses too much of something."""
    if count > most:
        raise ValueError(f"has more than {most:,} {what}")


def _check_bmp(data: bytes) -> None:
    """Run lengths are decoded in Python, a pixel at a time."""
    header_bytes = struct.unpack_from("<I", data, 14)[0]
    if header_bytes < 40 or struct.unpack_from("<I", data, 30)[0] not in (1, 2):
        return
    width, height = struct.unpack_from("<ii", data, 18)
    _limit(len(data), _MOST_RUN_LENGTH_BYTES, "bytes of run lengths")
    _limit(abs(width * height), _MOST_RUN_LENGTH_PIXELS, "pixels in run lengths")


def _check_gif(data: bytes) -> None:
    """Blocks before the first frame."""
    flags, place, blocks = data[10], 13, 0
    place += 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    while place < len(data) and data[place : place + 1] not in (b",", b";"):
        blocks += 1
        if data[place : place + 1] == b"!":
            place += 2
            while data[place]:
                place += 1 + data[place]
                blocks += 1
                _limit(blocks, _MOST_BLOCKS, "blocks before its first frame")
        place += 1
        _limit(blocks, _MOST_BLOCKS, "blocks before its first frame")


def _check_jpeg(data: bytes) -> None:
    """Segments, scans and EXIF, up to the end of the image."""
    place, segments, scans, filling, exif = 2, 0, 0, 0, []
    while found := _MARKER.search(data, place):
        filling += 0 if scans else found.start() - place
        _limit(filling, _MOST_FILLING, "bytes between its segments")
        kind, place = data[found.end() - 1], found.end()
        if kind == _END:
            break
        if kind in (_START, 1):
            continue
        segments, scans = segments + 1, scans + (kind == _SCAN)
        _limit(segments, _MOST_SEGMENTS, "segments")
        _limit(scans, _MOST_SCANS, "scans")
        length = struct.unpack_from(">H", data, place)[0]
        if kind == _APP1 and data.startswith(_EXIF, place + 2):
            exif.append(data[place + 8 : place + length])
        place += max(length, 2)
    _limit(0 if scans else len(data) - place, _MOST_FILLING, "bytes and no scan behind its segments")
    if exif:
        check_exif(b"".join(exif))


def _check_png(data: bytes) -> None:
    """Chunks."""
    place = 8
    for _ in range(_MOST_CHUNKS):
        if place + 8 > len(data):
            return
        place += 12 + struct.unpack_from(">I", data, place)[0]
    raise ValueError(f"has more than {_MOST_CHUNKS:,} chunks")


def _check_jpeg_2000(data: bytes) -> None:
    """Tiles, layers, and the parts that a decoder keeps books of: code blocks and precincts.

    Source: ISO/IEC 15444-1, annex A.
    """
    place = data.find(_SIZE_OF_2000) + 2
    if place < 2:
        return
    length, right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">H2x6I", data, place + 2)
    [num_channels] = struct.unpack_from(">H", data, place + 38)
    width, height = max(right - left, 1), max(bottom - top, 1)
    tile_hw = min(max(tile_height, 1), height), min(max(tile_width, 1), width)
    _limit(tile_hw[0] * tile_hw[1], _MOST_TILE_PIXELS, "pixels in a tile")
    _limit(-(-height // tile_hw[0]) * -(-width // tile_hw[1]), _MOST_TILES, "tiles")
    place, tile_end = place + 2 + length, len(data)
    for _ in range(_MOST_TILE_PARTS):
        marker, length = struct.unpack_from(">HH", data, place)
        if marker == _TILE_PART:
            [tile_bytes] = struct.unpack_from(">I", data, place + 6)
            tile_end = place + tile_bytes if tile_bytes else len(data)
        elif marker == _START_OF_DATA:
            place = tile_end
            continue
        elif marker in (_STYLE, _STYLE_OF_CHANNEL):
            start = place + (9 if marker == _STYLE else 6 if num_channels < 257 else 7)
            if marker == _STYLE:
                _limit(struct.unpack_from(">H", data, place + 6)[0], _MOST_LAYERS, "layers")
            has_precincts = bool(data[place + 4 if marker == _STYLE else start - 1] & 1)
            _check_style(data, start, (height, width), has_precincts=has_precincts)
        elif marker < 0xFF00:
            return
        place += 2 + length
    raise ValueError(f"has more than {_MOST_TILE_PARTS:,} parts of tiles")


def _check_style(data: bytes, place: int, size_hw: tuple[int, int], *, has_precincts: bool) -> None:
    """Counts code blocks and precincts by their sides: the number of levels, then logarithms."""
    (height, width), (num_levels, block_width, block_height) = size_hw, data[place : place + 3]
    _limit(height * width >> min(block_width + block_height + 4, 12), _MOST_CODE_BLOCKS, "code blocks")
    precincts = data[place + 5 : place + 6 + num_levels] if has_precincts else b""
    count = 0
    for level, sides in enumerate(reversed(precincts)):  # the largest picture first, each of half the other's sides
        count += -(-height >> level + (sides >> 4)) * -(-width >> level + (sides & 15))
        _limit(count, _MOST_PRECINCTS, "precincts")


def _check_ppm(data: bytes) -> None:
    """Decimal digits are read in Python."""
    if data[:2] in (b"P1", b"P2", b"P3"):
        _limit(len(data), _MOST_DIGITS_BYTES, "bytes of decimal digits")


@dataclasses.dataclass(frozen=True)
class JpegFacts:
    """What a JPEG says of itself before its first scan.

    Attributes:
      kind: The second byte of its frame's marker: C0 baseline, C2 progressive, ...
      bits: Of a sample.
      height: In pixels; 0 if it follows behind the first scan.
      width: In pixels.
      num_channels: 1 grey, 3 YCbCr or RGB, 4 inks.
      exif: The TIFF that is EXIF, without what stands before it; empty for none.
      is_plain: Whether segment follows segment up to a scan, each of a usual kind and in its usual form, with one frame
        and at most one EXIF, so that every reader understands the same by them.
    """

    kind: int
    bits: int
    height: int
    width: int = 0
    num_channels: int = 0
    exif: bytes = b""
    is_plain: bool = False


def jpeg_facts(data: bytes) -> JpegFacts | None:
    """Reads what a JPEG says of itself; None if it has no frame before its first scan."""
    place, frame, exif, is_plain, is_whole = 2, None, None, True, False
    try:
        while found := _MARKER.search(data, place):
            kind, start = data[found.end() - 1], found.end()
            is_whole = kind == _SCAN
            if kind in (_SCAN, _END):
                break
            length = struct.unpack_from(">H", data, start)[0] if kind not in (_START, 1) else None
            segment = data[start + 2 : start + (length or 0)]
            is_plain = is_plain and found.start() == place and _is_plain(kind, segment, length or 0)
            if kind in _FRAMES:
                is_plain = is_plain and frame is None
                frame = frame or (kind, data[start + 2], struct.unpack_from(">H", data, start + 3)[0], segment[3:6])
            elif kind == _APP1 and segment.startswith(_EXIF):
                is_plain, exif = is_plain and exif is None, segment[len(_EXIF) :]
            place = start + (0 if length is None else max(length, 2))
    except (struct.error, IndexError):  # cut short
        is_whole = False
    if frame is None:
        return None
    kind, bits, height, rest = frame
    width, num_channels = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:], "big")
    return JpegFacts(kind, bits, height, width, num_channels, exif or b"", is_plain and is_whole)


def _is_plain(kind: int, segment: bytes, length: int) -> bool:
    """Whether a segment before the first scan is one that neither Pillow nor libjpeg minds."""
    if kind not in _PLAIN or len(segment) != length - 2:
        return False
    if kind == _PHOTOSHOP and segment[-6:-2] == b"8BIM":  # a resource without a name, at which Pillow gives up
        return False
    least = next((least for of, start, least in _LEAST_BYTES if of == kind and segment.startswith(start)), 0)
    return len(segment) >= least


def orientation(exif: bytes) -> int | None:
    """Reads how a camera was held.

    Args:
      exif: The TIFF that is EXIF; empty for none.

    Returns:
      The tag's value, 1 if there is none; None where anything about the directory is unusual or damaged, so that
      readers may differ.

    Source: the TIFF 6.0 specification, section 2.
    """
    if not exif:
        return 1
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4], "")
    try:
        [place] = struct.unpack_from(f"{order}I", exif, 4)
        [count] = struct.unpack_from(f"{order}H", exif, place)
        struct.unpack_from(f"{order}I", exif, place + 2 + 12 * count)  # the next directory's place
        found = []
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, kind, values, start = struct.unpack_from(f"{order}HHII", exif, entry)
            size = values * _BYTES_OF_TYPE.get(kind, 0)
            if size > 4 and start + size > len(exif):
                return None
            if tag == _ORIENTATION:
                found.append((kind, values, struct.unpack_from(f"{order}H", exif, entry + 8)[0]))
    except struct.error:
        return None
    if not order or len(found) > 1 or (found and found[0][:2] != (3, 1)):  # one of 16 bits
        return None
    return found[0][2] if found else 1


def jpeg_2000_facts(data: bytes) -> tuple[int, int]:
    """How many channels a JPEG 2000 has, and the most bits of one; 0 and 0 of one that is cut short."""
    place = data.find(_SIZE_OF_2000) + 2
    try:
        [num_channels] = struct.unpack_from(">H", data, place + 38)
        depths = data[place + 40 : place + 40 + 3 * num_channels : 3]
    except struct.error:
        return 0, 0
    return num_channels, max(((depth & 0x7F) + 1 for depth in depths), default=0)


@dataclasses.dataclass(frozen=True)
class TiffFacts:
    """What the samples of a TIFF's first image are.

    Attributes:
      bits: Of a sample.
      sample_format: 1 whole numbers, 2 signed ones, 3 floating point, 4 unknown, 5 and 6 complex.
      num_channels: Samples of a pixel.
      is_planar: Whether each channel is by itself.
      is_compressed: Whether the samples are packed.
      is_preview: Whether a DNG's first image is only a small one.
      is_sensor: Whether each value is what one sensor of a camera measured, behind its filter.
      is_log: Whether the values are logarithms of light, LogL or LogLuv.
    """

    bits: int = 1
    sample_format: int = 1
    num_channels: int = 1
    is_planar: bool = False
    is_compressed: bool = False
    is_preview: bool = False
    is_sensor: bool = False
    is_log: bool = False


def tiff_facts(data: bytes) -> TiffFacts:
    """Reads what the samples of a TIFF's first image are; those of a file that is cut short are the usual ones."""
    order = "<" if data[:2] == b"II" else ">"
    found = {}
    try:
        for tag, kind, count, value in _tags(data, order):
            if tag in (254, 258, 259, 262, 277, 284, 339, 50_706) and tag not in found:
                found[tag] = _first_number(data, order, kind, count, value)
    except (struct.error, IndexError, ValueError):
        return TiffFacts()
    return TiffFacts(
        bits=found.get(258, 1),
        sample_format=found.get(339, 1),
        num_channels=found.get(277, 1),
        is_planar=found.get(284, 1) == 2,
        is_compressed=found.get(259, 1) != 1,
        is_sensor=found.get(262) in (32_803, 34_892),
        is_log=found.get(262) in (32_844, 32_845),
        is_preview=50_706 in found and bool(found.get(254, 0) & 1),
    )


def _first_number(data: bytes, order: str, kind: int, count: int, value: bytes) -> int:
    """The first value of a tag of whole numbers."""
    form = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind, "B")
    if count * struct.calcsize(form) > len(value):
        [place] = struct.unpack_from(order + ("Q" if len(value) == 8 else "I"), value)
        return struct.unpack_from(order + form, data, place)[0]
    return struct.unpack_from(order + form, value)[0]


def check_tiff(data: bytes) -> None:
    """Values, and bytes of all tags: each has its own in an honest file, and Pillow keeps a copy for each.

    Args:
      data: A TIFF, or what is one in EXIF.

    Raises:
      ValueError: As `check`.
    """
    order, total, tile_pixels = "<" if data[:2] == b"II" else ">", 0, 1
    for tag, kind, count, value in _tags(data, order):
        size = count * _BYTES_OF_TYPE.get(kind, 0)
        total += size if size > 4 else 0
        if kind not in _BYTE_TYPES:
            _limit(count, _MOST_VALUES, f"values in the tag {tag}")
        if tag in _TILE_SIDES and kind in (3, 4):
            [side] = struct.unpack_from(order + ("H" if kind == 3 else "I"), value)
            tile_pixels *= max(side, 1)
    if total > 2 * len(data):
        raise ValueError(f"has tags of {total:,} bytes in a file of {len(data):,}")
    _limit(tile_pixels, _MOST_TILE_PIXELS, "pixels in a tile")


def _tags(data: bytes, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    """Tag, type, count and the bytes of the value, or of its place, of the first directory and of those in it."""
    is_big = 43 in data[2:4]
    [place] = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
    places, entry = [place], order + ("HHQ8s" if is_big else "HHI4s")
    for place in places:
        [count] = struct.unpack_from(order + ("Q" if is_big else "H"), data, place)
        _limit(count, 1 << 16, "tags")
        place += 8 if is_big else 2
        for number in range(min(count, (len(data) - place) // struct.calcsize(entry))):
            tag, kind, values, value = struct.unpack_from(entry, data, place + number * struct.calcsize(entry))
            yield tag, kind, values, value
            if tag in _DIRECTORIES and len(places) < 4:
                places.append(struct.unpack_from(order + "I", value)[0])
