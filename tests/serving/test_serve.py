"""The verb: its lines, its report, how it ends, and what keeps it from starting."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest
import requests

import tftrt_yolo
from tests.conftest import IMAGES, heed_interrupts
from tests.serving.test_credentials import TOKEN, make_certificate
from tftrt_yolo.cli import command_line as cli

SECONDS = 120


@contextlib.contextmanager
def started(*flags):
    """`tftrt-yolo serve` in a process, and the lines that it printed until it was ready."""
    command = [sys.executable, "-m", "tftrt_yolo", "serve", "--http_port=0", "--grpc_port=0", *map(str, flags)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )
    said = []
    drain = threading.Thread(target=lambda: said.extend(process.stderr), daemon=True)
    drain.start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("  model"):
                break
        process.said = said
        yield process, "\n".join(lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(SECONDS)
        drain.join(SECONDS)


def _url(lines):
    return re.search(r"http +(https?://\S+)", lines)[1]


def _children(process):
    """Processes of a server's models."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_term_under_load_finishes_what_is_accepted_and_refuses_the_rest(tiny_export):
    with started(f"--saved_model_dir={tiny_export}", "--log_format=none") as (process, lines):
        url, children = _url(lines), _children(process)
        assert re.search(r"model +tiny version 1: detect, 10 classes, TensorFlow on", lines)
        assert re.search(r"grpc +127\.0\.0\.1:\d+", lines)
        assert children
        picture, found, ready = IMAGES[0].read_bytes(), [], []

        def ask():
            session = requests.Session()
            with contextlib.suppress(requests.ConnectionError):
                while True:
                    answer = session.post(f"{url}/predict", data=picture, timeout=60)
                    found.append((answer.status_code, answer.headers.get("Retry-After"), answer.json()))

        askers = [threading.Thread(target=ask) for _ in range(6)]
        for asker in askers:
            asker.start()
        while len(found) < 12:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(requests.ConnectionError):
            while True:
                ready.append(requests.get(f"{url}/v2/health/ready", timeout=60).status_code)
        rest = process.stdout.read()
        assert process.wait(SECONDS) == 0
        for asker in askers:
            asker.join(SECONDS)
        good = [answer for status, _, answer in found if status == 200]
        refused = [(status, retry) for status, retry, _ in found if status != 200]
        assert len({json.dumps(answer["objects"]) for answer in good}) == 1
        assert {status for status, _ in refused} <= {503}
        assert all(int(retry) >= 1 for _, retry in refused)
        assert set(ready[2:]) <= {503}  # the first may come before the signal does
        assert f"Served {len(found):,} requests in" in rest
        assert re.search(rf"ok +{len(good)}\n", rest)
        assert not any(map(_is_running, children))
    assert not process.said


