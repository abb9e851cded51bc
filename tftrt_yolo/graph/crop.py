"""Centre crops inside the graph: what Ultralytics does to images before it classifies them.

    frames, placement = crop_images(images, sizes_hw, size_hw=(224, 224))

The shorter side is resized to the frame's, and the middle of the longer one is kept; a frame that is not square takes
the whole image, whatever its aspect ratio.

Source: ultralytics.data.augment.classify_transforms: torchvision's Resize and CenterCrop of Pillow images.
"""

from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.graph.letterbox import Letterbox

_HOST = "/CPU:0"
_WEIGHT_BITS = 22  # PRECISION_BITS of Pillow's src/libImaging/Resample.c: its weights are whole numbers of 1 / 2**22
_HALF = 2.0 ** (_WEIGHT_BITS // 2)


def crop_images(images: tf.Tensor, sizes_hw: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, Letterbox]:
    """Resizes images and crops their centres.

    Args:
      images: (batch, height, width, 3) uint8, RGB, each image at the top left.
      sizes_hw: (batch, 2) int32, the part of each that is image, in pixels.
      size_hw: Frame height and width in pixels.

    Returns:
      Frames (batch, *size_hw, 3) uint8, and where the images lie in them.
    """
    shape = tf.shape(images)  # not on the host, or all images would go there to be measured
    with tf.device(_HOST):  # weights for each row and column, not worth a GPU's launches
        image_hw = tf.cast(sizes_hw, tf.float64)
        scaled_hw = _scaled_sizes(image_hw, size_hw)
        # Half to even, as Python's round in torchvision.transforms.functional.center_crop.
        offset_hw = tf.round((scaled_hw - tf.constant(size_hw, tf.float64)) / 2.0)
        axes = [
            _axis(image_hw[:, axis], scaled_hw[:, axis], offset_hw[:, axis], length, shape[1 + axis])
            for axis, length in enumerate(size_hw)
        ]
        rows, columns = (_weights(axis, length) for axis, length in zip(axes, size_hw, strict=True))
        placement = Letterbox(
            gain_xy=tf.cast(scaled_hw / image_hw, tf.float32)[:, ::-1],
            padding_xy=tf.cast(-offset_hw, tf.float32)[:, ::-1],
            image_sizes_hw=sizes_hw,
        )
    taken, across = _taken(images, axes), []
    for channel in range(3):  # one after the other, or 89 megapixels are there three times in 32 bits
        with tf.control_dependencies(across):
            plane = tf.cast(taken[..., channel], tf.float32)[:, tf.newaxis]
        across.append(_weigh(plane, columns))
    across = tf.concat(across, axis=1)
    frames = _weigh(tf.transpose(across, (0, 1, 3, 2)), rows)  # (batch, 3, width, height)
    frames = tf.cast(tf.transpose(frames, (0, 3, 2, 1)), tf.uint8)  # a transpose of uint8 is the slower one
    return tf.ensure_shape(frames, (None, *size_hw, 3)), placement


def _scaled_sizes(image_hw: tf.Tensor, size_hw: tuple[int, int]) -> tf.Tensor:
    """Size of each whole image after resizing, (batch, 2) float64.

    Source: torchvision.transforms.functional._compute_resized_output_size: the longer side is cut off, not rounded.
    """
    height, width = size_hw
    if height != width:
        return tf.ones_like(image_hw) * tf.constant(size_hw, tf.float64)
    return tf.floor(height * image_hw / tf.reduce_min(image_hw, axis=1, keepdims=True))


class _Axis(NamedTuple):
    """Which source pixels of one axis are looked at, and where the frame's lie among them.

    Attributes:
      image: (batch, 1, 1) float64, source pixels that are image.
      support: (batch, 1, 1) float64, source pixels that a frame pixel reaches to each side.
      center: (batch, 1, length) float64, the frame pixels in source pixels.
      first: (batch,) int32, the first source pixel that is taken.
      count: int32, how many are taken.
      is_part: bool, whether these are less than all.
    """

    image: tf.Tensor
    support: tf.Tensor
    center: tf.Tensor
    first: tf.Tensor
    count: tf.Tensor
    is_part: tf.Tensor


def _axis(image: tf.Tensor, scaled: tf.Tensor, offset: tf.Tensor, length: int, extent: tf.Tensor) -> _Axis:
    """Finds what a crop needs of an axis; of a strip that is a thousand times as long as it is high, a thousandth.

    Args:
      image: (batch,) float64, source pixels that are image.
      scaled: (batch,) float64, pixels after resizing.
      offset: (batch,) float64, how many of these lie before the frame.
      length: Frame pixels.
      extent: int32, source pixels, with padding.

    Returns:
      The axis: all source pixels, or less than half of them.
    """
    image, scaled, offset = (values[:, tf.newaxis, tf.newaxis] for values in (image, scaled, offset))
    scale = image / scaled
    support = tf.maximum(scale, 1.0)
    center = (tf.range(length, dtype=tf.float64) + offset + 0.5) * scale
    first = tf.cast(tf.maximum(tf.floor(center[:, 0, 0] - support[:, 0, 0]) - 1.0, 0.0), tf.int32)
    end = tf.cast(tf.math.ceil(center[:, 0, -1] + support[:, 0, 0]) + 1.0, tf.int32)
    needed = tf.reduce_max(tf.concat([end - first, [1]], axis=0))
    is_part = needed < extent // 2
    return _Axis(
        *(image, support, center),
        first=tf.where(is_part, first, 0),
        count=tf.where(is_part, needed, extent),
        is_part=is_part,
    )


def _taken(images: tf.Tensor, axes: list[_Axis]) -> tf.Tensor:
    """(batch, rows, columns, 3) bfloat16, the source pixels of both axes, which has whole numbers up to 256."""

    def places(axis, extent):
        with tf.device(_HOST):
            return tf.minimum(axis.first[:, tf.newaxis] + tf.range(axis.count), extent - 1)

    def part():
        taken = tf.cast(images, tf.bfloat16)  # no GPU kernel gathers uint8
        for dimension, axis in enumerate(axes, start=1):
            taken = tf.gather(taken, places(axis, tf.shape(images)[dimension]), axis=dimension, batch_dims=1)
        return taken

    with tf.device(_HOST):
        is_part = axes[0].is_part | axes[1].is_part
    return tf.cond(is_part, part, lambda: tf.cast(images, tf.bfloat16))


def _weights(axis: _Axis, length: int) -> tf.Tensor:
    """How much of each source pixel of one axis each frame pixel takes: a triangle as wide as two frame pixels.

    Args:
      axis: The source pixels.
      length: Frame pixels.

    Returns:
      (batch, axis.count, 2 * length) float32, whole numbers: the upper and the lower half of each weight's 22 bits.

    Source: precompute_coeffs and normalize_coeffs_8bpc of Pillow's src/libImaging/Resample.c.
    """
    source = tf.cast(axis.first[:, tf.newaxis] + tf.range(axis.count), tf.float64)[:, :, tf.newaxis]
    weights = tf.maximum(1.0 - tf.abs((source - axis.center + 0.5) / axis.support), 0.0)
    weights = tf.where(source < axis.image, weights, 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    whole = tf.floor(weights * 2.0**_WEIGHT_BITS + 0.5)
    upper = tf.floor(whole / _HALF)
    return tf.ensure_shape(
        tf.cast(tf.concat([upper, whole - upper * _HALF], axis=-1), tf.float32), (None, None, 2 * length)
    )


def _weigh(planes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Resizes the last axis with Pillow's integers.

    A product of a pixel and half a weight has 19 bits and their sums stay below 24: float32 is exact, also on a GPU
    that cuts factors to the 11 bits of TensorFloat-32.

    Args:
      planes: (batch, channels, lines, extent) float32, whole numbers up to 255.
      weights: (batch, extent, 2 * length) float32, as of `_weights`.

    Returns:
      (batch, channels, lines, length) float32, whole numbers up to 255.

    Source: ImagingResampleHorizontal_8bpc of Pillow's src/libImaging/Resample.c.
    """
    shape = tf.shape(planes)
    lines = tf.reshape(planes, (shape[0], shape[1] * shape[2], shape[3]))
    upper, lower = tf.split(tf.matmul(lines, weights), 2, axis=-1)
    total = upper + tf.floor(lower / _HALF)  # what is left below a half cannot tip the rounding
    rounded = tf.floor((total + _HALF / 2.0) / _HALF)
    return tf.reshape(tf.clip_by_value(rounded, 0.0, 255.0), (shape[0], shape[1], shape[2], weights.shape[-1] // 2))
