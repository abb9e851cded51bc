"""`serve` with NVIDIA's server, in a process of its own: how it begins, how it ends, and what it refuses."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES, heed_interrupts
from tftrt_yolo import ListenOptions, ModelOptions

FLAGS = ("--backend=pytriton", "--http_port=0", "--grpc_port=0", "--max_batch_size=2")
WHERE = ("http", "grpc", "metrics")


@pytest.fixture(params=[()])
def started(tiny_export, tmp_path, request):
    """A server's process, and its addresses; a parameter has further flags."""
    pytest.importorskip("pytriton", reason="the extra triton is not installed, and with it Triton's server")
    (tmp_path / "temporary").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "tftrt_yolo", "serve", f"--saved_model_dir={tiny_export}", *FLAGS, *request.param],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONUNBUFFERED": "1"},
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        lines = [process.stdout.readline() for _ in range(5)]
        addresses = re.findall(r"127\.0\.0\.1:\d+", "".join(lines))
        assert lines[0] == "Serving until TERM or INT comes\n", lines
        yield process, dict(zip(WHERE, addresses, strict=True))
        process.kill()


def _check_nothing_is_left(process, tmp_path):
    assert not list((tmp_path / "temporary").glob("tftrt_yolo_triton_*"))
    assert not list(Path("/dev/shm").glob(f"tftrt_yolo_{process.pid}_*"))


def _children(pid):
    """The processes below a process, by the kernel."""
    found = []
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        found += [child, *_children(child)]
    return found


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_from_its_start_to_term(started, tmp_path):
    from urllib.request import urlopen

    import tritonclient.grpc
    import tritonclient.http
    from tritonclient.utils import InferenceServerException

    process, where = started
    for module, address in ((tritonclient.http, where["http"]), (tritonclient.grpc, where["grpc"])):
        with module.InferenceServerClient(address) as client:
            picture = module.InferInput("image_bytes", [1, 1], "BYTES")
            picture.set_data_from_numpy(np.array([[IMAGES[0].read_bytes()]], object))
            assert client.infer("tiny", [picture]).as_numpy("num_detections")[0, 0] > 0
            client.get_inference_statistics("tiny")  # without a token
            with pytest.raises(InferenceServerException, match=r"\] score_threshold is 2\.0; it must be a number"):
                client.infer("tiny", [picture], parameters={"score_threshold": 2.0})  # no flag of the command's
    metrics = urlopen(f"http://{where['metrics']}/metrics").read()
    assert b'nv_inference_request_success{model="tiny",version="1"}' in metrics
    children = _children(process.pid)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert re.search(
        r"^Served \d+ requests in \d+\.\d s\n  failed       \d+\n  ok           \d+\n  model        tiny", out
    )
    assert "Traceback" not in errors
    assert len(children) >= 2
    assert not any(map(_is_running, children))
    _check_nothing_is_left(process, tmp_path)


@pytest.mark.slow
def test_a_dead_process_of_the_model_ends_it(started, tmp_path):
    """Triton itself goes on to say that it is ready."""
    process, _ = started
    [stub] = [pid for pid in _children(process.pid) if "stub" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(stub, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "serve: Model tiny does not answer, though Triton calls itself ready: Stub process" in errors.replace(
        "[500] ", ""
    )
    assert "The server was ended; start it again." in errors
    assert "Traceback" not in errors
    _check_nothing_is_left(process, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("started", [("--request_timeout_s=1",)], indirect=True)
def test_an_idle_connection_holds_the_end_up_for_no_longer_than_a_request(started, tmp_path):
    """Triton waits for connections that are open: 30 s of its own."""
    import http.client

    process, where = started
    connection = http.client.HTTPConnection(where["http"])
    connection.request("GET", "/v2/health/ready")
    assert connection.getresponse().read() == b""
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert 5.0 < time.monotonic() - start < 20.0  # six, and what the model and the processes take to end
    connection.close()
    _check_nothing_is_left(process, tmp_path)


@pytest.mark.slow
def test_a_server_without_its_parent_ends(started):
    process, _ = started
    children = _children(process.pid)
    process.kill()
    end = time.monotonic() + 60
    while any(map(_is_running, children)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not any(map(_is_running, children))


@pytest.mark.parametrize(
    ("models", "listen", "message"),
    [
        ({"model_repository": "models"}, {}, "model_repository is given, and backend='pytriton' has one model"),
        (
            {"saved_model_dir": "a", "num_versions": 2},
            {},
            "num_versions is given, and backend='pytriton' has one version",
        ),
        ({"saved_model_dir": "a"}, {"token_file": "token"}, "token_file is given, and backend='pytriton' has no token"),
        (
            {"saved_model_dir": "a"},
            {"tls_certificate": "a.pem", "tls_key": "b.pem"},
            "tls_certificate is given, and .* has no TLS",
        ),
        (
            {"saved_model_dir": "a"},
            {"max_body_bytes": 1 << 20},
            "max_body_bytes is given, and .* has no limit of bodies",
        ),
        (
            {"saved_model_dir": "a"},
            {"max_answer_bytes": 1 << 20},
            "max_answer_bytes is given, and .* has no limit of answers",
        ),
        ({}, {}, "saved_model_dir is missing; expected a SavedModel"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(models, listen, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.serve(ModelOptions(**models), listen=ListenOptions(**listen), backend="pytriton")


def test_backends_that_are_none():
    with pytest.raises(ValueError, match=r"backend is 'triton'; expected pytriton, or none for our own server"):
        tftrt_yolo.serve("nowhere", backend="triton")


def test_what_is_for_our_own_server_alone():
    observing = tftrt_yolo.ObservingOptions(log_format="json")
    with pytest.raises(ValueError, match=r"log_format is given, and backend='pytriton' has Triton's own log"):
        tftrt_yolo.serve("nowhere", observing=observing, backend="pytriton")


def test_a_directory_that_is_no_saved_model(tmp_path):
    pytest.importorskip("pytriton", reason="the extra triton is not installed")
    with pytest.raises(tftrt_yolo.SavedModelError, match="nowhere is no directory"):
        tftrt_yolo.serve(tmp_path / "nowhere", backend="pytriton")


def test_a_port_that_is_taken(tiny_export):
    import socket

    pytest.importorskip("pytriton", reason="the extra triton is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = ListenOptions(http_port=taken.getsockname()[1], grpc_port=0)
        with pytest.raises(
            tftrt_yolo.ServingError, match=r"http_port \d+ of 127\.0\.0\.1 is in use\. End what listens"
        ):
            tftrt_yolo.serve(tiny_export, listen=listen, backend="pytriton")
