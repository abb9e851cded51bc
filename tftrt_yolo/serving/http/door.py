"""The door for HTTP: a socket, uvicorn behind it, and an end that waits for nobody for ever.

door = HttpDoor(app, bound_socket, listen)
await door.start()
await door.stop(seconds=5.0)
"""

import asyncio
import contextlib
import socket

import uvicorn
from starlette.types import ASGIApp

from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.serving.http.connection import Connection
from tftrt_yolo.serving.ports import BACKLOG
from tftrt_yolo.serving.serving_options import ListenOptions

_TICK_SECONDS = 0.01


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
          taken: The socket that `ports.bind` gave.
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
            backlog=BACKLOG,
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
