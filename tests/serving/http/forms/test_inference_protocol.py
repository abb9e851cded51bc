"""The Open Inference Protocol over HTTP: Triton's own client, curl and requests against a real server."""

import gzip
import json
import subprocess
import time
import zlib

import numpy as np
import pytest
import requests

import tftrt_yolo
from tests.conftest import IMAGES

triton = pytest.importorskip("tritonclient.http")
from tritonclient.utils import InferenceServerException  # noqa: E402 - of the client that may not be there

PICTURE = IMAGES[0].read_bytes()
BAD = b"no picture"


@pytest.fixture(scope="module")
def client(url):
    client = triton.InferenceServerClient(url.removeprefix("http://"), connection_timeout=60, network_timeout=60)
    yield client
    client.close()


def _input(name, array, datatype, *, is_binary=True):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=is_binary)
    return tensor


def _pictures(*files):
    return _input("image_bytes", np.array(files, object), "BYTES")


def test_health_and_descriptions(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("masks", "1")
    assert not client.is_model_ready("dog")
    assert client.get_server_metadata()["name"] == "tftrt_yolo"
    metadata = client.get_model_metadata("digits", "1")
    assert metadata["inputs"] == [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1, 1]}]
    assert {"name": "boxes", "datatype": "FP32", "shape": [-1, 300, 4]} in metadata["outputs"]
    assert metadata["versions"] == ["1"]
    assert set(metadata["signatures"]) == {"encoded", "serving_default", "padded", "framed", "network"}
    assert metadata["parameters"]["native_segments"] == "false"
    config = client.get_model_config("digits")
    assert config["max_batch_size"] == 4
    assert config["input"][0]["data_type"] == "TYPE_STRING"
    index = client.get_model_repository_index()
    assert [(model["name"], model["state"]) for model in index] == [("digits", "READY"), ("masks", "READY")]


@pytest.fixture(scope="module")
def expected(repository):
    [found] = tftrt_yolo.Predictor(repository / "digits" / "1")(PICTURE)
    return found


@pytest.mark.parametrize("form", [None, "gzip", "deflate"])
def test_detections_are_predictors(client, expected, form):
    found = client.infer(
        "digits",
        [_pictures(PICTURE, BAD)],
        request_id="7",
        request_compression_algorithm=form,
        response_compression_algorithm=form,
    )
    assert found.get_response()["id"] == "7"
    count, bad = found.as_numpy("num_detections")
    np.testing.assert_allclose(found.as_numpy("boxes")[0, :count], expected.xyxy, atol=0.01)
    assert found.as_numpy("classes")[0, :count].tolist() == expected.class_id.tolist()
    assert bad == 0
    status = found.as_numpy("status")
    assert status[0] == b""
    assert b"it is no image" in status[1]


def test_every_signature_by_the_names_of_its_inputs(client, photo):
    frames = np.zeros((1, 320, 320, 3), np.float32)
    found = client.infer("digits", [_input("frames", frames, "FP32", is_binary=False)])
    assert found.as_numpy("scores").shape == (1, 2_100, 10)
    one = client.infer("digits", [_input("images", photo[np.newaxis], "UINT8")]).as_numpy("boxes")
    sizes = np.array([photo.shape[:2]], np.int32)
    padded = np.pad(photo, ((0, 9), (0, 5), (0, 0)))[np.newaxis]
    other = client.infer("digits", [_input("images", padded, "UINT8"), _input("sizes", sizes, "INT32")])
    np.testing.assert_allclose(other.as_numpy("boxes"), one, atol=0.01)
    frame = photo[:320, :320]  # that lies in its frame as it is
    framed = client.infer(
        "digits",
        [_input("frames", frame[np.newaxis], "UINT8"), _input("sizes", np.array([[320, 320]], np.int32), "INT32")],
    )
    whole = client.infer("digits", [_input("images", frame[np.newaxis], "UINT8")])
    assert whole.as_numpy("num_detections")[0] > 0
    np.testing.assert_allclose(framed.as_numpy("boxes"), whole.as_numpy("boxes"), atol=0.01)
    wrapped = _input("image_bytes", np.array([[PICTURE]], object), "BYTES")  # as Triton's configurations have it
    assert client.infer("digits", [wrapped]).as_numpy("num_detections")[0] > 0


