"""The usual case of a selection in XLA: a few candidates, found without a sort and without a word to the host.

    scores, entries = best_few(competing, 128)

XLA's sort is a dozen kernels or more, and what depends on a number that the host must learn waits for it. Here all is
sums, comparisons and gathers, which XLA fuses into a few kernels and records in a CUDA graph together with the network.
"""

import tensorflow as tf

_PART = 64  # entries that are counted together


def best_few(competing_scores: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What competes, best first, where it is no more than a few.

    Args:
      competing_scores: (batch, entries) float32, below 0 for what does not compete; the number of entries is known.
      count: At most so many compete in each image; of more, the first are given, whatever their scores.

    Returns:
      (batch, count) float32, their scores, and (batch, count) int32, their entries, in the order of `tf.math.top_k`: of
      equal scores the first. -1 and 0 behind them.
    """
    num_entries = competing_scores.shape[1]
    numbers = numbered(competing_scores >= 0.0)
    slots = tf.range(1, count + 1, dtype=tf.float32)
    entries = _first_not_below(numbers, slots)
    is_filled = slots <= numbers[:, -1:]
    entries = tf.minimum(entries, num_entries - 1)
    scores = tf.where(is_filled, tf.gather(competing_scores, entries, batch_dims=1), -1.0)
    rank = _ranks(scores)
    is_here = rank[:, tf.newaxis, :] == (slots - 1.0)[:, tf.newaxis]  # (batch, slot, candidate), one a slot
    ordered = tf.reduce_sum(tf.where(is_here, scores[:, tf.newaxis], 0.0), axis=-1)
    places = tf.cast(tf.where(is_filled, entries, 0), tf.float32)
    return ordered, tf.cast(tf.reduce_sum(tf.where(is_here, places[:, tf.newaxis], 0.0), axis=-1), tf.int32)


def numbered(mask: tf.Tensor) -> tf.Tensor:
    """How many of each row are true up to each place: a cumulative sum that XLA fuses, as it does not `tf.cumsum`.

    Args:
      mask: (batch, entries) bool; the number of entries is known.

    Returns:
      (batch, entries) float32, whole numbers.
    """
    num_entries = mask.shape[1]
    padded = tf.pad(tf.cast(mask, tf.float32), [[0, 0], [0, -num_entries % _PART]])
    parts = tf.reshape(padded, (-1, padded.shape[1] // _PART, _PART))
    within = tf.range(_PART)
    own = tf.reduce_sum(tf.where(within <= within[:, tf.newaxis], parts[:, :, tf.newaxis], 0.0), axis=-1)
    totals = tf.reduce_sum(parts, axis=-1)
    order = tf.range(parts.shape[1])
    before = tf.reduce_sum(tf.where(order < order[:, tf.newaxis], totals[:, tf.newaxis], 0.0), axis=-1)
    return tf.reshape(own + before[:, :, tf.newaxis], (-1, padded.shape[1]))[:, :num_entries]


def _first_not_below(rising: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The first place of each row that holds a value or more, (batch, values) int32; the row's length if none does.

    A binary search of all values at a time.
    """
    length = rising.shape[1]
    found = tf.zeros((tf.shape(rising)[0], values.shape[0]), tf.int32)
    step = 1 << length.bit_length()
    while step > 1:
        step //= 2
        probe = found + step
        below = tf.gather(rising, tf.minimum(probe, length) - 1, batch_dims=1) < values
        found = tf.where((probe <= length) & below, probe, found)
    return found


def _ranks(scores: tf.Tensor) -> tf.Tensor:
    """(batch, K) float32: how many of a row come before each, by their scores, and of equal ones by their places."""
    place = tf.range(scores.shape[1])
    is_before = (scores[:, tf.newaxis] > scores[:, :, tf.newaxis]) | (
        (scores[:, tf.newaxis] == scores[:, :, tf.newaxis]) & (place < place[:, tf.newaxis])
    )
    return tf.reduce_sum(tf.cast(is_before, tf.float32), axis=-1)
