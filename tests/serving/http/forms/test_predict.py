"""POST /predict, with curl as a user would, and with what a user gets wrong."""

import base64
import io
import json
import subprocess

import numpy as np
import PIL.Image
import pytest
import requests

import tftrt_yolo
from tests.conftest import IMAGES

PICTURE = IMAGES[0].read_bytes()


def _curl(*arguments):
    command = ["curl", "-sS", *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def _posted(url, query="model=digits", data=PICTURE, **options):
    return requests.post(f"{url}/predict?{query}", data=data, timeout=60, **options)


def test_a_picture_by_curl(url, repository):
    predictor = tftrt_yolo.Predictor(repository / "digits" / "1")
    [expected] = predictor(PICTURE)
    answers = [
        _curl("--data-binary", f"@{IMAGES[0]}", f"{url}/predict?model=digits"),
        _curl("--data-binary", f"@{IMAGES[0]}", "-H", "Content-Type: image/jpeg", f"{url}/predict?model=digits"),
        _curl("-F", f"file=@{IMAGES[0]}", f"{url}/predict?model=digits&version=1"),
        _curl("-F", f"file=@{IMAGES[0]}", "-F", "model=digits", f"{url}/predict"),
        _curl("-T", IMAGES[0], "-X", "POST", f"{url}/predict?model=digits"),
    ]
    for answer in answers:
        assert answer["model"] == "digits"
        assert answer["version"] == 1
        assert answer["milliseconds"] > 0
        with PIL.Image.open(IMAGES[0]) as image:
            assert answer["image"] == {"width": image.width, "height": image.height}
        np.testing.assert_allclose([one["box"] for one in answer["objects"]], expected.xyxy, atol=0.02)
        assert [one["name"] for one in answer["objects"]] == expected.data["class_name"].tolist()
        np.testing.assert_allclose([one["score"] for one in answer["objects"]], expected.confidence, atol=1e-4)


def test_several_pictures_are_a_list_and_a_bad_one_fails_alone(url, tmp_path):
    bad = tmp_path / "bäd\x1b.jpg"
    bad.write_bytes(b"no picture")
    files = [("a", (path.name, path.read_bytes())) for path in (IMAGES[0], bad, IMAGES[1])]
    good, failed, other = _posted(url, data=None, files=files).json()
    assert good["file"] == IMAGES[0].name
    assert good["objects"]
    assert "image" in other
    assert "\x1b" not in failed["file"]
    assert failed["status"] == 422
    assert "The picture was not read: it is no image" in failed["error"]
    assert "objects" not in failed


def test_a_picture_that_cannot_be_read(url):
    answer = _posted(url, data=b"no picture")
    assert answer.status_code == 422
    assert "The picture was not read: it is no image: it starts with b'no picture'" in answer.json()["error"]
    file = io.BytesIO()
    PIL.Image.new("RGB", (1_000, 1_000)).save(file, "PNG")
    answer = _posted(url, data=file.getvalue())
    assert answer.status_code == 422
    assert "1,000,000" in answer.json()["error"]


def test_the_size_is_that_of_the_upright_picture(url):
    file, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (60, 40)).save(file, "JPEG", exif=exif)
    assert _posted(url, data=file.getvalue()).json()["image"] == {"width": 40, "height": 60}


def test_thresholds_and_classes_in_the_query(url):
    every = _posted(url).json()["objects"]
    assert len(every) > 2
    few = _posted(url, f"model=digits&score_threshold={every[1]['score'] + 1e-4}").json()["objects"]
    assert few == every[:1]
    assert _posted(url, "model=digits&max_detections=2").json()["objects"] == every[:2]
    names = {one["name"] for one in every[:2]}
    for query in ("classes=" + ",".join(names), "&".join(f"classes={name}" for name in names)):
        found = _posted(url, f"model=digits&{query}&class_agnostic=true").json()["objects"]
        assert {one["name"] for one in found} == names


