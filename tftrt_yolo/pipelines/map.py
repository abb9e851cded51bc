"""tf.data: a data set of images or image files becomes one of what is found in them.

    files = tf.data.Dataset.list_files("photos/*.jpg", shuffle=False).map(tf.io.read_file)
    for found in tftrt_yolo.map(files, "yolov8n_saved_model", batch_size=8):
        found["boxes"], found["status"]

Everything is in the data set's graph: batches are made, run through the SavedModel's signatures and taken apart there,
and no Python runs while elements go through.
"""

import functools
from pathlib import Path

import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.contract import STATUS
from tftrt_yolo.graph.encoded.images import without_unread
from tftrt_yolo.ground.arguments import argument, check_at_least_one, whole_number
from tftrt_yolo.ground.files.image_arrays import MOST_SIDE
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.pipelines import elements, opened
from tftrt_yolo.pipelines.elements import ImagePart
from tftrt_yolo.pipelines.opened import OpenedModel
from tftrt_yolo.saved_model.batches import most_images

BATCH_SIZE = 8  # images a call of the network, unless the caller says otherwise; Predictor's
_CALLS = 2  # batches at a time: while one computes, another is decoded; Predictor's
_PREFETCH = 1  # batches
_HOST = "/CPU:0"
_graph_code = tf.autograph.experimental.do_not_convert  # nothing here is Python control flow over tensors


def map(  # noqa: A001 - tf.data's own word
    dataset: tf.data.Dataset,
    saved_model_dir: str | Path,
    *,
    batch_size: int | None = None,
    image: str | int | None = None,
    num_parallel_calls: int = _CALLS,
    prefetch: int = _PREFETCH,
    strict: bool = False,
    allow_side_effects: bool = False,
    device: str | None = None,
) -> tf.data.Dataset:
    """Takes a tf.data.Dataset of images to one of what is found in them.

    An element is an image or has one among its parts, as a file's bytes or as an array. What is found takes the image's
    place in it: in a tuple where the image was, in a dictionary under "detections". All other parts stay as they are,
    whatever their types and shapes. Elements come in order, unless the data set's options say otherwise.

    Args:
      dataset: Elements are image files, scalar strings (of paths: `dataset.map(tf.io.read_file)` first); images uint8
        (height, width, 3), RGB, of any sizes, grey (height, width) or (height, width, 1), or with a fourth channel,
        which is dropped; batches of files (batch,) or of images (batch, height, width, 3); or tuples and dictionaries
        with one of these.
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      batch_size: At most this many images a call of the network; the last batch has what remains. None for 8. A data
        set of batches has its own.
      image: Which part is the image, an index or a key. None for the first of a tuple, and of a dictionary for "image",
        "images" or "img", or for its only one.
      num_parallel_calls: Batches that run at a time; tf.data.AUTOTUNE to let TensorFlow find out.
      prefetch: Batches that are kept ready beside them.
      strict: As `Predictor`.
      allow_side_effects: As `Predictor`.
      device: Where the network runs, such as "GPU:1"; None for the first GPU, or the CPU where there is none.

    Returns:
      A data set of the contract's outputs of one image each, or of batches where those were given: `num_detections`,
      `boxes` and so on, zero-padded, in pixels of the image; for files those of signature `encoded`. `status` string is
      empty for an image that was read and says otherwise why it was not: then all else is zero. It holds the model as
      long as itself or what is made of it is there, and knows how many elements it has if `dataset` does.

    Raises:
      SavedModelError: As `Predictor`.
      TensorRTUnavailableError: As `Predictor`.
      TypeError: If dataset is no tf.data.Dataset, or its images have a type of no image.
      ValueError: If another argument is out of its range, or images have a shape of no image.
    """
    part = _checked_part(dataset, image)
    num_parallel_calls = _count_or_autotune("num_parallel_calls", num_parallel_calls, least=1)
    prefetch = _count_or_autotune("prefetch", prefetch, least=0)
    if part.is_batch and batch_size is not None:
        raise ValueError(
            f"{argument('batch_size')} is {quoted(batch_size)}, and the data set's elements are batches already. Leave "
            "it out, or give dataset.unbatch()."
        )
    batch_size = BATCH_SIZE if batch_size is None else check_at_least_one("batch_size", batch_size)
    model = opened.open_model(
        saved_model_dir, strict=strict, allow_side_effects=allow_side_effects, device=device
    ).on_device()
    if part.is_batch:
        return _of_batches(dataset, part, model, num_parallel_calls).prefetch(prefetch)
    return _of_singles(dataset, part, model, batch_size, (num_parallel_calls, prefetch))


def _checked_part(dataset: object, image: object) -> ImagePart:
    """Where the image is in a data set's elements."""
    if isinstance(dataset, tf.data.Dataset):
        return elements.find(dataset.element_spec, image)
    raise TypeError(
        f"{argument('dataset')} is {quoted(dataset)}; expected a tf.data.Dataset, such as "
        'tf.data.Dataset.list_files("photos/*.jpg", shuffle=False).map(tf.io.read_file). One that is to be distributed '
        "is given here first; lists, folders and videos are for Predictor."
    )


def _count_or_autotune(name: str, value: object, *, least: int) -> int:
    """Refuses what is neither a number of at least `least` nor tf.data.AUTOTUNE."""
    whole = whole_number(value)
    if whole is None or (whole < least and whole != tf.data.AUTOTUNE):
        raise ValueError(
            f"{argument(name)} is {quoted(value)}; it must be a whole number of at least {least}, or tf.data.AUTOTUNE."
        )
    return whole


