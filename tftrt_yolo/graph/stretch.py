"""Stretching inside the graph: images to the frame's own height and width, whatever becomes of their aspect ratio.

    frames, placement = stretch_images(images, sizes_hw, size_hw=(640, 640))

It is the letterbox's resizing, OpenCV's to the bit, without a margin. Of a map that the network gives for the frame,
each pixel belongs to its share of the image.

Source: ultralytics.data.augment.LetterBox (scale_fill=True).
"""

import tensorflow as tf

from tftrt_yolo.graph.letterbox import Letterbox, letterbox_of, resize_padded_images


def stretch_images(images: tf.Tensor, sizes_hw: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, Letterbox]:
    """Resizes images of different sizes that lie in one tensor, each at the top left.

    Args:
      images: (batch, height, width, 3) uint8, RGB.
      sizes_hw: (batch, 2) int32, the part of each that is image, in pixels.
      size_hw: Frame height and width in pixels.

    Returns:
      Frames (batch, *size_hw, 3) uint8, and where the images lie in them.
    """
    frames = resize_padded_images(images, sizes_hw, size_hw, _whole_frames)
    return frames, letterbox_of(sizes_hw, size_hw, _whole_frames)


def _whole_frames(sizes_hw: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """As `letterbox.scaled_and_padding`: every image as large as its frame, and no padding."""
    scaled_hw = tf.ones_like(sizes_hw, tf.float64) * tf.constant(size_hw, tf.float64)
    return scaled_hw, tf.zeros_like(scaled_hw)
