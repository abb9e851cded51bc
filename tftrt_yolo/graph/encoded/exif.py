"""How a camera was held: EXIF's orientation, from the bytes of files.

    turned = orientations(files, places, ends)          # (batch,) int32, 1 to 8
    image = upright(image, turned[0])

Source: the TIFF 6.0 specification, section 2, and EXIF 2.3, 4.6.4, tag 274. What is damaged counts as upright, as in
ground.files.image_files.
"""

import tensorflow as tf

from tftrt_yolo.graph.encoded import file_bytes

UPRIGHT, LAST_THAT_STANDS = 1, 4  # from 5 on a picture lies on a side
_TAG, _SHORT, _LONG = 0x0112, 3, 4
_MOST_ENTRIES = 256  # of a directory; cameras write ten to forty
_HEADER_BYTES, _ENTRY_BYTES = 8, 12


def orientations(files: tf.Tensor, places: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Finds EXIF's orientations.

    Args:
      files: (batch,) string.
      places: (batch,) int64, where the TIFF that is EXIF begins; 0 where there is none.
      ends: (batch,) int64, where it ends.

    Returns:
      (batch,) int32: 1 to 8, and 1 where there is none or it is damaged.
    """
    header = file_bytes.bytes_at(files, places, _HEADER_BYTES)
    is_little = file_bytes.starts_with(header, b"II*\0")
    is_tiff = is_little | file_bytes.starts_with(header, b"MM\0*")
    offsets = file_bytes.number(header[:, 4:8], is_little=is_little)
    directories = places + offsets
    table = file_bytes.bytes_at(files, directories, 2 + _ENTRY_BYTES * _MOST_ENTRIES)
    counts = file_bytes.number(table[:, :2], is_little=is_little)
    entries = tf.reshape(table[:, 2:], (-1, _MOST_ENTRIES, _ENTRY_BYTES))

    index = tf.range(_MOST_ENTRIES, dtype=tf.int64)
    entry_ends = directories[:, tf.newaxis] + 2 + _ENTRY_BYTES * (index + 1)
    are_there = (index < counts[:, tf.newaxis]) & (entry_ends <= ends[:, tf.newaxis])
    order = is_little[:, tf.newaxis]
    tags, kinds = (file_bytes.number(entries[..., place : place + 2], is_little=order) for place in (0, 2))
    values_each = file_bytes.number(entries[..., 4:8], is_little=order)
    is_short = (kinds == _SHORT) & ((values_each == 1) | (values_each == 2))  # more stand elsewhere
    is_long = (kinds == _LONG) & (values_each == 1)
    is_it = are_there & (tags == _TAG) & (is_short | is_long)

    first = tf.argmax(tf.cast(is_it, tf.int32), axis=1)
    value, kind = tf.gather(entries[..., 8:12], first, batch_dims=1), tf.gather(is_short, first, batch_dims=1)
    short = file_bytes.number(value[:, :2], is_little=is_little)
    turned = tf.where(kind, short, file_bytes.number(value, is_little=is_little))
    is_known = (
        (places > 0)
        & is_tiff
        & (offsets >= _HEADER_BYTES)
        & tf.reduce_any(is_it, axis=1)
        & (turned >= 1)
        & (turned <= 8)
    )
    return tf.cast(tf.where(is_known, turned, UPRIGHT), tf.int32)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image so that its top is above.

    Args:
      image: (height, width, 3) uint8.
      orientation: EXIF's, 1 to 8, int32.

    Returns:
      The image, height and width exchanged where it lay on a side.
    """

    def turned(axes, *, is_exchanged=False):
        lying = tf.transpose(image, (1, 0, 2)) if is_exchanged else image
        return tf.reverse(lying, tf.constant(axes, tf.int32))  # a slice with step -1 takes twenty times as long

    turns = [lambda axes=axes: turned(axes) for axes in ([1], [0, 1], [0])]
    turns += [lambda axes=axes: turned(axes, is_exchanged=True) for axes in ([], [1], [0, 1], [0])]
    return tf.cond(orientation == UPRIGHT, lambda: image, lambda: tf.switch_case(orientation - 2, turns))
