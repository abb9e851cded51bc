"""What stands before the page: who may come in, what of Gradio may be asked, how much may be sent, and for how long.

app.add_middleware(PageGuard, access=Access(gate.check, token), uploads=uploads, max_body_bytes=64 << 20, streams=set())

Gradio serves more than this page needs: an API, a proxy, files by URL, an editor. What is not listed here is not there.
"""

import asyncio
import base64
import binascii
import contextlib
import dataclasses
import hmac
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tftrt_yolo.serving.page.uploads import Uploads
from tftrt_yolo.serving.scheduling.refusals import RefusedError

PATH = "/page"
_MOST_EVENT_BYTES = 1 << 20  # of what a browser says happened
_DRAIN_SECONDS = 20.0
_UPLOAD_SECONDS = 30.0  # that may pass without a byte
_GET = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json)/?|/(static|assets|svelte)/.+|/gradio_api/(app_id|startup-events|upload_progress|queue/data|heartbeat/\w+|theme\.css)/?"
)
_POST = re.compile(r"/gradio_api/(upload|queue/join|cancel|reset)/?")
_UPLOAD = "/gradio_api/upload"
_FILE = "/gradio_api/file="
_STREAMS = re.compile(r"/gradio_api/(heartbeat/\w+|queue/data|upload_progress)/?")
# Scripts of Gradio's are written into its page. Nothing is loaded from, or sent to, anywhere else.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "connect-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "base-uri 'self'",
        "frame-ancestors 'self'",
    )
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-dns-prefetch-control": "off",
}


class _BadBodyError(Exception):
    """A body is larger than it may be, does not come, or names what is not here."""


@dataclasses.dataclass(frozen=True)
class Access:
    """Who may come in, and when.

    Attributes:
      check: Raises a RefusedError while the server loads or ends.
      token: What HTTP's Basic authentication must have as its password, with any user's name; None for nothing.
    """

    check: Callable[[], None] = lambda: None
    token: str | None = None


class PageGuard:
    """Around the application; what is not the page's it lets through."""

    def __init__(self, app: ASGIApp, *, access: Access, uploads: Uploads, max_body_bytes: int, streams: set):
        """Starts nothing.

        Args:
          app: What is guarded.
          access: Who may come in, and when.
          uploads: Where files lie.
          max_body_bytes: Of what is dropped at once.
          streams: Takes the tasks that keep connections open, so that the server's end can end them.
        """
        self._app, self._access, self._uploads, self._streams = app, access, uploads, streams
        self._most_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == PATH or path.startswith(f"{PATH}/")):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["method"], path.removeprefix(PATH), Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._admit(scope, receive, send)

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        """The answer to what is not let in; None to what is."""
        token = self._access.token
        if token is not None and not _is_password(token, headers.getlist("authorization")):
            asks = {"www-authenticate": 'Basic realm="tftrt_yolo", charset="UTF-8"'}
            return _said(401, "The page asks for the server's token: any name, and the token as password.", asks)
        if path == "":
            return RedirectResponse(f"{PATH}/")
        if method in ("GET", "HEAD"):
            is_known = _GET.fullmatch(path) or (path.startswith(_FILE) and self._uploads.holds(path[len(_FILE) :]))
            return None if is_known else _said(404, "There is nothing of that name on the page.")
        if method != "POST" or not _POST.fullmatch(path):
            return _said(404, "There is nothing of that name on the page.")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or not _is_own(headers):
            return _said(403, "The request comes from a page of another site. Open the page itself.")
        try:
            self._access.check()
        except RefusedError as error:
            return _said(503, str(error), {"retry-after": f"{error.retry_after_seconds or 1:.0f}"})
        if path.startswith(_UPLOAD) and not self._uploads.has_room:
            return _said(503, "Too many files are here already. Try again in a while.", {"retry-after": "60"})
        return None

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, within limits."""
        path, answer = scope["path"].removeprefix(PATH), _Answer(send)
        if _STREAMS.fullmatch(path):
            await self._stream(scope, receive, answer.send)
            return
        is_upload = path.startswith(_UPLOAD)
        limited = _Limited(receive, self._most_bytes if is_upload else _MOST_EVENT_BYTES, answer)
        try:
            limited.check(Headers(scope=scope).get("content-length", ""))
            taken = limited.receive if is_upload or scope["method"] != "POST" else await self._event(limited)
            await self._app(scope, taken, answer.send)
        except Exception:
            if answer.refusal is None:
                raise
        if answer.refusal is not None:
            if not limited.is_whole:  # a browser does not read before it has sent all
                await _drain(receive)
            await answer.instead(scope, receive)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what stays open, until the server ends."""
        task = asyncio.ensure_future(self._app(scope, receive, send))
        self._streams.add(task)
        try:
            await asyncio.wait((task,))
        finally:
            self._streams.discard(task)
            task.cancel()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _event(self, limited: "_Limited") -> Receive:
        """Reads what a browser says happened, and refuses files in it that are not here."""
        body = await limited.whole()
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if document is None or not all(map(self._uploads.holds, _paths(document))):
            raise limited.answer.refused("A file is no longer here. Drop it again.")
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Message:
            return next(messages, None) or await limited.receive()

        return receive


