"""The attribute `serving_default` of a SavedModel, which Keras and Ultralytics' loader call: one name, two callers.

    root.serving_default = serving_attribute(serving_default, ultralytics, size_hw=(640, 640))
    tf.saved_model.load("yolov8n_saved_model").serving_default(images)      # uint8: as the signature of that name
    tf.saved_model.load("yolov8n_saved_model").serving_default(frames)      # float32: Ultralytics' layout

`TFSMLayer` of Keras takes an attribute before it looks for a signature, and ultralytics.nn.backends.tensorflow knows
nothing else. A function that TensorFlow loads chooses among its traces by dtype.
"""

from collections.abc import Callable

import tensorflow as tf

IMAGES_SPEC = tf.TensorSpec((None, None, None, 3), tf.uint8, name="images")
SIZES_SPEC = tf.TensorSpec((None, 2), tf.int32, name="sizes")
_FRAME_TYPES = (tf.float32, tf.float64, tf.float16)  # NumPy's division gives float64, and earlier versions took it

_LEAST, _MOST = -1.0, 2.0  # of a frame's values: interpolation may go beyond 0 and 1, and images go to 255


def serving_attribute(detections: Callable, ultralytics: Callable, size_hw: tuple[int, int]):
    """A function that gives what its caller expects, by the type of what it is given.

    Args:
      detections: Takes images (batch, height, width, 3) uint8 to the outputs of signature `serving_default`.
      ultralytics: Takes frames (batch, *size_hw, 3) float32 in [0, 1] to what Ultralytics' loader expects.
      size_hw: Frame height and width in pixels.

    Returns:
      A `tf.function` of a trace a type; it takes float64 and float16 as float32. When it runs on frames of another
      size, or far beyond [0, 1], InvalidArgumentError: so images that somebody forgot to declare as uint8 give no
      answer of another kind.
    """

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *size_hw, 3), tf.float32, name="frames")])
    def of_frames(frames):
        return ultralytics(_checked_frames(frames, size_hw))

    @tf.function(autograph=False)
    def serving_default(frames):  # earlier versions knew frames alone, and somebody may name the argument
        if frames.dtype == tf.uint8:
            return detections(frames)
        return of_frames(tf.cast(frames, tf.float32))

    # The images first: TensorFlow takes a list of whole numbers, which has no type of its own, to the first that fits.
    serving_default.get_concrete_function(IMAGES_SPEC)
    for dtype in _FRAME_TYPES:
        serving_default.get_concrete_function(tf.TensorSpec((None, *size_hw, 3), dtype, name="frames"))
    return serving_default


def _checked_frames(frames: tf.Tensor, size_hw: tuple[int, int]) -> tf.Tensor:
    """Refuses what is no frame, when it runs: a caller's shape may have been unknown, and then any was let in."""
    height, width = size_hw
    # Without this, what the trace knows of the shape would stand for what is really there.
    anything = tf.raw_ops.PlaceholderWithDefault(input=frames, shape=(None, None, None, 3))
    message = (
        f"`serving_default` takes images as uint8 (batch, height, width, 3) of any height and width, and gives their "
        f"detections. As float32 it takes the frames of Ultralytics' loader, (batch, {height}, {width}, 3) in [0, 1], "
        'and gives its layout. For detections give uint8; in Keras that is keras.Input((None, None, 3), dtype="uint8")'
        ". Got frames of this shape, and their least and largest value:"
    )
    shape, least, most = tf.shape(anything), tf.reduce_min(anything), tf.reduce_max(anything)
    is_empty = tf.equal(tf.size(anything), 0)
    is_frame = tf.reduce_all(tf.equal(shape[1:3], size_hw)) & (is_empty | ((least >= _LEAST) & (most <= _MOST)))
    with tf.control_dependencies([tf.debugging.Assert(is_frame, [message, shape, least, most])]):
        return tf.ensure_shape(tf.identity(anything), (None, *size_hw, 3))
