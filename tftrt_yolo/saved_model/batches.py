"""Batches of any size for a function that XLA compiles once for each: filled up, cut, and the results cut back.

    sizes = CompiledSizes((1, 8))                      # CompiledSizes(()) for the powers of two
    sizes.run_by(20)                                   # (8, 8, 8): two batches of 8 and one of 4, filled up
    predict = fill_batches(compiled, CompiledSizes((1, 8)))        # in the graph

What is done here is not compiled itself, so a stream of odd batches compiles these sizes and nothing more, whoever
runs the SavedModel. It counts with those ops of int32 whose kernels for GPUs compute on the host. Were any of it put
onto the host by name, TensorFlow would cut the function into one for each device and have them wait for each other in
every call, which takes longer than a small batch's network.
"""

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf

from tftrt_yolo.ground.placement import CROP

MOST_SIZE = 1 << 30  # the largest power of two of an int32
# Of one batch that is padded to one size: the images and what the graph makes of them before they are frames, which was
# measured for images of 89 megapixels. One image that needs more runs alone: of 179 megapixels, in 3 GB; in 5 GB where
# it is cropped.
_MOST_BATCH_BYTES = 1_500_000_000
_RESIZE_BYTES, _CROP_BYTES = 15, 34  # a pixel of the batch


@dataclasses.dataclass(frozen=True)
class CompiledSizes:
    """The batch sizes that are compiled.

    Attributes:
      sizes: In rising order; empty for every power of two.
    """

    sizes: tuple[int, ...] = ()

    def __str__(self) -> str:
        """The sizes for a reader."""
        if not self.sizes:
            return "every power of two"
        return f"batch size{'s' if len(self.sizes) > 1 else ''} {', '.join(map(str, self.sizes))}"

    def filled(self, num_images: int) -> int:
        """The least of the sizes that holds so many images, or the largest that there is; for none as for one."""
        if not self.sizes:
            return 1 << max(num_images - 1, 0).bit_length()
        return next((size for size in self.sizes if size >= num_images), self.sizes[-1])

    def run_by(self, num_images: int) -> tuple[int, ...]:
        """The sizes in which a batch of so many images is run, one after the other."""
        whole, rest = divmod(num_images, self.sizes[-1]) if self.sizes else (0, num_images)
        last = (self.filled(rest),) if rest or not whole else ()
        return self.sizes[-1:] * whole + last


def fill_batches(compiled: Callable, sizes: CompiledSizes) -> Callable:
    """A function of any batch around one that is only to see batches of some sizes.

    Args:
      compiled: A concrete function of tensors, nested or not, that all have the batch as their first axis; its rows do
        not depend on each other. It gives a dictionary of such tensors.
      sizes: The sizes.

    Returns:
      A function of the same arguments. Rows of ones are added and their results cut off; a batch above the largest size
      is cut into several. A batch of one of the sizes goes through as it is.
    """
    known = sizes.sizes or tuple(1 << exponent for exponent in range(MOST_SIZE.bit_length()))
    run_filled = functools.partial(_run_filled, compiled, known=known)

    def as_it_is(arguments):  # nothing is cut off either, for each output's slice is a launch of its own
        return {name: tf.identity(values) for name, values in compiled(*arguments).items()}

    def otherwise(arguments, count):
        if not sizes.sizes:
            return run_filled(arguments)
        return tf.cond(
            count <= known[-1],
            lambda: run_filled(arguments),
            lambda: _run_parts(run_filled, arguments, known[-1], compiled.structured_outputs),
        )

    def run(*arguments):
        count = _count(arguments)
        is_whole = tf.equal(tf.reduce_min(tf.abs(count - tf.constant(known))), 0)
        return tf.cond(is_whole, lambda: as_it_is(arguments), lambda: otherwise(arguments, count))

    return run


def _count(arguments) -> tf.Tensor:
    """The batch: a number, int32."""
    return tf.shape(tf.nest.flatten(arguments)[0])[0]


def _next_size(count: tf.Tensor, known: tuple[int, ...]) -> tf.Tensor:
    """The least of the sizes that holds so many rows, for a batch that fits into one of them."""
    is_less = tf.minimum(tf.maximum(count - tf.constant(known), 0), 1)  # a cast of a comparison is the GPU's own
    return tf.constant(known)[tf.reduce_sum(is_less)]


def _run_filled(compiled: Callable, arguments, *, known: tuple[int, ...]) -> dict[str, tf.Tensor]:
    """Runs a batch that is filled up to a size; gives the results of its own rows."""
    count = _count(arguments)
    missing = _next_size(count, known) - count

    def fill(tensor):
        margins = [(0, missing)] + [(0, 0)] * (tensor.shape.rank - 1)
        filled = tf.pad(tensor, margins, constant_values=tf.ones((), tensor.dtype))  # a gain of 0 would be divided by
        return tf.ensure_shape(filled, tensor.shape)

    found = compiled(*tf.nest.map_structure(fill, arguments))
    return {name: values[:count] for name, values in found.items()}


def _run_parts(run_filled: Callable, arguments, largest: int, given: dict) -> dict[str, tf.Tensor]:
    """Runs a batch in parts of the largest size, of which the last is what remains, and puts their results together."""
    count, names = _count(arguments), sorted(given)

    def run_part(first, parts):
        rows = slice(first, first + largest)
        found = run_filled(tf.nest.map_structure(lambda tensor: tensor[rows], arguments))
        index = first // largest
        return first + largest, [array.write(index, found[name]) for array, name in zip(parts, names, strict=True)]

    num_parts = (count + largest - 1) // largest
    parts = [
        tf.TensorArray(given[name].dtype, num_parts, element_shape=given[name].shape, infer_shape=False)
        for name in names
    ]
    _, parts = tf.while_loop(lambda first, _: first < count, run_part, (tf.constant(0), parts), parallel_iterations=1)
    return {name: array.concat() for name, array in zip(names, parts, strict=True)}


def most_images(size_hw: tuple[int, int], fit: str) -> int:
    """How many images of a size a batch of signature `padded` may have to stay within memory.

    Args:
      size_hw: Height and width of the images, or of the largest, in pixels.
      fit: How the graph lays them into frames: one of `placement.FITS`.

    Returns:
      A number of images; 0 for one that is to run alone.
    """
    pixel_bytes = _CROP_BYTES if fit == CROP else _RESIZE_BYTES
    return _MOST_BATCH_BYTES // (pixel_bytes * max(1, size_hw[0] * size_hw[1]))
