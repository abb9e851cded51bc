"""Stretched frames inside the graph against Ultralytics' and the host's, which are OpenCV's."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import IMAGES
from tests.graph.test_letterbox import SIZES, assert_opencv
from tftrt_yolo.graph import letterbox, stretch
from tftrt_yolo.graph.encoded.images import read_each
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.predictor import framing

pytest.importorskip("ultralytics")


@pytest.mark.parametrize(("size_hw", "image_hw"), SIZES)
def test_a_stretch_equals_ultralytics(size_hw, image_hw):
    from ultralytics.data.augment import LetterBox

    images = np.random.default_rng(0).integers(0, 256, (2, *image_hw, 3), np.uint8)
    tensor = tf.constant(images)
    got, placed = stretch.stretch_images(tensor, letterbox.sizes_of(tensor), size_hw)
    for image, frame in zip(images, got.numpy(), strict=True):
        assert_opencv(frame, LetterBox(size_hw, scale_fill=True)(image=image))
    np.testing.assert_allclose(placed.gain_xy, [(size_hw[1] / image_hw[1], size_hw[0] / image_hw[0])] * 2, rtol=1e-6)
    np.testing.assert_array_equal(placed.padding_xy, np.zeros((2, 2)))


def test_images_of_different_sizes_in_one_tensor_are_stretched_as_on_the_host():
    images = [read_image(path) for path in IMAGES[:4]]
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    canvas = np.full((4, *sizes.max(axis=0), 3), 200, np.uint8)  # what lies outside must not show
    for place, image in zip(canvas, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    together, _ = stretch.stretch_images(tf.constant(canvas), tf.constant(sizes), (192, 320))
    files = read_each(tf.constant([path.read_bytes() for path in IMAGES[:4]]), (192, 320), stretch.stretch_images)
    for frame, of_file, image in zip(together.numpy(), files.frames.numpy(), images, strict=True):
        expected = np.empty((192, 320, 3), np.uint8)
        framing.stretch(image, expected)
        assert_opencv(frame, expected)
        assert np.abs(of_file.astype(int) - expected).max() <= 1


def test_an_empty_batch_stays_empty():
    tensor = tf.zeros((0, 40, 50, 3), tf.uint8)
    got, _ = stretch.stretch_images(tensor, letterbox.sizes_of(tensor), (64, 64))
    assert got.shape == (0, 64, 64, 3)
