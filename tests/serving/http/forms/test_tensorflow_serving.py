"""TensorFlow Serving's REST interface, asked as its documentation asks it."""

import base64
import json
import subprocess

import numpy as np
import pytest
import requests

import tftrt_yolo
from tests.conftest import IMAGES

PICTURE = IMAGES[0].read_bytes()
B64 = {"b64": base64.b64encode(PICTURE).decode()}
PIXEL = [[[0, 0, 0]]]


def _asked(url, document, path="digits"):
    data = document if isinstance(document, bytes) else json.dumps(document)
    return requests.post(f"{url}/v1/models/{path}:predict", data=data, timeout=60)


def test_status_and_metadata(url):
    for path in ("digits", "digits/versions/1"):
        answer = requests.get(f"{url}/v1/models/{path}", timeout=60).json()
        status = {"error_code": "OK", "error_message": ""}
        assert answer == {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    metadata = requests.get(f"{url}/v1/models/digits/versions/1/metadata", timeout=60).json()
    assert metadata["model_spec"] == {"name": "digits", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"encoded", "serving_default", "padded", "framed", "network"}
    info = signatures["padded"]["inputs"]["sizes"]
    assert info["dtype"] == "DT_INT32"
    assert info["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}, {"size": "2", "name": ""}]
    assert signatures["encoded"]["inputs"]["image_bytes"]["dtype"] == "DT_STRING"


def test_rows_and_columns_are_predictors(url, repository):
    [expected] = tftrt_yolo.Predictor(repository / "digits" / "1")(PICTURE)
    named = {"image_bytes": B64}
    for document in (
        {"signature_name": "encoded", "instances": [B64, B64]},
        {"signature_name": "encoded", "instances": [named, named]},
    ):
        answer = _asked(url, document)
        assert answer.status_code == 200
        assert list(answer.json()) == ["predictions"]
        for row in answer.json()["predictions"]:
            assert row["num_detections"] == len(expected)
            np.testing.assert_allclose(row["boxes"][: len(expected)], expected.xyxy, atol=0.01)
            assert row["status"] == ""
    for inputs in ([B64], {"image_bytes": [B64]}):
        answer = _asked(url, {"signature_name": "encoded", "inputs": inputs}, "digits/versions/1").json()
        assert answer["outputs"]["num_detections"] == [len(expected)]


def test_images_as_lists(url, photo):
    small = photo[:40, :60]
    rows = _asked(url, {"instances": [small.tolist()]}).json()["predictions"]
    columns = _asked(url, {"inputs": {"images": [small.tolist()]}}).json()["outputs"]
    assert columns["scores"][0] == rows[0]["scores"]
    padded = {"signature_name": "padded", "instances": [{"images": small.tolist(), "sizes": [40, 60]}]}
    assert _asked(url, padded).json()["predictions"][0]["num_detections"] == rows[0]["num_detections"]


def test_bytes_come_back_in_base64_and_texts_as_they_are(url):
    file = base64.b64encode(IMAGES[3].read_bytes()).decode()
    rows = {"signature_name": "encoded", "instances": [{"b64": file}, "no picture"]}
    good, bad = _asked(url, rows, "masks").json()["predictions"]
    assert base64.b64decode(good["masks"][0]["b64"]).startswith(b"\x89PNG")
    assert good["masks"][-1] == ""
    assert "it is no image" in bad["status"]
    assert not any(bad["scores"])


def test_thresholds_of_a_request(url):
    document = {"signature_name": "encoded", "instances": [B64]}
    found = _asked(url, document).json()["predictions"][0]
    few = _asked(url, document | {"parameters": {"score_threshold": found["scores"][1], "max_detections": 2}})
    assert few.json()["predictions"][0]["num_detections"] == 1
    assert len(few.json()["predictions"][0]["boxes"]) == 2


def test_curl(url):
    command = ["curl", "-sS", "-d", json.dumps({"instances": [PIXEL]}), f"{url}/v1/models/digits:predict"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(found.stdout)["predictions"][0]["num_detections"] == 0


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "The request has neither of 'instances' and 'inputs'"),
        ({"instances": [PIXEL], "inputs": [PIXEL]}, "The request has both of 'instances' and 'inputs'"),
        ({"instances": []}, "'instances' is a list of 0; expected a list of at least one picture"),
        ({"instances": 5}, "'instances' is 5; expected a list"),
        ({"instances": {"a": 1}}, "'instances' is a dict of 1; expected a list"),
        ({"instances": [5]}, "Input 'images'"),  # of no rank
        ({"instances": [[[[0, 0]]]]}, "Input 'images' has the shape [1, 1, 1, 2]"),
        ({"instances": [PIXEL, [*PIXEL, *PIXEL]]}, "has lists of 1 elements and 2 elements at one level"),
        ({"instances": [[[[0, 0, 256]]]]}, "has the element 256; UINT8 goes from 0 to 255"),
        ({"instances": [[[[0, 0, 0.5]]]]}, "has the element 0.5; expected whole numbers"),
        ({"instances": [[[[0, 0, "a"]]]]}, "has the element 'a'; expected whole numbers"),
        ({"instances": [[[[0, 0, None]]]]}, "has the element None; expected whole numbers"),
        ({"instances": [[[[0, 0, [1]]]]]}, "has the element a list of 1; expected whole numbers"),
        ({"instances": [[[[[[[[[[1]]]]]]]]]]}, "has lists in more than 8 levels"),
        ({"instances": [B64]}, "has the element a dict of 1; expected whole numbers"),
        ({"instances": [{"image": PIXEL}]}, "An instance has 'image'; expected images"),
        ({"instances": [{"images": PIXEL}, PIXEL]}, "'instances' has plain values and objects; expected one kind"),
        ({"inputs": {"images": [PIXEL], "a": 1}}, "'inputs' has 'images', 'a'; expected images"),
        ({"inputs": {}}, "'inputs' has no input; expected images"),
        ({"instances": [PIXEL] * 5}, "5 pictures"),
        (
            {"signature_name": "serve", "instances": [PIXEL]},
            "Model 'digits' has no signature 'serve'; known are serving_default, encoded",
        ),
        ({"signature_name": 5, "instances": [PIXEL]}, "Model 'digits' has no signature 5; known are"),
        (
            {"signature_name": "padded", "instances": [PIXEL]},
            "'instances' has plain values; expected objects with images",
        ),
        ({"signature_name": "padded", "instances": [{"images": PIXEL}]}, "has 'images'; expected images and sizes"),
        ({"signature_name": "padded", "inputs": {"images": [PIXEL], "sizes": [[2, 1]]}}, "Input 'sizes' has [2, 1]"),
        ({"signature_name": "encoded", "instances": [{"b64": "%%"}]}, "that is no base64"),
        ({"signature_name": "encoded", "instances": [{"b64": 5}]}, "expected a text"),
        ({"signature_name": "encoded", "instances": [5]}, "has the element 5; expected texts"),
        ({"signature_name": "encoded", "instances": [["a", "b"]]}, "Input 'image_bytes'"),
        ({"signature_name": "encoded", "inputs": B64}, "Input 'image_bytes'"),
        ({"instances": [PIXEL], "parameters": {"a": 1}}, "The parameter 'a' is unknown; known are score_threshold"),
        ({"instances": [PIXEL], "parameters": {"classes": ["cat"]}}, "classes has 'cat'; expected indices or names"),
        ({"instances": [PIXEL], "dog": 1}, "The request has 'dog'; known are signature_name, instances"),
        (b"{", "The body is no JSON"),
        (b"", "The body is no JSON"),
        (b'{"instances": [NaN]}', "it has NaN, which is no number of JSON"),
        (b'{"instances": [1], "instances": [1]}', "it has the name 'instances' twice"),
        (b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}", "is nested more than 32 levels deep"),
    ],
)
def test_refusals(url, document, message):
    answer = _asked(url, document)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("POST", "dog:predict", "There is no model 'dog'; known are digits, masks."),
        ("POST", "digits/versions/9:predict", "There is no version 9 of the model 'digits'"),
        ("POST", "digits:classify", "There is no :classify here; expected :predict."),
        ("POST", "digits/versions/1:regress", "There is no :regress here; expected :predict."),
        ("GET", "dog", "There is no model 'dog'"),
        ("GET", "digits/foo", "There is nothing at '/v1/models/digits/foo'"),
    ],
)
def test_what_is_not_there(url, method, path, message):
    answer = requests.request(method, f"{url}/v1/models/{path}", data=json.dumps({"instances": [PIXEL]}), timeout=60)
    assert answer.status_code == 404
    assert message in answer.json()["error"]


@pytest.mark.parametrize(("method", "path"), [("POST", "labels/stable:predict"), ("GET", "labels/stable")])
def test_labels_are_refused_as_tensorflow_serving_refuses_unknown_ones(url, method, path):
    answer = requests.request(method, f"{url}/v1/models/digits/{path}", data="{}", timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("No version has the label 'stable': versions have no labels here")