def test_outputs_and_parameters(client):
    wanted = [
        triton.InferRequestedOutput("num_detections", binary_data=False),
        triton.InferRequestedOutput("scores"),
    ]
    found = client.infer("digits", [_pictures(PICTURE)], outputs=wanted)
    assert [output["name"] for output in found.get_response()["outputs"]] == ["num_detections", "scores"]
    all_of_them = int(found.as_numpy("num_detections")[0])
    threshold = float(found.as_numpy("scores")[0, 1])
    few = client.infer("digits", [_pictures(PICTURE)], parameters={"score_threshold": threshold})
    assert few.as_numpy("num_detections")[0] == 1 < all_of_them
    top = int(few.as_numpy("classes")[0, 0])
    by_class = client.infer("digits", [_pictures(PICTURE)], parameters={"classes": str(top), "max_detections": 3})
    assert by_class.as_numpy("boxes").shape == (1, 3, 4)
    assert set(by_class.as_numpy("classes")[0, : by_class.as_numpy("num_detections")[0]]) == {top}


def test_several_at_once_and_statistics(client):
    before = client.get_inference_statistics("digits")["model_stats"][0]["inference_stats"]["success"]["count"]
    pending = [client.async_infer("digits", [_pictures(PICTURE)]) for _ in range(3)]
    counts = {int(one.get_result().as_numpy("num_detections")[0]) for one in pending}
    assert len(counts) == 1
    after = client.get_inference_statistics("digits", "1")["model_stats"][0]["inference_stats"]["success"]["count"]
    assert after == before + 3
    assert len(client.get_inference_statistics()["model_stats"]) == 2


def test_masks_travel_as_binary_data_alone(client):
    file = IMAGES[3].read_bytes()
    [png, *_] = client.infer("masks", [_pictures(file)]).as_numpy("masks")[0]
    assert png.startswith(b"\x89PNG")
    wanted = [triton.InferRequestedOutput("masks", binary_data=False)]
    with pytest.raises(InferenceServerException, match="Output 'masks' holds bytes that are no text"):
        client.infer("masks", [_pictures(file)], outputs=wanted)


FRAMES = np.zeros((1, 320, 320, 3), np.float32)
REFUSED = [
    # model, version, inputs, keywords, status, message
    ("dog", "", [("image_bytes", [PICTURE], "BYTES")], {}, 404, "There is no model 'dog'; known are digits, masks."),
    ("digits", "7", [("image_bytes", [PICTURE], "BYTES")], {}, 404, "There is no version 7 of the model 'digits'"),
    ("digits", "x", [("image_bytes", [PICTURE], "BYTES")], {}, 400, "The version is 'x'; expected a whole number"),
    ("digits", "", [("image", [PICTURE], "BYTES")], {}, 400, "The inputs are 'image'; model 'digits' takes"),
    ("digits", "", [("frames", FRAMES.astype(np.float64), "FP64")], {}, 400, "float64"),
    ("digits", "", [("frames", FRAMES[0], "FP32")], {}, 400, "[320, 320, 3]"),
    ("digits", "", [("frames", FRAMES[:, :64], "FP32")], {}, 400, "[1, 64, 320, 3]"),
    ("digits", "", [("image_bytes", [PICTURE] * 5, "BYTES")], {}, 400, "5 pictures"),
    ("digits", "", [("images", np.zeros((1, 0, 5, 3), np.uint8), "UINT8")], {}, 400, "pixels"),
    ("digits", "", [("images", np.zeros((1, 800, 800, 3), np.uint8), "UINT8")], {}, 400, "640,000 pixels"),
    ("digits", "", [("image_bytes", [PICTURE], "BYTES")], {"parameters": {"threshold": 1}}, 400, "'threshold' is unk"),
    (
        "digits",
        "",
        [("image_bytes", [PICTURE], "BYTES")],
        {"parameters": {"iou_threshold": 7}},
        400,
        "must be a number",
    ),
    ("digits", "", [("image_bytes", [PICTURE], "BYTES")], {"timeout": -1}, 400, "timeout is -1; expected microseconds"),
    ("digits", "", [("image_bytes", [PICTURE], "BYTES")], {"timeout": 1}, 504, ""),
    ("digits", "", [("image_bytes", [PICTURE], "BYTES")], {"sequence_id": 5}, 400, "'sequence_id' is unknown"),
    ("digits", "", [("image_bytes", [PICTURE], "BYTES")], {"outputs": ["dog"]}, 400, "The output 'dog' is unknown"),
]


