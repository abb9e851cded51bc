"""grpc.health.v1, as orchestrators and load balancers ask for it.

health_pb2_grpc.add_HealthServicer_to_server(Health(calls, ("inference.GRPCInferenceService",)), server)
"""

# ruff: noqa: N802 - methods have the names of the service's
import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tftrt_yolo.ground.text import quoted
from tftrt_yolo.serving.rpc.calls import Calls

NAME = "grpc.health.v1.Health"
_WATCH_SECONDS = 1.0
_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Says whether every model answers."""

    def __init__(self, calls: Calls, services: Iterable[str]):
        """Starts nothing.

        Args:
          calls: What answers.
          services: Whose health may be asked for by name; all stand and fall together.
        """
        self._calls, self._services = calls, ("", *services)

    async def Check(self, request: Message, context: grpc.aio.ServicerContext) -> Message:
        """Whether it answers now."""
        if request.service not in self._services:
            known = ", ".join(self._services[1:])
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"There is no service {quoted(request.service)}; known are {known}."
            )
        return _Response(status=await self._status())

    async def Watch(self, request: Message, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
        """Whether it answers, now and whenever that changes."""
        before = None
        while True:
            is_known = request.service in self._services
            status = await self._status() if is_known else _Response.SERVICE_UNKNOWN
            if status != before:
                yield _Response(status=status)
            before = status
            await asyncio.sleep(_WATCH_SECONDS)

    async def _status(self) -> int:
        """As the message has it."""
        return _Response.SERVING if await self._calls.is_ready() else _Response.NOT_SERVING
