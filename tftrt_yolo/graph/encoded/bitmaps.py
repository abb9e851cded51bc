"""BMP files: their sizes, which of them are read, and their pixels.

TensorFlow's own op reads 24 and 32 bits a pixel, takes indices of a palette for grey levels, and refuses a file that is
longer than its pixels. So rows are taken apart here: 1, 4, 8, 16, 24 and 32 bits, from above or from below.

    sizes, ends, is_refused = of_headers(head)
    image = decode(file)                    # (height, width, 3) uint8

Source: BITMAPINFOHEADER, BITMAPCOREHEADER and BITMAPV4HEADER of Windows' documentation; modules/imgcodecs/src/utils.cpp
of OpenCV for pixels of 16 bits, whose missing low bits are zero there.
"""

import tensorflow as tf

from tftrt_yolo.graph.encoded import file_bytes

HEADER_BYTES = 72  # with the masks of colours
_FILE_HEADER = 14  # bytes
_OLD_HEADER, _HEADER = 12, 40  # bytes of OS/2's, and of Windows', which later ones extend
_PLAIN, _MASKS = 0, 3  # compression
_BITS = (1, 4, 8, 16, 24, 32)
_MASKS_OF_565 = (0xF800, 0x07E0, 0x001F)
_MASKS_OF_555 = (0x7C00, 0x03E0, 0x001F)
_MASKS_OF_32 = (0xFF0000, 0xFF00, 0xFF)


def of_headers(head: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What the headers say.

    Args:
      head: (batch, HEADER_BYTES) int32, the first bytes.

    Returns:
      (batch, 2) int64, height and width in pixels; (batch,) int64, how long the file must be; and (batch,) bool,
      whether it is a kind that `decode` does not read: run lengths, JPEG or PNG inside, other masks, other bits.
      Of a file that is not as long as its header none of these is known.
    """
    is_old, width, height, bits, compression = _fields(head)
    masks = tf.stack([file_bytes.number(head[:, place : place + 4]) for place in (54, 58, 62)], axis=-1)

    def are(known):
        return tf.reduce_all(masks == tf.constant(known, tf.int64), axis=-1)

    is_plain = (compression == _PLAIN) & tf.reduce_any(bits[:, tf.newaxis] == tf.constant(_BITS, tf.int64), axis=-1)
    is_masked = (bits == 16) & (are(_MASKS_OF_565) | are(_MASKS_OF_555)) | (bits == 32) & are(_MASKS_OF_32)
    is_read = is_plain | ~is_old & (compression == _MASKS) & is_masked
    ends = file_bytes.number(head[:, 10:14]) + _row_bytes(width, bits) * tf.abs(height)
    return tf.stack([tf.abs(height), width], axis=-1), ends, ~is_read


def header_ends(head: tf.Tensor) -> tf.Tensor:
    """Where the header ends without which nothing is known, (batch,) int64; of the first bytes as `of_headers`."""
    return _FILE_HEADER + tf.clip_by_value(file_bytes.number(head[:, 14:18]), _OLD_HEADER, _HEADER)


def _row_bytes(width: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Bytes of a row: whole groups of four."""
    return (width * bits + 31) // 32 * 4


def _fields(head: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Whether it is OS/2's header, width, height (below zero from above), bits and compression, each (batch,)."""
    is_old = file_bytes.number(head[:, 14:18]) == _OLD_HEADER

    def either(new, old):
        return tf.where(
            is_old, file_bytes.number(head[:, slice(*old)]), _signed(file_bytes.number(head[:, slice(*new)]))
        )

    return (
        is_old,
        either((18, 22), (18, 20)),
        either((22, 26), (20, 22)),
        either((28, 30), (24, 26)),
        tf.where(is_old, tf.constant(_PLAIN, tf.int64), file_bytes.number(head[:, 30:34])),
    )


def _signed(value: tf.Tensor) -> tf.Tensor:
    """32 bits as a number with a sign."""
    return tf.where(value < 1 << 31, value, value - (1 << 32))


def decode(file: tf.Tensor) -> tf.Tensor:
    """Decodes a BMP file.

    Args:
      file: A string, as long as `of_headers` says and none that it refuses: then nothing can fail.

    Returns:
      (height, width, 3) uint8.
    """
    head = file_bytes.bytes_at(file[tf.newaxis], tf.zeros(1, tf.int64), HEADER_BYTES)
    is_old, width, height, bits, _ = (value[0] for value in _fields(head))
    start, header_bytes = (file_bytes.number(head[0, place : place + 4]) for place in (10, 14))
    row_bytes = _row_bytes(width, bits)
    rows = tf.abs(height)
    data = tf.io.decode_raw(tf.strings.substr(file, start, row_bytes * rows), tf.uint8)
    lines = tf.reshape(data, tf.stack([rows, row_bytes]))

    def coloured():
        return tf.gather(_palette(file, 14 + header_bytes, is_old, bits), _indices(lines, bits)[:, :width])

    def of_bytes(count):
        pixels = tf.reshape(lines[:, : width * count], tf.stack([rows, width, count]))
        return tf.reverse(pixels[..., :3], [2])

    branches = [lambda: _of_16_bits(lines, head[0], width), lambda: of_bytes(3), lambda: of_bytes(4)]
    image = tf.cond(bits <= 8, coloured, lambda: tf.switch_case(tf.cast(bits // 8 - 2, tf.int32), branches))
    return tf.cond(height > 0, lambda: tf.reverse(image, [0]), lambda: image)


def _indices(lines: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Indices (rows, pixels) int32 of lines (rows, bytes) uint8; the pixels that fill a line up are there as well."""
    bits = tf.cast(bits, tf.int32)
    shifts = tf.range(8 - bits, -1, -bits)
    parts = tf.bitwise.right_shift(tf.cast(lines, tf.int32)[..., tf.newaxis], shifts) % tf.bitwise.left_shift(1, bits)
    return tf.reshape(parts, tf.stack([tf.shape(lines)[0], -1]))


def _palette(file: tf.Tensor, place: tf.Tensor, is_old: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """The palette as (colours, 3) uint8, as long as the indices can be; what a file does not give is black."""
    colours = tf.bitwise.left_shift(tf.constant(1, tf.int64), bits)
    entry = tf.where(is_old, tf.constant(3, tf.int64), 4)
    start = tf.cast(file_bytes.bytes_at(file[tf.newaxis], place[tf.newaxis], 4 * 256)[0], tf.uint8)
    return tf.reshape(start[: entry * colours], tf.stack([colours, entry]))[:, 2::-1]


def _of_16_bits(lines: tf.Tensor, head: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Pixels of two bytes: five bits a colour, or six of green."""
    pairs = tf.reshape(tf.cast(lines, tf.int32), tf.stack([tf.shape(lines)[0], -1, 2]))[:, :width]
    values = pairs[..., 0] + 256 * pairs[..., 1]
    has_six = (file_bytes.number(head[30:34]) == _MASKS) & (file_bytes.number(head[54:58]) == _MASKS_OF_565[0])

    def channels(red, green, green_bits):
        parts = [values // red % 32 * 8, values // green % (1 << green_bits) * (256 >> green_bits), values % 32 * 8]
        return tf.cast(tf.stack(parts, axis=-1), tf.uint8)

    return tf.cond(has_six, lambda: channels(1 << 11, 1 << 5, 6), lambda: channels(1 << 10, 1 << 5, 5))