@pytest.mark.parametrize(("model", "version", "inputs", "keywords", "status", "message"), REFUSED)
def test_refusals_are_the_clients_errors(client, model, version, inputs, keywords, status, message):
    given = [_input(name, np.array(value, object if kind == "BYTES" else None), kind) for name, value, kind in inputs]
    if "outputs" in keywords:
        keywords = {"outputs": [triton.InferRequestedOutput(name) for name in keywords["outputs"]]}
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, given, model_version=version, **keywords)
    assert caught.value.status() == str(status)
    assert message in caught.value.message()


def test_a_picture_of_too_many_pixels_fails_alone(client):
    import io

    import PIL.Image

    file = io.BytesIO()
    PIL.Image.new("RGB", (1_000, 1_000)).save(file, "PNG")
    status = client.infer("digits", [_pictures(file.getvalue(), PICTURE)]).as_numpy("status")
    assert b"1,000,000" in status[0]
    assert status[1] == b""


BYTES_OF = len(PICTURE) + 4
RAW = len(PICTURE).to_bytes(4, "little") + PICTURE


def _document(**changes):
    tensor = {"name": "image_bytes", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": BYTES_OF}}
    return {"inputs": [tensor | changes]}


def _tensor(shape, data, datatype="FP32"):
    return {"inputs": [{"name": "frames", "shape": shape, "datatype": datatype, "data": data}]}


LIES = [
    # JSON, binary data, the length that the header says (None: the truth), message
    (_document(), RAW, 10_000_000, "Inference-Header-Content-Length is 10000000; the body has"),
    (_document(), RAW, "-1", "Inference-Header-Content-Length is '-1'; expected a number of bytes"),
    (_document(), RAW, "9" * 30, "expected a number of bytes"),
    (_document(), RAW, 5, "The body is no JSON"),
    (_document(), RAW[:-1], None, f"has {BYTES_OF:,} bytes of binary data, and {BYTES_OF - 1:,} are left"),
    (_document(), RAW + b"a", None, f"has {BYTES_OF + 1:,} bytes behind its JSON, and the inputs take {BYTES_OF:,}"),
    (_document(parameters={"binary_data_size": 1 << 60}), RAW, None, "1,152,921,504,606,846,976 bytes of binary data"),
    (_document(parameters={"binary_data_size": -1}), RAW, None, "is -1; expected a number of bytes"),
    (_document(parameters={"binary_data_size": "5"}), RAW, None, "is '5'; expected a number of bytes"),
    (_document(parameters={"shared_memory_region": "a"}), b"", None, "is in shared memory, which is not taken"),
    (_document(data=["a"]), RAW, None, "has both of 'data' and 'binary_data_size'"),
    (_document(parameters={}), b"", None, "has neither of 'data' and 'binary_data_size'"),
    (_document(), b"\xff\xff\xff\xff" + RAW[4:], None, "its string 0 has 4,294,967,295 bytes, and"),
    (_document(shape=[2]), RAW, None, "its string 1 has"),
    (_document(shape=[1 << 30]), RAW, None, "its 1,073,741,824 strings take at least 4,294,967,296"),
    (_document(datatype="FP32", shape=[3]), RAW, None, "its shape [3] of FP32 takes 12"),
    (_document(datatype="COMPLEX"), RAW, None, "The datatype is 'COMPLEX'; known are BOOL"),
    (_document(datatype=None), RAW, None, "The datatype is None; known are"),
    (_document(shape=[-1]), RAW, None, "has -1 in its shape"),
    (_document(shape=[1.5]), RAW, None, "has 1.5 in its shape"),
    (_document(shape="1"), RAW, None, "has the shape '1'"),
    (_document(shape=[1] * 9), RAW, None, "expected a list of 1 to 8 whole numbers"),
    (_document(name=5), RAW, None, "has a tensor 5, which is no name"),
    (_document(foo=1), RAW, None, "Input 'image_bytes' has 'foo'; known are"),
    ({"inputs": [*_document()["inputs"], *_document()["inputs"]]}, RAW, None, "which is there twice"),
    ({"inputs": _document()["inputs"] * 65}, RAW, None, "has 65 tensors; expected at most 64"),
    ({"inputs": {}}, b"", None, "'inputs' is a dict of 0; expected a list"),
    ({"inputs": []}, b"", None, "The inputs are none"),
    ({}, b"", None, "'inputs' is None; expected a list"),
    ({"inputs": [], "id": 5}, b"", None, "'id' is 5; expected a text"),
    ({"inputs": [], "parameters": []}, b"", None, "'parameters' is a list of 0; expected an object"),
    ({"inputs": [], "foo": 1}, b"", None, "The request has 'foo'; known are id, parameters, inputs, outputs"),
    (_tensor([1, 2], [1.0]), b"", None, "has 1 element of data; its shape [1, 2] takes 2"),
    (_tensor([1], [1.0, 2.0]), b"", None, "has 2 elements of data; its shape [1] takes 1"),
    (_tensor([1], ["a"]), b"", None, "has the element 'a'; expected numbers"),
    (_tensor([1], [True]), b"", None, "has the element True; expected numbers"),
    (_tensor([1], [None]), b"", None, "has the element None; expected numbers"),
    (_tensor([1], "a"), b"", None, "has 'a' as its data; expected a list"),
    (_tensor([1], [256], "UINT8"), b"", None, "has the element 256; UINT8 goes from 0 to 255"),
    (_tensor([1], [1.5], "UINT8"), b"", None, "has the element 1.5; expected whole numbers"),
    (_tensor([1], [1e300]), b"", None, "has an element that is too large for FP32"),
    (b"[1, 2]", b"", None, "The body is a list of 2; expected a JSON object"),
    (b'"a"', b"", None, "The body is 'a'; expected a JSON object"),
    (b"", b"", None, "The body is no JSON"),
    (b"{", b"", None, "The body is no JSON"),
    (b"\xff\xfe", b"", None, "The body is no UTF-8"),
    (b'{"inputs": [], "inputs": []}', b"", None, "it has the name 'inputs' twice in one object"),
    (b'{"inputs": [NaN]}', b"", None, "it has NaN, which is no number of JSON"),
    (b'{"inputs": [-Infinity]}', b"", None, "it has -Infinity, which is no number of JSON"),
    (b"[" * 100_000, b"", None, "is nested more than 32 levels deep"),
    (b'{"a":' * 40 + b"1" + b"}" * 40, b"", None, "is nested more than 32 levels deep"),
    (b'{"inputs": [' + b"1" * 5_000 + b"]}", b"", None, "The body is no JSON"),
]


@pytest.mark.parametrize(("document", "binary", "says", "message"), LIES, ids=range(len(LIES)))
def test_bodies_that_lie(url, document, binary, says, message):
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(text) if says is None else says)}
    answer = requests.post(f"{url}/v2/models/digits/infer", data=text + binary, headers=headers, timeout=60)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