def _of_batches(dataset, part: ImagePart, model: OpenedModel, num_parallel_calls: int) -> tf.data.Dataset:
    """As `map`, of a data set of batches."""

    @_graph_code
    def run(*element):
        images, others = part.split(*element)
        if part.kind == elements.FILES:
            found = model.run_files(images)
        else:
            found = model.run_images(_rgb(images))
            found[STATUS] = tf.fill(tf.shape(images)[:1], "")
        return part.joined(found, others)

    return dataset.map(run, num_parallel_calls=num_parallel_calls)


def _of_singles(dataset, part: ImagePart, model: OpenedModel, batch_size: int, counts: tuple) -> tf.data.Dataset:
    """As `map`, of a data set of single elements.

    A batch is a window: so what stands beside the image need not fit together, and images of different sizes are laid
    out when it is known how large they are.
    """
    num_parallel_calls, prefetch = counts

    @_graph_code
    def prepare(*element):
        image, others = part.split(*element)
        return ((image,) if part.kind == elements.FILES else _checked(image)), others

    @_graph_code
    def run(images, others):
        run_batch = _run_files if part.kind == elements.FILES else _run_images
        return run_batch(model, images, batch_size), others

    @_graph_code
    def take_apart(found, others):
        rows = tf.data.Dataset.from_tensor_slices(found)
        return tf.data.Dataset.zip(part.joined(rows, others))

    found = dataset.map(prepare).window(batch_size).map(run, num_parallel_calls=num_parallel_calls)
    found = found.prefetch(prefetch).flat_map(take_apart)
    count = dataset.cardinality()
    is_known = count >= 0 or count == tf.data.INFINITE_CARDINALITY
    return found.apply(tf.data.experimental.assert_cardinality(count)) if is_known else found


def _run_files(model: OpenedModel, files: tuple, batch_size: int) -> dict[str, tf.Tensor]:
    """What is found in a window of image files."""
    return model.run_files(files[0].batch(batch_size).get_single_element())


def _run_images(model: OpenedModel, images: tuple, batch_size: int) -> dict[str, tf.Tensor]:
    """What is found in windows of images, their sizes and status, in as many calls as memory asks for."""
    images, sizes_hw, status = images
    with tf.device(_HOST):
        sizes_hw, status = (one.batch(batch_size).get_single_element() for one in (sizes_hw, status))
        count = tf.shape(sizes_hw)[0]
        sides = tf.cast(tf.reduce_max(sizes_hw, axis=0), tf.int64)
        most = most_images((1, 1), model.task.fit)  # pixels
        step = tf.cast(tf.clip_by_value(most // tf.reduce_prod(sides), 1, tf.cast(count, tf.int64)), tf.int32)
        steps = (count + step - 1) // step
    specs = model.specs(contract.PADDED)
    names = sorted(specs)

    def run_some(index, parts):
        with tf.device(_HOST):
            first = tf.cast(index * step, tf.int64)
            some = images.skip(first).take(tf.cast(step, tf.int64))
            canvas = some.padded_batch(batch_size, (None, None, 3)).get_single_element()
            own_sizes = sizes_hw[index * step : (index + 1) * step]
        found = model.run_images(canvas, own_sizes)
        return index + 1, tuple(part.write(index, found[name]) for part, name in zip(parts, names, strict=True))

    parts = tuple(
        tf.TensorArray(specs[name].dtype, steps, element_shape=specs[name].shape, infer_shape=False) for name in names
    )
    _, parts = tf.while_loop(lambda index, _: index < steps, run_some, (0, parts), parallel_iterations=1)
    found = {name: part.concat() for name, part in zip(names, parts, strict=True)}
    return without_unread(found, status) | {STATUS: status}


def _checked(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """An image (height, width, 3), its size, and why it is none; of such a one a black pixel."""
    image = image[..., tf.newaxis] if image.shape.rank == 2 else image
    shape = tf.shape(image)
    channels = shape[2]
    has_sides = tf.reduce_all((shape[:2] >= 1) & (shape[:2] <= MOST_SIDE))
    is_fine = has_sides & tf.reduce_any(channels == (1, 3, 4))
    height, width, channels = (tf.strings.as_string(number) for number in tf.unstack(shape))
    sides = tf.strings.join(
        ["it is ", width, " pixels wide and ", height, f" high; expected sides of 1 to {MOST_SIDE}"]
    )
    kind = tf.strings.join(["it has ", channels, " channels; expected 3: RGB"])
    status = tf.where(is_fine, "", tf.where(has_sides, kind, sides))
    image = tf.cond(is_fine, lambda: _rgb(image), lambda: tf.zeros((1, 1, 3), tf.uint8))
    return tf.ensure_shape(image, (None, None, 3)), tf.shape(image)[:2], status


def _rgb(images: tf.Tensor) -> tf.Tensor:
    """Images with three channels as their last axis: grey is repeated, and of four the last is dropped."""
    if images.shape[-1] == 3:
        return images
    if images.shape[-1] is not None:
        return tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images[..., :3]
    is_grey = tf.shape(images)[-1] == 1
    images = tf.cond(is_grey, functools.partial(tf.repeat, images, 3, axis=-1), lambda: images[..., :3])
    return tf.ensure_shape(images, (*images.shape[:-1], 3))
