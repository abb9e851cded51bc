"""What is counted is what clients saw: a server under load, with requests of every kind."""

import collections
import concurrent.futures
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.serving.calls import JPEGS
from tests.serving.observing.told import Values
from tests.serving.servers import running
from tftrt_yolo.serving.observing import request as requests
from tftrt_yolo.serving.observing.observing import Observing
from tftrt_yolo.serving.server import Settings
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions

_COUNT = 120


@pytest.fixture(scope="module")
def server(models):
    settings = Settings(
        ModelOptions(saved_model_dir=models.exported("tiny")),
        BatchingOptions(max_batch_size=4, queue_size=12),
        ListenOptions(http_port=0, grpc_port=0),
        ObservingOptions(log_format="none"),
    )
    with running(settings) as server:
        yield server


def test_counts_agree_with_what_clients_saw(server):
    url = server.serving.http_url
    (state,) = server.hub.models()
    client = triton.InferenceServerClient(server.serving.grpc_address)

    def ask(index):
        pictures = [JPEGS[index % 3], b"no picture"][: 1 + index // 2 % 2]
        model = f"dog{index}" if index % 11 == 0 else state.name
        if index % 13 == 0:
            pictures *= 9  # more than a request may have
        if index % 2:
            ended = "grpc", _by_rpc(client, model, pictures, 1 if index % 17 == 0 else None)
        else:
            ended = "http", _by_http(url, model, pictures)
        answered = pictures if ended[1] == "ok" else []
        return ended, len(answered), answered.count(b"no picture")

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        seen = list(pool.map(ask, range(_COUNT)))
    expected = collections.Counter(ended for ended, *_ in seen)
    found = Values(urllib.request.urlopen(f"{url}/metrics", timeout=30).read())
    counted = collections.Counter()
    for _, labels, value in found.samples("requests_total"):
        assert labels["model"] in (state.name, "(unknown)")
        counted[labels["door"], labels["outcome"]] += int(value)
    assert counted == expected
    for door in ("http", "grpc"):
        assert expected[door, "ok"] > 0
        assert expected[door, "not_found"] > 0
        assert found("requests_in_progress", door=door) == 0
    of = {"model": state.name, "version": "1"}
    pictures = sum(one[1] for one in seen)
    assert found("pictures_total", **of) == pictures
    assert found("pictures_refused_total", **of) == sum(one[2] for one in seen)
    assert found("batch_pictures_sum", **of) >= pictures  # and what health sends
    assert found("batch_pictures_count", **of) < pictures  # they went together


def _by_rpc(client, model, pictures, microseconds):
    """Asks over gRPC; gives how it ended, as metrics call it."""
    tensor = triton.InferInput("image_bytes", [len(pictures)], "BYTES")
    tensor.set_data_from_numpy(np.array(pictures, object))
    try:
        client.infer(model, [tensor], timeout=microseconds)
    except InferenceServerException as error:
        return error.status().removeprefix("StatusCode.").lower()
    return "ok"


def _by_http(url, model, pictures):
    """Asks over HTTP; gives how it ended, as metrics call it."""
    data = b"".join(len(picture).to_bytes(4, "little") + picture for picture in pictures)
    tensor = {"name": "image_bytes", "shape": [len(pictures)], "datatype": "BYTES"}
    header = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]}).encode()
    request = urllib.request.Request(
        f"{url}/v2/models/{model}/infer", header + data, {"Inference-Header-Content-Length": str(len(header))}
    )
    try:
        urllib.request.urlopen(request, timeout=60).read()
    except urllib.error.HTTPError as error:
        return {400: "invalid_argument", 404: "not_found", 503: "unavailable", 504: "deadline_exceeded"}[error.code]
    return "ok"


def test_the_request_of_a_block_is_found_in_it():
    observing = Observing(ObservingOptions(log_format="none"))
    assert requests.current() is None
    with observing.request("http", "POST /predict") as outer:
        assert requests.current() is outer
        with observing.request("grpc", "a/b") as inner:
            assert requests.current() is inner
        assert requests.current() is outer
    assert requests.current() is None
    with pytest.raises(KeyError), observing.request("http", "POST /predict"):
        raise KeyError("x")
    assert observing.metrics.outcomes() == {"ok": 2, "internal": 1}
    observing.close()


@pytest.mark.parametrize("log_format", ["", "JSON", None, 1, "xml"])
def test_a_format_that_is_none(log_format):
    with pytest.raises(ValueError, match=r"log_format is .*; expected text, json, none\."):
        ObservingOptions(log_format=log_format)