PACKED = gzip.compress(json.dumps(_document()).encode())


@pytest.mark.parametrize(
    ("form", "body", "status", "message"),
    [
        ("gzip", b"no gzip", 400, "The body is no gzip data"),
        ("deflate", b"no deflate", 400, "The body is no deflate data"),
        ("gzip", PACKED[:-9], 400, "The body's gzip data are cut short"),
        ("gzip", PACKED + b"abc", 400, "has 3 bytes behind the end of its gzip data"),
        ("br", b"abc", 400, "Content-Encoding is 'br'; known are gzip, deflate and identity"),
        ("gzip, gzip", PACKED, 400, "Content-Encoding is 'gzip, gzip'"),
        ("gzip", gzip.compress(bytes(1 << 28), 1), 413, "more than 8,388,608 bytes"),  # a quarter of a gigabyte
        ("deflate", zlib.compress(bytes(9 << 20)), 413, "more than 8,388,608 bytes"),
    ],
)
def test_packed_bodies(url, form, body, status, message):
    headers = {"Content-Encoding": form}
    answer = requests.post(f"{url}/v2/models/digits/infer", data=body, headers=headers, timeout=60)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_json_by_curl(url):
    frames = {"name": "frames", "shape": [1, 320, 320, 3], "datatype": "FP32", "data": [0.5] * (320 * 320 * 3)}
    document = {"id": "a", "inputs": [frames], "outputs": [{"name": "boxes"}]}
    command = ["curl", "-sS", "--data-binary", "@-", f"{url}/v2/models/digits/versions/1/infer"]
    found = subprocess.run(command, input=json.dumps(document), capture_output=True, text=True, check=True, timeout=60)
    answer = json.loads(found.stdout)
    assert answer["model_name"] == "digits"
    assert answer["id"] == "a"
    [boxes] = answer["outputs"]
    assert boxes["shape"] == [1, 2_100, 4]
    assert len(boxes["data"]) == 8_400


