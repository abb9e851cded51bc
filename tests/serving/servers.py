"""A server in a thread of the test's own process, and raw connections to it."""

import asyncio
import contextlib
import json
import socket
import threading

from tftrt_yolo.serving.server import Server

SECONDS = 120.0  # for whatever must come at all


@contextlib.contextmanager
def running(settings):
    """Runs a server in a thread with a loop of its own; gives it when its doors are open."""
    ready, found = threading.Event(), {}

    async def serve():
        found["loop"], found["ended"] = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with Server(settings) as server:
                found["server"] = server
                ready.set()
                await found["ended"].wait()
        except BaseException as error:
            found["error"] = error
            raise
        finally:
            ready.set()

    def run():
        with contextlib.suppress(Exception):
            asyncio.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(SECONDS)
    try:
        if "error" in found:
            raise found["error"]
        yield found["server"]
    finally:
        if "server" in found:
            found["loop"].call_soon_threadsafe(found["ended"].set)
        thread.join(SECONDS)
        assert not thread.is_alive()


def port_of(server):
    """The port of a server's door for HTTP."""
    return int(server.serving.http_url.rpartition(":")[2])


@contextlib.contextmanager
def connected(port, seconds=30.0):
    """A connection without a client's library."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        yield connection


def answer_of(connection):
    """Status, headers and body of what comes next; the body is read as Content-Length says."""
    reader = connection.makefile("rb")
    status = reader.readline()
    if not status:
        return None, {}, b""
    headers = {}
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        headers[name.decode().lower()] = value.strip().decode()
    return int(status.split()[1]), headers, reader.read(int(headers.get("content-length", 0)))


def error_of(body):
    """The reason in an answer."""
    document = json.loads(body)
    assert list(document) == ["error"]
    return document["error"]