class _Limited:
    """A body that ends in time and is no larger than it may be."""

    def __init__(self, receive: Receive, most_bytes: int, answer: "_Answer"):
        self._receive, self._most_bytes, self.answer = receive, most_bytes, answer
        self._taken, self.is_whole = 0, False

    def check(self, content_length: str) -> None:
        """Refuses a body that says itself that it is too large."""
        if content_length.isdecimal() and (len(content_length) > 18 or int(content_length) > self._most_bytes):
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part."""
        seconds = None if self.is_whole else _UPLOAD_SECONDS
        try:
            message = await asyncio.wait_for(self._receive(), seconds)
        except asyncio.TimeoutError:
            raise self.answer.refused("The file did not come. Drop it again.") from None
        self._taken += len(message.get("body", b""))
        self.is_whole = not message.get("more_body", False)
        if self._taken > self._most_bytes:
            raise self._too_large()
        return message

    async def whole(self) -> bytes:
        """All of it."""
        parts = []
        while not self.is_whole:
            parts.append((await self.receive()).get("body", b""))
        return b"".join(parts)

    def _too_large(self) -> _BadBodyError:
        """The error of a body that is too large."""
        return self.answer.refused(
            f"That is more than {self._most_bytes:,} bytes, which is the most at once (--max_body_bytes). Drop less."
        )


class _Answer:
    """An answer with the page's headers."""

    def __init__(self, send: Send):
        self._send, self._has_begun, self.refusal = send, False, None

    def refused(self, message: str) -> _BadBodyError:
        """Notes what the answer will be instead, whatever the application makes of the error that is returned."""
        self.refusal = message
        return _BadBodyError(message)

    async def send(self, message: Message) -> None:
        """Sends a part, unless the request is refused."""
        if self.refusal is not None:
            return
        if message["type"] == "http.response.start":
            self._has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await self._send(message)

    async def instead(self, scope: Scope, receive: Receive) -> None:
        """Sends the refusal."""
        message, self.refusal = self.refusal, None
        if self._has_begun:
            return
        # As Gradio's script shows it: of an upload the text, of an event the detail.
        is_upload = scope["path"].startswith(PATH + _UPLOAD)
        content = PlainTextResponse(message, 413) if is_upload else JSONResponse({"detail": message}, 413)
        await content(scope, receive, self.send)


async def _drain(receive: Receive) -> None:
    """Throws away what still comes of a body, for a while."""

    async def drain() -> None:
        while (await receive()).get("more_body", False):
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(drain(), _DRAIN_SECONDS)


def _said(status: int, message: str, headers: dict | None = None) -> Response:
    """A refusal, as Gradio's script shows it to the reader."""
    return JSONResponse({"detail": message, "error": message}, status, {**_HEADERS, **(headers or {})})


def _is_password(token: str, given: list[str]) -> bool:
    """Whether HTTP's Basic authentication has the token as its password."""
    scheme, _, encoded = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    try:
        found = base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        found = b""
    return hmac.compare_digest(found, token.encode()) and scheme.lower() == "basic"


def _is_own(headers: Headers) -> bool:
    """Whether a request's Origin, if it has one, is this server."""
    origin = headers.get("origin")
    return origin is None or urllib.parse.urlsplit(origin).netloc == headers.get("host")


def _paths(document: object) -> Iterator[str]:
    """Every path of a file in what a browser says, however deep."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "path" in value:
                yield str(value["path"])
            pending += value.values()
        elif isinstance(value, list):
            pending += value
