"""Which part of a data set's element is the image, of what kind it is, and what takes its place.

part = find(dataset.element_spec, image=None)
part.kind, part.is_batch
image, others = part.split(*element)
part.joined(detections, others)
"""

import dataclasses

import tensorflow as tf

from tftrt_yolo.ground.arguments import argument, setting, whole_number
from tftrt_yolo.ground.text import quoted

FILES, IMAGES = "files", "images"
DETECTIONS = "detections"
_IMAGE_KEYS = ("image", "images", "img")  # as Predictor has them
_CHANNELS = (1, 3, 4, None)
_EXPECTED = (
    "Expected image files as scalar strings, such as dataset.map(tf.io.read_file) of paths, or images as uint8 "
    "(height, width, 3), RGB, of any sizes; or batches of these."
)


@dataclasses.dataclass(frozen=True)
class ImagePart:
    """The image's part of an element.

    Attributes:
      key: Its key in a dictionary, its index in a tuple; None where the element is the image.
      is_tuple: Whether the element is a tuple.
      kind: FILES or IMAGES.
      is_batch: Whether the element is a batch of them.
    """

    key: object
    is_tuple: bool
    kind: str
    is_batch: bool

    def split(self, *element) -> tuple[tf.Tensor, object]:
        """The image, and the element without it, () if that is all; of an element as `Dataset.map` gives it."""
        if self.key is None:
            return element[0], ()
        if self.is_tuple:
            return element[self.key], (*element[: self.key], *element[self.key + 1 :])
        return element[0][self.key], {key: value for key, value in element[0].items() if key != self.key}

    def joined(self, found: object, others: object) -> object:
        """An element with what was found in the image's place; in a dictionary under "detections"."""
        if self.key is None:
            return found
        if self.is_tuple:
            return (*others[: self.key], found, *others[self.key :])
        return {**others, DETECTIONS: found}


def find(element_spec: object, image: object = None) -> ImagePart:
    """Finds the image in an element.

    Args:
      element_spec: As a data set has it.
      image: Key or index of the image; None for the first of a tuple, and of a dictionary for "image", "images" or
        "img", or for its only one.

    Returns:
      What was found.

    Raises:
      TypeError: If that part has no type of an image.
      ValueError: If there is no such part, or its shape is no image's.
    """
    is_tuple = isinstance(element_spec, tuple)
    if is_tuple:
        key = _index(element_spec, image)
    elif isinstance(element_spec, dict):
        key = _key(element_spec, image)
    elif image is None:
        key = None
    else:
        raise ValueError(
            f"{argument('image')} is {quoted(image)}, and the data set's elements have no parts. Leave it out."
        )
    spec = element_spec if key is None else element_spec[key]
    name = "The data set's elements are" if key is None else f"Part {quoted(key)} of the data set's elements is"
    kind, is_batch = _kind(spec, name, _elsewhere(element_spec, key))
    return ImagePart(key, is_tuple, kind, is_batch)


def _index(element_spec: tuple, image: object) -> int:
    """The image's place in a tuple."""
    index = 0 if image is None else whole_number(image)
    if index is None or not 0 <= index < len(element_spec):
        raise ValueError(
            f"{argument('image')} is {quoted(image)}, and the data set's elements are tuples of {len(element_spec)}. "
            f"Expected the image's index in them, such as {setting('image', 0)}."
        )
    return index


def _key(element_spec: dict, image: object) -> object:
    """The image's key in a dictionary."""
    known = _IMAGE_KEYS if len(element_spec) > 1 else tuple(element_spec)
    key = next((key for key in known if key in element_spec), None) if image is None else image
    there = ", ".join(quoted(key, 30) for key in [*element_spec][:10]) or "nothing"
    if key not in element_spec:
        what = f"{argument('image')} is {quoted(image)}" if image is not None else "Which part is the image is not said"
        raise ValueError(
            f"{what}, and the data set's elements are dictionaries with {there}. Expected the image's key, such as "
            f"{setting('image', 'picture')}; an image under 'image' is found without."
        )
    if DETECTIONS in element_spec and key != DETECTIONS:
        raise ValueError(
            f"The data set's elements are dictionaries with {there}, and what is found is given under '{DETECTIONS}'. "
            "Give that part another name first, with dataset.map."
        )
    return key


def _elsewhere(element_spec: object, taken: object) -> str:
    """What to do where another part could be the image; empty where none could."""
    parts = dict(enumerate(element_spec)) if isinstance(element_spec, tuple) else element_spec
    if not isinstance(parts, dict):
        return ""
    for key, spec in parts.items():
        is_tensor = isinstance(spec, tf.TensorSpec) and key != taken
        if is_tensor and (spec.dtype == tf.string or (spec.dtype == tf.uint8 and spec.shape.rank != 0)):
            return f" If part {quoted(key)} is the image, say {setting('image', key)}."
    return ""


def _kind(spec: object, name: str, remedy: str) -> tuple[str, bool]:
    """Of which kind an image is, and whether it is a batch; refuses what is none."""
    if not isinstance(spec, tf.TensorSpec):
        raise TypeError(f"{name} of the kind {type(spec).__name__}. {_EXPECTED}{remedy}")
    found, rank = f"{name} {spec.dtype.name} of shape {spec.shape}.", spec.shape.rank
    if spec.dtype.is_floating:
        remedy = (
            " Values from 0 to 1 become uint8 by tf.image.convert_image_dtype(image, tf.uint8, saturate=True), those "
            f"from 0 to 255 by tf.cast(image, tf.uint8).{remedy}"
        )
    if spec.dtype not in (tf.string, tf.uint8):
        raise TypeError(f"{found} {_EXPECTED}{remedy}")
    is_file = spec.dtype == tf.string
    if rank is None:
        shape = "()" if is_file else "(None, None, 3)"
        remedy = f" Say what they are: tf.ensure_shape(image, {shape}).{remedy}"
    if rank not in ((0, 1) if is_file else (2, 3, 4)):
        raise ValueError(f"{found} {_EXPECTED}{remedy}")
    if not is_file and rank > 2 and spec.shape[-1] not in _CHANNELS:
        raise ValueError(f"{found} {_EXPECTED} Channels that come first go last by tf.transpose.{remedy}")
    return (FILES, rank == 1) if is_file else (IMAGES, rank == 4)
