"""The door for HTTP: a socket, uvicorn behind it, and an end that waits for nobody for ever.

door = HttpDoor(app, bound_socket, listen)
await door.start()
await door.stop(seconds=5.0)
"""

import asyncio
import contextlib
import errno
import socket

import uvicorn
from starlette.types import ASGIApp

from tftrt_yolo.ground.arguments import argument, setting
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.serving.http.connection import Connection
from tftrt_yolo.serving.serving_options import ListenOptions

_BACKLOG = 2_048
_TICK_SECONDS = 0.01


def bind(host: str, port: int, name: str) -> socket.socket:
    """Takes a port, at which nobody listens yet.

    Args:
      host: An address of this machine, or a name of one.
      port: 0 for any that is free.
      name: Of the argument that the port is of, for the message.

    Returns:
      The socket.

    Raises:
      ServingError: If there is no such address here, or the port is in use or not to be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        taken = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ServingError(
            f"{argument('host')} is {quoted(host)}, which is no address ({getattr(error, 'strerror', None) or error}); "
            "expected one of this machine's, such as 127.0.0.1, or 0.0.0.0 for all."
        ) from error
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        taken.bind(address)
        taken.listen(_BACKLOG)
    except OSError as error:
        taken.close()
        raise ServingError(_why_not_bound(host, port, name, error)) from error
    taken.setblocking(False)
    return taken


def _why_not_bound(host: str, port: int, name: str, error: OSError) -> str:
    """Why a port is not to be had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"{argument(name)} {port} of {host} is in use. End what listens there, or give another port, such as "
            f"{setting(name, 0)} for any that is free."
        )
    if error.errno == errno.EACCES:
        return f"{argument(name)} {port} of {host} is for privileged processes alone. Give one of at least 1024."
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{argument('host')} {host} is no address of this machine. Expected one of its own, such as 127.0.0.1, or "
            "0.0.0.0 for all."
        )
    return f"{argument(name)} {port} of {host} cannot be listened at: {error.strerror}. Give another."


class _Server(uvicorn.Server):
    """uvicorn's, which leaves signals to us."""

    def capture_signals(self):
        """Takes none."""
        return contextlib.nullcontext()


class HttpDoor:
    """A server for HTTP in the running loop."""

    def __init__(self, app: ASGIApp, taken: socket.socket, listen: ListenOptions):
        """Starts nothing yet.

        Args:
          app: What answers.
          taken: The socket that `bind` gave.
          listen: Limits, and TLS, whose files were checked.
        """
        self._socket = taken
        connection = type("Connection", (Connection,), {"seconds": listen.client_timeout_s})
        config = uvicorn.Config(
            app,
            http=connection,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=listen.client_timeout_s,
            ssl_certfile=listen.tls_certificate,
            ssl_keyfile=listen.tls_key,
            backlog=_BACKLOG,
        )
        self._server, self._task = _Server(config), None

    @property
    def port(self) -> int:
        """The port at which it listens."""
        return self._socket.getsockname()[1]

    async def start(self) -> None:
        """Answers from here on."""
        self._task = asyncio.ensure_future(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(_TICK_SECONDS)
        if self._task.done():
            self._task.result()
            raise ServingError("The server for HTTP ended as it began.")

    async def stop(self, seconds: float) -> None:
        """Lets answers under way be written, and ends.

        Args:
          seconds: After which connections that are still there are cut.
        """
        if self._task is None:
            self._socket.close()
            return
        self._server.should_exit = True
        await asyncio.wait((self._task,), timeout=seconds)
        if not self._task.done():
            self._server.force_exit = True
            for connection in [*self._server.server_state.connections]:
                connection.transport.abort()
        await asyncio.wait((self._task,), timeout=seconds)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SystemExit):
            await self._task
