"""Large answers: written part by part, and sent no faster than they are read.

pieces = json_pieces({"outputs": {"logits": array}})      # arrays become lists in lists
return Answer(pieces, media_type="application/json", seconds=30.0)

JSON of a million numbers as one text would hold every other client up while it is made, and the list of its numbers
takes ten times the array's memory. uvicorn takes what it is given into memory at once; of an answer in parts it has the
next one alone.
"""

import asyncio
from collections.abc import Iterable, Iterator

import numpy as np
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tftrt_yolo.serving.http import errors
from tftrt_yolo.serving.http.bodies import SLOWEST
from tftrt_yolo.serving.protocol import nested

_ELEMENTS_AT_ONCE = 8 << 10  # some 5 ms, in which no other thread runs
_PIECE_BYTES = 256 << 10


class Answer(Response):
    """An answer that is written; a client that takes too long to read it is cut off."""

    def __init__(self, pieces: list[bytes], headers: dict[str, str] | None = None, *, media_type: str, seconds: float):
        """Sends nothing yet.

        Args:
          pieces: The body; they are given away as they are sent.
          headers: Others than type and length.
          media_type: Of the body.
          seconds: Within which it is read; a large one has a second more for each 64 KiB.
        """
        length = sum(map(len, pieces))
        super().__init__(None, 200, {**(headers or {}), "content-length": str(length)}, media_type)
        self._pieces, self._seconds = pieces, seconds + length / SLOWEST

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it.

        Raises:
          DisconnectedError: If the client did not read it in time.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if len(self._pieces) == 1 and len(self._pieces[0]) <= _PIECE_BYTES:
            await send({"type": "http.response.body", "body": self._pieces[0]})
            return
        try:
            await asyncio.wait_for(self._send_all(send), self._seconds)
        except asyncio.TimeoutError:
            raise errors.DisconnectedError from None

    async def _send_all(self, send: Send) -> None:
        """Sends piece after piece; `send` waits while the client has not read those before."""
        self._pieces.reverse()
        while self._pieces:
            piece = memoryview(self._pieces.pop())
            for first in range(0, len(piece), _PIECE_BYTES):
                body = piece[first : first + _PIECE_BYTES]
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def json_pieces(document: object) -> list[bytes]:
    """A document as JSON, in pieces of a size that is good to send.

    Args:
      document: With arrays anywhere in objects, and in lists of objects; their strings are bytes, dtype object, of
        which those that are no UTF-8 become {"b64": base64}.

    Returns:
      The pieces, in order.
    """
    return list(_gathered(_parts(document)))


def _gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Small parts put together."""
    kept, length = [], 0
    for part in parts:
        kept.append(part)
        length += len(part)
        if length >= _PIECE_BYTES:
            yield b"".join(kept)
            kept, length = [], 0
    if kept:
        yield b"".join(kept)


def _parts(value: object) -> Iterator[bytes]:
    """A document's JSON, part by part."""
    if isinstance(value, np.ndarray):
        yield from _of_array(value)
    elif isinstance(value, dict):
        yield from _between(b"{}", ((errors.as_json(name) + b":", item) for name, item in value.items()))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from _between(b"[]", ((b"", item) for item in value))
    else:
        yield errors.as_json(value)


def _between(brackets: bytes, items: Iterable[tuple[bytes, object]]) -> Iterator[bytes]:
    """Values with what stands before each, and commas."""
    before = brackets[:1]
    for name, item in items:
        yield before + name
        yield from _parts(item)
        before = b","
    yield brackets if before == brackets[:1] else brackets[1:]


def _of_array(array: np.ndarray) -> Iterator[bytes]:
    """An array's lists: some rows at once, or the parts of each where a row is large itself."""
    if array.size <= _ELEMENTS_AT_ONCE:
        yield errors.as_json(nested.to_nested(array))
        return
    rows = _ELEMENTS_AT_ONCE // (array.size // len(array))
    before = b"["
    for first in range(0, len(array), max(1, rows)):
        yield before
        if rows:
            yield errors.as_json(nested.to_nested(array[first : first + rows]))[1:-1]
        else:
            yield from _of_array(array[first])
        before = b","
    yield b"]"
