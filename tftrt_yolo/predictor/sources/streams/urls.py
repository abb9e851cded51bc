r"""Answers of web servers: a few redirections, only http and https, never for ever.

with urls.ask("https://example.org/bus.jpg", timeout_s=10) as answer:
    answer.content_type, answer.start                   # "image/jpeg", b"\xff\xd8..."
    answer.copy_to(file, most_bytes=1 << 20)
"""

import base64
import contextlib
import functools
import http.client
import ipaddress
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import BinaryIO

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import first_line, shown
from tftrt_yolo.ground.version import __version__

FAULTS = (OSError, http.client.HTTPException, ValueError)  # of a connection; UnicodeError of a host's name among them
_MOST_REDIRECTIONS = 5
_START_BYTES = 512
_PIECE_BYTES = 1 << 16
# Seconds, and bytes a second on average after them, below which a server only holds the line.
_PATIENCE_S, _LEAST_BYTES_PER_S = 60, 1_000
_EXPECTED = "Expected the URL of an image, a video or a stream"


def without_password(url: str) -> str:
    """A URL for messages and results: the password that it may hold is not shown."""
    return re.sub(r"(://[^/?#@:]*):[^/?#@]*@", r"\1:***@", url)


def is_private(url: str) -> bool:
    """Whether a URL's host is of this machine or of a network of its own; one that is not known is none."""
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
        found = {entry[4][0].partition("%")[0] for entry in socket.getaddrinfo(host, None)}
        return any(not ipaddress.ip_address(address).is_global for address in found)
    except (OSError, ValueError):
        return False


def check_target(url: str, *, named_by: str) -> None:
    """Refuses what another server names and no stranger should reach.

    Args:
      url: What is named: by a redirection, or a playlist.
      named_by: The URL that names it.

    Raises:
      ValueError: If it is no http or https, or in a private network and what names it is not.
    """
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme not in ("http", "https"):
        raise ValueError(f"it leads to {shown(without_password(url))}, which is neither http nor https")
    if is_private(url) and not is_private(named_by):
        raise ValueError(f"it leads to {shown(without_password(url))}, which is in a private network")


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows a few, and none into a private network."""

    max_redirections = _MOST_REDIRECTIONS

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """As the base class, after a look at where it leads."""
        check_target(newurl, named_by=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    """What asks servers; unlike urllib's own it opens no file, no ftp and no data."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirections(),
    ):
        opener.add_handler(handler)
    return opener


