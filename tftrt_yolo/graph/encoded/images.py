"""Decoding and framing image files inside the graph, one that cannot be read beside others that can.

    read = read_each(files, (640, 640), letterbox.letterbox_padded_images)
    outputs = without_unread(predict(read.frames, read.sizes_hw), read.status)

A decoder of TensorFlow's fails its whole graph. Inside a data set of one element, whose errors are ignored, it only
leaves that empty. Files are decoded side by side on the host. A GPU then fits them together: fitting is dozens of small
kernels, for which it takes as long with one picture as with many. A CPU fits each by itself as soon as it is decoded,
while it is in the cache; which of the two runs is decided where the graph runs.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.graph.encoded import bitmaps, exif, file_bytes, gif, headers
from tftrt_yolo.graph.letterbox import Letterbox

Fit = Callable[[tf.Tensor, tf.Tensor, tuple[int, int]], tuple[tf.Tensor, Letterbox]]

_HOST = "/CPU:0"
_CPU = 0
_MOST_PIXELS = 32 << 20  # of a canvas, on which pictures are laid to be fitted together; one alone may have more
_DECODED_AT_ONCE = 16
_TAIL_BYTES = 64
_SHOWN_BYTES = 8
_MARKS_OF_END = (b"\xff\xd9", b"IEND")


class Read(NamedTuple):
    """Files that were read.

    Attributes:
      frames: (batch, *size_hw, 3) uint8; of a file that cannot be read, any.
      sizes_hw: (batch, 2) int32, height and width of the upright images in pixels; of such a file 1 and 1.
      status: (batch,) string, why a file cannot be read; empty for one that was read.
    """

    frames: tf.Tensor
    sizes_hw: tf.Tensor
    status: tf.Tensor


def read_each(files: tf.Tensor, size_hw: tuple[int, int], fit: Fit) -> Read:
    """Decodes image files, turns them upright and fits them into frames.

    Args:
      files: (batch,) string: JPEG, PNG, BMP or GIF, of which the first frame counts; or anything else.
      size_hw: Frame height and width in pixels.
      fit: Takes images, their sizes and size_hw to frames and the transform back, as
        `letterbox.letterbox_padded_images`.

    Returns:
      What was read.
    """
    with tf.device(_HOST):
        found = headers.look(files)
        numbers, sizes_hw = _packed(found), _upright_sizes_hw(found)
        count = tf.shape(files)[0]
        sides = tf.reduce_max(tf.concat([sizes_hw, [[1, 1]]], axis=0), axis=0)
        step = tf.cast(tf.clip_by_value(_MOST_PIXELS // tf.reduce_prod(sides), 1, _MOST_PIXELS), tf.int32)
        steps = (count + step - 1) // step

    device = _device()
    with tf.device(_HOST):
        on_host = tf.equal(device, _CPU)

    def read_some(index, parts):
        with tf.device(_HOST):
            rows = slice(index * step, tf.minimum((index + 1) * step, count))
            some = files[rows], numbers[rows]

        def each():
            with tf.device(_HOST):
                return _fitted(*some, size_hw, fit)

        def together():
            with tf.device(_HOST):
                canvas, image_sizes_hw, were_read = _canvas(*some, sizes_hw[rows])
            return fit(canvas, image_sizes_hw, size_hw)[0], image_sizes_hw, were_read

        values = tf.cond(on_host, each, together)
        return index + 1, tuple(part.write(index, value) for part, value in zip(parts, values, strict=True))

    specs = (tf.uint8, (None, *size_hw, 3)), (tf.int32, (None, 2)), (tf.bool, (None,))
    parts = tuple(tf.TensorArray(dtype, steps, element_shape=shape, infer_shape=False) for dtype, shape in specs)
    _, parts = tf.while_loop(lambda index, _: index < steps, read_some, (0, parts), parallel_iterations=1)
    frames, image_sizes_hw, were_read = (part.concat() for part in parts)
    with tf.device(_HOST):
        return Read(frames, image_sizes_hw, _status(files, found, were_read))


def _device() -> tf.Tensor:
    """What the images are fitted on, found when it runs: `_CPU`, or another number."""
    return tf.raw_ops.DeviceIndex(device_names=["CPU"])


def without_unread(outputs: dict[str, tf.Tensor], status: tf.Tensor) -> dict[str, tf.Tensor]:
    """Takes what was found in the frames of files that were not read away.

    Args:
      outputs: Name to (batch, ...).
      status: As of `Read`.

    Returns:
      The outputs, zeros for what was not read.
    """
    with tf.device(_HOST):
        were_read = status == ""
        is_whole = tf.reduce_all(were_read)

    def blanked():
        def blank(values):
            kept = tf.reshape(were_read, tf.concat([tf.shape(status), tf.ones(tf.rank(values) - 1, tf.int32)], axis=0))
            return tf.where(kept, values, tf.zeros_like(values))

        return {name: blank(values) for name, values in outputs.items()}

    return tf.cond(is_whole, lambda: {name: tf.identity(values) for name, values in outputs.items()}, blanked)


def _packed(found: headers.Headers) -> tf.Tensor:
    """What decoding needs of the headers as (batch, 6) int64: one tensor, for a loop takes time for each."""
    numbers = [
        found.kinds,
        *tf.unstack(found.sizes_hw, axis=1),
        found.orientations,
        found.frame_ends,
        found.flag_places,
    ]
    return tf.stack([tf.cast(values, tf.int64) for values in numbers], axis=1)


def _upright_sizes_hw(found: headers.Headers) -> tf.Tensor:
    """Height and width of the images once they are upright, (batch, 2) int64; a pixel for what is not read."""
    lies = found.orientations > exif.LAST_THAT_STANDS
    sizes_hw = tf.where(lies[:, tf.newaxis], tf.reverse(found.sizes_hw, [1]), found.sizes_hw)
    return tf.where((found.kinds == headers.NOT_READ)[:, tf.newaxis], tf.ones_like(sizes_hw), sizes_hw)


def _fitted(files: tf.Tensor, numbers: tf.Tensor, size_hw: tuple[int, int], fit: Fit) -> tuple[tf.Tensor, ...]:
    """Frames (batch, *size_hw, 3) uint8, the images' sizes, and which of them were read; of files, as `_canvas`."""

    def decode_and_fit(inputs):
        image, was_read = _decoded(*inputs)
        sizes_hw = tf.shape(image)[tf.newaxis, :2]
        return fit(image[tf.newaxis], sizes_hw, size_hw)[0][0], sizes_hw[0], was_read

    return _of_each(decode_and_fit, files, numbers, tf.TensorSpec((*size_hw, 3), tf.uint8))