def test_masks_where_they_are_asked_for(url):
    file = IMAGES[3].read_bytes()
    assert "mask" not in _posted(url, "model=masks", file).json()["objects"][0]
    found = _posted(url, "model=masks&masks=true", file).json()["objects"][0]
    mask = PIL.Image.open(io.BytesIO(base64.b64decode(found["mask"]["png"])))
    left, top = found["mask"]["corner"]
    assert mask.mode == "L"
    assert left >= int(found["box"][0]) - 1
    assert top >= int(found["box"][1]) - 1
    assert mask.width <= found["box"][2] - found["box"][0] + 2


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("", 400, "The parameter 'model' is missing; known are digits, masks."),
        ("model=dog", 404, "There is no model 'dog'; known are digits, masks."),
        ("model=digits&version=7", 404, "There is no version 7"),
        ("model=digits&version=-1", 400, "The version is '-1'; expected a whole number of at least 1"),
        ("model=digits&model=masks", 400, "The parameter 'model' is there twice"),
        ("model=digits&score_treshold=1", 400, "The parameter 'score_treshold' is unknown; known are score_threshold"),
        ("model=digits&score_threshold=a", 400, "score_threshold is 'a'; it must be a number between 0 and 1"),
        ("model=digits&score_threshold=nan", 400, "score_threshold is nan; it must be"),
        ("model=digits&iou_threshold=-1", 400, "iou_threshold is -1.0; it must be"),
        ("model=digits&max_detections=0", 400, "max_detections is 0; it must be"),
        ("model=digits&max_detections=1e3", 400, "max_detections is '1e3'; it must be"),
        ("model=digits&class_agnostic=maybe", 400, "class_agnostic is 'maybe'; it must be True or False"),
        ("model=digits&classes=cat", 400, "classes has 'cat'; expected indices or names of"),
        ("model=digits&classes=99", 400, "classes has 99; expected"),
        ("model=digits&masks=true", 400, "masks are for models for segment and semantic; model 'digits' is for detect"),
        ("model=masks&masks=yes", 400, "masks is 'yes'; expected true or false"),
        ("model=digits&timeout=a", 400, "timeout is 'a'; expected microseconds"),
    ],
)
def test_queries_that_are_wrong(url, query, status, message):
    answer = _posted(url, query)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert "--" not in answer.json()["error"].replace("(--", "")  # clients give no flags


FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + PICTURE + b"\r\n--x--\r\n"


@pytest.mark.parametrize(
    ("content_type", "data", "message"),
    [
        ("image/jpeg", b"", "The body is empty; expected the bytes of a picture"),
        ("application/json", PICTURE, "Content-Type is 'application/json'; expected the bytes of a picture"),
        ("text/plain", PICTURE, "Content-Type is 'text/plain'"),
        ("multipart/form-data", FORM, "The form's boundary is None"),
        ("multipart/form-data; boundary=", FORM, "The form's boundary is"),
        ("multipart/form-data; boundary=" + "x" * 71, FORM, "expected 1 to 70 characters"),
        ("multipart/form-data; boundary=y", FORM, "The form's boundary, which Content-Type names, is nowhere"),
        ("multipart/form-data; boundary=x", FORM[:-20], "The form is cut short: its last boundary is missing"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "The form has no file; expected pictures"),
        ("multipart/form-data; boundary=x", b"", "is nowhere in the body"),
        ("multipart/form-data; boundary=x", b"--x\r\nabc\r\n--x--", "has a part without a head"),
        ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\nc\r\n--x--", "has a part without a name"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb' * 2 + b"\r\n--x--",
            "",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nmasks\r\n' + FORM,
            "The parameter 'model' is in the query and in the form",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 1_001 + b"--x--\r\n",
            "The form's field 'a' is there twice",
        ),
    ],
)
def test_bodies_that_are_no_pictures(url, content_type, data, message):
    answer = _posted(url, data=data, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_more_pictures_than_a_request_may_have(url):
    answer = _posted(url, data=None, files=[("a", ("a.jpg", PICTURE))] * 5)
    assert answer.status_code == 400
    assert "5 pictures" in answer.json()["error"]
