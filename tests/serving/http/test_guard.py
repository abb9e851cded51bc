"""What fails inside is told as JSON, without what failed; the log has that."""

import pytest
import requests
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.serving.servers import connected


@pytest.fixture
def broken(server):
    """Paths that fail, before an answer has begun and behind that."""

    async def fails(request):
        raise RuntimeError("a secret of /the/server")

    async def half():
        yield b"half"
        raise RuntimeError("a secret of /the/server")

    async def fails_later(request):
        return StreamingResponse(half())

    added = [Route("/fails", fails), Route("/fails-later", fails_later)]
    server.app.router.routes += added
    yield
    for route in added:
        server.app.router.routes.remove(route)


def test_a_fault_of_ours_shows_nothing_of_it(url, broken, caplog):
    answer = requests.get(f"{url}/fails", timeout=30)
    assert answer.status_code == 500
    assert answer.json() == {"error": "The server failed at this request; its log says why."}
    assert "a secret of /the/server" in caplog.text
    assert requests.get(f"{url}/v2/health/live", timeout=30).status_code == 200


def test_a_fault_behind_the_beginning_cuts_the_connection(port, broken):
    with connected(port) as connection:
        connection.sendall(b"GET /fails-later HTTP/1.1\r\nHost: a\r\n\r\n")
        found = b""
        while chunk := connection.recv(1 << 16):
            found += chunk
    assert b"half" in found
    assert b"secret" not in found
    assert not found.endswith(b"0\r\n\r\n")  # as a whole answer would


def test_metrics_and_the_report_count_the_same(server, url):
    requests.get(f"{url}/nowhere", timeout=30)
    text = requests.get(f"{url}/metrics", timeout=30).text
    counts = {}
    for line in text.splitlines():
        if line.startswith("tftrt_yolo_requests_total{"):
            outcome = line.partition('outcome="')[2].partition('"')[0]
            counts[outcome] = counts.get(outcome, 0) + int(float(line.split()[-1]))
    assert counts == server.report(()).requests
    assert counts["not_found"] >= 1
