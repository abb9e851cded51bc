"""The door for gRPC: one port, at which both services and grpc.health.v1 are.

door = RpcDoor(hub, listen, observing, token=None)       # in the loop that it is to run in; it takes the port
await door.start()
door.port
await door.stop(grace=5.0)               # refuses new calls, and waits for those that go on
"""

from collections.abc import Callable

import grpc
from tritonclient.grpc import service_pb2_grpc

from tftrt_yolo.ground.arguments import argument, setting
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.serving.credentials import read_pem
from tftrt_yolo.serving.observing.observing import Observing
from tftrt_yolo.serving.ports import bind, in_url
from tftrt_yolo.serving.protocol.memory import LARGEST_AT_ONCE, AnswerMemory, Memory
from tftrt_yolo.serving.rpc import inference_service, prediction_service
from tftrt_yolo.serving.rpc.calls import Calls
from tftrt_yolo.serving.rpc.guard import Guard
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions

_MOST_CALLS = 512  # at once, of all clients; each may hold a message
_MOST_STREAMS = 128  # at once, of a connection; a client keeps others back
_OPTIONS = {
    "grpc.so_reuseport": 0,  # a port has one server; else a second would get every other call
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": _MOST_STREAMS,
    # Peers that are gone are noticed, and those that ask for nothing are let go.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.min_ping_interval_without_data_ms": 5_000,  # what clients may send
    "grpc.max_connection_idle_ms": 600_000,
    "grpc.server_handshake_timeout_ms": 10_000,
}


class RpcDoor:
    """Listens, and answers when it is started.

    Attributes:
      port: At which it listens.
    """

    def __init__(
        self,
        hub: Hub,
        listen: ListenOptions,
        observing: Observing,
        *,
        token: str | None = None,
        request_timeout_s: float = BatchingOptions.request_timeout_s,
        check_open: Callable[[], None] = lambda: None,
    ):
        """Takes the port; nothing is answered yet.

        Args:
          hub: The models.
          listen: Where, and what is let in.
          observing: Is told of each call.
          token: What calls must bear; None for nothing.
          request_timeout_s: How long a call may take where its client does not say.
          check_open: Raises RefusedError while the server takes no requests.

        Raises:
          ServingError: If the port is in use, the address none of this machine's, or the certificate unusable.
        """
        memory, answers = Memory(LARGEST_AT_ONCE * listen.max_body_bytes), AnswerMemory(listen.max_answer_bytes)
        calls = Calls(hub, observing, request_timeout_s, listen.max_body_bytes, memory, answers, check_open)
        options = _OPTIONS | {"grpc.max_receive_message_length": listen.max_body_bytes}
        self._server = grpc.aio.server(
            interceptors=[] if token is None else [Guard(token, calls)],
            options=tuple(options.items()),
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        service = inference_service.InferenceService(calls)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, self._server)
        prediction_service.add_to_server(calls, self._server)
        _add_health(calls, self._server)
        self.port = _taken(self._server, listen)

    async def start(self) -> None:
        """Answers from here on."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Tells clients to go, and ends.

        Args:
          grace: Seconds for calls that go on; they are cut then.
        """
        await self._server.stop(grace)


def _add_health(calls: Calls, server: grpc.aio.Server) -> None:
    """Adds grpc.health.v1, where grpcio-health-checking is installed."""
    try:
        from grpc_health.v1 import health_pb2_grpc
    except ModuleNotFoundError:
        return
    from tftrt_yolo.serving.rpc.health import Health

    services = (inference_service.NAME, prediction_service.PREDICTION, prediction_service.MODEL)
    health_pb2_grpc.add_HealthServicer_to_server(Health(calls, services), server)


def _taken(server: grpc.aio.Server, listen: ListenOptions) -> int:
    """Takes the port, of which gRPC itself would not say why it cannot."""
    bind(listen.host, listen.grpc_port, "grpc_port").close()
    address = f"{in_url(listen.host)}:{listen.grpc_port}"
    try:
        if listen.tls_certificate is None:
            return server.add_insecure_port(address)
        certificate, key = read_pem(listen.tls_certificate, listen.tls_key)
        return server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    except RuntimeError as error:
        raise ServingError(
            f"{argument('grpc_port')} {listen.grpc_port} of {listen.host} cannot be listened at ({first_line(error)}). "
            f"Give another, such as {setting('grpc_port', 0)} for any that is free."
        ) from error
