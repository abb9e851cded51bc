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
      gain: (batch,) float32, frame pixels per image pixel.
      padding_xy: (batch, 2) float32, padding at the left and at the top in frame pixels.
      image_sizes_hw: (batch, 2) int32, height and width of each image in pixels.
    """

    gain: tf.Tensor
    padding_xy: tf.Tensor
    image_sizes_hw: tf.Tensor

    def to_image_pixels(self, boxes_xyxy: tf.Tensor) -> tf.Tensor:
        """Takes boxes from frame pixels to image pixels and clips them to the image.

        Args:
          boxes_xyxy: (batch, N, 4) float32, in frame pixels.

        Returns:
          (batch, N, 4) float32, xyxy in pixels of each image.
        """
        offset = tf.concat([self.padding_xy, self.padding_xy], axis=-1)[:, tf.newaxis]
        boxes_xyxy = (boxes_xyxy - offset) / self.gain[:, tf.newaxis, tf.newaxis]
        size_wh = tf.cast(tf.reverse(self.image_sizes_hw, axis=[-1]), tf.float32)
        limit = tf.concat([size_wh, size_wh], axis=-1)[:, tf.newaxis]
        return tf.minimum(tf.maximum(boxes_xyxy, 0.0), limit)


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
    gain, scaled_hw, padding_hw = _placement(image_size_hw, size_hw)
    scaled = tf.image.resize(images, scaled_hw, method="bilinear", antialias=False)
    scaled = tf.round(scaled)  # OpenCV resizes uint8 to uint8
    after_hw = tf.constant(size_hw) - scaled_hw - padding_hw
    paddings = tf.stack([tf.zeros(2, tf.int32), *tf.unstack(tf.stack([padding_hw, after_hw], axis=1)), tf.zeros(2, tf.int32)])
    frames = tf.pad(scaled, paddings, constant_values=PADDING_VALUE) / 255.0
    frames = tf.ensure_shape(frames, (images.shape[0], *size_hw, 3))

    batch = shape[0]
    letterbox = Letterbox(
        gain=tf.repeat(gain, batch),
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
    return _letterbox_each(
        lambda element: element[0][: element[1][0], : element[1][1]], (images, sizes_hw), size_hw
    )


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
            (tf.TensorSpec((), tf.float32), tf.TensorSpec((2,), tf.float32), tf.TensorSpec((2,), tf.int32)),
        ),
    )
    return frames, Letterbox(*parts)


def _placement(image_size_hw: tf.Tensor, size_hw: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where one image goes: gain () float32, scaled size (2,) int32, padding at the top and left (2,) int32.

    The arithmetic is float64, as Python's, so that halves round the same way.
    """
    image_hw = tf.cast(image_size_hw, tf.float64)
    frame_hw = tf.constant(size_hw, tf.float64)
    gain = tf.reduce_min(frame_hw / image_hw)
    scaled_hw = tf.maximum(tf.round(image_hw * gain), 1.0)
    padding_hw = tf.round((frame_hw - scaled_hw) / 2.0 - 0.1)
    return tf.cast(gain, tf.float32), tf.cast(scaled_hw, tf.int32), tf.cast(padding_hw, tf.int32)
