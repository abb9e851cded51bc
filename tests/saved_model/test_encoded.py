"""Signature `encoded` of exports and conversions: what it says of bad files, and how images are turned."""

import io
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import CROPS, IMAGES, OTHER_TASKS
from tests.encoded_masks import num_bytes, pasted
from tests.ground.files import form_files
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model

TASKS = ("tiny", *OTHER_TASKS)


def _signatures(path):
    return load.load(open_saved_model(path), strict=False)[0]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["exported", "converted"])
def test_one_bad_file_among_good_ones(models, task, kind):
    encoded = _signatures(getattr(models, kind)(task))["encoded"]
    good = [path.read_bytes() for path in (CROPS if task == "classify" else IMAGES)[:2]]
    files = [good[0], b"", good[1], good[1][:-200], b"RIFF1234WEBPVP8 "]
    outputs = {name: values.numpy() for name, values in encoded(image_bytes=tf.constant(files)).items()}
    alone = {name: values.numpy() for name, values in encoded(image_bytes=tf.constant(good)).items()}
    status = outputs.pop("status")
    assert [bool(text) for text in status] == [False, True, False, True, True]
    assert status[3].decode().startswith("it is cut short")
    assert alone.pop("status").tolist() == [b"", b""]
    assert alone.keys() == outputs.keys()
    for name, values in outputs.items():
        assert not values[[1, 3, 4]].any()
        if name != "masks":
            np.testing.assert_allclose(values[[0, 2]], alone[name], rtol=1e-4, atol=1e-3)
    if task != "classify":
        assert alone["num_detections"].sum() > 0


@pytest.mark.parametrize("kind", ["exported", "converted"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_detections_are_in_pixels_of_the_upright_image(models, kind, orientation):
    signatures = _signatures(getattr(models, kind)("tiny"))
    file = io.BytesIO()
    exif = b"Exif\0\0" + form_files.exif(orientation, "<>"[orientation % 2])
    PIL.Image.open(IMAGES[1]).crop((0, 0, 300, 220)).save(file, "JPEG", quality=95, exif=exif)
    from tftrt_yolo.ground.files.image_files import read_image

    image = read_image(file.getvalue())
    expected = signatures["serving_default"](images=tf.constant(image[None]))
    found = signatures["encoded"](image_bytes=tf.constant([file.getvalue()]))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def _upright(path):
    """A picture as a file that is held sideways."""
    file = io.BytesIO()
    PIL.Image.open(path).save(file, "JPEG", quality=95, exif=b"Exif\0\0" + form_files.exif(6, "<"))
    return file.getvalue()


@pytest.mark.parametrize("kind", ["exported", "converted"])
def test_masks_are_the_predictors(models, kind):
    """Pixel by pixel, for pictures of different sizes, one that is turned and one that is not read among them."""
    path = getattr(models, kind)("segment")
    _check_masks(path, lambda: tftrt_yolo.Predictor(path, strict=False))


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", ["xla", "onednn"])
def test_masks_of_other_conversions_are_the_predictors(models, tmp_path, accelerator):
    """XLA compiles none of their operations, which it does not know."""
    path = tmp_path / "other_saved_model"
    tftrt_yolo.convert(models.exported("segment"), path, accelerator=accelerator, precision_mode="FP32")
    _check_masks(path, lambda: tftrt_yolo.Predictor(path))


def _encoded(path, files):
    outputs = _signatures(path)["encoded"](image_bytes=tf.constant(files))
    return {name: values.numpy() for name, values in outputs.items()}


def _check_masks(path, make):
    files = [IMAGES[2].read_bytes(), _upright(IMAGES[3]), b"no image", IMAGES[9].read_bytes()]
    outputs, predictor = _encoded(path, files), make()
    assert not any(outputs["masks"][2])
    assert [bool(text) for text in outputs["status"]] == [False, False, True, False]
    pixels = flipped = 0
    for index in (0, 1, 3):
        [expected] = predictor(files[index])
        count = outputs["num_detections"][index]
        assert count == len(expected) > 2
        assert not any(outputs["masks"][index, count:])
        found = pasted(outputs["masks"][index, :count], outputs["mask_corners"][index, :count], expected.mask.shape[1:])
        for mask, own in zip(found, expected.mask, strict=True):
            pixels, flipped = pixels + np.count_nonzero(own), flipped + np.count_nonzero(mask ^ own)
    assert pixels > 50_000
    assert flipped <= pixels / 10_000  # none, but where a batch of another size is rounded in another way


def test_an_answer_with_twenty_masks_takes_less_than_100_kb(models):
    """Of an image of 640 x 640 pixels; prototypes of a frame of that size take 3.3 MB."""
    picture = PIL.Image.new("RGB", (640, 640))
    for index, path in enumerate(2 * (IMAGES[3], IMAGES[10])):
        picture.paste(PIL.Image.open(path).resize((320, 320)), (index % 2 * 320, index // 2 * 320))
    file = io.BytesIO()
    picture.save(file, "PNG")
    outputs = _encoded(models.exported("segment"), [file.getvalue()])
    count = outputs["num_detections"][0]
    assert count >= 20
    assert all(outputs["masks"][0, :count])
    assert num_bytes(outputs, 0) < 40_000


_PLAIN = """
import sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
outputs = loaded.signatures["encoded"](image_bytes=tf.constant([open(sys.argv[2], "rb").read(), b"none"]))
assert outputs["num_detections"].numpy().tolist() == [int(sys.argv[3]), 0], outputs
assert outputs["status"].numpy()[1].startswith(b"it is no image"), outputs
"""


def test_plain_tensorflow_in_a_process_of_its_own(tiny_export):
    expected = _signatures(tiny_export)["encoded"](image_bytes=tf.constant([IMAGES[0].read_bytes()]))
    count = str(int(expected["num_detections"][0]))
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN, tiny_export, IMAGES[0], count], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
