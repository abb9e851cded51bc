"""A tf.data.Dataset of images as a folder of pictures, so that calibration has one way in.

if is_dataset(data):
    write_pictures(data, folder, most=500)      # lossless; an endless data set ends
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ImageError

_EXPECTED = "Expected uint8 RGB images (height, width, 3), or batches of them, with values from 0 to 255"


def is_dataset(data: object) -> bool:
    """Whether it is a tf.data.Dataset; TensorFlow is not imported to find out."""
    return hasattr(data, "element_spec") and hasattr(data, "as_numpy_iterator")


def write_pictures(dataset, folder: Path, *, most: int) -> None:
    """Writes the images of a data set as PNG files.

    Args:
      dataset: A tf.data.Dataset. An element is an image (H, W, 3), uint8 and RGB, or a batch (B, H, W, 3); or a tuple
        or list whose first component is that; or a dict with "image" or "images".
      folder: A folder to make.
      most: So many images are taken at most, from the beginning.

    Raises:
      ValueError: If an element is something else; the message gives its dtype and shape.
      ImageError: If there is no image.
    """
    folder.mkdir()
    number = 0
    for image in _images(dataset):
        PIL.Image.fromarray(image).save(folder / f"{number:05d}.png", compress_level=1)
        number += 1
        if number == most:
            break
    if not number:
        raise ImageError(
            f"{argument('calibration_data')} is a data set without images. Expected at least one; 100 or more are good."
        )


def _images(dataset) -> Iterator[np.ndarray]:
    """The images of a data set, one by one."""
    try:
        elements = dataset.as_numpy_iterator()
    except TypeError as error:  # data sets of data sets, say
        raise ValueError(
            f"The elements of {argument('calibration_data')} are {dataset.element_spec}. {_EXPECTED}."
        ) from error
    for index, element in enumerate(elements):
        image = _image_of(element, index)
        fault = _fault(image)
        if fault:
            found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"Element {index} of {argument('calibration_data')} is {found}. {_EXPECTED}; {fault}.")
        yield from image if image.ndim == 4 else (image,)


def _image_of(element: object, index: int) -> object:
    """An element's image, taken out of a tuple with its labels or out of a dict."""
    while isinstance(element, (tuple, list, dict)) and element:
        if isinstance(element, dict):
            name = next((name for name in ("image", "images") if name in element), None)
            if name is None:
                raise ValueError(
                    f"Element {index} of {argument('calibration_data')} is a dict with "
                    f"{', '.join(map(repr, element))}. Expected 'image' or 'images'; rename one with `dataset.map`."
                )
            element = element[name]
        else:
            element = element[0]
    return element


def _fault(image: object) -> str:
    """What to do about something that is no image; empty for an image or a batch."""
    if not isinstance(image, np.ndarray) or image.dtype == object:  # of text and of ragged tensors
        return "decode files, and pad or resize ragged batches, with `dataset.map`"
    if image.dtype != np.uint8:
        if image.dtype.kind == "f":
            return "give the images before they are scaled, or tf.cast(255 * images, tf.uint8) if they are in [0, 1]"
        return "cast them with `tf.cast(images, tf.uint8)` if their values are from 0 to 255"
    if image.ndim not in (3, 4):
        return "batch once at most, and keep the channels as the last axis"
    if image.shape[-1] == 1:
        return "make grey images RGB with `tf.image.grayscale_to_rgb`"
    if image.shape[-1] != 3:
        return "bring the three channels to the last axis" if image.shape[-3] == 3 else "keep three channels"
    return "leave out empty images" if 0 in image.shape[-3:] else ""
