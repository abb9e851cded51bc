"""Letterboxing inside the graph, both ways: images into the network's frame, boxes back into the images.

    frames, letterbox = letterbox_images(images, size_hw=(640, 640))
    boxes = letterbox.to_image_pixels(boxes_in_frame_pixels)

It does in TensorFlow ops what Ultralytics does on the host before and after its network.

Source: ultralytics.data.augment.LetterBox (auto=False) and ultralytics.utils.ops.scale_boxes: scale, rounding, padding.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.ground.files.image_arrays import MOST_SIDE
from tftrt_yolo.ground.placement import PADDING_VALUE

_HOST = "/CPU:0"
_CHANNELS = 3

ScaledAndPadding = Callable[[tf.Tensor, tuple[int, int]], tuple[tf.Tensor, tf.Tensor]]


class Letterbox(NamedTuple):
    """Where images lie in their frames.

    Attributes:
      gain_xy: (batch, 2) float32, frame pixels per image pixel; the sides differ by the rounding of the scaled size.
      padding_xy: (batch, 2) float32, padding at the left and at the top in frame pixels.
      image_sizes_hw: (batch, 2) int32, height and width of each image in pixels.
    """

    gain_xy: tf.Tensor
    padding_xy: tf.Tensor
    image_sizes_hw: tf.Tensor

    def to_image_pixels(self, boxes_xyxy: tf.Tensor) -> tf.Tensor:
        """Takes boxes from frame pixels to image pixels and clips them to the image.

        Args:
          boxes_xyxy: (batch, N, 4) float32, in frame pixels.

        Returns:
          (batch, N, 4) float32, xyxy in pixels of each image.
        """
        size_wh = tf.cast(tf.reverse(self.image_sizes_hw, axis=[-1]), tf.float32)
        # One value for each edge of a box: x, y, x, y.
        padding, gain, limit = (tf.tile(xy, (1, 2))[:, tf.newaxis] for xy in (self.padding_xy, self.gain_xy, size_wh))
        return tf.clip_by_value((boxes_xyxy - padding) / gain, 0.0, limit)

    def points_to_image_pixels(self, points: tf.Tensor) -> tf.Tensor:
        """Takes points from frame pixels to image pixels and clips them to the image.

        Args:
          points: (batch, N, K, 2) float32, x and y in frame pixels.

        Returns:
          (batch, N, K, 2) float32, in pixels of each image.

        Source: ultralytics.utils.ops.scale_coords.
        """
        size_wh = tf.cast(tf.reverse(self.image_sizes_hw, axis=[-1]), tf.float32)
        padding, gain, limit = (xy[:, tf.newaxis, tf.newaxis] for xy in (self.padding_xy, self.gain_xy, size_wh))
        return tf.clip_by_value((points - padding) / gain, 0.0, limit)


def letterbox_of(
    sizes_hw: tf.Tensor,
    size_hw: tuple[int, int],
    scaled_and_padding_of: ScaledAndPadding | None = None,
) -> Letterbox:
    """Where images of some sizes lie in their frames.

    Args:
      sizes_hw: (batch, 2) int32, height and width of the images in pixels.
      size_hw: Frame height and width in pixels.
      scaled_and_padding_of: As of `resize_padded_images`; None for `scaled_and_padding`.

    Returns:
      The transform back.
    """
    with tf.device(_HOST):  # a few numbers for each image, not worth a GPU's launches; XLA makes them its own
        image_hw = tf.cast(sizes_hw, tf.float64)
        scaled_hw, padding_hw = (scaled_and_padding_of or scaled_and_padding)(sizes_hw, size_hw)
        return Letterbox(
            gain_xy=tf.cast(scaled_hw / image_hw, tf.float32)[:, ::-1],
            padding_xy=tf.cast(padding_hw, tf.float32)[:, ::-1],
            image_sizes_hw=sizes_hw,
        )


def letterbox_images(images: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, Letterbox]:
    """Resizes images of one size into a padded frame, keeping their aspect ratio.

    Args:
      images: (batch, height, width, 3) uint8, RGB.
      size_hw: Frame height and width in pixels; multiples of the model's stride.

    Returns:
      Frames (batch, *size_hw, 3) uint8, padded with 114, and the transform back.
    """
    return letterbox_padded_images(images, sizes_of(images), size_hw)


def sizes_of(images: tf.Tensor) -> tf.Tensor:
    """Height and width of each image of a batch in which all are alike: (batch, 2) int32."""
    shape = tf.shape(images)  # not on the host, or all images would go there to be measured
    with tf.device(_HOST):
        return tf.repeat(shape[tf.newaxis, 1:3], shape[0], axis=0)


def checked_sizes(images: tf.Tensor, sizes_hw: tf.Tensor) -> tf.Tensor:
    """Refuses sizes that no image of the batch can have, and images that would take too much memory.

    Args:
      images: (batch, height, width, 3) uint8.
      sizes_hw: (batch, 2) int32, the part of each that is image, in pixels.

    Returns:
      sizes_hw. When it runs, InvalidArgumentError where a size is less than 1, more than the tensor's, or more than
      65,535.
    """
    shape = tf.shape(images)  # as above
    with tf.device(_HOST):
        return _checked(
            sizes_hw, tf.minimum(shape[1:3], MOST_SIDE), "and no more than those of the tensor in which it lies"
        )


def checked_sizes_of_images(sizes_hw: tf.Tensor) -> tf.Tensor:
    """Refuses sizes that no image can have.

    Args:
      sizes_hw: (batch, 2) int32, of images that lie in frames already, in pixels.

    Returns:
      sizes_hw. When it runs, InvalidArgumentError where a size is less than 1 or more than 65,535.
    """
    with tf.device(_HOST):
        return _checked(sizes_hw, tf.constant([MOST_SIDE, MOST_SIDE]), "of the image itself and not of its frame")


def _checked(sizes_hw: tf.Tensor, most: tf.Tensor, which: str) -> tf.Tensor:
    """The sizes, if they are 1 to `most`."""
    message = (
        f"An image's height and width must be 1 to {MOST_SIDE} pixels, {which}. Scale it down first. Got the sizes "
        "(height, width), and the most that they may be:"
    )
    is_fine = tf.reduce_all((sizes_hw >= 1) & (sizes_hw <= most))
    with tf.control_dependencies([tf.debugging.Assert(is_fine, [message, sizes_hw, most], summarize=16)]):
        return tf.identity(sizes_hw)


def letterbox_padded_images(
    images: tf.Tensor, sizes_hw: tf.Tensor, size_hw: tuple[int, int]
) -> tuple[tf.Tensor, Letterbox]:
    """Letterboxes images of different sizes that lie in one tensor, each at the top left.

    Args:
      images: (batch, height, width, 3) uint8, RGB.
      sizes_hw: (batch, 2) int32, the part of each that is image, in pixels.
      size_hw: Frame height and width in pixels.

    Returns:
      As `letterbox_images`.
    """
    frames = resize_padded_images(images, sizes_hw, size_hw, scaled_and_padding)
    return frames, letterbox_of(sizes_hw, size_hw)


def resize_padded_images(
    images: tf.Tensor,
    sizes_hw: tf.Tensor,
    size_hw: tuple[int, int],
    scaled_and_padding_of: ScaledAndPadding,
) -> tf.Tensor:
    """Resizes images that lie in one tensor as OpenCV does, and pads what they leave of their frames.

    Args:
      images: As `letterbox_padded_images`.
      sizes_hw: As `letterbox_padded_images`.
      size_hw: Frame height and width in pixels.
      scaled_and_padding_of: Says of sizes_hw and size_hw where the images lie, as `scaled_and_padding`; an image of the
        frame's size fills it.

    Returns:
      (batch, *size_hw, 3) uint8. An image that is alone by its static shape, and whose sides are whole multiples of
      what they become, takes a seventh of the time on a CPU, and no other values.
    """
    shape = tf.shape(images)  # as above
    with tf.device(_HOST):
        fits = shape[tf.newaxis, 1:3] == size_hw
        are_frames = tf.reduce_all(tf.concat([sizes_hw == size_hw, fits], axis=0))
        scaled_hw, padding_hw = scaled_and_padding_of(sizes_hw, size_hw)

    def resized():
        with tf.device(_HOST):  # a few numbers for each row and column, not worth a GPU's launches
            rows, columns = _placement(sizes_hw, size_hw, scaled_hw, padding_hw)
        return _resize_as_opencv(images, rows, columns)

    def resized_alone():
        sides_hw, margins_hw = (tf.cast(values[0], tf.int32) for values in (scaled_hw, padding_hw))
        is_multiple = tf.reduce_all((shape[1:3] == sizes_hw[0]) & (sizes_hw[0] % sides_hw == 0))
        return tf.cond(is_multiple, lambda: _shrink(images, sides_hw, margins_hw, size_hw), resized)

    is_alone = images.shape[0] == 1
    frames = tf.cond(are_frames, lambda: tf.identity(images), resized_alone if is_alone else resized)
    return tf.ensure_shape(frames, (None, *size_hw, 3))


def scaled_and_padding(sizes_hw: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """How large images become in their frames, and how far from the upper left corner they lie.

    The arithmetic is float64, as Python's, so that halves round the same way.

    Args:
      sizes_hw: (batch, 2) int32, height and width of the images in pixels.
      size_hw: Frame height and width in pixels.

    Returns:
      Height and width, and padding at the top and at the left: (batch, 2) float64 each, whole pixels of the frame.
    """
    image_hw, frame_hw = tf.cast(sizes_hw, tf.float64), tf.constant(size_hw, tf.float64)
    scaled_hw = tf.maximum(tf.round(image_hw * tf.reduce_min(frame_hw / image_hw, axis=1, keepdims=True)), 1.0)
    return scaled_hw, tf.round((frame_hw - scaled_hw) / 2.0 - 0.1)


def to_unit_range(frames: tf.Tensor) -> tf.Tensor:
    """Takes uint8 frames in [0, 255] to what the network takes: float32 in [0, 1]."""
    return tf.cast(frames, tf.float32) / 255.0


class _Neighbours(NamedTuple):
    """Between which two source pixels each frame pixel of one axis lies; B images, n frame pixels.

    Attributes:
      first: (B, n) int32, index of the first.
      second: (B, n) int32, index of the second.
      first_weight: (B, n) float32, its share in 1/2048, a whole number; 0 where there is padding.
      second_weight: (B, n) float32, the second's.
      padding: (B, n) float32, the grey of the padding, 0 where there is image.
    """

    first: tf.Tensor
    second: tf.Tensor
    first_weight: tf.Tensor
    second_weight: tf.Tensor
    padding: tf.Tensor


def _placement(
    sizes_hw: tf.Tensor, size_hw: tuple[int, int], scaled_hw: tf.Tensor, padding_hw: tf.Tensor
) -> tuple[_Neighbours, _Neighbours]:
    """From where each row and each column of the frame comes.

    Args:
      sizes_hw: (batch, 2) int32.
      size_hw: Frame height and width in pixels.
      scaled_hw: As of `scaled_and_padding`.
      padding_hw: As of `scaled_and_padding`.

    Returns:
      The source pixels of the rows and of the columns.
    """
    image_hw = tf.cast(sizes_hw, tf.float64)
    rows, columns = (
        _neighbours(*(sizes[:, axis, tf.newaxis] for sizes in (image_hw, scaled_hw, padding_hw)), length)
        for axis, length in enumerate(size_hw)
    )
    return rows, columns


def _neighbours(image: tf.Tensor, scaled: tf.Tensor, padding: tf.Tensor, length: int) -> _Neighbours:
    """The neighbours of one axis from sizes (batch, 1) float64 and the frame's length."""
    place = tf.range(length, dtype=tf.float64) - padding
    position = tf.cast((place + 0.5) * (image / scaled) - 0.5, tf.float32)
    first = tf.floor(position)
    share = position - first
    last = tf.cast(image, tf.float32) - 1.0
    inside = tf.cast((place >= 0.0) & (place < scaled), tf.float32)
    return _Neighbours(
        first=tf.cast(tf.clip_by_value(first, 0.0, last), tf.int32),
        second=tf.cast(tf.clip_by_value(first + 1.0, 0.0, last), tf.int32),
        first_weight=tf.round((1.0 - share) * 2048.0) * inside,
        second_weight=tf.round(share * 2048.0) * inside,
        padding=PADDING_VALUE * (1.0 - inside),
    )


