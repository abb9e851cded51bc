"""Masks as PNG files inside the graph: what signature `encoded` gives instead of coefficients and prototypes.

    masks, corners_xy = pack(outputs, image_sizes_hw, frame_size_hw=(640, 640))
    masks[0, 0]                             # a PNG, grey, 0 and 255: the mask within its box
    corners_xy[0, 0]                        # where its upper left pixel lies in the image

The arithmetic is that of `tasks.masks` on the host. Where boxes lie is computed for all of them at once; the loop goes
over detections whose box holds a pixel of the frame, and sees the part of the prototypes that the box needs.

Source: as of `tasks.masks`.
"""

from typing import NamedTuple

import tensorflow as tf

from tftrt_yolo.graph import letterbox

_HOST = "/CPU:0"
_AT_ONCE = 4  # masks; one that covers a photo of 179 megapixels takes as many MB, twice over
_COMPRESSION = 6  # zlib's own choice; 9 makes files a tenth smaller in three times the time


class _Axis(NamedTuple):
    """Where boxes lie along one axis; tensors of one shape, float64, all whole numbers but the last two.

    Attributes:
      start: First pixel of the frame.
      stop: The pixel behind the last.
      low: First of the prototypes that these are interpolated from.
      high: The one behind the last.
      corner: First pixel of the image that shows them; its last one where none does.
      count: How many do; 1 where none does.
      is_seen: 1 where one does, otherwise 0.
      gain: Pixels of the frame per pixel of the image.
      padding: In pixels of the frame.
    """

    start: tf.Tensor
    stop: tf.Tensor
    low: tf.Tensor
    high: tf.Tensor
    corner: tf.Tensor
    count: tf.Tensor
    is_seen: tf.Tensor
    gain: tf.Tensor
    padding: tf.Tensor


class _Neighbours(NamedTuple):
    """Between which two prototypes the pixels of a frame lie along one axis; all of one length.

    Attributes:
      first: int32.
      second: int32.
      share: float32, of the second.
    """

    first: tf.Tensor
    second: tf.Tensor
    share: tf.Tensor


