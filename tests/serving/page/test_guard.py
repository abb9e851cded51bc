"""What stands before the page, in front of an application that answers everything: neither needs Gradio."""

import asyncio
import base64
import json

import pytest

httpx = pytest.importorskip("httpx")
guard = pytest.importorskip("tftrt_yolo.serving.page.guard")

from tftrt_yolo.serving.page.uploads import Uploads  # noqa: E402
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError  # noqa: E402

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def uploads():
    made = Uploads(most_bytes=10_000)
    yield made
    made.remove()


async def _answering(scope, receive, send):
    """Reads what comes, and says how much that was."""
    count = 0
    while True:
        message = await receive()
        count += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"%d bytes" % count})


def _asked(uploads, method, path, *, access=None, application=_answering, **request):
    """The answer of the guarded application."""
    guarded = guard.PageGuard(
        application, access=access or guard.Access(), uploads=uploads, max_body_bytes=1_000, streams=set()
    )

    async def ask():
        transport = httpx.ASGITransport(guarded, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, **request)

    return asyncio.run(ask())


def _basic(password, name="anybody", scheme="Basic"):
    return {"authorization": f"{scheme} {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/page", 307),
        ("GET", "/page/", 200),
        ("GET", "/page/config", 200),
        ("GET", "/page/theme.css", 200),
        ("GET", "/page/assets/index.js", 200),
        ("GET", "/page/gradio_api/startup-events", 200),
        ("POST", "/page/gradio_api/upload", 200),
        # Gradio's that this page does not use
        ("GET", "/page/gradio_api/info", 404),
        ("GET", "/page/gradio_api/proxy=http://127.0.0.1/", 404),
        ("GET", "/page/gradio_api/file=/etc/passwd", 404),
        ("GET", "/page/gradio_api/file=http://127.0.0.1/", 404),
        ("GET", "/page/gradio_api/file=a%00b", 404),
        ("GET", "/page/gradio_api/vibe-code/", 404),
        ("GET", "/page/monitoring", 404),
        ("POST", "/page/gradio_api/run/predict", 404),
        ("POST", "/page/gradio_api/call/predict", 404),
        ("POST", "/page/gradio_api/vibe-edit/", 404),
        ("POST", "/page/login", 404),
        ("PUT", "/page/", 404),
        ("DELETE", "/page/gradio_api/upload", 404),
        # not the page's
        ("GET", "/pages", 200),
        ("POST", "/predict", 200),
    ],
)
def test_what_is_let_through(uploads, method, path, status):
    answer = _asked(uploads, method, path)
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["detail"] == "There is nothing of that name on the page."


def test_only_files_of_its_own_folder_are_given(uploads, tmp_path):
    (uploads.path / "a").mkdir()
    (uploads.path / "a" / "dog.jpg").write_bytes(b"dog")
    (uploads.path / "link.jpg").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("secret")
    assert _asked(uploads, "GET", f"/page/gradio_api/file={uploads.path}/a/dog.jpg").status_code == 200
    for path in (f"{uploads.path}/a", f"{uploads.path}/a/../../../etc/passwd", f"{uploads.path}/link.jpg", "a/dog.jpg"):
        assert _asked(uploads, "GET", f"/page/gradio_api/file={path}").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (_basic(TOKEN), 200),
        (_basic(TOKEN, name=""), 200),
        (_basic(TOKEN, scheme="basic"), 200),
        ({}, 401),
        (_basic("another"), 401),
        (_basic(TOKEN + "x"), 401),
        (_basic(""), 401),
        (_basic("naïve"), 401),
        (_basic(TOKEN, scheme="Bearer"), 401),
        ({"authorization": f"Bearer {TOKEN}"}, 401),
        ({"authorization": "Basic !!!"}, 401),
        ({"authorization": "Basic"}, 401),
    ],
)
def test_the_token(uploads, headers, status):
    answer = _asked(uploads, "GET", "/page/", access=guard.Access(token=TOKEN), headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Basic realm="tftrt_yolo", charset="UTF-8"'
        assert "the token as password" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_pages_of_others_may_not_send(uploads, headers, status):
    answer = _asked(uploads, "POST", "/page/gradio_api/upload", headers=headers, content=b"x")
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["detail"] == "The request comes from a page of another site. Open the page itself."


async def _pieces(*sizes):
    for size in sizes:
        yield bytes(size)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(1_000), "1000 bytes"),
        (bytes(1_001), "That is more than 1,000 bytes, which is the most at once (--max_body_bytes). Drop less."),
        # without a length before it
        (lambda: _pieces(600, 400), "1000 bytes"),
        (lambda: _pieces(600, 600, 600), "That is more than 1,000 bytes, which is the most at once (--max_body_bytes)"),
    ],
)
def test_how_much_may_be_dropped(uploads, content, said):
    given = content() if callable(content) else content
    answer = _asked(uploads, "POST", "/page/gradio_api/upload", content=given)
    assert answer.text.startswith(said)
    assert answer.status_code == (200 if said == "1000 bytes" else 413)


