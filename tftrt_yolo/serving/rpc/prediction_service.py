"""TensorFlow Serving's calls: PredictionService's Predict and GetModelMetadata, ModelService's GetModelStatus.

add_to_server(calls, server)

Its messages are imported when they are needed: see `protos`.
"""

# ruff: noqa: N802 - methods have the names of the service's
import grpc
from google.protobuf.message import Message

from tftrt_yolo.ground.text import listed, quoted
from tftrt_yolo.serving.observing import request as observed_request
from tftrt_yolo.serving.protocol import requests
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.protocol.descriptions import tensorflow_serving_state
from tftrt_yolo.serving.rpc.calls import Calls, answered, unimplemented
from tftrt_yolo.serving.rpc.protos import tensorflow_serving
from tftrt_yolo.serving.rpc.tensor_protos import from_proto, number_of, to_proto
from tftrt_yolo.serving.scheduling.inference import ModelState, Signature, TensorSpec

PREDICTION, MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"
_DEFAULT = "serving_default"
_SIGNATURE_DEF = "signature_def"
_METHOD = "tensorflow/serving/predict"
_EXAMPLES = "It takes tf.Example, and this model takes pictures; call Predict."
_CODES = {False: 0, True: 2}  # OK, and UNKNOWN of a broken version


def add_to_server(calls: Calls, server: grpc.aio.Server) -> None:
    """Adds both services.

    Args:
      calls: What answers.
      server: To which.
    """
    protos = tensorflow_serving()
    protos.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(calls), server)
    protos.model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(calls), server)


class PredictionService:
    """Answers for predictions."""

    NAME = PREDICTION
    Classify = Regress = MultiInference = unimplemented(_EXAMPLES)

    def __init__(self, calls: Calls):
        """Starts nothing.

        Args:
          calls: What answers.
        """
        self.calls = calls

    @answered
    async def Predict(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Asks a model."""
        self.calls.check_open()
        state, version = _model_of(self.calls, request.model_spec)
        key = request.model_spec.signature_name or _DEFAULT
        signature = requests.signature_named(state, key)
        inputs = self._inputs(signature, key, request)
        requests.check_outputs(signature, request.output_filter)
        outcome = await self.calls.infer(context, requests.Asked(state, key, inputs, version=version))
        response = tensorflow_serving().predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = outcome.model, key
        response.model_spec.version.value = outcome.version
        for name in request.output_filter or outcome.outputs:
            to_proto(outcome.outputs[name], response.outputs[name])
        return response

    @answered
    async def GetModelMetadata(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """The signatures of a model."""
        state, _ = _model_of(self.calls, request.model_spec)
        unknown = [field for field in request.metadata_field if field != _SIGNATURE_DEF]
        if unknown or not request.metadata_field:
            found = quoted(unknown[0]) if unknown else "empty"
            raise invalid(f"metadata_field is {found}; expected {_SIGNATURE_DEF!r}.")
        protos = tensorflow_serving()
        signatures = protos.get_model_metadata_pb2.SignatureDefMap()
        for key, signature in state.signatures.items():
            definition = signatures.signature_def[key]
            definition.method_name = _METHOD
            for name, spec in signature.inputs.items():
                _describe(f"{key}_{name}:0", spec, definition.inputs[name])
            for index, name in enumerate(sorted(signature.outputs)):
                _describe(f"StatefulPartitionedCall:{index}", signature.outputs[name], definition.outputs[name])
        response = protos.get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = state.name
        response.model_spec.version.value = state.version
        response.metadata[_SIGNATURE_DEF].Pack(signatures)
        return response

    def _inputs(self, signature: Signature, key: str, request: Message) -> dict:
        """The inputs of a prediction, by what its signature takes."""
        if set(signature.inputs) != set(request.inputs):
            found = ", ".join(quoted(name, 40) for name in list(request.inputs)[:8]) or "none"
            raise invalid(f"The inputs are {found}; signature {key} takes {listed(sorted(signature.inputs))}.")
        most = self.calls.max_body_bytes
        return {name: from_proto(name, proto, most_bytes=most) for name, proto in request.inputs.items()}


class ModelService:
    """Answers for the states of models."""

    NAME = MODEL
    HandleReloadConfigRequest = unimplemented(
        "The server serves what it was started with; new versions come by folder."
    )

    def __init__(self, calls: Calls):
        """Starts nothing.

        Args:
          calls: What answers.
        """
        self.calls = calls

    @answered
    async def GetModelStatus(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """The versions of a model, with their states."""
        name, version = _spec_of(request.model_spec)
        response = tensorflow_serving().get_model_status_pb2.GetModelStatusResponse()
        for state in self.calls.hub.states(name, version):
            found = response.model_version_status.add(version=state.version, state=tensorflow_serving_state(state))
            found.status.error_code = _CODES[state.is_broken]
            found.status.error_message = state.reason
        return response


def _model_of(calls: Calls, spec: Message) -> tuple[ModelState, int | None]:
    """The model that a ModelSpec names, and the version that it names; None for the newest."""
    name, version = _spec_of(spec)
    return calls.hub.model(name, version), version


def _spec_of(spec: Message) -> tuple[str, int | None]:
    """The name and version of a ModelSpec."""
    version = spec.version.value if spec.HasField("version") else None
    observed_request.current().names(spec.name, version=version)
    if spec.HasField("version_label"):
        raise requests.no_label(spec.version_label)
    if version is not None and version < 1:
        raise invalid(f"The version is {version}; expected a whole number of at least 1.")
    return spec.name, version


def _describe(name: str, spec: TensorSpec, info: Message) -> None:
    """Writes what a tensor is into a TensorInfo; an axis of any size is -1."""
    info.name, info.dtype = name, number_of(spec.dtype)
    for side in spec.shape:
        info.tensor_shape.dim.add(size=-1 if side is None else side)
