r"""The Open Inference Protocol's datatypes, and tensors as they travel.

from_raw("images", "UINT8", [1, 480, 640, 3], data)       # an array that reads the data itself
from_json("frames", "FP32", [1, 320, 320, 3], numbers)
to_raw(np.array([b"first", b"second"], object))           # b"\x05\0\0\0first\x06\0\0\0second"

What a request says of its sizes is compared with what is there before anything of that size is made.

Source: https://github.com/kserve/open-inference-protocol, and Triton's binary tensor data extension of it.
"""

import math
import struct
from collections.abc import Sequence

import numpy as np

from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

BYTES = "BYTES"
_DTYPES = {
    "BOOL": "bool",
    **{f"{sign.upper()}INT{bits}": f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
    BYTES: "object",
}
_DATATYPES = {dtype: datatype for datatype, dtype in _DTYPES.items()}
_LENGTH = struct.Struct("<I")  # before each string of a BYTES tensor
_MOST_AXES = 8
_MOST_SIDE = 1 << 31  # of an axis


def datatype_of(dtype: str) -> str:
    """The protocol's name of a dtype.

    Args:
      dtype: NumPy's name; "object" for strings.

    Returns:
      "FP32" for "float32", "BYTES" for "object".
    """
    return _DATATYPES[dtype]


def dtype_of(datatype: object) -> str:
    """NumPy's name of a datatype.

    Args:
      datatype: What a request says.

    Returns:
      "float32" for "FP32", "object" for "BYTES".

    Raises:
      RefusedError: If it is none that we take.
    """
    if not isinstance(datatype, str) or datatype not in _DTYPES:
        raise invalid(f"The datatype is {quoted(datatype)}; known are {', '.join(_DTYPES)}.")
    return _DTYPES[datatype]


def invalid(message: str) -> RefusedError:
    """The refusal of a request that is wrong in itself."""
    return RefusedError(Refusal.INVALID_ARGUMENT, message)


def num_elements(name: str, shape: object) -> int:
    """How many elements a tensor of a shape has.

    Args:
      name: The tensor's, for the message.
      shape: What a request says.

    Returns:
      The product of its axes, of which nothing was made yet.

    Raises:
      RefusedError: If it is no list of a few whole numbers of at least 0.
    """
    if not _is_listed(shape) or not 1 <= len(shape) <= _MOST_AXES:
        raise invalid(
            f"Tensor {quoted(name)} has the shape {quoted(shape)}; expected a list of 1 to {_MOST_AXES} whole numbers."
        )
    for side in shape:
        if isinstance(side, bool) or not isinstance(side, int) or not 0 <= side < _MOST_SIDE:
            raise invalid(
                f"Tensor {quoted(name)} has {quoted(side)} in its shape; expected whole numbers of at least 0, below "
                f"{_MOST_SIDE:,}."
            )
    return math.prod(shape)


def from_raw(name: str, datatype: object, shape: Sequence[int], data: bytes | memoryview) -> np.ndarray:
    """A tensor from its bytes: numbers little-endian, row by row; strings each behind its length in 4 bytes.

    Args:
      name: Its name, for the message.
      datatype: As the request says.
      shape: As the request says.
      data: The bytes, exactly as many as the tensor has.

    Returns:
      The array; it reads the data itself, and cannot be written to. Of strings an array of bytes, dtype object.

    Raises:
      RefusedError: If the datatype is unknown, or shape and data disagree.
    """
    dtype, count = dtype_of(datatype), num_elements(name, shape)
    if datatype == BYTES:
        strings = _strings(name, count, memoryview(data))
        array = np.empty(count, object)
        array[:] = strings
        return array.reshape(shape)
    expected = count * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise invalid(
            f"Tensor {quoted(name)} has {counted(len(data), 'byte')} of data; its shape {list(shape)} of {datatype} "
            f"takes {expected:,}."
        )
    if dtype == "bool" and not _are_bits(data):
        raise invalid(f"Tensor {quoted(name)} of BOOL has a byte beyond 1; expected 0 or 1 for each element.")
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def to_raw(array: np.ndarray) -> bytes:
    """A tensor's bytes, as `from_raw` takes them."""
    if array.dtype == object:
        return b"".join(part for value in array.reshape(-1) for part in (_LENGTH.pack(len(value)), value))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def from_json(name: str, datatype: object, shape: Sequence[int], data: object) -> np.ndarray:
    """A tensor from what JSON, or a message's lists of numbers, hold.

    Args:
      name: Its name, for the message.
      datatype: As the request says.
      shape: As the request says.
      data: A list of its elements, row by row, or lists in lists of its shape. Strings are texts, taken as UTF-8, or
        bytes.

    Returns:
      The array.

    Raises:
      RefusedError: If the datatype is unknown, shape and data disagree, or an element does not fit the datatype.
    """
    dtype, count = dtype_of(datatype), num_elements(name, shape)
    flat = flattened(name, data, most=count)
    if len(flat) != count:
        raise invalid(
            f"Tensor {quoted(name)} has {counted(len(flat), 'element')} of data; its shape {list(shape)} takes "
            f"{count:,}."
        )
    return array_of(name, dtype, flat).reshape(shape)


def flattened(name: str, data: object, *, most: int) -> list:
    """Elements of lists in lists, in one list; no more than one beyond `most`."""
    if not _is_listed(data):
        raise invalid(f"Tensor {quoted(name)} has {quoted(data)} as its data; expected a list of its elements.")
    if not any(isinstance(value, list) for value in data):
        return list(data)
    flat = []
    for value in data:
        flat += flattened(name, value, most=most) if isinstance(value, list) else [value]
        if len(flat) > most:
            break
    return flat


def _is_listed(value: object) -> bool:
    """Whether a value is a list, or a message's field of many numbers."""
    return hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, dict))


