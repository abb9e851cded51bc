"""Letterboxing inside the graph, both ways: images into the network's frame, boxes back into the images.

    frames, letterbox = letterbox_images(images, size_hw=(640, 640))
    boxes = letterbox.to_image_pixels(boxes_in_frame_pixels)

It does in TensorFlow ops what Ultralytics does on the host before and after its network.

Source: ultralytics.data.augment.LetterBox (auto=False) and ultralytics.utils.ops.scale_boxes: scale, rounding, padding.
"""

from typing import NamedTuple

import tensorflow as tf

PADDING_VALUE = 114.0  # grey, of 255; LetterBox.padding_value


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


LETTERBOX_SPEC = Letterbox(
    tf.TensorSpec((None, 2), tf.float32), tf.TensorSpec((None, 2), tf.float32), tf.TensorSpec((None, 2), tf.int32)
)


def letterbox_images(images: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, Letterbox]:
    """Resizes images of one size into a padded frame, keeping their aspect ratio.

    Args:
      images: (batch, height, width, 3) uint8, RGB, values in [0, 255].
      size_hw: Frame height and width in pixels; multiples of the model's stride.

    Returns:
      Frames (batch, *size_hw, 3) float32 in [0, 1], padded with 114/255, and the transform back.
    """
    shape = tf.shape(images)
    image_size_hw = shape[1:3]
    scaled_hw, padding_hw, gain_hw = _placement(image_size_hw, size_hw)
    scaled = _resize_as_opencv(images, scaled_hw)
    rest_hw = tf.constant(size_hw) - scaled_hw - padding_hw
    paddings = tf.pad(tf.stack([padding_hw, rest_hw], axis=1), [[1, 1], [0, 0]])
    frames = tf.pad(scaled, paddings, constant_values=PADDING_VALUE) / 255.0
    frames = tf.ensure_shape(frames, (images.shape[0], *size_hw, 3))

    batch = shape[0]
    letterbox = Letterbox(
        gain_xy=tf.repeat(gain_hw[tf.newaxis, ::-1], batch, axis=0),
        padding_xy=tf.repeat(tf.cast(padding_hw[tf.newaxis, ::-1], tf.float32), batch, axis=0),
        image_sizes_hw=tf.repeat(image_size_hw[tf.newaxis], batch, axis=0),
    )
    return frames, letterbox


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
    return _letterbox_each(lambda element: element[0][: element[1][0], : element[1][1]], (images, sizes_hw), size_hw)


def letterbox_encoded_images(image_bytes: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, Letterbox]:
    """Decodes and letterboxes JPEG or PNG files.

    Args:
      image_bytes: (batch,) string, whole files. An EXIF orientation is not applied, as everywhere in TensorFlow.
      size_hw: Frame height and width in pixels.

    Returns:
      As `letterbox_images`.
    """
    # decode_jpeg reads PNG as well, and unlike decode_image it lets us ask for the accurate DCT that OpenCV uses.
    return _letterbox_each(
        lambda element: tf.io.decode_jpeg(element, channels=3, dct_method="INTEGER_ACCURATE"), image_bytes, size_hw
    )


def _letterbox_each(read_image, elements, size_hw: tuple[int, int]) -> tuple[tf.Tensor, Letterbox]:
    """Letterboxes one image after the other and stacks the frames."""

    def letterbox_one(element):
        frames, letterbox = letterbox_images(read_image(element)[tf.newaxis], size_hw)
        return frames[0], tuple(part[0] for part in letterbox)

    frames, parts = tf.map_fn(
        letterbox_one,
        elements,
        fn_output_signature=(
            tf.TensorSpec((*size_hw, 3), tf.float32),
            (tf.TensorSpec((2,), tf.float32), tf.TensorSpec((2,), tf.float32), tf.TensorSpec((2,), tf.int32)),
        ),
    )
    return frames, Letterbox(*parts)


def _resize_as_opencv(images: tf.Tensor, scaled_hw: tf.Tensor) -> tf.Tensor:
    """Resizes uint8 images bilinearly with the rounding of OpenCV's fixed-point arithmetic.

    OpenCV weighs rows in steps of 1/2048 and cuts off bits twice, which makes it an eighth of a grey level darker on
    average than exact bilinear interpolation: enough to move scores by 0.01. This differs in one pixel of a thousand.

    Args:
      images: (batch, height, width, 3) uint8.
      scaled_hw: (2,) int32.

    Returns:
      (batch, *scaled_hw, 3) float32, whole numbers from 0 to 255.

    Source: modules/imgproc/src/resize.cpp of OpenCV: HResizeLinear, VResizeLinear for uchar.
    """
    height = tf.shape(images)[1]
    rows = tf.image.resize(images, tf.stack([height, scaled_hw[1]]), method="bilinear", antialias=False)
    rows = tf.floor(rows * 128.0)  # its sums are in 1/2048, of which it drops four bits

    step = tf.cast(height, tf.float32) / tf.cast(scaled_hw[0], tf.float32)
    position = (tf.range(scaled_hw[0], dtype=tf.float32) + 0.5) * step - 0.5
    position = tf.clip_by_value(position, 0.0, tf.cast(height - 1, tf.float32))
    above = tf.cast(tf.floor(position), tf.int32)
    below = tf.minimum(above + 1, height - 1)
    share = (position - tf.floor(position))[:, tf.newaxis, tf.newaxis]

    def weighted(row_indices, weight):
        return tf.floor(tf.gather(rows, row_indices, axis=1) * tf.round(weight * 2048.0) / 65536.0)

    return tf.floor((weighted(above, 1.0 - share) + weighted(below, share) + 2.0) / 4.0)


def _placement(image_size_hw: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where one image goes: scaled size and padding at the top and left, (2,) int32 each; gain_hw (2,) float32.

    The arithmetic is float64, as Python's, so that halves round the same way.
    """
    image_hw = tf.cast(image_size_hw, tf.float64)
    frame_hw = tf.constant(size_hw, tf.float64)
    scaled_hw = tf.maximum(tf.round(image_hw * tf.reduce_min(frame_hw / image_hw)), 1.0)
    padding_hw = tf.round((frame_hw - scaled_hw) / 2.0 - 0.1)
    return tf.cast(scaled_hw, tf.int32), tf.cast(padding_hw, tf.int32), tf.cast(scaled_hw / image_hw, tf.float32)
