"""Image files written by hand, in the forms that Pillow and OpenCV read but do not write.

tiff(array, bits=16, order=">", planar=True)
png(array, bits=4, colour=0, is_interlaced=True)
"""

import struct
import zlib

import numpy as np

# Adam7: first column and row, and their steps. Source: the PNG specification, 8.2.
_ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
_TIFF_KINDS = {"u": 1, "i": 2, "f": 3, "c": 6}


def packed(samples: np.ndarray, bits: int, order: str = ">") -> bytes:
    """Rows of samples (height, values) in so many bits each, every row filled up to whole bytes."""
    if bits >= 8 and bits % 8 == 0:
        return samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    planes = [(samples >> place) & 1 for place in range(bits - 1, -1, -1)]
    return np.packbits(np.stack(planes, -1).reshape(len(samples), -1).astype(np.uint8), axis=1).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(array: np.ndarray, *, bits: int = 8, colour: int = 2, is_interlaced: bool = False, chunks: tuple = ()) -> bytes:
    """A PNG.

    Args:
      array: (height, width, channels) whole numbers below 2 ** bits; indices where there is a palette.
      bits: Of a sample.
      colour: PNG's type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
      is_interlaced: Whether by Adam7.
      chunks: Of before the pixels, each a kind and its data.
    """
    array = array.reshape(*array.shape[:2], -1).astype(np.uint16 if bits == 16 else np.uint8)
    parts = [array]
    if is_interlaced:
        parts = [array[y::step_y, x::step_x] for x, y, step_x, step_y in _ADAM7]
    rows = b"".join(
        b"\0" + packed(row.reshape(1, -1), bits) for part in parts if part.size for row in part.reshape(len(part), -1)
    )
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], bits, colour, 0, 0, int(is_interlaced))
    body = b"".join(chunk(kind, data) for kind, data in chunks)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def tiff(
    array: np.ndarray,
    *,
    bits: int | None = None,
    order: str = "<",
    photometric: int | None = None,
    is_planar: bool = False,
    tile: int | None = None,
    rows_per_strip: int | None = None,
    is_deflated: bool = False,
    is_big: bool = False,
    tags: tuple = (),
) -> bytes:
    """A TIFF.

    Args:
      array: (height, width, channels) of the samples' type.
      bits: Of a sample; those of the array's type unless it is less.
      order: "<" for Intel's order of bytes, ">" for Motorola's.
      photometric: What the samples mean: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK, 8 CIELab; 1 or 2
        by the channels if it is None.
      is_planar: Whether each channel is by itself.
      tile: Side of square tiles; strips if it is None.
      rows_per_strip: All rows if it is None.
      is_deflated: Whether the strips are compressed.
      is_big: Whether places have 64 bits (BigTIFF).
      tags: More of them: tag, kind (3 short, 4 long) and values.
    """
    array = array.reshape(*array.shape[:2], -1)
    height, width, channels = array.shape
    bits = bits or array.dtype.itemsize * 8
    photometric = (2 if channels >= 3 else 1) if photometric is None else photometric
    planes = [array[..., [index]] for index in range(channels)] if is_planar else [array]
    parts = [part for plane in planes for part in _parts(plane, tile, rows_per_strip or height)]
    strips = [packed(part.reshape(len(part), -1), bits, order) for part in parts]
    strips = [zlib.compress(strip) if is_deflated else strip for strip in strips]
    entries = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * channels),
        259: (3, [8 if is_deflated else 1]),
        262: (3, [photometric]),
        277: (3, [channels]),
        284: (3, [2 if is_planar else 1]),
        339: (3, [_TIFF_KINDS[array.dtype.kind]] * channels),
    }
    colours = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}[photometric]
    if channels > colours:
        entries[338] = (3, [2] * (channels - colours))
    sizes, places = (325, 324) if tile else (279, 273)
    entries |= {322: (4, [tile]), 323: (4, [tile])} if tile else {278: (4, [rows_per_strip or height])}
    entries[sizes] = (4, [len(strip) for strip in strips])
    entries[places] = (4, np.cumsum([16 if is_big else 8] + [len(strip) for strip in strips[:-1]]).tolist())
    entries |= {tag: (kind, values) for tag, kind, values in tags}
    return _tiff_of(b"".join(strips), entries, order, is_big)


