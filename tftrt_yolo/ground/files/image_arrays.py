"""Arrays as images: NumPy's, PyTorch's, TensorFlow's and JAX's, in whatever layout, order of channels and scale.

    for image in image_arrays.each(loader):                     # batches and pairs with labels, image by image
        array = image_arrays.to_rgb(image, ArrayOptions(scale=255))     # (height, width, 3) uint8

Neither PyTorch nor TensorFlow is imported: whoever made a tensor has done that.
"""

import dataclasses
import math
import sys
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from absl import logging

from tftrt_yolo.ground.arguments import Options, argument, number, setting
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import first_line, quoted, shown

MOST_SIDE = 65_535  # pixels
_CHANNELS = (1, 3, 4)
_CHANNELS_FIRST = (1, 3)  # of arrays; PyTorch alone has four before height and width
_EXPECTED = "Expected uint8 of shape (height, width, 3), RGB, values 0 to 255"
_IMAGE_KEYS = ("image", "images", "img")  # of an element that is a dictionary
# How arrays of other packages say that they have no values: on a device, symbolic, sparse, deleted.
_REFUSALS = (
    ArithmeticError,
    AttributeError,
    BufferError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayOptions(Options):
    """How images that are arrays or tensors are read; files and Pillow images say it themselves.

    Attributes:
      channel_order: "rgb", or "bgr" as of OpenCV's arrays. Of four channels the first three.
      scale: What values are multiplied with to be 0 to 255, for arrays that are not uint8: 255 of floats from 0 to 1;
        1 where they are 0 to 255 already.
    """

    channel_order: str = "rgb"
    scale: float | None = None

    def __post_init__(self):
        """Raises ValueError for a value that is out of its range, or of another kind."""
        if not isinstance(self.channel_order, str) or self.channel_order not in ("rgb", "bgr"):
            raise ValueError(f"{argument('channel_order')} is {quoted(self.channel_order)}; expected 'rgb' or 'bgr'.")
        if self.scale is not None:
            scale = number(self.scale)
            if scale is None or not 0 < scale < math.inf:
                raise ValueError(
                    f"{argument('scale')} is {quoted(self.scale)}; it must be a number above 0, such as 255."
                )
            object.__setattr__(self, "scale", scale)  # the dataclass is frozen


PLAIN = ArrayOptions()


def each(images: object) -> Iterator:
    """Takes images apart into single ones.

    Args:
      images: One image: an array of less than four axes, bytes, or whatever cannot be iterated over. Or several: an
        array (batch, height, width, 3) or (batch, 3, height, width), an array of paths, or any iterable, such as a
        list, a tf.data.Dataset or a DataLoader of PyTorch. Of its elements, arrays of four axes and lists are several
        images, too; of a tuple, such as an image with its label, the first counts, and of a dictionary "image".

    Yields:
      What `image_files.read_image` takes, one by one.

    Raises:
      ImageError: If an element is a dictionary without an image, or an empty tuple.
    """
    if isinstance(images, Mapping) or not _is_several(images):
        yield from _of_element(images, is_pair=False)
        return
    is_loader = hasattr(images, "dataset") and hasattr(images, "collate_fn")  # PyTorch's, which makes lists of pairs
    for element in images if _rank(images) != 4 else _taken_apart(images):
        yield from _of_element(element, is_pair=is_loader)


def _is_several(images: object) -> bool:
    """Whether it is to be iterated over."""
    if isinstance(images, (bytes, bytearray, memoryview)):
        return False
    if hasattr(images, "__array__"):
        is_list = _rank(images) == 1 and getattr(images.dtype, "kind", "") in ("O", "U")  # of paths
        return is_list or _rank(images) == 4
    try:
        iter(images)
        return True
    except TypeError:
        return False


def _of_element(element: object, *, is_pair: bool) -> Iterator:
    """The images of an element of an iterable; `is_pair` says that a list is images and their labels."""
    if isinstance(element, Mapping):
        key = next((key for key in _IMAGE_KEYS if key in element), None)
        if key is None:
            keys = ", ".join(quoted(key, 30) for key in [*element][:10])
            raise ImageError(f"An element is a dictionary with {keys or 'nothing'}. Expected an image under 'image'.")
        element = element[key]
    elif isinstance(element, tuple) or (is_pair and _is_pair(element)):
        if not element:
            raise ImageError("An element is an empty tuple. Expected an image, or an image and its label.")
        element = element[0]
    if isinstance(element, (list, tuple)):
        for image in element:
            yield from _of_element(image, is_pair=False)
    elif _rank(element) == 4:
        yield from _taken_apart(element)
    else:
        yield element


def _is_pair(element: object) -> bool:
    """Whether a list that a loader gives is images and their labels, and no list of files."""
    return (
        isinstance(element, list)
        and bool(element)
        and (_rank(element[0]) is not None or isinstance(element[0], (list, tuple)))
    )


def _rank(value: object) -> int | None:
    """How many axes an array or a tensor has; None for what is neither, and where nobody knows."""
    try:
        return len(value.shape) if hasattr(value, "__array__") and hasattr(value, "dtype") else None
    except (AttributeError, TypeError, ValueError):  # TensorFlow's unknown rank
        return None


def _taken_apart(batch: object) -> Iterable:
    """The images of a batch; what is on a device comes from there once."""
    if _is_torch(batch):
        return batch.detach().cpu()
    try:
        return list(np.asarray(batch))
    except _REFUSALS as error:
        raise _no_array(batch, error) from error


def to_rgb(image: object, options: ArrayOptions = PLAIN) -> np.ndarray:
    """Checks an array and brings it to three channels.

    Args:
      image: An array or a tensor, on any device: (height, width), or with 1, 3 or 4 channels as the last axis or, as
        PyTorch has it, as the first (4 of its own tensors alone). Where both could be channels, as of (3, 4, 3), they
        are the last, and the first of a tensor of PyTorch. Or an object that NumPy takes as its image, which is RGB.
      options: How its values are meant.

    Returns:
      (height, width, 3) uint8, RGB. Grey is repeated, and of four channels the last is dropped, with a warning in the
      log.

    Raises:
      ImageError: If it has a dtype, a shape or values that are not an image's.
    """
    options = options if _rank(image) is not None else PLAIN
    is_torch = _is_torch(image)
    try:
        array = _torch_array(image) if is_torch else np.asarray(image)
    except _REFUSALS as error:
        if isinstance(error, ImageError):
            raise
        raise _no_array(image, error) from error
    array = _in_bytes(array, options)
    array = array[..., np.newaxis] if array.ndim == 2 else _channels_last(array, is_torch=is_torch)
    check_sides(array.shape[:2], "The image")
    if array.shape[-1] != 3:
        kind = "grey" if array.shape[-1] == 1 else "RGBA" if options.channel_order == "rgb" else "BGRA"
        logging.warning("an array of shape %s is taken as %s; converted to RGB", array.shape, kind)
        array = np.repeat(array, 3, axis=-1) if array.shape[-1] == 1 else array[..., :3]
    return np.ascontiguousarray(array[..., ::-1]) if options.channel_order == "bgr" else array


def check_sides(size_hw: tuple[int, int], name: str) -> None:
    """Refuses what the graph does not take.

    Args:
      size_hw: Height and width in pixels.
      name: The image's, for the message.

    Raises:
      ImageError: If a side has no pixel, or more than 65,535.
    """
    height, width = size_hw
    if not 0 < min(height, width) <= max(height, width) <= MOST_SIDE:
        raise ImageError(
            f"{name} is {width:,} pixels wide and {height:,} high. Expected sides of 1 to {MOST_SIDE:,} pixels; scale "
            "it down first."
        )


def _is_torch(value: object) -> bool:
    """Whether it is a tensor of PyTorch."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(value, tensor)


def _torch_array(tensor) -> np.ndarray:
    """A tensor of PyTorch as an array, wherever it is and whether or not it has gradients."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if "bfloat16" in str(tensor.dtype) else tensor).numpy()


def _no_array(value: object, error: Exception) -> ImageError:
    """Says that something is no array."""
    return ImageError(f"The image is {quoted(value)} and no array ({first_line(error)}). {_EXPECTED}.")


def _in_bytes(array: np.ndarray, options: ArrayOptions) -> np.ndarray:
    """Values as uint8, by the scale if there is one."""
    if array.dtype == np.uint8 and options.scale in (None, 1.0):  # the usual, in no time
        return array
    found = f"The image is an array of dtype {shown(array.dtype, 60)} and shape {array.shape}"
    scale = setting("scale", _plain(options.scale))
    if array.dtype == np.uint8:
        raise ImageError(f"{found}, and {scale}. Values of uint8 are not scaled; leave it out.")
    is_float = array.dtype.kind == "f" or array.dtype.name.startswith(("bfloat", "float"))
    if options.scale is None or not (is_float or array.dtype.kind in "iu"):
        hint = (
            f"pass {setting('scale', 255)} for values from 0 to 1, {setting('scale', 1)} for 0 to 255, or multiply by "
            "255 and cast to uint8 first"
            if is_float
            else "cast it to uint8 first"
        )
        raise ImageError(f"{found}. {_EXPECTED}; {hint}.")
    values = np.rint(array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32) * options.scale)
    least, most = (values.min(), values.max()) if values.size else (0, 0)
    if not (least >= 0 and most <= 255):  # nor NaN
        raise ImageError(
            f"{found} and has values from {least:.6g} to {most:.6g} with {scale}. Expected 0 to 255; pass another "
            "scale, or clip them first."
        )
    return values.astype(np.uint8)


def _plain(scale: float | None) -> float | int | None:
    """A scale as it is read best: 255, not 255.0."""
    return int(scale) if scale is not None and scale == int(scale) else scale


def _channels_last(array: np.ndarray, *, is_torch: bool) -> np.ndarray:
    """Brings the channels to the end."""
    if array.ndim == 3 and 0 not in array.shape:
        is_last, is_first = (
            array.shape[-1] in _CHANNELS,
            array.shape[0] in (_CHANNELS if is_torch else _CHANNELS_FIRST),
        )
        if is_first and (is_torch or not is_last):
            return np.ascontiguousarray(np.moveaxis(array, 0, -1))
        if is_last:
            return array
    hint = " Of images with labels, give the images alone or tuples of both." if array.ndim == 1 else ""
    raise ImageError(f"The image is an array of shape {array.shape}. {_EXPECTED}.{hint}")
