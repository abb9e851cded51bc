"""Clients that are slow, mute, greedy or gone, over real sockets; others are served meanwhile."""

import contextlib
import select
import socket
import time

import pytest
import requests

from tests.conftest import IMAGES
from tests.serving.http.conftest import CLIENT_SECONDS
from tests.serving.servers import answer_of, connected, error_of

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"


def _is_alive(url):
    return requests.get(f"{url}/v2/health/live", timeout=30).json() == {"live": True}


def _ends(connection):
    """Whether the server ends a connection; what it says before is thrown away."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return True


def test_idle_connections_do_no_harm_and_end(url, port):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(port)) for _ in range(100)]
        assert _is_alive(url)
        picture = IMAGES[0].read_bytes()
        assert requests.post(f"{url}/predict?model=digits", data=picture, timeout=60).status_code == 200
        start = time.monotonic()
        assert all(_ends(connection) for connection in idle)
        assert time.monotonic() - start < 30


def test_who_says_nothing_hears_nothing(port):
    with connected(port) as connection:
        assert connection.recv(1 << 16) == b""


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v2/hea",  # half a line
        b"GET /v2 HTTP/1.1\r\nHost: a\r\nX-A: ",  # half a header
    ],
)
def test_a_head_that_does_not_come(port, sent):
    with connected(port) as connection:
        connection.sendall(sent)
        status, headers, body = answer_of(connection)
        assert status == 408
        assert headers["connection"] == "close"
        assert error_of(body) == f"The head did not come within {CLIENT_SECONDS:g} seconds."
        assert _ends(connection)


def test_empty_lines_are_no_requests(port):
    with connected(port) as connection:
        connection.sendall(LIVE)
        assert answer_of(connection)[0] == 200
        until = time.monotonic() + 30
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < until:
                connection.sendall(b"\r\n")
                time.sleep(0.1)
        assert time.monotonic() < until


@pytest.mark.parametrize(
    ("head", "most"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "65,536 bytes"),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 1_000_000 + b"\r\n\r\n", "65,536 bytes"),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"X-A: a\r\n" * 201 + b"\r\n", "200 headers"),
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 1_000_000, "65,536 bytes"),  # and no end
        (b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + b"a" * 400_000, "65,536 bytes"),
    ],
    ids=["path", "header", "headers", "endless", "name"],
)
def test_a_head_that_is_too_large(url, port, head, most):
    with connected(port) as connection:
        connection.sendall(head)
        status, _, body = answer_of(connection)
        assert status == 431
        assert most in error_of(body)
    assert _is_alive(url)


def test_trailers_that_are_too_large(port):
    head = b"POST /predict?model=digits HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    with connected(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(head)
        for _ in range(200):
            connection.sendall(b"X-A: " + b"a" * 1_000 + b"\r\n")
        assert _ends(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_what_is_no_http(url, port, sent):
    with connected(port) as connection:
        connection.sendall(sent)
        status, _, body = answer_of(connection)
        assert status == 400
        assert error_of(body)
    assert _is_alive(url)


def test_a_claim_of_gigabytes_is_refused_before_a_byte_of_it_comes(url, port):
    head = b"POST /predict?model=digits HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000000\r\n\r\n"
    with connected(port) as connection:
        connection.sendall(head)
        status, _, body = answer_of(connection)
        assert status == 413
        assert "The body has 5,000,000,000 bytes; expected at most 8,388,608 (--max_body_bytes)" in error_of(body)
        assert _ends(connection)
    assert _is_alive(url)


def test_who_has_sent_a_large_body_reads_the_refusal(url):
    for path in ("predict?model=digits", "v2/models/digits/infer", "v1/models/digits:predict"):
        answer = requests.post(f"{url}/{path}", data=bytes(9 << 20), timeout=60)
        assert answer.status_code == 413
        assert "9,437,184 bytes" in answer.json()["error"]


def test_a_body_without_a_length_is_counted(url, port):
    def endless():
        for _ in range(1_000):
            yield bytes(64 << 10)

    with contextlib.suppress(requests.ConnectionError):  # where the answer comes while it still sends
        answer = requests.post(f"{url}/predict?model=digits", data=endless(), timeout=60)
        assert answer.status_code == 413
        assert "more than 8,388,608 bytes" in answer.json()["error"]
    with connected(port) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")
        assert answer_of(connection)[0] in (413, None)
    assert _is_alive(url)


def test_bodies_that_take_too_much_together_are_refused(url, port):
    """Seventeen of the greatest length, all but the last byte, where sixteen may be in memory."""
    length = 8 << 20
    head = f"POST /predict?model=digits HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(port)) for _ in range(17)]
        for connection in connections:
            with contextlib.suppress(ConnectionError):
                connection.sendall(head + bytes(length - 1))
        [refused, *_], _, _ = select.select(connections, [], [], 30)
        status, headers, body = answer_of(refused)
        assert (status, headers["retry-after"]) == (503, "1")
        assert error_of(body).startswith("Requests with more than 134,217,728 bytes are under way together.")
    assert _is_alive(url)


@pytest.mark.parametrize("sent", [b"", b"half"])
def test_a_body_that_does_not_come(url, port, sent):
    with connected(port) as connection:
        connection.sendall(b"POST /predict?model=digits HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" + sent)
        assert _is_alive(url)
        status, _, body = answer_of(connection)
        assert status == 408
        assert f"did not come within {CLIENT_SECONDS:g} seconds; {len(sent)} bytes of it did" in error_of(body)
        assert _ends(connection)


def test_a_body_that_trickles_ends_too(url, port):
    with connected(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"POST /predict?model=digits HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        start = time.monotonic()
        while time.monotonic() - start < 30:
            connection.sendall(b"a")
            time.sleep(0.05)
        raise AssertionError("it never ended")
    assert _is_alive(url)


def test_a_slow_reader_is_cut_and_holds_nobody_up(server, url, port):
    """The answer of `network` has 4.8 MB, which is more than the system's buffers take."""
    body = b'{"inputs":[{"name":"frames","shape":[4,320,320,3],"datatype":"FP32",'
    body += b'"parameters":{"binary_data_size":4915200}}],"parameters":{"binary_data_output":true}}'
    head = (
        b"POST /v2/models/masks/infer HTTP/1.1\r\nHost: a\r\n"
        b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(body), len(body) + 4_915_200)
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", port))
        connection.sendall(head + body + bytes(4_915_200))
        connection.recv(1)  # it has begun
        assert _is_alive(url)
        time.sleep(3 * CLIENT_SECONDS)
        taken = 1
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(1 << 20):
                taken += len(chunk)
        assert taken < 4 * 4 * (80 * 80 * 32 + 2_100 * (4 + 10 + 32))  # the rest was never sent
    assert _is_alive(url)


