"""The signatures as they are served: those of the SavedModel, with a status, within memory, for any selection."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import CROPS, IMAGES
from tests.serving.clients import same
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.scheduling.processes import served_files
from tftrt_yolo.serving.scheduling.processes.served_signatures import ServedSignatures
from tftrt_yolo.serving.scheduling.processes.warm_sizes import WarmSizes

ASKED = {"score_threshold": 0.1, "iou_threshold": 0.5, "max_detections": 9}


PLAIN = WarmSizes(8, (1,))


def opened(path, sizes=PLAIN, max_pixels=50_000_000):
    handle = open_saved_model(path)
    signatures, backend = load.load(handle, strict=False)
    return ServedSignatures(handle, signatures, backend, sizes, max_pixels=max_pixels), signatures, backend


class Old:
    """A signature as exports of older versions have it: without a status, and without packed masks."""

    def __init__(self, function, served_as):
        self.structured_input_signature = function.structured_input_signature
        self.structured_outputs = served_as.structured_outputs


def opened_as_old(path, signatures, backend):
    """The model as an older version exported it: without `framed`, too."""
    as_old = {**signatures, "encoded": Old(signatures["encoded"], signatures["serving_default"])}
    del as_old["framed"]
    return ServedSignatures(open_saved_model(path), as_old, backend, PLAIN, max_pixels=50_000_000)


@pytest.mark.parametrize(
    "name",
    ["tiny", "segment", "classify", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pose", "obb"))],
)
def test_every_task_is_as_its_predictor_and_its_own_signature(models, name):
    path = models.exported(name)
    served, signatures, backend = opened(path)
    predictor = tftrt_yolo.Predictor(path)
    files = [image.read_bytes() for image in (CROPS if name == "classify" else IMAGES)[:3]]
    given = {"image_bytes": [files[0], b"junk", *files[1:]]}
    own = served.run("encoded", given, None)
    assert [status[:6] for status in own["status"].tolist()] == [b"", b"it is ", b"", b""]
    around = opened_as_old(path, signatures, backend)
    old = around.run("encoded", given, None)
    assert old["status"].tolist() == own["status"].tolist()
    assert set(around.described()["encoded"].outputs) == set(old)
    if name == "classify":
        assert same(old, own)
        return
    # of older exports, which have no packed masks, everything else is the same
    assert same({key: old[key] for key in own if key in old}, {key: own[key] for key in own if key in old})
    expected = predictor([files[0], files[1]], **ASKED)
    selecting = served if name == "segment" else around  # each makes a graph of its own, which takes seconds
    found = selecting.run("encoded", {"image_bytes": files[:2]}, SelectionOptions(**ASKED))
    assert set(found) == set(own)
    assert found["boxes"].shape == (2, 9, 4)
    counts = found["num_detections"].tolist()
    assert sum(counts) > 0
    if name != "segment":  # whose predictor leaves objects of empty masks out
        assert counts == [len(one) for one in expected]
    image = read_image(files[0])
    for key, inputs in (
        ("serving_default", {"images": image[np.newaxis]}),
        ("padded", {"images": image[np.newaxis], "sizes": np.array([image.shape[:2]], np.int32)}),
    ):
        outputs = selecting.run(key, inputs, SelectionOptions(**ASKED))
        assert same(
            {name: outputs[name] for name in ("scores", "classes", "num_detections")},
            {name: found[name][:1] for name in ("scores", "classes", "num_detections")},
        )
    # where nothing is found
    none = selecting.run("encoded", {"image_bytes": files[:1]}, SelectionOptions(score_threshold=1.0))
    assert none["num_detections"].tolist() == [0]
    assert none["boxes"].shape == (1, 300, 4)


def test_answers_are_the_predictors_to_the_bit(tiny_export):
    served, *_ = opened(tiny_export)
    predictor = tftrt_yolo.Predictor(tiny_export)
    webp = io.BytesIO()
    PIL.Image.open(IMAGES[3]).save(webp, "WEBP")  # which the export's own `encoded` does not read
    files = [*(image.read_bytes() for image in IMAGES[:3]), webp.getvalue()]
    for options in ({}, ASKED):
        asked = SelectionOptions(**options) if options else None
        found = served.run("encoded", {"image_bytes": files}, asked)
        expected = predictor(files, **options)
        assert found["status"].tolist() == [b""] * len(files)
        assert found["num_detections"].tolist() == [len(one) for one in expected]
        assert min(map(len, expected)) > 0
        for row, detections in enumerate(expected):
            count = len(detections)
            np.testing.assert_array_equal(found["boxes"][row, :count], detections.xyxy)
            np.testing.assert_array_equal(found["scores"][row, :count], detections.confidence)
            np.testing.assert_array_equal(found["classes"][row, :count], detections.class_id)
            assert not found["boxes"][row, count:].any()


def test_parts_and_filling_change_nothing(tiny_export, monkeypatch):
    files = [image.read_bytes() for image in IMAGES[:5]]
    served, *_ = opened(tiny_export)
    whole = served.run("encoded", {"image_bytes": files}, None)
    images = np.stack([read_image(files[0])] * 3)
    requests = [
        ("encoded", {"image_bytes": files}, None),
        ("encoded", {"image_bytes": files}, SelectionOptions(**ASKED)),
        ("padded", {"images": images, "sizes": np.array([images.shape[1:3]] * 3, np.int32)}, None),
        ("network", {"frames": np.random.default_rng(0).random((3, 320, 320, 3), np.float32)}, None),
    ]
    expected = [served.run(*request) for request in requests]
    for sizes in (WarmSizes(2, (1, 2), (1, 2)), WarmSizes(8, (8,), (8,))):  # in parts, and filled up
        served._sizes = sizes
        assert all(same(served.run(*request), one) for request, one in zip(requests, expected, strict=True))
    served._sizes = PLAIN
    # large pictures are not decoded together
    monkeypatch.setattr(served_files, "_MOST_PIXELS_AT_ONCE", 100_000)
    assert same(served.run("encoded", {"image_bytes": files}, None), whole)
    assert served.run("encoded", {"image_bytes": []}, None)["boxes"].shape == (0, 300, 4)


def test_many_detections_are_as_many_as_there_can_be(tiny_export):
    served, *_ = opened(tiny_export)
    files = [image.read_bytes() for image in IMAGES[:2]]
    asked = SelectionOptions(score_threshold=0.0, iou_threshold=1.0, max_detections=100_000)
    outputs = served.run("encoded", {"image_bytes": files}, asked)
    assert outputs["boxes"].shape == (2, 2_100, 4)
    [expected, _] = tftrt_yolo.Predictor(tiny_export)(
        files, score_threshold=0.0, iou_threshold=1.0, max_detections=100_000
    )
    assert int(outputs["num_detections"][0]) == len(expected)


def test_native_segments_are_served(tiny_conversion):
    served, *_ = opened(tiny_conversion)
    file = Path(IMAGES[0]).read_bytes()
    outputs = served.run("encoded", {"image_bytes": [file, b""]}, None)
    assert outputs["status"].tolist()[0] == b""
    assert outputs["num_detections"].tolist()[0] > 0
    assert served.described()["network"].inputs["frames"].shape == (None, 320, 320, 3)
    assert served.described()["encoded"].inputs["image_bytes"].dtype == "object"


def test_text_has_no_size_that_could_be_too_large(tiny_export):
    """The bytes where a bitmap has its width and height mean nothing in what is no bitmap."""
    served, *_ = opened(tiny_export)
    text = b"[metadata]\nname = something\nversion = 1.0 and more than a bitmap's header\n"
    [status] = served.run("encoded", {"image_bytes": [text]}, None)["status"].tolist()
    assert status.startswith(b"it is no image: it starts with b'[metadata]")