def test_a_signal_while_models_are_loaded(tiny_export):
    command = [sys.executable, "-m", "tftrt_yolo", "serve", str(tiny_export), "--http_port=0", "--grpc_port=0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )
    until = time.monotonic() + SECONDS
    while not _children(process) and time.monotonic() < until:
        time.sleep(0.02)
    children = _children(process)
    process.send_signal(signal.SIGTERM)
    out, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert out == ""
    assert said.splitlines()[-1] == "tftrt-yolo serve: interrupted; nothing half written is left"
    assert "Traceback" not in said
    assert not any(map(_is_running, children))


def test_a_second_signal_ends_it_at_once(tiny_export):
    with started(tiny_export, "--log_format=none", "--max_batch_size=256") as (process, lines):
        children = _children(process)
        for child in children:
            os.kill(child, signal.SIGSTOP)  # so that what is accepted is never finished
        url = _url(lines)
        asker = threading.Thread(target=_asked_in_vain, args=(url,))
        asker.start()
        time.sleep(0.5)
        for _ in range(2):  # as `timeout` sends its signal, to the process and to its group
            process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
        asker.join(SECONDS)
        assert not any(map(_is_running, children))


@pytest.mark.slow
def test_an_operator_is_told_that_opencv_is_missing(tiny_export, tmp_path, monkeypatch):
    """As on a machine without libGL; it answers all the same."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with started(tiny_export, "--log_format=none", "--max_batch_size=1") as (process, lines):
        answer = requests.post(f"{_url(lines)}/predict", data=IMAGES[0].read_bytes(), timeout=SECONDS)
        assert answer.status_code == 200
        warning = next(line for line in process.stdout if "warning" in line)
        assert "libGL.so.1: cannot open shared object file; images are resized by NumPy" in warning
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


def _asked_in_vain(url):
    with contextlib.suppress(requests.RequestException):
        requests.post(f"{url}/predict", data=IMAGES[0].read_bytes(), timeout=60)


def test_tls_and_a_token(tiny_export, tmp_path):
    certificate, key = make_certificate(tmp_path, "own")
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    flags = (f"--tls_certificate={certificate}", f"--tls_key={key}", f"--token_file={token_file}")
    with started(tiny_export, "--log_format=none", *flags) as (process, lines):
        url = _url(lines)
        assert url.startswith("https://127.0.0.1:")

        def get(path, **headers):
            return requests.get(url + path, headers=headers, verify=certificate, timeout=60)

        for path in ("/v2/health/live", "/v2/health/ready"):
            assert get(path).status_code == 200
        for path in ("/v2", "/v2/models/tiny", "/metrics", "/v1/models/tiny", "/nowhere", "/v2/health/live/x"):
            answer = get(path)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert answer.json() == {
                "error": "The request bears no token, or another. Send `Authorization: Bearer TOKEN`."
            }
        for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN):
            assert get("/v2", Authorization=wrong).status_code == 401
        assert get("/v2", Authorization=f"Bearer {TOKEN}").status_code == 200
        bearing = {"Authorization": f"Bearer {TOKEN}"}
        sent = {"data": IMAGES[0].read_bytes(), "verify": certificate, "timeout": 60}
        assert requests.post(f"{url}/predict", headers=bearing, **sent).json()["objects"]
        assert requests.post(f"{url}/predict", **sent).status_code == 401
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{url.removeprefix('https://')}/v2/health/live", timeout=60)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        refused = pytest.raises((ssl.SSLError, ConnectionError))
        with socket.create_connection(address, timeout=30) as connection, refused:
            old.wrap_socket(connection)
        process.send_signal(signal.SIGINT)
        assert "Served" in process.stdout.read()
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("flag", ["http_port", "grpc_port"])
def test_a_port_in_use(tiny_export, capfd, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = {"http_port": 0, "grpc_port": 0} | {flag: port}
        assert cli.main(["serve", str(tiny_export), *(f"--{name}={value}" for name, value in flags.items())]) == 1
    said = capfd.readouterr().err
    assert f"--{flag} {port} of 127.0.0.1 is in use" in said
    assert "Traceback" not in said


def test_no_model_at_all(capfd, tmp_path):
    assert cli.main(["serve", "--http_port=0", "--grpc_port=0"]) == 1
    assert "--saved_model_dir" in capfd.readouterr().err
    (tmp_path / "saved_model.pb").write_bytes(b"a")
    assert cli.main(["serve", str(tmp_path), "--http_port=0", "--grpc_port=0"]) == 1
    assert "has no metadata.yaml, so it is not a SavedModel of tftrt_yolo" in capfd.readouterr().err


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fastapi" else found(name))
    with pytest.raises(tftrt_yolo.ServingError, match=r"fastapi is not installed.*pip install 'tftrt_yolo\[serve\]'"):
        tftrt_yolo.serve("nowhere")


def test_options_that_are_none():
    for name in ("batching", "listen", "observing"):
        with pytest.raises(TypeError, match=f"{name} is a dict of 0; expected"):
            tftrt_yolo.serve("nowhere", **{name: {}})


def test_inside_a_loop():
    import asyncio

    async def call():
        tftrt_yolo.serve("nowhere")

    with pytest.raises(tftrt_yolo.ServingError, match="where an event loop runs already, as in a notebook"):
        asyncio.run(call())