def _parts(plane: np.ndarray, tile: int | None, rows_per_strip: int) -> list[np.ndarray]:
    """Strips or tiles, these filled up with zeros."""
    height, width = plane.shape[:2]
    if tile is None:
        return [plane[row : row + rows_per_strip] for row in range(0, height, rows_per_strip)]
    padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)))
    return [
        padded[row : row + tile, column : column + tile]
        for row in range(0, height, tile)
        for column in range(0, width, tile)
    ]


def _tiff_of(data: bytes, entries: dict, order: str, is_big: bool) -> bytes:
    """Header, data, long values and the directory."""
    start, place_form, entry_form = (16, "Q", "HHQ") if is_big else (8, "I", "HHI")
    data += bytes(-len(data) % 8)
    packed_entries = b""
    for tag, (kind, values) in sorted(entries.items()):
        own = struct.pack(f"{order}{len(values)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *values)
        if len(own) > struct.calcsize(place_form):
            place = struct.pack(order + place_form, start + len(data))
            data += own + bytes(-len(own) % 8)
            own = place
        packed_entries += struct.pack(order + entry_form, tag, kind, len(values))
        packed_entries += own.ljust(struct.calcsize(place_form), b"\0")
    header = b"II" if order == "<" else b"MM"
    header += struct.pack(order + "HHH", 43, 8, 0) if is_big else struct.pack(order + "H", 42)
    header += struct.pack(order + place_form, start + len(data))
    count = struct.pack(order + ("Q" if is_big else "H"), len(entries))
    return header + data + count + packed_entries + bytes(8)


def bmp(
    array: np.ndarray,
    *,
    bits: int,
    palette: np.ndarray | None = None,
    masks: tuple[int, ...] = (),
    compression: int = 0,
    data: bytes | None = None,
    is_top_down: bool = False,
    is_os2: bool = False,
) -> bytes:
    """A BMP.

    Args:
      array: (height, width) whole numbers of so many bits, or (height, width, bits / 8) bytes in the file's order.
      bits: Of a pixel.
      palette: (2 ** bits, 3) RGB.
      masks: Bits of red, green, blue (and alpha); `compression` is then 3.
      compression: Windows' number.
      data: The pixels, where they are compressed.
      is_top_down: Whether the first row is the upper one.
      is_os2: Whether the header is the old one of 12 bytes.
    """
    height, width = array.shape[:2]
    rows = array if is_top_down else array[::-1]
    if data is None:
        if bits == 16:
            lines = [row.astype("<u2").tobytes() for row in rows]
        else:
            lines = [packed(row.reshape(1, -1), bits if bits < 8 else 8) for row in rows]
        data = b"".join(line + bytes(-len(line) % 4) for line in lines)
    colours = b"" if palette is None else np.pad(palette[:, ::-1], ((0, 0), (0, 0 if is_os2 else 1))).tobytes()
    if is_os2:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        size = 40 if len(masks) < 4 else 56
        length = -height if is_top_down else height
        number = 0 if palette is None else len(palette)
        header = struct.pack("<IiiHHIIiiII", size, width, length, 1, bits, compression, len(data), 0, 0, number, 0)
        header += struct.pack(f"<{len(masks)}I", *masks)
    start = 14 + len(header) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + colours + data


def run_lengths(indices: np.ndarray, bits: int) -> bytes:
    """The pixels of a BMP in run lengths of 8 or 4 bits, a run for each pixel, the last row first."""
    value = {8: lambda index: index, 4: lambda index: index << 4 | index}[bits]
    return (
        b"".join(b"".join(bytes([1, value(int(index))]) for index in row) + b"\0\0" for row in indices[::-1]) + b"\0\1"
    )


def segment(data: bytes, marker: int = 0xE1) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def exif(orientation: int, order: str = "<") -> bytes:
    """The TIFF that is EXIF, with nothing but the orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