def array_of(name: str, dtype: str, flat: list) -> np.ndarray:
    """An array of one axis from elements of JSON.

    Args:
      name: The tensor's, for the message.
      dtype: NumPy's name; "object" for strings.
      flat: Its elements.

    Returns:
      The array.

    Raises:
      RefusedError: If an element does not fit the dtype: a fraction or 256 for uint8, a text for a number.
    """
    if dtype == "object":
        array = np.empty(len(flat), object)
        array[:] = [_text(name, value) for value in flat]
        return array
    wanted = np.dtype(dtype)
    kinds = {type(value) for value in flat}
    taken = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}[wanted.kind]
    if kinds - taken:
        strange = next(value for value in flat if type(value) not in taken)
        raise invalid(f"Tensor {quoted(name)} has the element {quoted(strange)}; expected {_IN_WORDS[wanted.kind]}.")
    if wanted.kind in "ui" and flat:
        limits = np.iinfo(wanted)
        for value in (min(flat), max(flat)):
            if not limits.min <= value <= limits.max:
                raise invalid(
                    f"Tensor {quoted(name)} has the element {quoted(value)}; {datatype_of(dtype)} goes from "
                    f"{limits.min} to {limits.max}."
                )
    return _floats(name, flat, wanted) if wanted.kind == "f" else np.array(flat, wanted)


_IN_WORDS = {"b": "true or false", "u": "whole numbers", "i": "whole numbers", "f": "numbers"}


def _floats(name: str, flat: list, wanted: np.dtype) -> np.ndarray:
    """Numbers as floats; one that is too large for them is refused."""
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, np.float64).astype(wanted)
    except OverflowError:
        array = np.array([np.inf])
    if not np.isfinite(array).all():
        raise invalid(f"Tensor {quoted(name)} has an element that is too large for {datatype_of(wanted.name)}.")
    return array


def _text(name: str, value: object) -> bytes:
    """A string's bytes."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise invalid(f"Tensor {quoted(name)} has the element {quoted(value)}; expected texts.")
    try:
        return value.encode()
    except UnicodeEncodeError as error:  # half of a pair of surrogates
        raise invalid(f"Tensor {quoted(name)} has a text that is no UTF-8; send such bytes as binary data.") from error


def _are_bits(data: bytes | memoryview) -> bool:
    """Whether no byte is more than 1."""
    return not len(data) or int(np.frombuffer(data, np.uint8).max()) <= 1


def _strings(name: str, count: int, data: memoryview) -> list[bytes]:
    """The strings of a BYTES tensor."""
    if count * _LENGTH.size > len(data):
        raise invalid(
            f"Tensor {quoted(name)} has {counted(len(data), 'byte')} of data; its {counted(count, 'string')} take at "
            f"least {count * _LENGTH.size:,}, for each has its length in {_LENGTH.size} bytes before it."
        )
    strings, place = [], 0
    for index in range(count):
        start = place + _LENGTH.size
        length = _LENGTH.unpack_from(data, place)[0] if start <= len(data) else 0
        place = start + length
        if place > len(data):
            raise invalid(
                f"Tensor {quoted(name)} says that its string {index} has {counted(length, 'byte')}, and "
                f"{max(0, len(data) - start):,} are left. Each has its length, of {_LENGTH.size} bytes, before it."
            )
        strings.append(bytes(data[start:place]))
    if place != len(data):
        raise invalid(
            f"Tensor {quoted(name)} has {counted(len(data) - place, 'byte')} of data behind its last string; its shape "
            f"takes {counted(count, 'string')}."
        )
    return strings