def test_the_time_that_a_client_waits(url):
    answer = requests.post(
        f"{url}/predict?model=digits", data=PICTURE, headers={"X-Request-Timeout-Ms": "0.001"}, timeout=60
    )
    assert answer.status_code == 504
    answer = requests.post(
        f"{url}/predict?model=digits", data=PICTURE, headers={"X-Request-Timeout-Ms": "a"}, timeout=60
    )
    assert answer.status_code == 400
    assert "x-request-timeout-ms is 'a'; expected milliseconds" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/", 404, "There is nothing at '/'; known are /v2, /v1/models/NAME, /predict and /metrics."),
        ("GET", "/v2/models/digits/", 404, "There is nothing at '/v2/models/digits/'"),
        ("GET", "/docs", 404, "There is nothing at '/docs'"),
        ("GET", "/openapi.json", 404, "There is nothing at"),
        ("GET", "/v2/models/dog", 404, "There is no model 'dog'; known are digits, masks."),
        ("GET", "/v2/models/dog/config", 404, "There is no model 'dog'"),
        ("GET", "/v2/models/dog/stats", 404, "There is no model 'dog'"),
        ("GET", "/v2/models/digits/versions/9", 404, "There is no version 9"),
        ("GET", "/v2/models/digits/versions/0", 400, "The version is '0'"),
        ("GET", "/v2/models/%1b%5b31m", 404, r"There is no model '\x1b[31m'"),
        ("GET", "/v2/models/digits/infer", 405, "GET is no method of '/v2/models/digits/infer'; expected POST"),
        ("DELETE", "/v2", 405, "DELETE is no method of '/v2'; expected"),
        ("POST", "/v2/repository/models/digits/unload", 404, "There is nothing at"),
        ("GET", "/predict", 405, "GET is no method of '/predict'; expected POST"),
    ],
)
def test_paths_and_methods_that_are_none(url, method, path, status, message):
    answer = requests.request(method, url + path, timeout=60)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert answer.headers["content-type"] == "application/json"


def test_a_large_document_holds_nobody_up(url):
    """While eight megabytes of numbers are read, others are answered."""
    import threading

    text = json.dumps(_tensor([1], [0.5] * 1_300_000)).encode()
    sender = threading.Thread(
        target=requests.post, args=(f"{url}/v2/models/digits/infer", text), kwargs={"timeout": 60}
    )
    sender.start()
    answered = 0
    while sender.is_alive():
        answered += requests.get(f"{url}/v2/health/live", timeout=60).status_code == 200
        time.sleep(0.01)
    sender.join()
    assert answered > 0
