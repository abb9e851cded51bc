"""The benchmark's peer of torchvision's parts: that it finds what Ultralytics finds, and who it is not for."""

import numpy as np
import pytest

from tests.conftest import DATA, IMAGES, match
from tftrt_yolo.benchmarking import protocol
from tftrt_yolo.benchmarking.runners import torchvision as peer
from tftrt_yolo.ground.placement import letterboxed

pytestmark = pytest.mark.torchvision
SIZE = (320, 320)
OPTIONS = {"precision": "FP32", "score_threshold": 0.25, "iou_threshold": 0.7}


def _work(tmp_path, task, **given):
    frames = tmp_path / "frames.npy"
    np.save(frames, np.zeros((1, *SIZE, 3), np.uint8))
    arguments = {"jpeg_paths": tuple(map(str, IMAGES[:3])), "batch_sizes": (2,), "seconds": 0.1, "max_detections": 300}
    weights = str(DATA / f"yolov8n-tiny-{task}.pt")
    return [*peer.work(weights=weights, frames_path=str(frames), **OPTIONS | arguments | given)]


def test_it_finds_what_ultralytics_finds():
    """Of the same files; the pictures are resized by another library, a grey level apart."""
    import supervision as sv
    import torch
    import ultralytics

    from tftrt_yolo.benchmarking.runners import pytorch

    weights = str(DATA / "yolov8n-tiny-detect.pt")
    network = pytorch.placed(pytorch.load(weights), "FP32")
    oracle = ultralytics.YOLO(weights)
    matched = total = extra = 0
    with torch.inference_mode():
        for path in map(str, IMAGES[:16]):
            frames = peer._frames([path], SIZE, "cpu")
            outputs = pytorch.inference(network, frames, None)(frames)
            found = peer._select(outputs[0].T, 0.25, 0.7, 300).numpy()
            [theirs] = oracle.predict(path, imgsz=SIZE[0], rect=False, conf=0.25, iou=0.7, verbose=False)
            place = letterboxed(theirs.orig_shape, SIZE)
            boxes = theirs.boxes.xyxy.numpy() * np.tile(place.gain_xy, 2) + np.tile(place.padding_xy, 2)
            expected = {"xyxy": boxes, "scores": theirs.boxes.conf.tolist(), "classes": theirs.boxes.cls.tolist()}
            detections = sv.Detections(found[:, :4], confidence=found[:, 4], class_id=found[:, 5].astype(int))
            count, missed, more = match(detections, expected)
            matched, total, extra = matched + count, total + count + len(missed), extra + len(more)
    assert total > 40
    assert matched >= 0.95 * total
    assert extra <= 0.05 * total


def test_it_is_measured_from_files(tmp_path):
    events = _work(tmp_path, "detect")
    assert [event["event"] for event in events] == ["about", "begin", "timing", "measured", "end"]
    assert "torchvision" in events[0]["versions"]
    assert events[3]["mode"] == protocol.FROM_JPEG


@pytest.mark.parametrize(
    ("task", "given", "mode", "reason"),
    [
        ("segment", {}, None, "boxes of detectors alone"),
        ("detect", {"precision": "FP16"}, None, "no GPU"),
        ("detect", {"jpeg_paths": ()}, protocol.FROM_JPEG, "JPEG"),
    ],
)
def test_who_cannot_take_part(tmp_path, task, given, mode, reason):
    import torch

    if given.get("precision") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    [absent] = [event for event in _work(tmp_path, task, **given) if event["event"] == "absent"]
    assert absent["mode"] == mode
    assert reason in absent["reason"]
