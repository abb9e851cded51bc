"""A connection of HTTP that nobody can hold for ever: its head is limited, and so is the time of everything.

uvicorn.Config(..., http=Connection)

uvicorn's own protocol waits for a first request, for the rest of a head and for a reader as long as they like, and has
no limit for heads.
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEAD_BYTES = 64 << 10  # the request line and all headers
MOST_HEADERS = 200
_BODIES = (b"content-length", b"transfer-encoding")
_LEAST_READ = 32 << 10  # bytes that a reader takes in the time that it has
_LINGER_SECONDS = 5.0  # in which what is still sent of a refused body is thrown away
_FIELDS = "Request Header Fields Too Large"


class _RefusedHeadError(Exception):
    """A head that is not read on."""


class Connection(HttpToolsProtocol):
    """One connection, with whatever requests come over it."""

    seconds = 30.0  # for a head, between requests, and for a reader that does not read

    def __init__(self, *args, **kwargs):
        """As uvicorn's."""
        super().__init__(*args, **kwargs)
        self._head_timer = self._write_timer = self._end_timer = None
        self._head_bytes, self._parsed_bytes, self._num_headers, self._is_in_head = 0, 0, 0, True
        self._unread, self._has_begun, self._lingers, self._is_refused = 0, False, False, False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begins to wait for a head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what waits."""
        for timer in (self._head_timer, self._write_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, but for what is not to be read."""
        if self._lingers or self._is_refused:
            return
        self._head_bytes += len(data) if self._is_in_head else 0
        super().data_received(data)
        if self._head_timer is None and self.timeout_keep_alive_task is None and self._is_idle:
            self._await_head()  # what came begins no request, such as an empty line
        if self._is_in_head and self._head_bytes > MOST_HEAD_BYTES and not self._is_refused:
            self._refuse(431, _TOO_LARGE_A_HEAD)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._num_headers, self._is_in_head, self._head_bytes, self._parsed_bytes = 0, True, 0, 0
        self._has_begun = True
        if self._head_timer is None:
            self._await_head()

    def on_url(self, url: bytes) -> None:
        """Takes a part of the path."""
        super().on_url(url)
        self._count(0, len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header, or a trailer behind a body."""
        self._count(1, len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._is_in_head, self._has_begun, self._head_bytes = False, False, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        is_upgrade = self.parser.should_upgrade()
        if is_upgrade and any(name in _BODIES for name, _ in self.headers):  # whose body the parser does not read
            self._refuse(400, "The request asks for another protocol (Upgrade) and has a body. Send it as HTTP/1.1.")
            raise _RefusedHeadError
        super().on_headers_complete()
        if is_upgrade:  # the parser reads no further request
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """An answer is written; what is left of a body that was not read is thrown away before the connection ends."""
        is_whole = not self.cycle.more_body
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_timer = self.loop.call_later(self.seconds, self.transport.abort)
        elif not is_whole and not self.pipeline:
            self._linger()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for a while."""
        super().timeout_keep_alive_handler()
        if self._end_timer is None:
            self._end_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """The reader is slower than we are."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.seconds, self._look_at_reader)

    def resume_writing(self) -> None:
        """The reader read."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        if not self._is_refused:
            self._refuse(400, f"{msg[:200]} Expected HTTP/1.1.")

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        """Gives the client its time for a head."""
        self._head_timer = self.loop.call_later(
            self.seconds, self._refuse, 408, f"The head did not come within {self.seconds:g} seconds."
        )

    def _count(self, headers: int, length: int) -> None:
        """Counts what a head has; httptools gives what is raised here back as an error of the parser's."""
        self._num_headers += headers
        self._parsed_bytes += length
        if self._num_headers > MOST_HEADERS or self._parsed_bytes > MOST_HEAD_BYTES:
            self._refuse(431, _TOO_LARGE_A_HEAD)
            raise _RefusedHeadError

    def _look_at_reader(self) -> None:
        """Ends a connection whose reader does not read."""
        unread = self.transport.get_write_buffer_size()
        if self._unread - unread < min(_LEAST_READ, self._unread):
            self.transport.abort()
            return
        self._unread = unread
        self._write_timer = self.loop.call_later(self.seconds, self._look_at_reader)

    def _linger(self) -> None:
        """Reads and forgets what is still sent, for a client that has not read its answer yet, and ends then."""
        self._lingers = True
        self._unset_keepalive_if_required()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._end_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _refuse(self, status: int, message: str) -> None:
        """Answers what never became a request, and ends the connection."""
        self._is_refused = True
        if self.transport.is_closing():
            return
        is_idle = self._is_idle
        if not is_idle and not self.pipeline and not self.cycle.response_started:  # a body that is none
            self.cycle.disconnected = is_idle = True
            self.cycle.message_event.set()
        if is_idle and (status != 408 or self._has_begun):  # who sent nothing waits for no answer
            body = json.dumps({"error": message}).encode()
            head = [
                STATUS_LINE[status] if status != 431 else f"HTTP/1.1 431 {_FIELDS}\r\n".encode(),
                b"content-type: application/json\r\n",
                b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
            ]
            self.transport.write(b"".join([*head, body]))
        self._linger() if is_idle and status != 408 else self.transport.close()
        if self._end_timer is None:
            self._end_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)


_TOO_LARGE_A_HEAD = (
    f"The request line or the headers are too large; expected at most {MOST_HEAD_BYTES:,} bytes and {MOST_HEADERS} "
    "headers."
)
