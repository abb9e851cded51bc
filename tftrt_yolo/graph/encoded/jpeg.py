"""The segments of JPEG files before their pixels: where the frame's header and EXIF are, and Adobe's segment.

    found = segments(files, is_jpeg)            # found.sizes_hw, found.exif_places

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
_NOT_FRAMES = (0xC4, 0xC8, 0xCC)  # among C0 to CF: tables, and one that is reserved
_EXIF, _ADOBE = b"Exif\0\0", b"Adobe"


class Segments(NamedTuple):
    """What JPEG files say before their pixels; zeros where there is nothing.

    Attributes:
      sizes_hw: (batch, 2) int64, height and width in pixels.
      channels: (batch,) int32.
      has_adobe: (batch,) bool, whether Adobe's segment is there, which says how four channels are meant.
      exif_places: (batch,) int64, where the first EXIF that is not empty begins, behind its name.
      exif_ends: (batch,) int64, where its segment ends.
    """

    sizes_hw: tf.Tensor
    channels: tf.Tensor
    has_adobe: tf.Tensor
    exif_places: tf.Tensor
    exif_ends: tf.Tensor


def segments(files: tf.Tensor, is_jpeg: tf.Tensor) -> Segments:
    """Finds what matters in the headers of JPEG files.

    Args:
      files: (batch,) string.
      is_jpeg: (batch,) bool, which of them are looked at.

    Returns:
      The segments.
    """
    lengths = tf.cast(file_bytes.lengths_of(files), tf.int64)
    none = tf.zeros_like(lengths)

    def goes_on(place, *_):
        return tf.reduce_any(place < lengths)

    def piece(place, frame, exif, adobe):
        found = _of_piece(file_bytes.bytes_at(files, place, _WINDOW))

        def first(known, at):
            return tf.where((known == 0) & (at < _REACH), place + at, known)

        known = (first(*pair) for pair in ((frame, found.frame), (exif, found.exif), (adobe, found.adobe)))
        return (tf.where(found.is_end, lengths, place + found.following), *known)

    start = tf.where(is_jpeg, tf.minimum(lengths, 2), lengths)
    _, frames, exifs, adobes = tf.while_loop(
        goes_on, piece, (start, none, none, none), maximum_iterations=_MOST_PIECES, parallel_iterations=1
    )
    header = file_bytes.bytes_at(files, frames, 10)  # marker, length, bits of a sample, height, width, channels
    has_frame = frames > 0
    sides = [file_bytes.number(header[:, place : place + 2], is_little=False) for place in (5, 7)]
    lengths_of_exif = file_bytes.number(file_bytes.bytes_at(files, exifs + 2, 2), is_little=False)
    return Segments(
        sizes_hw=tf.stack([tf.where(has_frame, side, 0) for side in sides], axis=-1),
        channels=tf.where(has_frame, header[:, 9], 0),
        has_adobe=adobes > 0,
        exif_places=tf.where(exifs > 0, exifs + 4 + len(_EXIF), 0),
        exif_ends=exifs + 2 + lengths_of_exif,
    )


class _Piece(NamedTuple):
    """What is in a piece of each file: positions in it, (batch,) int64; _REACH for what is not there.

    Attributes:
      frame: The frame's header.
      exif: EXIF.
      adobe: Adobe's segment.
      following: What comes behind the last segment that begins here.
      is_end: (batch,) bool, whether the pixels begin, or the image ends.
    """

    frame: tf.Tensor
    exif: tf.Tensor
    adobe: tf.Tensor
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
    fields = tf.gather(window, tf.minimum(places, _REACH - 1)[..., tf.newaxis] + tf.range(_FIELDS), batch_dims=1)
    is_here = places < _REACH
    kinds = tf.where(is_here & (fields[..., 0] == 0xFF), fields[..., 1], 0)
    ends = (kinds == _SCAN) | (kinds == _END)
    kinds = tf.where(tf.cumsum(tf.cast(ends, tf.int32), axis=1) == 0, kinds, 0)

    def first(found):
        return tf.cast(tf.reduce_min(tf.where(found, places, _REACH), axis=1), tf.int64)

    is_frame = (kinds >= 0xC0) & (kinds <= 0xCF)
    for kind in _NOT_FRAMES:
        is_frame &= kinds != kind
    is_filled = fields[..., 2] * 256 + fields[..., 3] > 2 + len(_EXIF)
    last = tf.reduce_max(tf.where(is_here, places, 0), axis=1)
    return _Piece(
        frame=first(is_frame),
        exif=first((kinds == _APP1) & file_bytes.starts_with(fields[..., 4:], _EXIF) & is_filled),
        adobe=first((kinds == _APP14) & file_bytes.starts_with(fields[..., 4:], _ADOBE)),
        following=tf.cast(last + tf.gather(steps, last, batch_dims=1), tf.int64),
        is_end=tf.reduce_any(ends, axis=1),
    )


def _steps(window: tf.Tensor) -> tf.Tensor:
    """How far it is to the next segment from each byte of a piece, were it the first of one: (batch, _REACH) int32."""
    mark, kind, high, low = (window[:, place : place + _REACH] for place in range(4))
    is_filling = (mark != 0xFF) | (kind == 0xFF)
    has_no_length = (kind <= 1) | ((kind >= 0xD0) & (kind <= 0xD9))
    return tf.where(is_filling, 1, tf.where(has_no_length, 2, 2 + tf.maximum(high * 256 + low, 2)))
