"""PNG files: their sizes and EXIF.

    sizes = sizes_hw(head)
    places, ends = exif(files, is_png)

EXIF may stand before the pixels or behind them. So that not every file is gone through chunk by chunk, its four letters
are looked for first.

Source: the PNG specification (third edition), 5.3 and 11.3.4.5.
"""

import tensorflow as tf

from tftrt_yolo.graph.encoded import file_bytes

HEADER_BYTES = 24
_SIGNATURE_BYTES, _FRAME_BYTES = 8, 12  # of a file; of a chunk beside its data: length, kind, checksum
_EXIF, _END = b"eXIf", b"IEND"
_MOST_CHUNKS = 20_000  # of 4 KB each in 89 megapixels


def sizes_hw(head: tf.Tensor) -> tf.Tensor:
    """Height and width (batch, 2) int64 from the first bytes (batch, HEADER_BYTES) int32; zeros without a header."""
    has_header = file_bytes.starts_with(head[:, 12:], b"IHDR")
    sides = [file_bytes.number(head[:, place : place + 4], is_little=False) for place in (20, 16)]
    return tf.stack([tf.where(has_header, side, 0) for side in sides], axis=-1)


def exif(files: tf.Tensor, is_png: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds EXIF.

    Args:
      files: (batch,) string.
      is_png: (batch,) bool, which of them are looked at.

    Returns:
      Where it begins and ends, (batch,) int64 each; zeros where there is none.
    """
    lengths = tf.cast(file_bytes.lengths_of(files), tf.int64)
    looked_at = tf.where(is_png, files, "")  # RE2's \C is any byte
    may_have = tf.strings.regex_full_match(looked_at, rf"(?s)\C*?{_EXIF.decode()}\C*")

    def goes_on(place, *_):
        return tf.reduce_any(place < lengths)

    def chunk(place, start, end):
        values = file_bytes.bytes_at(files, place, 8)
        following = place + _FRAME_BYTES + file_bytes.number(values[:, :4], is_little=False)
        is_exif = file_bytes.starts_with(values[:, 4:], _EXIF)
        is_last = is_exif | file_bytes.starts_with(values[:, 4:], _END)
        start = tf.where(is_exif, place + 8, start)
        return tf.where(is_last, lengths, following), start, tf.where(is_exif, following - 4, end)

    none = tf.zeros_like(lengths)
    start = tf.where(may_have, tf.minimum(lengths, _SIGNATURE_BYTES), lengths)
    _, starts, ends = tf.while_loop(
        goes_on, chunk, (start, none, none), maximum_iterations=_MOST_CHUNKS, parallel_iterations=1
    )
    name = file_bytes.starts_with(file_bytes.bytes_at(files, starts, 6), b"Exif\0\0")  # as in JPEG; some writers do
    return tf.where((starts > 0) & name, starts + 6, starts), ends