def pack(
    outputs: dict[str, tf.Tensor], image_sizes_hw: tf.Tensor, frame_size_hw: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes the masks of detections and encodes them.

    Args:
      outputs: `num_detections` (batch,), `boxes` (batch, N, 4) in image pixels, `mask_coefficients` (batch, N, M) and
        `prototypes` (batch, h, w, M), of the whole frames.
      image_sizes_hw: (batch, 2) int32, height and width of the images in pixels.
      frame_size_hw: Height and width of the frames in pixels.

    Returns:
      (batch, N) string, a PNG of 8 bits for each detection, at the resolution of its image; empty for padding, and for
      a mask without a pixel in the frame, whose detection `tasks.masks` leaves out. And (batch, N, 2) int32, x and y of
      each PNG's upper left pixel in the image; zeros where there is none.
    """
    boxes, prototypes = outputs["boxes"], outputs["prototypes"]
    shape = tf.shape(prototypes)  # not on the host, or a GPU's tensor would go there to be measured
    with tf.device(_HOST):
        lengths = shape[1], shape[2]
        neighbours = [_neighbours(*pair) for pair in zip(frame_size_hw, lengths, strict=True)]
        rows, columns = _axes(boxes, image_sizes_hw, frame_size_hw, neighbours)
        is_real = tf.sequence_mask(outputs["num_detections"], tf.shape(boxes)[1])
        is_drawn = is_real & (rows.stop > rows.start) & (columns.stop > columns.start)
        found = tf.cast(tf.where(is_drawn), tf.int32)
        numbers = tf.gather_nd(tf.stack([*rows, *columns], axis=-1), found)
        coefficients = tf.gather_nd(outputs["mask_coefficients"], found)

        def encode(one):
            image, numbers, coefficients = one
            places = [_Axis(*tf.unstack(part)) for part in tf.split(numbers, 2)]
            mask = _mask(prototypes, image, coefficients, places, neighbours)
            file = tf.io.encode_png(_in_image(mask, places)[..., tf.newaxis], compression=_COMPRESSION)
            return tf.where(tf.reduce_any(mask), file, "")

        drawn = (found[:, 0], numbers, coefficients)
        files = tf.map_fn(encode, drawn, fn_output_signature=tf.string, parallel_iterations=_AT_ONCE)
        masks = _spread(files, is_drawn)
        corners = tf.cast(tf.stack([columns.corner, rows.corner], axis=-1), tf.int32)
        return masks, tf.where((masks == "")[..., tf.newaxis], 0, corners)


def _axes(
    boxes: tf.Tensor, image_sizes_hw: tf.Tensor, frame_size_hw: tuple[int, int], neighbours: list[_Neighbours]
) -> list[_Axis]:
    """Where boxes (batch, N, 4) lie along the rows and along the columns: (batch, N) each."""
    scaled_hw, padding_hw = letterbox.scaled_and_padding(image_sizes_hw, frame_size_hw)
    edges = tf.cast(boxes, tf.float64)
    return [
        _axis(
            edges[..., 1 - axis :: 2],
            *(tf.cast(sizes[:, axis, tf.newaxis], tf.float64) for sizes in (image_sizes_hw, scaled_hw, padding_hw)),
            neighbours[axis],
        )
        for axis in range(2)
    ]


def _axis(edges: tf.Tensor, image: tf.Tensor, scaled: tf.Tensor, padding: tf.Tensor, neighbours: _Neighbours) -> _Axis:
    """One axis, of edges (batch, N, 2) in image pixels and sizes (batch, 1), all float64."""
    gain, length = scaled / image, neighbours.first.shape[0]
    in_frame = tf.cast(edges * gain[..., tf.newaxis] + padding[..., tf.newaxis], tf.float32)  # as Ultralytics' boxes
    is_no_number = tf.reduce_any(tf.math.is_nan(in_frame), axis=-1, keepdims=True)  # and no index of a table either
    in_frame = tf.where(is_no_number, 0.0, in_frame)
    start, stop = tf.unstack(tf.cast(tf.math.ceil(in_frame), tf.float64), axis=-1)
    start = tf.maximum(start, 0.0)
    stop = tf.maximum(tf.minimum(stop, tf.cast(length, tf.float64)), start)

    def first_seen(pixel):
        """The first pixel of the image that shows this one of the frame, or one behind it."""
        guess = tf.math.ceil((pixel - padding) / gain - 0.5)
        for _ in range(2):
            guess = tf.where((guess - 0.5) * gain + padding >= pixel, guess - 1.0, guess)
        for _ in range(2):
            guess = tf.where((guess + 0.5) * gain + padding < pixel, guess + 1.0, guess)
        return tf.clip_by_value(guess, 0.0, image)

    first, last = first_seen(start), first_seen(stop)

    def prototype(table, pixel):
        index = tf.cast(tf.clip_by_value(pixel, 0.0, length - 1.0), tf.int32)
        return tf.cast(tf.gather(table, index), tf.float64)

    return _Axis(
        start=start,
        stop=stop,
        low=prototype(neighbours.first, start),
        high=prototype(neighbours.second, stop - 1.0) + 1.0,
        corner=tf.minimum(first, image - 1.0),
        count=tf.maximum(last - first, 1.0),
        is_seen=tf.cast(last > first, tf.float64),
        gain=gain + tf.zeros_like(start),
        padding=padding + tf.zeros_like(start),
    )


def _neighbours(frame_length: int, length: tf.Tensor) -> _Neighbours:
    """Where each of the frame's pixels lies among prototypes of a length.

    Source: torch.nn.functional.interpolate with mode="bilinear", align_corners=False.
    """
    scale = tf.cast(length, tf.float64) / frame_length
    position = tf.maximum((tf.range(frame_length, dtype=tf.float64) + 0.5) * scale - 0.5, 0.0)
    position = tf.cast(position, tf.float32)
    first = tf.cast(position, tf.int32)
    return _Neighbours(first, tf.minimum(first + 1, length - 1), position - tf.cast(first, tf.float32))


def _mask(
    prototypes: tf.Tensor, image: tf.Tensor, coefficients: tf.Tensor, places: list[_Axis], neighbours: list[_Neighbours]
) -> tf.Tensor:
    """Which of the frame's pixels in a box belong to the object: (rows, columns) bool."""
    rows, columns = (tf.cast(tf.stack(place[:4]), tf.int32) for place in places)
    window = prototypes[image, rows[2] : rows[3], columns[2] : columns[3]]
    logits = tf.reshape(tf.tensordot(window, coefficients, axes=1), tf.shape(window)[:2])
    for axis, (start, stop, low, _) in ((1, tf.unstack(columns)), (0, tf.unstack(rows))):
        first, second, share = (values[start:stop] for values in neighbours[axis])
        share = share if axis else share[:, tf.newaxis]
        before, behind = (tf.gather(logits, values - low, axis=axis) for values in (first, second))
        logits = before * (1.0 - share) + behind * share
    return logits > 0.0


def _in_image(mask: tf.Tensor, places: list[_Axis]) -> tf.Tensor:
    """The same on the image's pixels: (rows, columns) uint8, 0 and 255; of at least one pixel, as a PNG must have."""
    rows, columns = places
    shown = tf.cast(255.0 * rows.is_seen * columns.is_seen, tf.uint8) * tf.cast(mask, tf.uint8)
    for axis, place in ((1, columns), (0, rows)):  # the columns first, while there are few rows
        pixels = place.corner + tf.range(place.count, dtype=tf.float64)
        sources = tf.floor((pixels + 0.5) * place.gain + place.padding) - place.start
        sources = tf.clip_by_value(sources, 0.0, place.stop - place.start - 1.0)
        shown = tf.gather(shown, tf.cast(sources, tf.int32), axis=axis)
    return shown


def _spread(files: tf.Tensor, is_drawn: tf.Tensor) -> tf.Tensor:
    """Files (n,), row by row where they belong: (batch, N) string, empty elsewhere."""
    drawn = tf.reshape(tf.cast(is_drawn, tf.int32), [-1])
    index = tf.where(drawn > 0, tf.cumsum(drawn) - 1, tf.size(files))
    spread = tf.gather(tf.concat([files, [""]], axis=0), index)
    return tf.ensure_shape(tf.reshape(spread, tf.shape(is_drawn)), is_drawn.shape)
