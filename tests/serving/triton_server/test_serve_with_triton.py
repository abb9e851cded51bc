"""`serve` with NVIDIA's server, in a process of its own: how it begins, how it ends, and what it refuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES, heed_interrupts
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions
from tftrt_yolo.serving.triton_server.serve_with_triton import serve_with_triton

CODE = """
import sys
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions
from tftrt_yolo.serving.triton_server.serve_with_triton import serve_with_triton

def ready(found):
    print(found.http, found.grpc, found.metrics, flush=True)

models, listen = ModelOptions(saved_model_dir=sys.argv[1]), ListenOptions(http_port=0, grpc_port=0)
serve_with_triton(models, BatchingOptions(max_batch_size=2), listen, on_ready=ready)
"""


@pytest.fixture
def started(tiny_export, tmp_path):
    """A server's process, and its addresses."""
    pytest.importorskip("pytriton", reason="the extra triton is not installed, and with it Triton's server")
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", CODE, str(tiny_export)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        preexec_fn=heed_interrupts,
    ) as process:
        yield process, process.stdout.readline().split()
        process.kill()
    assert not list((tmp_path / "temporary").glob("tftrt_yolo_triton_*"))
    assert not list(Path("/dev/shm").glob(f"tftrt_yolo_{process.pid}_*"))  # noqa: S108


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


def test_from_its_start_to_term(started):
    from urllib.request import urlopen

    import tritonclient.grpc
    import tritonclient.http

    process, (http, grpc, metrics) = started
    for module, address in ((tritonclient.http, http), (tritonclient.grpc, grpc)):
        with module.InferenceServerClient(address) as client:
            picture = module.InferInput("image_bytes", [1, 1], "BYTES")
            picture.set_data_from_numpy(np.array([[IMAGES[0].read_bytes()]], object))
            assert client.infer("tiny", [picture]).as_numpy("num_detections")[0, 0] > 0
            client.get_inference_statistics("tiny")  # without a token
    assert b'nv_inference_request_success{model="tiny",version="1"}' in urlopen(f"http://{metrics}/metrics").read()
    children = _children(process.pid)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert out == ""
    assert "Traceback" not in errors
    assert len(children) >= 2
    assert not any(map(_is_running, children))


@pytest.mark.slow
def test_a_dead_process_of_the_model_ends_it(started):
    """Triton itself goes on to say that it is ready."""
    process, _ = started
    [stub] = [pid for pid in _children(process.pid) if "stub" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(stub, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ServingError: Model tiny does not answer, though Triton calls itself ready: Stub process" in errors
    assert "The server was ended; start it again." in errors


@pytest.mark.slow
def test_a_server_without_its_parent_ends(started):
    process, _ = started
    children, room = _children(process.pid), process
    process.kill()
    end = time.monotonic() + 60
    while any(map(_is_running, children)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not any(map(_is_running, children))
    for left in Path(os.environ.get("TMPDIR", "/nowhere")).glob("tftrt_yolo_triton_*"):
        raise AssertionError(left)


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
        ({}, {}, "saved_model_dir is missing; expected a SavedModel"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(models, listen, message):
    with pytest.raises(ValueError, match=message):
        serve_with_triton(ModelOptions(**models), BatchingOptions(), ListenOptions(**listen))


def test_a_directory_that_is_no_saved_model(tmp_path):
    pytest.importorskip("pytriton", reason="the extra triton is not installed")
    with pytest.raises(tftrt_yolo.SavedModelError, match="nowhere is no directory"):
        serve_with_triton(ModelOptions(saved_model_dir=tmp_path / "nowhere"), BatchingOptions(), ListenOptions())


def test_a_port_that_is_taken(tiny_export):
    import socket

    pytest.importorskip("pytriton", reason="the extra triton is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = ListenOptions(http_port=taken.getsockname()[1], grpc_port=0)
        with pytest.raises(
            tftrt_yolo.ServingError, match=r"Port \d+ of 127\.0\.0\.1 cannot be listened at: Address already in use"
        ):
            serve_with_triton(ModelOptions(saved_model_dir=tiny_export), BatchingOptions(), listen)
