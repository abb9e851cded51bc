"""Models that give maps in NVIDIA's own server, which listens at an address of IPv6."""

import io
import socket
import threading

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import IMAGES

pytest.importorskip("pytriton", reason="the extra triton is not installed, and with it Triton's server")

import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

TASKS = ("semantic", "depth")
PICTURE = IMAGES[3].read_bytes()


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    from tftrt_yolo.serving.triton_server import installed
    from tftrt_yolo.serving.triton_server.server_process import Doors, ServerProcess

    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    room = tmp_path_factory.mktemp("triton")
    for task in TASKS:
        tftrt_yolo.triton(models.exported(task), model_repository=room / "models")
    with ServerProcess(installed.find(), room, Doors("::1", 0, 0), threading.Event()) as process:
        yield process


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("door", ["http", "grpc"])
def test_maps_at_an_address_of_ipv6(models, server, door, task):
    module = {"http": tritonclient.http, "grpc": tritonclient.grpc}[door]
    address = {"http": server.http_address, "grpc": f"[::1]:{server.doors.grpc_port}"}[door]
    [expected] = tftrt_yolo.Predictor(models.exported(task))(PICTURE)
    with module.InferenceServerClient(address) as client:
        pictures = module.InferInput("image_bytes", [2, 1], "BYTES")
        pictures.set_data_from_numpy(np.array([[PICTURE], [b"nothing"]], object))
        answer = client.infer(task, [pictures])
        with pytest.raises(InferenceServerException, match="classes is for models that find objects"):
            client.infer(task, [pictures], parameters={"classes": "1"})
    good, bad = answer.as_numpy("status").ravel()
    assert good == b""
    assert b"it is no image" in bad
    if task == "semantic":
        own, empty = answer.as_numpy("class_maps").ravel()
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(own))), expected.class_map)
        assert empty == b""
    else:
        own, empty = answer.as_numpy("depth")
        assert abs(np.median(own) - expected.median) < 0.05 * expected.median
        assert not empty.any()
