"""Bytes and numbers of files that are strings, a batch of them at once.

    head = bytes_at(files, tf.zeros_like(lengths), 72)      # (batch, 72) int32, zeros behind the end
    width = number(head[:, 18:22])                          # (batch,) int64

No position is out of bounds, so nothing of a damaged file is an error here.
"""

import tensorflow as tf


def lengths_of(files: tf.Tensor) -> tf.Tensor:
    """Bytes of each file, (batch,) int32."""
    return tf.strings.length(files)


def bytes_at(files: tf.Tensor, places: tf.Tensor, count: int) -> tf.Tensor:
    """Reads some bytes of each file.

    Args:
      files: (batch,) string.
      places: (batch,) integers; where each begins. Before the file it begins with the file.
      count: How many, 1 or more.

    Returns:
      (batch, count) int32; zeros behind the file's end.
    """
    ends = tf.cast(lengths_of(files), places.dtype)
    inside = tf.clip_by_value(places, tf.zeros_like(ends), ends)
    # int64, or lengths near 2 GiB would be taken for negative ones
    parts = tf.strings.substr(files, tf.cast(inside, tf.int64), tf.fill(tf.shape(inside), tf.constant(count, tf.int64)))
    return tf.cast(tf.io.decode_raw(parts, tf.uint8, fixed_length=count), tf.int32)


def number(values: tf.Tensor, *, is_little: tf.Tensor | bool = True) -> tf.Tensor:
    """The number that bytes are.

    Args:
      values: (..., 2 or 4) int32.
      is_little: Whether the lowest byte is the first; (...) bool, or one for all.

    Returns:
      (...) int64, not negative.
    """
    powers = [256**place for place in range(values.shape[-1])]
    values = tf.cast(values, tf.int64)
    if isinstance(is_little, bool):
        return tf.reduce_sum(values * tf.constant(powers if is_little else powers[::-1], tf.int64), axis=-1)
    return tf.where(is_little, number(values), number(values, is_little=False))


def starts_with(values: tf.Tensor, text: bytes) -> tf.Tensor:
    """Whether bytes (..., n) int32 begin with a text: (...) bool."""
    return tf.reduce_all(values[..., : len(text)] == tf.constant(list(text), tf.int32), axis=-1)


def holds(values: tf.Tensor, text: bytes) -> tf.Tensor:
    """Whether a text is anywhere in bytes (batch, n) int32: (batch,) bool."""
    count = values.shape[1] - len(text) + 1
    found = [values[:, place : place + count] == byte for place, byte in enumerate(text)]
    return tf.reduce_any(tf.reduce_all(tf.stack(found, axis=-1), axis=-1), axis=-1)