def test_a_client_that_goes_away_takes_its_request_back(server, url, port):
    def cancelled():
        return server.report(()).requests.get("cancelled", 0)

    before = cancelled()
    picture = IMAGES[0].read_bytes()
    head = b"POST /predict?model=digits HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(picture)
    for sent in (head + picture[:1_000], head + picture):
        with connected(port) as connection:
            connection.sendall(sent)
    until = time.monotonic() + 30
    while cancelled() < before + 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert cancelled() >= before + 1
    assert _is_alive(url)


def test_requests_in_a_row_on_one_connection(port):
    with connected(port) as connection:
        connection.sendall(LIVE * 3)
        reader = connection.makefile("rb")
        found = reader.read(len(b'{"live":true}'))
        while found.count(b'{"live":true}') < 3:
            found += reader.read(1)
        assert found.count(b"HTTP/1.1 200") == 3


def test_another_protocol_is_not_taken_up(port):
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    with connected(port) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: a\r\n" + upgrade + b"\r\n")
        status, headers, _ = answer_of(connection)
        assert status == 200
        assert headers["connection"] == "close"
        assert _ends(connection)
    with connected(port) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n" + upgrade + b"\r\na")
        status, _, body = answer_of(connection)
        assert status == 400
        assert "asks for another protocol (Upgrade) and has a body. Send it as HTTP/1.1." in error_of(body)


def test_nothing_says_what_serves(url):
    assert "server" not in requests.get(f"{url}/v2", timeout=30).headers
