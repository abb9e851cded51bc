"""Objects in words are what Predictor finds, of every task."""

import base64
import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import CROPS, IMAGES, OTHER_TASKS
from tftrt_yolo.contract import read_metadata
from tftrt_yolo.serving.protocol.readable import objects_of, status_of
from tftrt_yolo.serving.scheduling.inference import ModelState


def _found(saved_model_dir, file):
    """What a model says of a picture, in words, and Predictor's own."""
    metadata = read_metadata(saved_model_dir)
    encoded = tf.saved_model.load(str(saved_model_dir)).signatures["encoded"]
    outputs = {name: value.numpy() for name, value in encoded(image_bytes=tf.constant([b"a", file])).items()}
    state = ModelState("a", 1, "READY", task=metadata.task, names=metadata.names)
    assert "it is no image" in status_of(outputs, 0)
    assert status_of(outputs, 1) == ""
    [expected] = tftrt_yolo.Predictor(saved_model_dir)(file)
    return objects_of(outputs, 1, state, with_masks=True), expected


@pytest.mark.parametrize(
    "task", ["segment", *(pytest.param(task, marks=pytest.mark.slow) for task in OTHER_TASKS if task != "segment")]
)
def test_objects_are_predictors(models, task):
    path = CROPS[0] if task == "classify" else IMAGES[3]
    found, expected = _found(models.exported(task), path.read_bytes())
    assert found
    if task == "classify":
        best = np.argsort(-expected.confidence, kind="stable")[:5]
        assert [one["class"] for one in found] == best.tolist()
        np.testing.assert_allclose([one["probability"] for one in found], expected.confidence[best], atol=1e-4)
        return
    boxes = expected.data["xyxy"] if task == "pose" else expected.xyxy
    if task == "segment":  # Predictor leaves objects without a pixel out
        found = [one for one in found if one["mask"]["png"]]
        for one, mask in zip(found, expected.mask, strict=True):
            whole = PIL.Image.new("L", mask.shape[::-1])
            png = PIL.Image.open(io.BytesIO(base64.b64decode(one["mask"]["png"])))
            whole.paste(png, tuple(one["mask"]["corner"]))
            np.testing.assert_array_equal(np.asarray(whole) > 0, mask)
    np.testing.assert_allclose([one["box"] for one in found], boxes, atol=0.02)
    if task == "pose":
        points = [[point[:2] for point in one["keypoints"]] for one in found]
        np.testing.assert_allclose(points, expected.xy, atol=0.02)
    if task == "obb":
        np.testing.assert_allclose([one["corners"] for one in found], expected.data["xyxyxyxy"], atol=0.02)
        np.testing.assert_allclose([one["oriented_box"] for one in found], expected.data["xywhr"], atol=0.02)
