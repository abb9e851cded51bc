"""Outputs in one tensor, so that they come from a GPU in one copy.

    packed = pack(outputs, per_image=())["packed"]              # in the graph: (batch, P) float32
    outputs = unpack({"packed": packed.numpy()}, specs, per_image=())   # on the host, as views of it

A GPU takes twenty microseconds and more for each small copy, and a batch of one picture has four outputs or five.
"""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

PACKED = "packed"


def pack(outputs: Mapping[str, tf.Tensor], *, per_image: tuple[str, ...]) -> dict[str, tf.Tensor]:
    """Puts outputs side by side.

    Args:
      outputs: Name to (batch, ...), float32, or int32 of whole numbers up to 2**24; all axes but the batch are known.
      per_image: Names of those that are large and stay as they are.

    Returns:
      These, and "packed" (batch, P) float32: all others, in the order of their names; not there if there are none.
    """
    small = [outputs[name] for name in sorted(outputs) if name not in per_image]
    rows = [tf.reshape(tf.cast(values, tf.float32), (-1, math.prod(values.shape[1:]))) for values in small]
    large = {name: outputs[name] for name in per_image}
    return {PACKED: tf.concat(rows, axis=1)} | large if rows else large


def width_of(specs: Mapping[str, tf.TensorSpec], *, per_image: tuple[str, ...]) -> int:
    """P of `pack`, for outputs of these specs."""
    return sum(math.prod(spec.shape[1:]) for name, spec in specs.items() if name not in per_image)


def unpack(
    packed: Mapping[str, np.ndarray], specs: Mapping[str, tf.TensorSpec], *, per_image: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Takes outputs apart again.

    Args:
      packed: As `pack` gives them.
      specs: Name to the spec of each output.
      per_image: As `pack`.

    Returns:
      Name to array, of the specs' dtypes.
    """
    outputs, first = {name: packed[name] for name in per_image}, 0
    for name in sorted(specs):
        if name in per_image:
            continue
        shape = tuple(specs[name].shape[1:])
        values = packed[PACKED][:, first : first + math.prod(shape)].reshape(-1, *shape)
        outputs[name] = values.astype(specs[name].dtype.as_numpy_dtype, copy=False)
        first += math.prod(shape)
    return outputs
