"""The ports of both doors, taken before anything starts.

taken = bind("127.0.0.1", 8000, "http_port")
in_url("::1")                           # "[::1]"
"""

import errno
import socket

from tftrt_yolo.ground.arguments import argument, setting
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import quoted

BACKLOG = 2_048  # connections that wait to be taken


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
        taken.listen(BACKLOG)
    except OSError as error:
        taken.close()
        raise ServingError(_why_not_bound(host, port, name, error)) from error
    taken.setblocking(False)
    return taken


def in_url(host: str) -> str:
    """An address as it stands before a port: one of IPv6, which has colons itself, in brackets."""
    return f"[{host}]" if ":" in host else host


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
