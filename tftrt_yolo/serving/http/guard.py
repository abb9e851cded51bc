"""What every request passes before and after it is dealt with: the token, the server's end, and errors as JSON.

app.add_middleware(Guard, service=service, token=token)
"""

import contextlib
import logging
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tftrt_yolo.serving.credentials import is_bearer_of
from tftrt_yolo.serving.http import errors
from tftrt_yolo.serving.http.service import HELD, Service
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

HEALTH = ("/v2/health/live", "/v2/health/ready")  # without a token, also while the server loads or ends
_METRICS = "/metrics"
_OWN_GUARD = "/page"  # it asks for the token itself
_log = logging.getLogger("tftrt_yolo.serving")


class Guard:
    """Around the whole application."""

    def __init__(self, app: ASGIApp, *, service: Service, token: str | None):
        """Starts nothing.

        Args:
          app: What is guarded.
          service: Knows whether requests are taken, and how large they may be, and is told of them.
          token: What requests must bear; None for nothing.
        """
        self._app, self._service, self._token = app, service, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, is_last=not self._service.gate.is_open)
        try:
            with self._observed(scope), self._service.answers.hold() as scope[HELD]:
                self._admit(scope)
                await self._app(scope, receive, answer.send)
        except errors.DisconnectedError:
            return
        except RefusedError as error:
            await answer.instead(scope, receive, errors.refused(error))
        except Exception:  # noqa: BLE001 - whatever it is, the client is told and others are served
            _log.exception("A request failed.")
            await answer.instead(scope, receive, errors.failed(500, errors.INTERNAL))

    def _observed(self, scope: Scope) -> contextlib.AbstractContextManager:
        """A block in which a request is counted and logged; of those for health and the like nobody wants to read."""
        if scope["path"] in (*HEALTH, _METRICS) or scope["path"].startswith(_OWN_GUARD):
            return contextlib.nullcontext()
        headers, client = Headers(scope=scope), scope.get("client")
        return self._service.observing.request(
            "http",
            f"{scope['method']} {_kind_of(scope['path'])}",
            remote=f"{client[0]}:{client[1]}" if client else "",
            traceparent=headers.get("traceparent", ""),
        )

    def _admit(self, scope: Scope) -> None:
        """Refuses what is not to be dealt with, before any of its body is read."""
        headers = Headers(scope=scope)
        if scope["path"] in HEALTH:
            return
        is_guarded = self._token is not None and not scope["path"].startswith(_OWN_GUARD)
        if is_guarded and not is_bearer_of(self._token, headers.getlist("authorization")):
            raise RefusedError(
                Refusal.UNAUTHENTICATED, "The request bears no token, or another. Send `Authorization: Bearer TOKEN`."
            )
        if scope["method"] == "POST":
            self._service.gate.check()
        self._service.intake.check_length(headers.get("content-length"))


def _kind_of(path: str) -> str:
    """A path without the names in it, so that there are few kinds."""
    if path in _PATHS:
        return path
    found = _MODEL_PATH.fullmatch(path)
    if found is None:
        return "/..."
    version = {None: "", "versions": "/versions/{version}", "labels": "/labels/{label}"}[found["kind"]]
    return f"/{found['form']}/models/{{name}}{version}{found['verb'] or ''}"


_PATHS = ("/v2", "/v2/", "/v2/models/stats", "/v2/repository/index", "/predict")
_MODEL_PATH = re.compile(
    r"/(?P<form>v1|v2)/models/[^/:]+(/(?P<kind>versions|labels)/[^/:]+)?(?P<verb>[/:](infer|predict|ready|config|stats|metadata))?"
)


class _Answer:
    """An answer, and whether it has begun."""

    def __init__(self, send: Send, *, is_last: bool):
        self._send, self._is_last, self._has_begun = send, is_last, False

    async def send(self, message: Message) -> None:
        """Sends a part; where the server ends, the connection ends with it."""
        if message["type"] == "http.response.start":
            self._has_begun = True
            if self._is_last:
                message = message | {"headers": [*message.get("headers", []), (b"connection", b"close")]}
        await self._send(message)

    async def instead(self, scope: Scope, receive: Receive, response: ASGIApp) -> None:
        """Sends an error, unless something of an answer was sent; then the connection is cut."""
        if not self._has_begun:
            with contextlib.suppress(errors.DisconnectedError):
                await response(scope, receive, self.send)
