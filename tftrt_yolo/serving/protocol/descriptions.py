"""What the server and its models say of themselves, in the words of the Open Inference Protocol and Triton.

server_metadata()                          # GET /v2
model_metadata(state, states)              # GET /v2/models/NAME
model_config(state)                        # GET /v2/models/NAME/config, also for Triton's ModelConfig
repository_index(states)                   # POST /v2/repository/index
tensorflow_serving_state(state)            # "AVAILABLE", for both of TensorFlow Serving's interfaces

A model has several signatures, and the protocol one list of inputs: it is that of `encoded`, and what else the model
takes stands beside it under "signatures".
"""

from collections.abc import Callable, Iterable

from tftrt_yolo import contract
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.serving.protocol.datatypes import BYTES, datatype_of
from tftrt_yolo.serving.scheduling.inference import ModelState, Signature, TensorSpec

SERVER_NAME = "tftrt_yolo"
EXTENSIONS = ("model_repository", "binary_tensor_data", "model_configuration", "statistics", "parameters")
_PLATFORM = "tensorflow_savedmodel"
_TENSORFLOW_SERVING_STATES = {
    "LOADING": "LOADING",
    "READY": "AVAILABLE",
    "UNLOADING": "UNLOADING",
    "UNAVAILABLE": "END",
}
_NATIVE = "native segments in TensorFlow, in place of TensorRT's engines"


def server_metadata() -> dict:
    """The server's name, version and extensions of the protocol."""
    return {"name": SERVER_NAME, "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(state: ModelState, states: Iterable[ModelState]) -> dict:
    """What a model takes and gives.

    Args:
      state: The version that was asked for.
      states: Every version of every model.

    Returns:
      The protocol's fields, and ours beside them: "signatures", and "parameters" with the task, the classes and what
      runs the model.
    """
    key = main_signature(state)
    versions = [str(other.version) for other in states if other.name == state.name and other.is_ready]
    return {
        "name": state.name,
        "versions": versions or [str(state.version)],
        "platform": platform(state),
        **_tensors(state.signatures[key] if key else Signature({}, {})),
        "signatures": {other: _tensors(signature) for other, signature in state.signatures.items()},
        "parameters": parameters(state),
    }


def platform(state: ModelState) -> str:
    """The form of the model; where TensorRT cannot run its engines here it says so."""
    return f"{_PLATFORM} ({_NATIVE})" if state.is_native else _PLATFORM


def parameters(state: ModelState) -> dict[str, str]:
    """What else is known of a model: texts, by name."""
    return {
        "task": state.task,
        "names": ",".join(state.names[index] for index in sorted(state.names)),
        "backend": state.backend,
        "device": state.device,
        "native_segments": str(state.is_native).lower(),
        "batch_sizes": ",".join(map(str, state.batch_sizes)),
    }


def main_signature(state: ModelState) -> str | None:
    """The key of the signature that the protocol's list of inputs is of; None of a model that is not loaded."""
    keys = (contract.ENCODED, *contract.SIGNATURES)
    return next((key for key in keys if key in state.signatures), None)


def model_config(state: ModelState) -> dict:
    """A model's configuration, in the fields of Triton's ModelConfig; axes are those behind the batch.

    Args:
      state: The model.

    Returns:
      What becomes JSON, or a message by `google.protobuf.json_format.ParseDict`.
    """
    key = main_signature(state)
    signature = state.signatures[key] if key else Signature({}, {})
    return {
        "name": state.name,
        "platform": platform(state),
        "backend": SERVER_NAME,
        "version_policy": {"specific": {"versions": [state.version]}},
        "max_batch_size": state.max_batch_size,
        "input": [_config_of(name, spec, _input_shape(spec)) for name, spec in signature.inputs.items()],
        "output": [_config_of(name, spec, _shape(spec)) for name, spec in sorted(signature.outputs.items())],
        "dynamic_batching": {"preferred_batch_size": list(state.batch_sizes)},
        "parameters": {name: {"string_value": value} for name, value in parameters(state).items()},
    }


def repository_index(states: Iterable[ModelState], *, ready: bool = False) -> list[dict]:
    """Every version of every model, with its state.

    Args:
      states: Of all.
      ready: Whether those that are ready are listed alone.

    Returns:
      A dictionary each.
    """
    return [
        {"name": state.name, "version": str(state.version), "state": state.state, "reason": state.reason}
        for state in states
        if state.is_ready or not ready
    ]


def _tensors(signature: Signature) -> dict[str, list[dict]]:
    """A signature's inputs and outputs; an axis of any size is -1."""

    def listed(specs: dict[str, TensorSpec], shape_of: Callable[[TensorSpec], list[int]]) -> list[dict]:
        return [
            {"name": name, "datatype": datatype_of(spec.dtype), "shape": shape_of(spec)}
            for name, spec in sorted(specs.items())
        ]

    return {"inputs": listed(signature.inputs, _input_shape), "outputs": listed(signature.outputs, _shape)}


def _shape(spec: TensorSpec) -> list[int]:
    """A shape; an axis of any size is -1."""
    return [-1 if side is None else side for side in spec.shape]


def _input_shape(spec: TensorSpec) -> list[int]:
    """The shape of an input; Triton's tools cannot send what has the batch alone, so that has an axis of 1."""
    return _shape(spec) if len(spec.shape) > 1 else [*_shape(spec), 1]


def _config_of(name: str, spec: TensorSpec, shape: list[int]) -> dict:
    """A tensor of the configuration; its shape is that with the batch."""
    datatype = datatype_of(spec.dtype)
    return {"name": name, "data_type": "TYPE_STRING" if datatype == BYTES else f"TYPE_{datatype}", "dims": shape[1:]}


def tensorflow_serving_state(state: ModelState) -> str:
    """How a version stands, in TensorFlow Serving's words."""
    return _TENSORFLOW_SERVING_STATES.get(state.state, "UNKNOWN")
