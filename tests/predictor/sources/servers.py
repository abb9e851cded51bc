"""Real servers on this machine: of files over HTTP, of MJPEG, of RTSP; and what they may do wrong."""

import contextlib
import http.server
import socket
import struct
import threading

from tests.predictor.sources import media

_PACKET = 7 * 188  # bytes of MPEG-TS in a packet


@contextlib.contextmanager
def web(routes):
    """Serves paths: each a function that takes the handler. Gives the URL in front of the paths."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            with contextlib.suppress(OSError):  # whoever asked went away
                routes.get(self.path, missing)(self)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def begin(handler, content_type, *, size=None, status=200, headers=()):
    """Sends the head of an answer; without a size the answer ends with the connection."""
    handler.send_response(status)
    handler.send_header("Content-Type", content_type)
    handler.send_header(*(("Content-Length", str(size)) if size is not None else ("Connection", "close")))
    for header in headers:
        handler.send_header(*header)
    handler.end_headers()
    handler.close_connection = size is None


def file(data, content_type="application/octet-stream", *, tells_size=True, size=None):
    """Answers with bytes."""

    def answer(handler):
        begin(handler, content_type, size=(len(data) if size is None else size) if tells_size else None)
        handler.wfile.write(data)
        handler.close_connection = handler.close_connection or size is not None

    return answer


def moved(target):
    """Answers that it is elsewhere."""
    return lambda handler: begin(handler, "text/plain", size=0, status=302, headers=[("Location", target)])


def missing(handler):
    """Answers that there is nothing."""
    handler.send_error(404)


def mjpeg(numbers, *, ends=True, before=lambda number: None, after=lambda: None):
    """Answers with JPEG after JPEG; `before` each, and `after` the last, it may wait."""

    def answer(handler):
        begin(handler, "multipart/x-mixed-replace; boundary=frame")
        for number in numbers:
            before(number)
            data = media.jpeg(number)
            head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
            handler.wfile.write(head + data + b"\r\n")
        after()
        if ends:
            handler.wfile.write(b"--frame--\r\n")

    return answer


@contextlib.contextmanager
def tcp(talk):
    """Has a function talk on each connection. Gives the port."""

    def work(connection):
        with connection, contextlib.suppress(OSError, ValueError):
            talk(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=work, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def rtsp(data):
    """Talks RTSP: sends a file of MPEG-TS in RTP's packets within the connection, and hangs up."""
    described = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"

    def talk(connection):
        lines = connection.makefile("rb")
        while line := lines.readline().decode():
            fields = {}
            while field := lines.readline().decode().strip():
                name, _, value = field.partition(":")
                fields[name.lower()] = value.strip()
            method = line.split()[0]
            more, body = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\nSession: 1\r\n", ""
            if method == "DESCRIBE":
                more, body = f"Content-Type: application/sdp\r\nContent-Length: {len(described)}\r\n", described
            elif method == "SETUP":
                more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {fields['cseq']}\r\n{more}\r\n{body}".encode())
            if method == "PLAY":
                return _send(connection, data)
        return None

    return talk


def _send(connection, data):
    for number, place in enumerate(range(0, len(data), _PACKET)):
        packet = struct.pack("!BBHII", 0x80, 33, number, 9_000 * number, 1) + data[place : place + _PACKET]
        connection.sendall(b"$\0" + struct.pack("!H", len(packet)) + packet)
