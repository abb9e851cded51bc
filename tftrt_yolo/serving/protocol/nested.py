r"""Tensors as nested lists of JSON, the form of TensorFlow Serving's REST interface.

to_array("images", [[[[0, 0, 0], ...]]], "uint8")
to_array("image_bytes", [{"b64": "/9j/4AAQ..."}], "object")
to_nested(np.array([b"no image", b"\\x89PNG"], object))       # ["no image", {"b64": "iVBORw=="}]
"""

import base64
import binascii
import itertools

import numpy as np

from tftrt_yolo.ground.text import quoted
from tftrt_yolo.serving.protocol.datatypes import array_of, invalid

B64 = "b64"
_MOST_AXES = 8


def to_array(name: str, value: object, dtype: str) -> np.ndarray:
    """An array from lists in lists.

    Args:
      name: The tensor's, for the message.
      value: The lists; strings are texts, taken as UTF-8, or objects {"b64": base64}.
      dtype: NumPy's name; "object" for strings.

    Returns:
      The array.

    Raises:
      RefusedError: If the lists of one level differ in length, or an element does not fit the dtype.
    """
    level, shape = [value], []
    while level and isinstance(level[0], list):
        if len(shape) == _MOST_AXES:
            raise invalid(f"Tensor {quoted(name)} has lists in more than {_MOST_AXES} levels.")
        length = len(level[0])
        for inner in level:
            if not isinstance(inner, list) or len(inner) != length:
                found = f"{len(inner):,} elements" if isinstance(inner, list) else quoted(inner)
                raise invalid(
                    f"Tensor {quoted(name)} has lists of {length:,} elements and {found} at one level; expected the "
                    "same everywhere. Pictures of different sizes go to signature padded or encoded."
                )
        shape.append(length)
        level = list(itertools.chain.from_iterable(level))
    flat = [_bytes(name, element) for element in level] if dtype == "object" else level
    return array_of(name, dtype, flat).reshape(shape)


def to_nested(array: np.ndarray) -> object:
    """Lists in lists from an array.

    Args:
      array: Strings are of dtype object, bytes.

    Returns:
      The lists; bytes that are no UTF-8 are objects {"b64": base64}, others texts.
    """
    return _texts(array.tolist()) if array.dtype == object else array.tolist()


def _texts(value: object) -> object:
    """The same with texts in place of bytes."""
    if isinstance(value, list):
        return [_texts(item) for item in value]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {B64: base64.b64encode(value).decode()}


def is_b64(value: object) -> bool:
    """Whether a value of JSON is bytes in base64."""
    return isinstance(value, dict) and set(value) == {B64}


def _bytes(name: str, element: object) -> object:
    """An element's bytes, if it is in base64; otherwise itself."""
    if not isinstance(element, dict):
        return element
    if not is_b64(element) or not isinstance(element[B64], str):
        raise invalid(f'Tensor {quoted(name)} has {quoted(element)}; expected a text, or {{"b64": a text in base64}}.')
    try:
        return base64.b64decode(element[B64], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"Tensor {quoted(name)} has a text in {B64} that is no base64 ({error}).") from error
