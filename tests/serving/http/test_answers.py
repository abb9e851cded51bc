"""Answers that are large: what is written is JSON of the same numbers, what is under way is bounded."""

import asyncio
import base64
import json
import socket

import numpy as np
import pytest
import requests

from tests.serving.servers import connected, port_of, running
from tftrt_yolo.serving.http import answers, errors
from tftrt_yolo.serving.server import Settings
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions

PICTURES = 12  # whose prototypes are more than the system keeps for a client that does not read
PROTOTYPES = PICTURES * 80 * 80 * 32 * 4  # bytes, at 320 px
MOST_BYTES = 5 * PROTOTYPES // 2


def _listed(value):
    """The oracle: lists of all of an array, element by element."""
    if isinstance(value, dict):
        return {name: _listed(item) for name, item in value.items()}
    if isinstance(value, (list, np.ndarray)) and np.ndim(value):
        return [_listed(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    value = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    return _listed(value) if isinstance(value, bytes) else None if value != value else value


def _strings(*values):
    return np.array([*values, None], object)[:-1]


RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"outputs": []},
        {"outputs": np.zeros((0, 4), np.float32), "a": np.zeros((2, 0, 40_000), np.int32)},
        {"outputs": {"b": RANDOM.normal(size=(2, 3)).astype(np.float32), "n": np.array([1, 2], np.int32)}},
        {"flat": RANDOM.normal(size=50_000).astype(np.float32)},
        {"rows": RANDOM.integers(-9, 9, (30_000, 3))},
        {"wide": RANDOM.normal(size=(3, 20_000)).astype(np.float32)},
        {"deep": RANDOM.normal(size=(2, 3, 2, 9_000)).astype(np.float16)},
        {"a": np.array([np.nan, 1], np.float32), "b": [{"c": np.array(True)}, {"c": _strings(b"\xe9", b"")}]},
        {"one": _strings(b'a "text"\n', "é".encode(), b"\x89PNG\xff"), "each": {"of": _strings(b"\xff")[0, ...]}},
        {"texts": ["a", "b"], "numbers": [1, 2.5], "none": None},
    ],
)  # fmt: skip
def test_json_in_pieces_is_the_json_of_all(document):
    found = b"".join(answers.json_pieces(document))
    assert json.loads(found) == _listed(document)
    assert b" " not in found.replace(b'a \\"text', b"")
    most = max((part.count(b",") for part in answers._parts(document)), default=0)
    assert most <= 8 << 10  # numbers that are written while nobody else is served


def test_who_does_not_read_is_given_up():
    async def sent():
        async def send(message):
            if message["type"] == "http.response.body":
                await asyncio.sleep(60)

        answer = answers.Answer([b"one", b"two"], media_type="text/plain", seconds=0.05)
        with pytest.raises(errors.DisconnectedError):
            await answer({"type": "http"}, None, send)

    asyncio.run(asyncio.wait_for(sent(), 20))


@pytest.fixture(scope="module")
def small(repository):
    """A server in which little may be under way; its model finds masks."""
    listen = ListenOptions(http_port=0, grpc_port=-1, max_answer_bytes=MOST_BYTES, client_timeout_s=20.0)
    settings = Settings(
        ModelOptions(saved_model_dir=repository / "masks" / "1"), BatchingOptions(), listen, ObservingOptions()
    )
    with running(settings) as server:
        yield server


def _body(is_binary):
    """A request of some hundred bytes, and where its JSON ends."""
    pictures = bytes(PICTURES * 4 * 4 * 3)
    tensor = {"name": "images", "datatype": "UINT8", "shape": [PICTURES, 4, 4, 3]}
    tensor["parameters"] = {"binary_data_size": len(pictures)}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": is_binary}}).encode()
    return text + pictures, len(text)


def _asked(server, is_binary):
    body, length = _body(is_binary)
    headers = {"Inference-Header-Content-Length": str(length)}
    return requests.post(f"{server.serving.http_url}/v2/models/1/infer", data=body, headers=headers, timeout=60)


def test_an_answer_for_which_there_is_never_room(small):
    answer = _asked(small, is_binary=False)
    assert answer.status_code == 413
    reason = answer.json()["error"]
    assert f"expected at most {MOST_BYTES:,} (--max_answer_bytes). Send fewer pictures at once, name the" in reason
    whole = _asked(small, is_binary=True)
    assert (whole.status_code, len(whole.content) > PROTOTYPES) == (200, True)
    document = {"inputs": np.zeros((PICTURES, 4, 4, 3), int).tolist()}
    assert requests.post(f"{small.serving.http_url}/v1/models/1:predict", json=document, timeout=60).status_code == 413


def test_answers_that_nobody_reads_are_counted_until_they_are_gone(small):
    body, length = _body(is_binary=True)
    head = f"POST /v2/models/1/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    sent = f"{head}Inference-Header-Content-Length: {length}\r\n\r\n".encode() + body
    with connected(port_of(small)) as unread:
        unread.sendall(sent)
        assert unread.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        refused = _asked(small, is_binary=True)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert f"Answers with more than {MOST_BYTES:,} bytes are under way together" in refused.json()["error"]
    for _ in range(100):
        if (answer := _asked(small, is_binary=True)).status_code == 200:
            break
    assert answer.status_code == 200