def _shrink(images: tf.Tensor, sides_hw: tf.Tensor, margins_hw: tf.Tensor, size_hw: tuple[int, int]) -> tf.Tensor:
    """Makes images smaller by whole factors, and pads.

    A pixel is then one of the source's, or the mean of two or four, which float32 holds exactly; and so does OpenCV's
    fixed-point arithmetic, which rounds halves up.

    Args:
      images: (batch, height, width, 3) uint8.
      sides_hw: (2,) int32, what their height and width become.
      margins_hw: (2,) int32, padding at the top and at the left.
      size_hw: As `letterbox_images`.

    Returns:
      (batch, *size_hw, 3) uint8.
    """
    means = tf.raw_ops.ResizeBilinear(images=images, size=sides_hw, half_pixel_centers=True)
    after = tf.constant(size_hw) - margins_hw - sides_hw
    margins = tf.concat([[[0, 0]], tf.stack([margins_hw, after], axis=1), [[0, 0]]], axis=0)
    return tf.pad(tf.cast(means + 0.5, tf.uint8), margins, constant_values=PADDING_VALUE)  # a cast rounds down


def _resize_as_opencv(images: tf.Tensor, rows: _Neighbours, columns: _Neighbours) -> tf.Tensor:
    """Resizes uint8 images bilinearly with OpenCV's fixed-point arithmetic, and pads.

    OpenCV weighs in steps of 1/2048 and cuts off bits twice, which makes it an eighth of a grey level darker on average
    than exact bilinear interpolation: enough to move scores by 0.01.

    A CPU takes less than half of the time that the plain way takes: pixel by pixel it copies three values at a time, so
    columns are taken as rows of what is turned; padding is a sum like the others and not chosen by a mask; and factors
    are for whole rows.

    Args:
      images: (batch, height, width, 3) uint8.
      rows: Where the frame's rows come from.
      columns: Where its columns come from.

    Returns:
      (batch, *size_hw, 3) uint8.

    Source: modules/imgproc/src/resize.cpp of OpenCV: HResizeLinear, VResizeLinear for uchar.
    """
    height, width = rows.first.shape[1], columns.first.shape[1]
    images = tf.cast(images, tf.bfloat16)  # exact up to 256; no GPU kernel gathers uint8

    def turned(lines):
        return tf.transpose(lines, (0, 2, 1, 3))

    def across(lines):
        shape = tf.shape(lines)
        lines = tf.reshape(turned(lines), (shape[0], shape[2], shape[1] * _CHANNELS))

        def weighted(pixels, weight):
            return tf.cast(of_rows(lines, pixels), tf.float32) * (weight / 16.0)[:, :, tf.newaxis]

        total = weighted(columns.first, columns.first_weight) + weighted(columns.second, columns.second_weight)
        total = tf.floor(total + (2048 / 16 * columns.padding)[:, :, tf.newaxis])  # here it drops four bits
        total = turned(tf.reshape(total, (shape[0], width, shape[1], _CHANNELS)))
        return tf.reshape(total, (shape[0], shape[1], width * _CHANNELS))

    def of_rows(lines, places):
        return tf.gather(lines, places, axis=1, batch_dims=1)

    def of_all_lines():
        lines = across(images)
        return of_rows(lines, rows.first), of_rows(lines, rows.second)

    def of_these_lines():  # of 65,535 lines, 32-bit numbers for each would take gigabytes
        return across(of_rows(images, rows.first)), across(of_rows(images, rows.second))

    shape = tf.shape(images)  # as above
    with tf.device(_HOST):
        is_high = shape[1] > 2 * height
    first, second = tf.cond(is_high, of_these_lines, of_all_lines)

    def part(lines, weight):  # and here sixteen
        return tf.floor(lines * (weight / 65536.0)[:, :, tf.newaxis])

    total = part(first, rows.first_weight) + part(second, rows.second_weight)
    scaled = tf.cast((total + (2.0 + 4.0 * rows.padding)[:, :, tf.newaxis]) * 0.25, tf.uint8)  # a cast rounds down
    return tf.reshape(scaled, (-1, height, width, _CHANNELS))
