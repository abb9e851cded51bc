"""What every call passes first: the token.

server = grpc.aio.server(interceptors=[Guard(token, calls)])
"""

from collections.abc import Awaitable, Callable

import grpc

from tftrt_yolo.serving.credentials import is_bearer_of
from tftrt_yolo.serving.rpc import inference_service
from tftrt_yolo.serving.rpc.calls import Calls
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

_HEALTH = tuple(f"/{inference_service.NAME}/{name}" for name in inference_service.HEALTH)
_HEALTH_SERVICE = "/grpc.health.v1.Health/"


class Guard(grpc.aio.ServerInterceptor):
    """Lets calls through that bear the token, and those for health."""

    def __init__(self, token: str, calls: Calls):
        """Starts nothing.

        Args:
          token: What calls must bear.
          calls: Counts those that do not.
        """
        self._token, self._calls = token, calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """Gives what answers a call: its method, or what refuses it in its stead."""
        method = handler_call_details.method
        handler = await continuation(handler_call_details)
        given = [value for name, value in handler_call_details.invocation_metadata or () if name == "authorization"]
        is_health = method in _HEALTH or method.startswith(_HEALTH_SERVICE)
        if handler is None or is_health or is_bearer_of(self._token, map(str, given)):
            return handler
        return self._refusing(method.lstrip("/"), handler)

    def _refusing(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """A method of the same form that refuses."""

        async def refuse(_, context):
            await self._calls.answer(context, method, _no_token)

        async def refuse_stream(_, context):
            await refuse(_, context)
            yield

        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(refuse_stream)
        return grpc.unary_unary_rpc_method_handler(refuse)


async def _no_token() -> None:
    """Refuses."""
    raise RefusedError(
        Refusal.UNAUTHENTICATED, "The call bears no token, or another. Send the metadata `authorization: Bearer TOKEN`."
    )
