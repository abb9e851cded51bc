"""TensorFlow's TensorProto and arrays.

array = from_proto("images", request.inputs["images"], most_bytes=64 << 20)
to_proto(array, response.outputs["boxes"])

Source: tensorflow/core/framework/tensor.proto; of typed values the last one stands for all that are left out.
"""

from collections.abc import Sequence

import numpy as np
from google.protobuf.message import Message

from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.serving.protocol.datatypes import array_of, datatype_of, from_raw, invalid, num_elements
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

# DataType's number to NumPy's name, and the field of typed values. Source: tensorflow/core/framework/types.proto.
_TYPES = {
    1: ("float32", "float_val"),
    2: ("float64", "double_val"),
    3: ("int32", "int_val"),
    4: ("uint8", "int_val"),
    5: ("int16", "int_val"),
    6: ("int8", "int_val"),
    7: ("object", "string_val"),
    9: ("int64", "int64_val"),
    10: ("bool", "bool_val"),
    17: ("uint16", "int_val"),
    19: ("float16", "half_val"),
    22: ("uint32", "uint32_val"),
    23: ("uint64", "uint64_val"),
}
_NUMBERS = {dtype: number for number, (dtype, _) in _TYPES.items()}
_HALF = "half_val"  # its values are the bits of float16, as whole numbers


def number_of(dtype: str) -> int:
    """DataType's number of a dtype.

    Args:
      dtype: NumPy's name; "object" for strings.

    Returns:
      1 for "float32", 7 for "object".
    """
    return _NUMBERS[dtype]


def from_proto(name: str, proto: Message, *, most_bytes: int) -> np.ndarray:
    """An array from a TensorProto.

    Args:
      name: The tensor's, for messages.
      proto: The message.
      most_bytes: No larger array is made; of a message that gives each value it never is.

    Returns:
      The array; of strings one of bytes, dtype object.

    Raises:
      RefusedError: If the dtype is none that we take, or shape and values disagree.
    """
    if proto.dtype not in _TYPES:
        known = ", ".join(f"{number} ({dtype})" for number, (dtype, _) in _TYPES.items())
        raise invalid(f"Tensor {quoted(name)} is of DataType {proto.dtype}; known are {known}.")
    if proto.tensor_shape.unknown_rank:
        raise invalid(f"Tensor {quoted(name)} has a shape of unknown rank; expected the sizes of all axes.")
    dtype, field = _TYPES[proto.dtype]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    count = num_elements(name, shape)
    if proto.tensor_content:
        data = proto.tensor_content
        data = data if dtype != "object" else _with_lengths(name, data, count)
        return from_raw(name, datatype_of(dtype), shape, data)
    values = _filled(name, getattr(proto, field), count, most_bytes, dtype)
    if field == _HALF:
        return array_of(name, "uint16", values).view(np.float16).reshape(shape)
    return array_of(name, dtype, values).reshape(shape)


def to_proto(array: np.ndarray, proto: Message) -> None:
    """Writes an array into a TensorProto.

    Args:
      array: Of strings one of bytes, dtype object.
      proto: An empty message.
    """
    proto.dtype = number_of(array.dtype.name)
    for side in array.shape:
        proto.tensor_shape.dim.add(size=side)
    if array.dtype == object:
        proto.string_val.extend(array.reshape(-1).tolist())
    else:
        proto.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _filled(name: str, values: Sequence, count: int, most_bytes: int, dtype: str) -> list:
    """Typed values, the last one as often as values are left out."""
    if len(values) > count or (count and not len(values)):
        raise invalid(
            f"Tensor {quoted(name)} has {counted(len(values), 'value')} of {dtype}; its shape takes {count:,}, or "
            "fewer of which the last stands for all that follow."
        )
    missing = count - len(values)
    if not missing:
        return list(values)
    size = len(values[-1]) if dtype == "object" else np.dtype(dtype).itemsize
    needed = missing * max(1, size)
    if needed > most_bytes:
        raise RefusedError(
            Refusal.TOO_LARGE,
            f"Tensor {quoted(name)} has {counted(len(values), 'value')}, and its shape asks for {count:,}, which take "
            f"{counted(needed, 'byte')}; expected at most {most_bytes:,} (--max_body_bytes).",
        )
    return [*values, *([values[-1]] * missing)]


def _with_lengths(name: str, data: bytes, count: int) -> bytes:
    """Strings of a `tensor_content`, where all lengths come first, in the form of the Open Inference Protocol."""
    if count > len(data):
        raise invalid(
            f"Tensor {quoted(name)} has {counted(len(data), 'byte')} of content; its {counted(count, 'string')} take "
            "at least a byte each, for their lengths come first."
        )
    lengths, place = [], 0
    for _ in range(count):
        length, place = _varint(name, data, place)
        lengths.append(length)
    if place + sum(lengths) != len(data):
        raise invalid(
            f"Tensor {quoted(name)} has {counted(len(data) - place, 'byte')} of content behind the lengths of its "
            f"strings; they take {sum(lengths):,}."
        )
    parts = []
    for length in lengths:
        parts += [length.to_bytes(4, "little"), data[place : place + length]]
        place += length
    return b"".join(parts)


def _varint(name: str, data: bytes, place: int) -> tuple[int, int]:
    """A whole number of 7 bits a byte, the lowest first, of 4 bytes at most, and where it ends."""
    value = 0
    for index, byte in enumerate(data[place : place + 4]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise invalid(f"Tensor {quoted(name)} has a length of a string that is none, at byte {place:,} of its content.")
