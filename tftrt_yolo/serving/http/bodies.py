"""Bodies of requests, as they come: counted, unpacked, and given up where they do not come.

intake = Intake(most_bytes=64 << 20, seconds=30.0)
async with intake.body(request) as data:
    ...

What one client sends is limited in bytes and in time, and what all send at once in bytes.
"""

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator

from starlette.requests import Request

from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.serving.http.errors import DisconnectedError
from tftrt_yolo.serving.protocol import memory
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

SLOWEST = 64 << 10  # bytes a second, beyond the seconds that every client has
_FORMS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Intake:
    """Takes bodies in, and knows how much of them is in memory."""

    def __init__(self, *, most_bytes: int, seconds: float):
        """Sets the limits.

        Args:
          most_bytes: Of one body, once decompressed.
          seconds: Within which a body comes; a large one has a second more for each 64 KiB.
        """
        self.most_bytes, self.seconds = most_bytes, seconds
        self._memory = memory.Memory(memory.LARGEST_AT_ONCE * most_bytes)

    @contextlib.asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """A request's body, decompressed.

        Args:
          request: The request, nothing of whose body was read.

        Yields:
          The bytes; they count as held until the context ends.

        Raises:
          RefusedError: If it is too large, comes too slowly, is packed in a form that is not known, or damaged.
          DisconnectedError: If the client went away.
        """
        self.check_length(request.headers.get("content-length"))
        with self._memory.hold() as held:
            yield await self._read(request, held)

    def check_length(self, content_length: str | None) -> None:
        """Refuses a body that says itself that it is too large; nothing of it was read."""
        if content_length is None:
            return
        length = int(content_length) if content_length.isdecimal() and len(content_length) <= 20 else None
        if length is None:
            raise invalid(f"Content-Length is {quoted(content_length)}; expected a number of bytes.")
        if length > self.most_bytes:
            raise self._too_large(f"{length:,} bytes")

    async def _read(self, request: Request, held: memory.Held) -> bytes:
        """All of a body."""
        form = request.headers.get("content-encoding", "identity").strip().lower()
        unpacked, start, taken = _Unpacked(form, self), time.monotonic(), 0
        while True:
            left = start + self.seconds + taken / SLOWEST - time.monotonic()
            try:
                message = await asyncio.wait_for(request.receive(), max(0.0, left))
            except asyncio.TimeoutError:
                raise RefusedError(
                    Refusal.TIMEOUT,
                    f"The body did not come within {self.seconds:g} seconds; {counted(taken, 'byte')} of it did. Send "
                    "it faster.",
                ) from None
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            chunk = message.get("body", b"")
            taken += len(chunk)
            held.take(unpacked.feed(chunk))
            if not message.get("more_body", False):
                return unpacked.end()

    def _too_large(self, found: str) -> RefusedError:
        """The refusal of a body that is too large."""
        return RefusedError(
            Refusal.TOO_LARGE,
            f"The body has {found}; expected at most {self.most_bytes:,} (--max_body_bytes). Send less at once.",
        )


class _Unpacked:
    """A body, decompressed as it comes."""

    def __init__(self, form: str, intake: Intake):
        if form not in ("identity", "") and form not in _FORMS:
            raise invalid(f"Content-Encoding is {quoted(form)}; known are gzip, deflate and identity.")
        self._form, self._intake, self._parts, self._length = form, intake, [], 0
        self._inflate = zlib.decompressobj(_FORMS[form]) if form in _FORMS else None

    def feed(self, chunk: bytes) -> int:
        """Takes what came; gives how many bytes it became."""
        if self._inflate is not None and chunk:
            chunk = self._inflated(chunk)
        self._length += len(chunk)
        if self._length > self._intake.most_bytes:
            raise self._intake._too_large(f"more than {self._intake.most_bytes:,} bytes")
        if chunk:
            self._parts.append(chunk)
        return len(chunk)

    def _inflated(self, chunk: bytes) -> bytes:
        """What a part of a packed body becomes, but no more than one byte beyond the limit."""
        if self._inflate.eof:
            raise invalid(f"The body has {counted(len(chunk), 'byte')} behind the end of its {self._form} data.")
        try:
            out = self._inflate.decompress(chunk, self._intake.most_bytes - self._length + 1)
        except zlib.error as error:
            raise invalid(f"The body is no {self._form} data, as its Content-Encoding says ({error}).") from error
        if self._inflate.unused_data:
            behind = counted(len(self._inflate.unused_data), "byte")
            raise invalid(f"The body has {behind} behind the end of its {self._form} data.")
        return out

    def end(self) -> bytes:
        """All of it."""
        if self._inflate is not None and not self._inflate.eof and (self._length or self._parts):
            raise invalid(f"The body's {self._form} data are cut short after {counted(self._length, 'byte')}.")
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
