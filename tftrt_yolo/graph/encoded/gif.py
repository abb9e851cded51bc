"""GIF files: their first frame, as Pillow gives it.

    found = first_frames(files, is_gif)
    file = alone(file, found.ends[0], found.flag_places[0])        # for tf.io.decode_image

TensorFlow makes transparent pixels black and Pillow gives the colour that is under them, so the flag is taken away
first. TensorFlow unpacks every frame before it gives the first, so what follows is cut off: an animation of a few
kilobytes can ask for all memory. A frame that is a part of its picture is refused: what is around it is another thing
to each reader.

Source: the GIF89a specification, sections 18, 20 and 23.
"""

from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.graph.encoded import file_bytes

_EXTENSION, _FRAME, _CONTROL = 0x21, 0x2C, 0xF9
_TRAILER = b";"
_MOST_BLOCKS = 40_000  # of 255 bytes, up to the end of the first frame


class Frames(NamedTuple):
    """The first frames of GIF files.

    Attributes:
      sizes_hw: (batch, 2) int64, height and width in pixels; zeros if there is none.
      is_part: (batch,) bool, whether the frame is not the whole picture.
      ends: (batch,) int64, where the frame ends; 0 if it does not.
      flag_places: (batch,) int64, where the byte is that says that it has a transparent colour; 0 if it has none.
    """

    sizes_hw: tf.Tensor
    is_part: tf.Tensor
    ends: tf.Tensor
    flag_places: tf.Tensor


def first_frames(files: tf.Tensor, is_gif: tf.Tensor) -> Frames:
    """Finds the first frames.

    Args:
      files: (batch,) string.
      is_gif: (batch,) bool, which of them are looked at.

    Returns:
      The frames.
    """
    lengths = tf.cast(file_bytes.lengths_of(files), tf.int64)
    none = tf.zeros_like(lengths)
    head = file_bytes.bytes_at(files, none, 13)
    start = tf.where(is_gif, 13 + _palette_bytes(head[:, 10]), lengths)

    def goes_on(place, *_):
        return tf.reduce_any(place < lengths)

    def block(place, is_inside, frame, end, flag):
        values = file_bytes.bytes_at(files, place, 10)
        opens = ~is_inside & (values[:, 0] == _EXTENSION)
        is_frame = ~is_inside & (values[:, 0] == _FRAME) & (place < lengths)
        has_flag = opens & (values[:, 1] == _CONTROL)
        transparent = file_bytes.bytes_at(files, place + 3, 1)[:, 0] % 2 == 1
        pixels = place + 11 + _palette_bytes(values[:, 9])
        begun = tf.where(opens, place + 2, tf.where(is_frame, pixels, lengths))
        further = tf.where(is_inside, place + 1 + tf.cast(values[:, 0], tf.int64), begun)
        is_over = is_inside & (values[:, 0] == 0) & (frame > 0) & (place < lengths)
        return (
            tf.where(is_over, lengths, further),
            opens | is_frame | is_inside & (values[:, 0] > 0),
            tf.where(is_frame, place, frame),
            tf.where(is_over, place + 1, end),
            tf.where(has_flag, tf.where(transparent, place + 3, 0), flag),
        )

    _, _, frames, ends, flag_places = tf.while_loop(
        goes_on,
        block,
        (start, tf.zeros_like(is_gif), none, none, none),
        maximum_iterations=_MOST_BLOCKS,
        parallel_iterations=1,
    )
    descriptor = file_bytes.bytes_at(files, frames, 9)
    left, top, width, height = (file_bytes.number(descriptor[:, place : place + 2]) for place in (1, 3, 5, 7))
    screen_w, screen_h = (file_bytes.number(head[:, place : place + 2]) for place in (6, 8))
    is_whole = (left == 0) & (top == 0) & (width == screen_w) & (height == screen_h)
    has_frame = frames > 0
    sizes = tf.stack([tf.where(has_frame, side, 0) for side in (height, width)], axis=-1)
    return Frames(sizes, has_frame & ~is_whole, ends, flag_places)


def _palette_bytes(flags: tf.Tensor) -> tf.Tensor:
    """Bytes of the palette that a header's flags (batch,) int32 tell of, int64."""
    return tf.cast(tf.where(flags >= 0x80, 3 * tf.bitwise.left_shift(2, flags % 8), 0), tf.int64)


def alone(file: tf.Tensor, end: tf.Tensor, flag_place: tf.Tensor) -> tf.Tensor:
    """A GIF file of its first frame alone, without a transparent colour.

    Args:
      file: A string.
      end: As in `Frames`, and not 0.
      flag_place: As in `Frames`.

    Returns:
      The file.
    """
    start = tf.zeros_like(flag_place)

    def opaque():
        flag = file_bytes.bytes_at(file[tf.newaxis], flag_place[tf.newaxis], 1)[0, 0]
        letters = tf.constant([bytes([value]) for value in range(256)])
        before = tf.strings.substr(file, start, flag_place)
        after = tf.strings.substr(file, flag_place + 1, end - flag_place - 1)
        return tf.strings.join([before, tf.gather(letters, flag - flag % 2), after])

    frame = tf.cond(flag_place > 0, opaque, lambda: tf.strings.substr(file, start, end))
    return tf.strings.join([frame, _TRAILER])
