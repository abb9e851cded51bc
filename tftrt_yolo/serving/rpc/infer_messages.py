"""The Open Inference Protocol's messages for an inference, and arrays.

asked = read_request(request)
asked.inputs                             # {"image_bytes": array}
response = written(request, outcome, names)
"""

import dataclasses

import numpy as np
from google.protobuf.message import Message
from tritonclient.grpc import service_pb2

from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.serving.protocol import parameters as request_parameters
from tftrt_yolo.serving.protocol.datatypes import BYTES, datatype_of, dtype_of, from_json, from_raw, invalid, to_raw
from tftrt_yolo.serving.scheduling.inference import Outcome

# Datatype to the field of typed contents.
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
_MOST_TENSORS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class InferRequest:
    """What a ModelInferRequest says.

    Attributes:
      inputs: Name to array.
      outputs: Names of those that are asked for; empty for all.
      parameters: Name to value.
    """

    inputs: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    parameters: dict[str, object]


def read_request(request: Message) -> InferRequest:
    """Reads a request, and compares what it says of its tensors with what is there.

    Args:
      request: A ModelInferRequest.

    Returns:
      The request.

    Raises:
      RefusedError: If a tensor disagrees with itself or comes twice, or a parameter is unknown.
    """
    parameters = parameters_of(request.parameters)
    request_parameters.check_known(parameters)
    outputs = []
    for output in request.outputs:
        if output.parameters:
            raise invalid(
                f"Output {quoted(output.name)} has the parameter {quoted(min(output.parameters))}; expected none."
            )
        outputs.append(output.name)
    return InferRequest(_inputs(request), tuple(dict.fromkeys(outputs)), parameters)


def parameters_of(given: Message) -> dict[str, object]:
    """A map of InferParameter as Python's values."""
    found = {}
    for name, value in given.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is None:
            raise invalid(f"The parameter {quoted(name)} has no value; expected one, or no such parameter.")
        found[name] = getattr(value, kind)
    return found


def written(request: Message, outcome: Outcome, names: tuple[str, ...]) -> Message:
    """The answer to a request.

    Args:
      request: The ModelInferRequest.
      outcome: What came of it.
      names: Of the outputs that are asked for; empty for all.

    Returns:
      A ModelInferResponse, its tensors as bytes.
    """
    response = service_pb2.ModelInferResponse(
        model_name=outcome.model, model_version=str(outcome.version), id=request.id
    )
    for name in names or sorted(outcome.outputs):
        array = outcome.outputs[name]
        response.outputs.add(name=name, datatype=datatype_of(array.dtype.name), shape=array.shape)
        response.raw_output_contents.append(to_raw(array))
    return response


def _inputs(request: Message) -> dict[str, np.ndarray]:
    """The inputs as arrays."""
    raw = request.raw_input_contents
    if len(request.inputs) > _MOST_TENSORS:
        raise invalid(f"The request has {counted(len(request.inputs), 'input')}; expected at most {_MOST_TENSORS}.")
    if raw and len(raw) != len(request.inputs):
        raise invalid(
            f"The request has {len(raw):,} raw_input_contents and {counted(len(request.inputs), 'input')}; expected as "
            "many, in the same order."
        )
    found = {}
    for index, tensor in enumerate(request.inputs):
        if tensor.name in found:
            raise invalid(f"Input {quoted(tensor.name)} comes twice; expected each once.")
        for parameter in tensor.parameters:
            name = quoted(tensor.name)
            if parameter.startswith("shared_memory"):
                raise invalid(f"Input {name} is in shared memory, which is not taken; send its data.")
            raise invalid(f"Input {name} has the parameter {quoted(parameter)}; expected none.")
        found[tensor.name] = _from_raw(tensor, raw[index]) if raw else _from_contents(tensor)
    return found


def _from_raw(tensor: Message, data: bytes) -> np.ndarray:
    """An input whose bytes stand behind all inputs."""
    if tensor.HasField("contents"):
        raise invalid(f"Input {quoted(tensor.name)} has contents beside raw_input_contents; expected one of them.")
    return from_raw(tensor.name, tensor.datatype, list(tensor.shape), data)


def _from_contents(tensor: Message) -> np.ndarray:
    """An input with typed contents."""
    dtype_of(tensor.datatype)  # refuses what is unknown
    wanted = _CONTENTS.get(tensor.datatype)
    if wanted is None:
        raise invalid(
            f"Input {quoted(tensor.name)} is of {tensor.datatype}, which has no typed contents; send "
            "raw_input_contents."
        )
    others = [field.name for field, _ in tensor.contents.ListFields() if field.name != wanted]
    if others:
        raise invalid(f"Input {quoted(tensor.name)} of {tensor.datatype} has {', '.join(others)}; expected {wanted}.")
    return from_json(tensor.name, tensor.datatype, list(tensor.shape), getattr(tensor.contents, wanted))