def _canvas(files: tf.Tensor, numbers: tf.Tensor, sizes_hw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Upright images (batch, height, width, 3) uint8, each at the top left, their sizes, and which of them were read.

    Of files, their rows of `_packed` and of `_upright_sizes_hw`.
    """
    height, width = tf.unstack(tf.reduce_max(sizes_hw, axis=0))

    def lay_out(inputs):
        image, was_read = _decoded(*inputs)
        sides = tf.shape(image, out_type=tf.int64)
        below, beside = height - sides[0], width - sides[1]
        return tf.pad(image, [[0, below], [0, beside], [0, 0]]), tf.cast(sides[:2], tf.int32), was_read

    return _of_each(lay_out, files, numbers, tf.TensorSpec((None, None, 3), tf.uint8))


def _of_each(run: Callable, files: tf.Tensor, numbers: tf.Tensor, image: tf.TensorSpec) -> tuple[tf.Tensor, ...]:
    """What `run` makes of each file and its row of `_packed`, side by side: such an image, its size, and a truth."""
    spec = image, tf.TensorSpec((2,), tf.int32), tf.TensorSpec((), tf.bool)
    return tf.map_fn(run, (files, numbers), fn_output_signature=spec, parallel_iterations=_DECODED_AT_ONCE)


@tf.function(
    input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((6,), tf.int64)],
    autograph=False,
    experimental_attributes={"_noinline": True},  # it stands in two places, and would be optimised in both
)
def _decoded(file: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """An upright image (height, width, 3) uint8, or a pixel and false; of a file and its row of `_packed`."""
    kind, height, width, orientation, frame_end, flag_place = tf.unstack(numbers)
    blank = tf.zeros((1, 1, 3), tf.uint8), tf.constant(False)

    def jpeg_or_png():  # and unlike decode_image it lets us ask for the accurate DCT that OpenCV uses
        return _if_whole(lambda: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"), blank)

    def animated():
        first = gif.alone(file, frame_end, flag_place)
        return _if_whole(lambda: tf.io.decode_image(first, channels=3, expand_animations=False), blank)

    by_kind = [lambda: blank, jpeg_or_png, lambda: (bitmaps.decode(file), tf.constant(True)), animated]
    image, was_read = tf.switch_case(tf.cast(kind, tf.int32), by_kind)
    shape = tf.shape(image, out_type=tf.int64)
    was_read &= (shape[0] == height) & (shape[1] == width)  # another size was not checked
    turned = tf.cast(tf.where(was_read, orientation, exif.UPRIGHT), tf.int32)
    return tf.cond(was_read, lambda: exif.upright(image, turned), lambda: blank[0]), was_read


def _if_whole(decode: Callable[[], tf.Tensor], blank: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """What a decoder gives and true; or what is given in its place.

    The function that is mapped is to be small: TensorFlow prepares it anew for every file. Reducing the data set would
    be shorter to say, and takes 8 ms a file. To TensorFlow a data set's element has a side effect, for which the files
    of a batch would wait for each other; within a call that has none they are decoded side by side.
    """

    def decoded(_):
        return decode(), tf.constant(True)

    @tf.function(autograph=False)
    def element():
        one = tf.data.Dataset.from_tensors(0).map(tf.autograph.experimental.do_not_convert(decoded)).ignore_errors()
        return one.concatenate(tf.data.Dataset.from_tensors(blank)).take(1).get_single_element()

    call = element.get_concrete_function()
    image, was_read = tf.raw_ops.PartitionedCall(args=call.captured_inputs, Tout=call.output_dtypes, f=call)
    return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(was_read, ())


def _status(files: tf.Tensor, found: headers.Headers, were_read: tf.Tensor) -> tf.Tensor:
    """Why files were not read, (batch,) string."""

    def said():
        refusals = tf.where(found.refusals == headers.FINE, headers.DAMAGED, found.refusals)
        is_cut = (refusals == headers.DAMAGED) & ~_has_end(files)
        refusals = tf.where(were_read, headers.FINE, tf.where(is_cut, headers.CUT_SHORT, refusals))
        height, width = (tf.strings.as_string(side) for side in tf.unstack(found.sizes_hw, axis=1))
        found_there = {
            headers.NO_IMAGE: _start(files),
            headers.SIDES: tf.strings.join([width, " pixels wide and ", height, " high"]),
            headers.PIXELS: tf.strings.join([width, " x ", height, " pixels"]),
        }
        shown = tf.fill(tf.shape(files), "")
        for refusal, text in found_there.items():
            shown = tf.where(refusals == refusal, text, shown)
        before, after = zip(*(text.partition("{}")[::2] for text in headers.REFUSALS), strict=True)
        return tf.strings.join([tf.gather(before, refusals), shown, tf.gather(after, refusals)])

    return tf.cond(tf.reduce_all(were_read), lambda: tf.fill(tf.shape(files), ""), said)


def _has_end(files: tf.Tensor) -> tf.Tensor:
    """Whether a JPEG or a PNG has its last mark, (batch,) bool; what has none counts as cut short."""
    lengths = file_bytes.lengths_of(files)
    tail = file_bytes.bytes_at(files, tf.maximum(lengths - _TAIL_BYTES, 0), _TAIL_BYTES)
    return tf.reduce_any(tf.stack([file_bytes.holds(tail, mark) for mark in _MARKS_OF_END]), axis=0)


def _start(files: tf.Tensor) -> tf.Tensor:
    """The first bytes in hexadecimal digits, (batch,) string."""
    lengths = file_bytes.lengths_of(files)
    values = file_bytes.bytes_at(files, tf.zeros_like(lengths), _SHOWN_BYTES)
    digits = tf.gather([f"{value:02x}" for value in range(256)], values)
    kept = tf.sequence_mask(tf.minimum(lengths, _SHOWN_BYTES), _SHOWN_BYTES)
    return tf.strings.strip(tf.strings.reduce_join(tf.where(kept, digits, ""), axis=1, separator=" "))
