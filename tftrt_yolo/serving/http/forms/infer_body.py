"""Requests and answers of the Open Inference Protocol: JSON, and tensors as binary data behind it.

asked = read_request(data, request.headers.get("inference-header-content-length"))
body, header_length = written(answer, outputs, asked)
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.serving.http.answers import json_pieces
from tftrt_yolo.serving.http.service import check_names, mapping_of, parse_object
from tftrt_yolo.serving.protocol import parameters as request_parameters
from tftrt_yolo.serving.protocol.datatypes import datatype_of, from_json, from_raw, invalid, to_raw
from tftrt_yolo.serving.protocol.requests import MOST_ID_CHARACTERS

HEADER_LENGTH = "inference-header-content-length"
_SIZE, _BINARY, _BINARY_OUTPUT = "binary_data_size", "binary_data", "binary_data_output"
_MOST_TENSORS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class InferRequest:
    """What a request says.

    Attributes:
      inputs: Name to array.
      parameters: Name to value.
      outputs: Names of the outputs that are wanted, each with whether as binary data; None for all.
      request_id: The client's.
    """

    inputs: dict[str, np.ndarray]
    parameters: dict[str, object]
    outputs: dict[str, bool] | None
    request_id: str

    def is_binary(self, name: str) -> bool:
        """Whether an output is wanted as binary data."""
        return self.outputs[name] if self.outputs else self.parameters.get(_BINARY_OUTPUT, False)


def read_request(data: bytes, header_length: str | None) -> InferRequest:
    """Reads the body of a request.

    Args:
      data: All of it.
      header_length: What the header says of how long its JSON is; None where it is all.

    Returns:
      The request; its arrays read the body itself.

    Raises:
      RefusedError: If it is none, or what it says of lengths is not so.
    """
    length = len(data) if header_length is None else _length(header_length, len(data))
    document = parse_object(data[:length])
    check_names("The request", document, ("id", "parameters", "inputs", "outputs"))
    parameters = mapping_of(document, "parameters")
    request_parameters.check_known(parameters)
    is_binary = _flag(parameters, _BINARY_OUTPUT, default=False)
    request_id = document.get("id", "")
    if not isinstance(request_id, str) or len(request_id) > MOST_ID_CHARACTERS:
        raise invalid(f"'id' is {quoted(request_id)}; expected a text of at most {MOST_ID_CHARACTERS:,} characters.")
    return InferRequest(
        _inputs(_tensors(document, "inputs"), memoryview(data)[length:]),
        parameters,
        _outputs(_tensors(document, "outputs"), is_binary=is_binary),
        request_id,
    )


def written(
    answer: dict[str, object], outputs: Mapping[str, np.ndarray], asked: InferRequest
) -> tuple[list[bytes], int | None]:
    """The body of an answer.

    Args:
      answer: What stands before the outputs: model, version, id.
      outputs: Name to array, of those that are wanted.
      asked: What was asked for.

    Returns:
      The body in pieces, and how long its JSON is; None where that is all.

    Raises:
      RefusedError: If strings that are no text are wanted as JSON.
    """
    described, parts = [], []
    for name, array in outputs.items():
        tensor = {"name": name, "datatype": datatype_of(array.dtype.name), "shape": list(array.shape)}
        if asked.is_binary(name):
            parts.append(to_raw(array))
            tensor["parameters"] = {_SIZE: len(parts[-1])}
        else:
            tensor["data"] = _in_json(name, array)
        described.append(tensor)
    text = json_pieces(answer | {"outputs": described})
    return [*text, *parts], sum(map(len, text)) if parts else None


def _length(header_length: str, length: int) -> int:
    """How long the JSON is."""
    if not header_length.isdecimal() or not header_length.isascii() or len(header_length) > 20:
        raise invalid(f"Inference-Header-Content-Length is {quoted(header_length)}; expected a number of bytes.")
    if int(header_length) > length:
        raise invalid(f"Inference-Header-Content-Length is {header_length}; the body has {counted(length, 'byte')}.")
    return int(header_length)


def _tensors(document: dict, name: str) -> dict[str, dict]:
    """A list of tensors, by their names."""
    listed = document.get(name)
    if listed is None and name == "outputs":
        return {}
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise invalid(f"{name!r} is {quoted(listed)}; expected a list of objects with 'name', 'shape' and 'datatype'.")
    if len(listed) > _MOST_TENSORS:
        raise invalid(f"{name!r} has {len(listed):,} tensors; expected at most {_MOST_TENSORS}.")
    found = {}
    for tensor in listed:
        own = tensor.get("name")
        if not isinstance(own, str) or own in found:
            twice = "is there twice" if isinstance(own, str) else "is no name"
            raise invalid(f"{name!r} has a tensor {quoted(own)}, which {twice}; expected names that differ.")
        found[own] = tensor
    return found


def _inputs(tensors: dict[str, dict], binary: memoryview) -> dict[str, np.ndarray]:
    """The inputs: from JSON, or each from its part of the binary data, in their order."""
    arrays, place = {}, 0
    for name, tensor in tensors.items():
        check_names(f"Input {quoted(name)}", tensor, ("name", "shape", "datatype", "parameters", "data"))
        size = _size(name, mapping_of(tensor, "parameters"))
        if (size is None) == ("data" not in tensor):
            found = "neither" if size is None else "both"
            raise invalid(f"Input {quoted(name)} has {found} of 'data' and '{_SIZE}'; expected one of them.")
        described = (name, tensor.get("datatype"), tensor.get("shape"))
        if size is None:
            arrays[name] = from_json(*described, tensor["data"])
            continue
        if size > len(binary) - place:
            raise invalid(
                f"Input {quoted(name)} says that it has {counted(size, 'byte')} of binary data, and "
                f"{len(binary) - place:,} are left behind the JSON."
            )
        arrays[name] = from_raw(*described, binary[place : place + size])
        place += size
    if place != len(binary):
        raise invalid(
            f"The body has {counted(len(binary), 'byte')} behind its JSON, and the inputs take {place:,} of them."
        )
    return arrays


def _size(name: str, parameters: dict) -> int | None:
    """How many bytes of the binary data an input has; None for one in JSON."""
    for parameter, value in parameters.items():
        if parameter.startswith("shared_memory"):
            raise invalid(f"Input {quoted(name)} is in shared memory, which is not taken; send its data.")
        if parameter != _SIZE:
            raise invalid(f"Input {quoted(name)} has the parameter {quoted(parameter)}; known is {_SIZE}.")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise invalid(f"{_SIZE} of input {quoted(name)} is {quoted(value)}; expected a number of bytes.")
    return parameters.get(_SIZE)


def _outputs(tensors: dict[str, dict], *, is_binary: bool) -> dict[str, bool] | None:
    """The outputs that are wanted, each with whether as binary data."""
    wanted = {}
    for name, tensor in tensors.items():
        check_names(f"Output {quoted(name)}", tensor, ("name", "parameters"))
        parameters = mapping_of(tensor, "parameters")
        for parameter in parameters:
            if parameter != _BINARY:
                raise invalid(f"Output {quoted(name)} has the parameter {quoted(parameter)}; known is {_BINARY}.")
        wanted[name] = _flag(parameters, _BINARY, default=is_binary)
    return wanted or None


def _flag(parameters: dict, name: str, *, default: bool) -> bool:
    """A parameter that is true or false."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise invalid(f"{name} is {quoted(value)}; expected true or false.")
    return value


def _in_json(name: str, array: np.ndarray) -> np.ndarray | list[str]:
    """An output's elements as JSON has them, row by row."""
    flat = array.reshape(-1)
    if array.dtype != object:
        return flat
    try:
        return [value.decode() for value in flat.tolist()]
    except UnicodeDecodeError as error:
        raise invalid(
            f"Output {quoted(name)} holds bytes that are no text, which JSON cannot have. Ask for it with "
            f"'{_BINARY}': true, or list the 'outputs' that are wanted without it."
        ) from error
