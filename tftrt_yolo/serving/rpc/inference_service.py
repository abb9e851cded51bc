"""The Open Inference Protocol, version 2, over gRPC, as Triton's clients speak it.

service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(InferenceService(calls), server)

Calls for memory that is shared, for loading models by hand, for tracing and for logs are Triton's alone.
"""

# ruff: noqa: N802 - methods have the names of the service's
from collections.abc import AsyncIterator, Awaitable

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tftrt_yolo.ground.text import printable, quoted
from tftrt_yolo.serving.observing import request as observed_request
from tftrt_yolo.serving.protocol import descriptions, requests
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.protocol.memory import Held
from tftrt_yolo.serving.rpc.calls import Calls, answered, unimplemented
from tftrt_yolo.serving.rpc.infer_messages import read_request, written
from tftrt_yolo.serving.rpc.ordered import in_order
from tftrt_yolo.serving.scheduling.inference import ModelState
from tftrt_yolo.serving.scheduling.refusals import RefusedError

NAME = "inference.GRPCInferenceService"
HEALTH = ("ServerLive", "ServerReady", "ModelReady")
_MOST_AT_ONCE = 64  # of a stream; more are not read before one is answered
_MEMORY = "Memory is not shared with clients; send the tensors' bytes in raw_input_contents."
_LOADING = "Models are loaded from the folder that the server was started with; put a new version there."
_SETTINGS = "The server's settings are those that it was started with."


class InferenceService(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers the protocol's calls."""

    NAME = NAME

    def __init__(self, calls: Calls):
        """Starts nothing.

        Args:
          calls: What answers.
        """
        self.calls = calls

    async def ServerLive(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Whether the process answers at all."""
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Whether every model answers."""
        return service_pb2.ServerReadyResponse(ready=await self.calls.is_ready())

    async def ModelReady(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Whether a model answers; one that is unknown does not."""
        try:
            version = requests.version_of(request.version)
        except RefusedError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, printable(error))
        return service_pb2.ModelReadyResponse(ready=await self.calls.is_ready(request.name, version))

    @answered
    async def ServerMetadata(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """The server's name, version and extensions."""
        return service_pb2.ServerMetadataResponse(**descriptions.server_metadata())

    @answered
    async def ModelMetadata(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """What a model takes and gives."""
        state = self._state(request.name, request.version)
        found = descriptions.model_metadata(state, self.calls.hub.models())
        return json_format.ParseDict(found, service_pb2.ModelMetadataResponse(), ignore_unknown_fields=True)

    @answered
    async def ModelConfig(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """A model's configuration, in Triton's fields."""
        config = descriptions.model_config(self._state(request.name, request.version))
        return json_format.ParseDict({"config": config}, service_pb2.ModelConfigResponse())

    @answered
    async def ModelStatistics(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """What was counted of a model, or of all."""
        states = self.calls.hub.models()
        if request.name:
            self._state(request.name, request.version)
            version = requests.version_of(request.version)
            states = [one for one in states if one.name == request.name and version in (None, one.version)]
        elif request.version:
            raise invalid(f"The version is {quoted(request.version)}, of no model; expected a name beside it.")
        found = {"model_stats": self.calls.observing.statistics.of(states)}
        return json_format.ParseDict(found, service_pb2.ModelStatisticsResponse())

    @answered
    async def RepositoryIndex(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Every version of every model."""
        found = {"models": descriptions.repository_index(self.calls.hub.models(), ready=request.ready)}
        return json_format.ParseDict(found, service_pb2.RepositoryIndexResponse())

    @answered
    async def ModelInfer(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Asks a model."""
        return await self._infer(request, context)

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[Message], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Message]:
        """Asks models, as often as the client likes; answers come in the order of the requests."""
        held = set()  # of what was not sent yet
        context.add_done_callback(lambda _: [one.release() for one in held])

        def ask(request: Message) -> Awaitable[tuple[Message, Held]]:
            held.add(own := self.calls.answers.held())
            return self._streamed(request, context, own)

        async for answer, own in in_order(request_iterator, ask, _MOST_AT_ONCE):
            yield answer
            own.release()
            held.discard(own)

    async def _streamed(self, request: Message, context: grpc.aio.ServicerContext, held: Held) -> tuple[Message, Held]:
        """The answer to a request of a stream, and what it holds; where one is refused the stream goes on."""
        try:
            answer = await self.calls.observed(
                context,
                f"{NAME}/ModelStreamInfer",
                lambda: self._infer(request, context, held),
                num_bytes=request.ByteSize(),
            )
        except RefusedError as error:
            empty = service_pb2.ModelInferResponse(
                model_name=request.model_name, model_version=request.model_version, id=request.id
            )
            return service_pb2.ModelStreamInferResponse(error_message=printable(error), infer_response=empty), held
        return service_pb2.ModelStreamInferResponse(infer_response=answer), held

    async def _infer(self, request: Message, context: grpc.aio.ServicerContext, held: Held | None = None) -> Message:
        """Asks a model."""
        calls = self.calls
        observed_request.current().names(request.model_name, version=request.model_version, request_id=request.id)
        calls.check_open()
        version = requests.version_of(request.model_version)
        state = calls.hub.model(request.model_name, version)
        asked = read_request(request)
        key = requests.signature_of(state, asked.inputs)
        requests.check_outputs(state.signatures[key], asked.outputs)
        outcome = await calls.infer(
            context, requests.Asked(state, key, asked.inputs, asked.parameters, version, request.id), held
        )
        return written(request, outcome, asked.outputs)

    def _state(self, name: str, version: str) -> ModelState:
        """The model that a call names; its version as text, empty for the newest."""
        observed_request.current().names(name, version=version)
        return self.calls.hub.model(name, requests.version_of(version))

    RepositoryModelLoad = RepositoryModelUnload = unimplemented(_LOADING)
    SystemSharedMemoryStatus = SystemSharedMemoryRegister = SystemSharedMemoryUnregister = unimplemented(_MEMORY)
    CudaSharedMemoryStatus = CudaSharedMemoryRegister = CudaSharedMemoryUnregister = unimplemented(_MEMORY)
    TraceSetting = LogSettings = unimplemented(_SETTINGS)
