"""Frames on the host against Ultralytics' letterbox and Pillow's steps, to the bit, and the SavedModel's ops."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import IMAGES
from tests.graph.test_crop import pillows_crop
from tftrt_yolo.graph import letterbox
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.predictor import framing

SIZES = [
    ((320, 320), (401, 404)),
    ((320, 320), (100, 37)),  # upscaled, tall
    ((320, 320), (320, 320)),  # untouched
    ((320, 320), (1, 500)),
    ((320, 320), (3, 2)),
    ((192, 320), (480, 640)),  # frame that is not square
    ((320, 192), (333, 777)),
    ((192, 320), (3_000, 700)),
    ((640, 640), (652, 564)),  # sides scaled by different rounding
    ((64, 64), (65_535, 1)),
    ((64, 64), (1, 65_535)),
]


@pytest.mark.parametrize(("size_hw", "image_hw"), SIZES)
def test_a_letterbox_is_ultralytics_to_the_bit(size_hw, image_hw):
    augment = pytest.importorskip("ultralytics.data.augment")
    image = np.random.default_rng(0).integers(0, 256, (*image_hw, 3), np.uint8)
    frames = np.full((3, *size_hw, 3), 7, np.uint8)
    framing.letterbox(image, frames[1])
    np.testing.assert_array_equal(frames[1], augment.LetterBox(size_hw, auto=False)(image=image))
    assert (frames[[0, 2]] == 7).all()


@pytest.mark.parametrize(("size_hw", "image_hw"), SIZES)
def test_a_stretch_is_ultralytics_to_the_bit(size_hw, image_hw):
    augment = pytest.importorskip("ultralytics.data.augment")
    image = np.random.default_rng(0).integers(0, 256, (*image_hw, 3), np.uint8)
    frames = np.full((3, *size_hw, 3), 7, np.uint8)
    framing.stretch(image, frames[1])
    np.testing.assert_array_equal(frames[1], augment.LetterBox(size_hw, scale_fill=True)(image=image))
    assert (frames[[0, 2]] == 7).all()


@pytest.mark.parametrize(("size_hw", "image_hw"), SIZES)
def test_numpy_resizes_as_opencv_to_the_bit(size_hw, image_hw, monkeypatch, caplog):
    image = np.random.default_rng(0).integers(0, 256, (*image_hw, 3), np.uint8)
    expected, got = np.empty((2, *size_hw, 3), np.uint8)
    framing.letterbox(image, expected)
    monkeypatch.setattr(framing, "cv2", None)
    monkeypatch.setattr(framing, "_why_no_opencv", ImportError("libGL.so.1 is missing"), raising=False)
    with caplog.at_level("WARNING"):
        framing.letterbox(image, got)
    np.testing.assert_array_equal(got, expected)


def test_images_in_any_layout_of_memory():
    image = read_image(IMAGES[0])
    expected, got = np.empty((2, 64, 96, 3), np.uint8)
    framing.letterbox(np.ascontiguousarray(image[::-1, ::2, ::-1]), expected)
    framing.letterbox(image[::-1, ::2, ::-1], got)
    np.testing.assert_array_equal(got, expected)


def test_photos_are_framed_as_in_the_saved_model():
    """Of 100,000 values at most one differs, by one level: float32 holds 24 bits of a sum of 27."""
    for path in IMAGES[:6]:
        image, frame = read_image(path), np.empty((640, 640, 3), np.uint8)
        framing.letterbox(image, frame)
        expected, _ = letterbox.letterbox_images(tf.constant(image[None]), (640, 640))
        difference = np.abs(frame.astype(int) - expected[0].numpy())
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 1e-5 * difference.size + 1


@pytest.mark.parametrize(
    ("size_hw", "image_hw"),
    [
        ((64, 64), (401, 404)),
        ((64, 64), (37, 100)),
        ((64, 64), (64, 64)),
        ((64, 64), (64, 67)),  # only cropped, by an odd number
        ((64, 64), (1, 50)),
        ((65, 65), (300, 203)),
        ((224, 224), (1_500, 2_000)),
        ((48, 96), (333, 777)),  # not square: the whole image, out of shape
        ((64, 64), (5_001, 2)),
    ],
)
def test_a_crop_is_pillows_to_the_bit(size_hw, image_hw):
    image = np.random.default_rng(0).integers(0, 256, (*image_hw, 3), np.uint8)
    frame = np.empty((*size_hw, 3), np.uint8)
    framing.crop(image, frame)
    np.testing.assert_array_equal(frame, pillows_crop(image, size_hw))


@pytest.mark.parametrize("image_hw", [(1, 65_535), (65_535, 3)])
def test_the_middle_of_a_strip_is_cropped_alone(image_hw, monkeypatch):
    """Scaled as a whole it would be hundreds of megabytes; the same with a larger limit is the oracle."""
    rising = np.linspace(0, 255, max(image_hw)).round().astype(np.uint8)
    image = np.broadcast_to(rising[:, None, None] if image_hw[0] > 9 else rising[None, :, None], (*image_hw, 3))
    whole, alone = np.empty((2, 16, 16, 3), np.uint8)
    monkeypatch.setattr(framing, "_MOST_SCALED_PIXELS", 1 << 30)
    framing.crop(image, whole)
    monkeypatch.setattr(framing, "_MOST_SCALED_PIXELS", 1)
    framing.crop(image, alone)
    assert np.abs(whole.astype(int) - alone).max() <= 1