def test_a_full_folder_takes_nothing_more(uploads):
    (uploads.path / "large").write_bytes(bytes(10_000))
    answer = _asked(uploads, "POST", "/page/gradio_api/upload", content=b"x")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "Too many files are here already. Try again in a while."
    uploads.sweep(kept_seconds=-1)
    assert _asked(uploads, "POST", "/page/gradio_api/upload", content=b"x").status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        {"path": "/etc/passwd"},
        {"path": "http://127.0.0.1/a.jpg", "url": "http://127.0.0.1/a.jpg"},
        [[{"deep": {"path": "../../etc/passwd"}}]],
        {"path": None},
        {"path": "a\0b"},
    ],
)
def test_an_event_with_a_file_from_elsewhere(uploads, value):
    body = {"data": [value], "fn_index": 0, "session_hash": "x"}
    answer = _asked(uploads, "POST", "/page/gradio_api/queue/join", json=body)
    assert answer.status_code == 413
    assert answer.json() == {"detail": "A file is no longer here. Drop it again."}


def test_events(uploads):
    (uploads.path / "dog.jpg").write_bytes(b"dog")
    body = json.dumps({"data": [[{"path": str(uploads.path / "dog.jpg"), "url": "http://127.0.0.1/x"}], 0.5]})
    assert _asked(uploads, "POST", "/page/gradio_api/queue/join", content=body).text == f"{len(body)} bytes"
    assert _asked(uploads, "POST", "/page/gradio_api/queue/join", content=b"{").status_code == 413
    deep = b"[" * 500_000 + b"]" * 500_000
    assert _asked(uploads, "POST", "/page/gradio_api/queue/join", content=deep).status_code == 413
    assert _asked(uploads, "POST", "/page/gradio_api/queue/join", content=bytes(2 << 20)).status_code == 413


def test_while_the_server_loads_or_ends(uploads):
    def check():
        raise RefusedError(Refusal.UNAVAILABLE, "The models are being loaded.", retry_after_seconds=5.0)

    answer = _asked(uploads, "POST", "/page/gradio_api/upload", access=guard.Access(check), content=b"x")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["detail"] == "The models are being loaded."
    assert _asked(uploads, "GET", "/page/", access=guard.Access(check)).status_code == 200


def test_every_answer_forbids_other_hosts(uploads):
    for path in ("/page/", "/page/nowhere"):
        headers = _asked(uploads, "GET", path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; script-src 'self'")
        assert "http" not in headers["content-security-policy"]
        assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")
    assert "content-security-policy" not in _asked(uploads, "GET", "/v2").headers


def test_an_error_of_the_application_is_no_refusal(uploads):
    async def failing(scope, receive, send):
        raise KeyError("x")

    assert _asked(uploads, "GET", "/page/", application=failing).status_code == 500
