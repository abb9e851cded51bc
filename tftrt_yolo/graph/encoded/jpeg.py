"""The segments of JPEG files before their pixels: where the frame's header and EXIF are, and Adobe's segment.

    found = segments(files, is_jpeg)            # found.sizes_hw, found.channels
    places, ends = exif(files, found.exif_places)

A header is read in pieces of a kilobyte, and within a piece from segment to segment without a loop: most files have one
piece or two, those with a colour profile one more for each 64 KB of it.

Source: ITU-T T.81, annex B; the EXIF segment as of EXIF 2.3, 4.7.2.
"""

from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.graph.encoded import file_bytes

_WINDOW = 1_024  # bytes of a piece
_FIELDS = 12  # bytes of a segment that are looked at, with its marker
_REACH = _WINDOW - _FIELDS + 1  # where a segment may begin in a piece
_HOPS = 16  # segments of a piece; a file without EXIF has ten
_MOST_PIECES = 256
_SCAN, _END, _APP1, _APP14 = 0xDA, 0xD9, 0xE1, 0xEE
_TABLES = (0xC4, 0xC8, 0xCC)  # among C0 to CF, and one that is reserved; the others are frames
_EXIF, _ADOBE = b"Exif\0\0", b"Adobe"
# What a kind of marker is, by its number; one look into a table is cheaper than comparisons.
_OTHER, _IS_FRAME, _IS_END, _IS_EXIF, _IS_ADOBE = range(5)
_CLASSES = [_OTHER] * 256
_CLASSES[0xC0:0xD0] = [_OTHER if kind in _TABLES else _IS_FRAME for kind in range(0xC0, 0xD0)]
_CLASSES[_SCAN] = _CLASSES[_END] = _IS_END
_CLASSES[_APP1], _CLASSES[_APP14] = _IS_EXIF, _IS_ADOBE
# How far it is behind a marker without a length, 0 for one that has one; FF is filling.
_STEPS = [2 if kind <= 1 or 0xD0 <= kind <= _END else 0 for kind in range(255)] + [1]


class Segments(NamedTuple):
    """What JPEG files say before their pixels; zeros where there is nothing.

    Attributes:
      sizes_hw: (batch, 2) int64, height and width in pixels.
      channels: (batch,) int32.
      has_adobe: (batch,) bool, whether Adobe's segment is there, which says how four channels are meant.
      exif_places: (batch,) int64, where the segment of the first EXIF begins that is not empty.
    """

    sizes_hw: tf.Tensor
    channels: tf.Tensor
    has_adobe: tf.Tensor
    exif_places: tf.Tensor


def segments(files: tf.Tensor, is_jpeg: tf.Tensor) -> Segments:
    """Finds what matters in the headers of JPEG files.

    Args:
      files: (batch,) string.
      is_jpeg: (batch,) bool, which of them are looked at.

    Returns:
      The segments.
    """
    lengths = tf.cast(file_bytes.lengths_of(files), tf.int64)

    def goes_on(place, _):
        return tf.reduce_any(place < lengths)

    def piece(place, known):
        found = _of_piece(file_bytes.bytes_at(files, place, _WINDOW))
        known = tf.where((known == 0) & (found.firsts < _REACH), place + found.firsts, known)
        return tf.where(found.is_end, lengths, place + found.following), known

    start = tf.where(is_jpeg, tf.minimum(lengths, 2), lengths), tf.zeros_like([lengths] * 3)
    _, known = tf.while_loop(goes_on, piece, start, maximum_iterations=_MOST_PIECES, parallel_iterations=1)
    frames, exifs, adobes = tf.unstack(known)
    header = file_bytes.bytes_at(files, frames, 10)  # marker, length, bits of a sample, height, width, channels
    sizes = file_bytes.number(tf.reshape(header[:, 5:9], (-1, 2, 2)), is_little=False)
    return Segments(
        sizes_hw=tf.where(frames[:, tf.newaxis] > 0, sizes, 0),
        channels=header[:, 9],
        has_adobe=adobes > 0,
        exif_places=exifs,
    )


def exif(files: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where EXIF begins behind its name, and where it ends, (batch,) int64 each, of its segments' places; or zeros."""
    lengths = file_bytes.number(file_bytes.bytes_at(files, places + 2, 2), is_little=False)
    is_there = places > 0
    return tf.where(is_there, places + 4 + len(_EXIF), 0), tf.where(is_there, places + 2 + lengths, 0)


class _Piece(NamedTuple):
    """What is in a piece of each file.

    Attributes:
      firsts: (3, batch) int64, where in it the frame's header, EXIF and Adobe's segment are; _REACH where not.
      following: (batch,) int64, what comes behind the last segment that begins here.
      is_end: (batch,) bool, whether the pixels begin, or the image ends.
    """

    firsts: tf.Tensor
    following: tf.Tensor
    is_end: tf.Tensor


def _of_piece(window: tf.Tensor) -> _Piece:
    """Looks at a piece (batch, _WINDOW) int32, at whose first byte a segment begins."""
    steps = _steps(window)
    followings = tf.pad(tf.minimum(tf.range(_REACH) + steps, _REACH), [(0, 0), (0, 1)], constant_values=_REACH)
    at = tf.zeros_like(window[:, 0])
    hops = [at]
    for _ in range(_HOPS - 1):
        hops.append(at := tf.gather(followings, at, batch_dims=1))
    places = tf.stack(hops, axis=1)  # (batch, _HOPS)
    last = tf.reduce_max(tf.where(places < _REACH, places, 0), axis=1)
    fields = tf.gather(window, tf.minimum(places, _REACH - 1)[..., tf.newaxis] + tf.range(_FIELDS), batch_dims=1)
    classes = tf.where((places < _REACH) & (fields[..., 0] == 0xFF), tf.gather(_CLASSES, fields[..., 1]), _OTHER)
    ends = classes == _IS_END
    before = tf.where(tf.cumsum(tf.cast(ends, tf.int32), axis=1) == 0, classes, _OTHER)
    is_filled = fields[..., 2] * 256 + fields[..., 3] > 2 + len(_EXIF)
    found = [
        before == _IS_FRAME,
        (before == _IS_EXIF) & is_filled & file_bytes.starts_with(fields[..., 4:], _EXIF),
        (before == _IS_ADOBE) & file_bytes.starts_with(fields[..., 4:], _ADOBE),
    ]
    return _Piece(
        firsts=tf.cast(tf.reduce_min(tf.where(found, places, _REACH), axis=2), tf.int64),
        following=tf.cast(last + tf.gather(steps, last, batch_dims=1), tf.int64),
        is_end=tf.reduce_any(ends, axis=1),
    )


def _steps(window: tf.Tensor) -> tf.Tensor:
    """How far it is to the next segment from each byte of a piece, were it the first of one: (batch, _REACH) int32."""
    mark, kind, high, low = (window[:, place : place + _REACH] for place in range(4))
    without_length = tf.where(mark == 0xFF, tf.gather(_STEPS, kind), 1)
    return tf.where(without_length > 0, without_length, 2 + tf.maximum(high * 256 + low, 2))