class Answer:
    """What a server answers.

    Attributes:
      url: What was asked for, without a password.
      name: The same for messages.
      content_type: In lower case, without parameters; empty if it is not said.
      size: Bytes of the whole; None if it is not said.
      start: The first bytes, at most 512.
    """

    def __init__(self, url: str, response: http.client.HTTPResponse):
        """Reads the first bytes.

        Args:
          url: What was asked for, without a password.
          response: What came.
        """
        self.url, self.name = url, shown(url)
        self.content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        length = response.headers.get("Content-Length", "")
        self.size = int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None
        self._response, self.start = response, b""
        if not self.is_multipart:
            while len(self.start) < _START_BYTES and (piece := response.read1(_START_BYTES - len(self.start))):
                self.start += piece
        self._unread = self.start

    @property
    def is_multipart(self) -> bool:
        """Whether picture after picture comes, as from many cameras."""
        return self.content_type.startswith("multipart/")

    @property
    def path(self) -> str:
        """The path of the URL, without a query."""
        return urllib.parse.urlsplit(self.url).path

    def read(self, num_bytes: int = _PIECE_BYTES) -> bytes:
        """Reads what is there, at most so many bytes and at least one; nothing at the end."""
        if self._unread:
            piece, self._unread = self._unread[:num_bytes], self._unread[num_bytes:]
            return piece
        return self._response.read1(num_bytes)

    def copy_to(self, file: BinaryIO, most_bytes: int, most_seconds: float | None = None) -> int:
        """Writes all of it to a file.

        Args:
          file: Is written to.
          most_bytes: Refuse a larger one.
          most_seconds: Refuse one that takes longer; None for a limit of speed alone.

        Returns:
          How many bytes came.

        Raises:
          ImageError: If it is larger, or comes too slowly, or the connection fails.
        """
        began, total = time.monotonic(), 0
        if self.size is not None and self.size > most_bytes:
            raise self._too_large(self.size, most_bytes)
        with naming_faults(self.name):
            while piece := self.read():
                total += file.write(piece)
                if total > most_bytes:
                    raise self._too_large(total, most_bytes)
                seconds = time.monotonic() - began
                is_slow = seconds > _PATIENCE_S and total < seconds * _LEAST_BYTES_PER_S
                if is_slow or (most_seconds is not None and seconds > most_seconds):
                    raise ImageError(
                        f"{self.name} cannot be read: only {total:,} bytes came in {seconds:.0f} s. {_EXPECTED} whose "
                        "server is faster; download it first."
                    )
        return total

    def _too_large(self, num_bytes: int, most_bytes: int) -> ImageError:
        return ImageError(
            f"{self.name} is too large: it has {num_bytes:,} bytes or more, and at most {most_bytes:,} are read. "
            f"{_EXPECTED} of less."
        )

    def interrupt(self) -> None:
        """Ends the connection under whoever reads it in another thread, whose read then fails."""
        with (
            contextlib.suppress(OSError, ValueError, AttributeError),
            socket.socket(fileno=os.dup(self._response.fileno())) as connection,
        ):
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends the connection."""
        with contextlib.suppress(*FAULTS):
            self._response.close()

    def __enter__(self) -> "Answer":
        """Itself."""
        return self

    def __exit__(self, *_) -> None:
        """Ends the connection."""
        self.close()


@contextlib.contextmanager
def naming_faults(name: str) -> Iterator[None]:
    """Turns what a connection raises into an ImageError; `name` is the URL for messages."""
    try:
        yield
    except FAULTS as error:
        raise ImageError(f"{name} cannot be read: {reason_of(error)}. {_EXPECTED} that is there.") from error


def reason_of(error: BaseException) -> str:
    """What went wrong with a connection, in half a sentence."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if 300 <= error.code < 400 and "loop" in str(error.reason):
            return f"it redirects more than {_MOST_REDIRECTIONS} times, or in a circle"
        return f"the server answers {error.code} {shown(error.reason, 200)}"
    error = error.reason if isinstance(getattr(error, "reason", None), BaseException) else error
    if isinstance(error, socket.gaierror):
        return f"its host is not known ({first_line(OSError(error.strerror))})"
    if isinstance(error, TimeoutError):
        return "nothing came within the time limit"
    if isinstance(error, ssl.SSLError):
        return f"its server cannot be trusted ({first_line(error)})"
    return first_line(OSError(error.strerror) if getattr(error, "strerror", None) else error)


def ask(url: str, *, timeout_s: float) -> Answer:
    """Asks a server.

    Args:
      url: http or https; a name and a password in it are sent as basic authentication.
      timeout_s: Seconds without anything after which it fails.

    Returns:
      The answer.

    Raises:
      ImageError: If there is no such host or file, or the server does not answer, or answers with a fault.
    """
    public = without_password(url)
    with naming_faults(shown(public)):
        parts = urllib.parse.urlsplit(url)
        if not parts.hostname:
            raise ValueError("it names no host")
        userinfo, _, host = parts.netloc.rpartition("@")
        asked = urllib.parse.urlunsplit((parts.scheme, host, *parts[2:4], ""))
        request = urllib.request.Request(urllib.parse.quote(asked, safe="%/:=&?~#+!$,;'@()*[]"))  # noqa: S310 - http
        request.add_header("User-Agent", f"tftrt-yolo/{__version__}")
        if userinfo:
            token = base64.b64encode(urllib.parse.unquote(userinfo).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        return Answer(public, _opener().open(request, timeout=timeout_s))
