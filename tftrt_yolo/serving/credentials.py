"""What lets a client in, and what the server shows of itself: a bearer token, and a certificate with its key.

token = read_token("secrets/token")
is_bearer_of(token, ["Bearer 4f1c..."])
context = tls_context("server.pem", "server.key")        # checked as a client would: key, dates, form
"""

import contextlib
import hmac
import os
import ssl
import stat
from collections.abc import Iterable
from pathlib import Path

from absl import logging

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import first_line, shown

_MOST_BYTES = 8 << 10  # of a token
_LEAST_CHARACTERS = 16
_MOST_PEM_BYTES = 1 << 20


def read_token(path: str | Path) -> str:
    """Reads a token from its file; where others may read it, a warning says so.

    Args:
      path: A file with the token alone, in ASCII; blanks and line breaks around it do not count.

    Returns:
      The token.

    Raises:
      ServingError: If the file cannot be read, or holds none.
    """
    name = f"{argument('token_file')} {shown(path)}"
    wanted = (
        f"expected a file with a token of at least {_LEAST_CHARACTERS} characters of ASCII, such as what `openssl rand "
        "-hex 32` prints"
    )
    try:
        token = reading.read_text(path, _MOST_BYTES).strip()
        mode = os.stat(path).st_mode
    except OSError as error:
        raise ServingError(f"{name} cannot be read: {error.strerror}; {wanted}.") from error
    except reading.UnreadableError as error:
        raise ServingError(f"{name} {error}; {wanted}.") from error
    if len(token) < _LEAST_CHARACTERS or not all("!" <= character <= "~" for character in token):
        found = f"{len(token)} characters" if token.isascii() and token.isprintable() else "other characters"
        blanks = ", blanks among them" if " " in token else ""
        raise ServingError(f"{name} has {found if token else 'nothing'}{blanks}; {wanted}.")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        logging.warning(
            "%s can be read by others (mode %o); take that from them with `chmod 600`.", name, stat.S_IMODE(mode)
        )
    return token


def is_bearer_of(token: str, given: Iterable[str]) -> bool:
    """Whether a request bears a token.

    Args:
      token: The token.
      given: Its headers, or metadata, `authorization`.

    Returns:
      True for exactly one that is `Bearer` and the token; the comparison takes as long for any of its length.
    """
    given = list(given)
    scheme, _, found = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    is_same = hmac.compare_digest(found.strip().encode(errors="replace"), token.encode())
    return is_same and scheme.lower() == "bearer"


def read_pem(certificate: str | Path, key: str | Path) -> tuple[bytes, bytes]:
    """Reads a certificate chain and its key, for a server that takes them as bytes; `tls_context` has checked them."""
    found = []
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            found.append(reading.read_bytes(path, _MOST_PEM_BYTES))
        except OSError as error:
            raise ServingError(
                f"{argument(name)} {shown(path)} cannot be read: {error.strerror}; expected a file in PEM."
            ) from error
        except reading.UnreadableError as error:
            raise ServingError(f"{argument(name)} {shown(path)} {error}; expected a file in PEM.") from error
    return found[0], found[1]


def tls_context(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """A server's side of TLS.

    Args:
      certificate: A certificate chain in PEM, the server's own first.
      key: Its private key in PEM, without a password.

    Returns:
      The context.

    Raises:
      ServingError: If one cannot be read or is damaged, they do not belong together, or the certificate's time is over
        or has not begun.
    """
    read_pem(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    both = f"{argument('tls_certificate')} {shown(certificate)} and {argument('tls_key')} {shown(key)}"
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except _PasswordError:
        raise ServingError(
            f"{argument('tls_key')} {shown(key)} is locked by a password; expected a key without one. Write it anew "
            "with `openssl pkey -in KEY -out NEW`."
        ) from None
    except (ssl.SSLError, OSError, ValueError) as error:
        is_others = getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
        found = "do not belong together" if is_others else f"cannot be used ({first_line(error)})"
        raise ServingError(
            f"{both} {found}; expected a certificate chain in PEM, the server's own first, and its private key in PEM."
        ) from error
    _check_as_a_client(context, certificate)
    return context


class _PasswordError(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    """Refuses to type one."""
    raise _PasswordError


def _check_as_a_client(context: ssl.SSLContext, certificate: str | Path) -> None:
    """Shakes hands with a client that trusts this certificate alone, in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        context.wrap_bio(to_server, to_client, server_side=True),
    )
    try:
        for _ in range(4):
            for end in ends:
                with contextlib.suppress(ssl.SSLWantReadError):
                    end.do_handshake()
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or first_line(error)
        raise ServingError(
            f"{argument('tls_certificate')} {shown(certificate)} would be refused by every client: {reason}. Renew it."
        ) from error
