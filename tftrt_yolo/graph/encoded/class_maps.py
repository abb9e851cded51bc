"""The class of each pixel as PNG files inside the graph: what signature `encoded` gives instead of logits.

    files = pack(logits, image_sizes_hw, frame_size_hw=(640, 640))
    files[0]                                # a PNG of the image's size, grey: the class index of each pixel

The arithmetic is that of `tasks.maps.class_maps` on the host, in ops, for sizes are known when it runs; and so is what
it saves: stripes of rows, and in each of them only the classes that can win there. A test holds the two together.

Source: as of `tasks.maps.class_maps`.
"""

import tensorflow as tf

from tftrt_yolo.graph import class_values, letterbox

_HOST = "/CPU:0"
_AT_ONCE = 2  # images
_STRIPE_SCORES = 1 << 22  # of all classes that can win in a stripe, 16 MB
_COMPRESSION = 6  # zlib's own choice


def pack(logits: tf.Tensor, image_sizes_hw: tf.Tensor, frame_size_hw: tuple[int, int]) -> tf.Tensor:
    """Finds the class of each image's pixels and encodes it.

    Args:
      logits: (batch, h, w, C) float32, of the whole frames.
      image_sizes_hw: (batch, 2) int32, height and width of the images in pixels.
      frame_size_hw: Height and width of the frames in pixels.

    Returns:
      (batch,) string, a PNG for each: of 8 bits, of more than 256 classes of 16. Of one class 1 where it is.
    """
    kind = tf.uint8 if logits.shape[-1] <= 256 else tf.uint16
    with tf.device(_HOST):
        scaled_hw, padding_hw = letterbox.scaled_and_padding(image_sizes_hw, frame_size_hw)

        def encode(one):
            own, image_hw, scaled, padding = one
            axes = [
                _both(own.shape[axis], frame_size_hw[axis], padding[axis], scaled[axis], image_hw[axis])
                for axis in range(2)
            ]
            found = _largest(own, *axes)
            return tf.io.encode_png(tf.cast(found, kind)[..., tf.newaxis], compression=_COMPRESSION)

        places = (logits, image_sizes_hw, *(tf.cast(part, tf.int32) for part in (scaled_hw, padding_hw)))
        return tf.map_fn(encode, places, fn_output_signature=tf.string, parallel_iterations=_AT_ONCE)


def _both(length: int, frame: int, start: tf.Tensor, size: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """The matrix (image, length) of both steps: to the frame, of which `size` pixels from `start` show the image."""
    to_frame = _resized(tf.eye(length), frame)
    return _resized(to_frame[start : start + size], image)


def _resized(matrix: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Resizes a matrix's first axis bilinearly; positions are float32, as PyTorch computes them."""
    length = tf.shape(matrix)[0]
    scale = tf.cast(length, tf.float32) / tf.cast(size, tf.float32)
    places = tf.maximum(scale * (tf.cast(tf.range(size), tf.float32) + 0.5) - 0.5, 0.0)
    first = tf.minimum(tf.cast(places, tf.int32), length - 1)
    share = (places - tf.cast(first, tf.float32))[:, tf.newaxis]
    second = tf.minimum(first + 1, length - 1)
    return tf.gather(matrix, first) * (1.0 - share) + tf.gather(matrix, second) * share


def _largest(logits: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """The index of the largest class at each pixel: (height, width) int32."""
    height, width = tf.shape(rows)[0], tf.shape(columns)[0]
    if class_values.first_value(logits.shape[-1]):  # nothing is compared with it
        return tf.cast(_scores(logits, rows, columns)[..., 0] > class_values.THRESHOLD, tf.int32)
    can_win = _can_win(logits)

    def stripe(first, found, part):
        own = rows[first : first + step]
        used = tf.reduce_any(own != 0.0, axis=0)
        classes = tf.cast(tf.where(tf.reduce_any(tf.boolean_mask(can_win, used), axis=0))[:, 0], tf.int32)
        scores = _scores(tf.gather(logits, classes, axis=-1), own, columns)
        indices = tf.gather(classes, tf.argmax(scores, axis=-1, output_type=tf.int32))
        return first + step, found.write(part, indices), part + 1

    most = tf.maximum(tf.reduce_sum(tf.cast(tf.reduce_any(can_win, axis=0), tf.int32)), 1)
    step = tf.clip_by_value(_STRIPE_SCORES // (width * most), 1, height)
    stripes = tf.TensorArray(tf.int32, (height + step - 1) // step, element_shape=(None, None), infer_shape=False)
    _, stripes, _ = tf.while_loop(
        lambda first, found, part: first < height, stripe, (0, stripes, 0), parallel_iterations=1
    )
    return tf.ensure_shape(stripes.concat(), (None, None))


def _scores(logits: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Logits (h, w, c) at the pixels of matrices (height, h) and (width, w): (height, width, c)."""
    down = tf.tensordot(rows, logits, axes=1)
    return tf.einsum("yxc,ux->yuc", down, columns)


def _can_win(logits: tf.Tensor) -> tf.Tensor:
    """Which classes can be the largest at a pixel that is interpolated around a row of the grid: (h, C) bool."""
    largest = _of_neighbours(logits)
    least = -_of_neighbours(-logits)
    slack = class_values.SLACK * tf.reduce_max(tf.abs(logits))
    loses = largest < tf.reduce_max(least, axis=-1, keepdims=True) - slack
    return tf.logical_not(tf.reduce_all(loses, axis=1))  # what is no number rules nothing out


def _of_neighbours(logits: tf.Tensor) -> tf.Tensor:
    """The largest of each 3 x 3 neighbours, (h, w, C)."""
    return tf.nn.max_pool2d(logits[tf.newaxis], 3, 1, "SAME")[0]
