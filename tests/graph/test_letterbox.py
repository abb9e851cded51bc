import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import IMAGES
from tftrt_yolo.graph import letterbox, stretch
from tftrt_yolo.graph.encoded.images import read_each
from tftrt_yolo.ground.files.image_files import read_image

pytest.importorskip("ultralytics")

SIZES = [
    ((320, 320), (401, 404)),  # downscaled, padding of a pixel or two
    ((320, 320), (100, 37)),  # upscaled, tall
    ((320, 320), (320, 320)),  # untouched
    ((320, 320), (1, 500)),  # one pixel high
    ((320, 320), (3, 2)),
    ((192, 320), (480, 640)),  # frame that is not square
    ((320, 192), (333, 777)),
    ((320, 320), (641, 30)),  # more than twice as high as the frame: only the lines that it needs are read
    ((192, 320), (3_000, 700)),
    ((640, 640), (652, 564)),  # sides scaled by different rounding
]


def assert_opencv(frame, expected):
    """The same bytes; float32 holds 24 bits of a sum of 27, so one in a hundred thousand may be a level higher."""
    difference = frame.astype(int) - expected
    assert np.abs(difference).max() <= 1
    assert np.count_nonzero(difference) <= 1e-5 * difference.size + 1


@pytest.mark.parametrize(("size_hw", "image_hw"), SIZES)
def test_letterbox_equals_ultralytics(size_hw, image_hw):
    from ultralytics.data.augment import LetterBox

    images = np.random.default_rng(0).integers(0, 256, (2, *image_hw, 3), np.uint8)
    got, _ = letterbox.letterbox_images(tf.constant(images), size_hw)
    for image, frame in zip(images, got.numpy(), strict=True):
        expected = LetterBox(size_hw, auto=False)(image=image)
        assert_opencv(frame, expected)


WHOLE_FACTORS = [
    ((640, 640), (480, 640)),  # 1: padding alone
    ((640, 640), (720, 1280)),
    ((640, 640), (1080, 1920)),  # 3: every third pixel
    ((320, 320), (1280, 960)),  # 4, upright
    ((192, 320), (960, 1600)),  # 5
    ((64, 64), (1, 384)),  # 6, one pixel high, which stays one: the general way
    ((64, 64), (128, 127)),  # nearly
]


@pytest.mark.parametrize(("size_hw", "image_hw"), WHOLE_FACTORS)
@pytest.mark.parametrize("fit", [letterbox.letterbox_padded_images, stretch.stretch_images])
def test_an_image_alone_gets_the_same_frame_as_among_others(fit, size_hw, image_hw):
    image = np.random.default_rng(1).integers(0, 256, (1, *image_hw, 3), np.uint8)
    sizes = np.array([image_hw], np.int32)
    alone, placed = fit(tf.constant(image), tf.constant(sizes), size_hw)
    among, placements = fit(tf.constant(np.repeat(image, 2, 0)), tf.constant(np.repeat(sizes, 2, 0)), size_hw)
    np.testing.assert_array_equal(alone[0], among[1])
    for part, expected in zip(placed, placements, strict=True):
        np.testing.assert_array_equal(part[0], expected[1])


@pytest.mark.parametrize(("size_hw", "image_hw"), WHOLE_FACTORS)
def test_an_image_alone_is_opencv_to_the_bit(size_hw, image_hw):
    from ultralytics.data.augment import LetterBox

    image = np.random.default_rng(2).integers(0, 256, (*image_hw, 3), np.uint8)
    frame, _ = letterbox.letterbox_images(tf.constant(image[None]), size_hw)
    np.testing.assert_array_equal(frame[0], LetterBox(size_hw, auto=False)(image=image))


def test_an_image_alone_on_a_larger_canvas():
    canvas = np.random.default_rng(3).integers(0, 256, (1, 128, 200, 3), np.uint8)
    cut = np.ascontiguousarray(canvas[:, :96, :128])
    got, _ = letterbox.letterbox_padded_images(tf.constant(canvas), tf.constant([[96, 128]]), (64, 64))
    expected, _ = letterbox.letterbox_images(tf.constant(cut), (64, 64))
    np.testing.assert_array_equal(got, expected)


def test_letterbox_of_photos_is_opencv_to_the_bit():
    from ultralytics.data.augment import LetterBox

    for path in IMAGES[:10]:
        image = read_image(path)
        frame, _ = letterbox.letterbox_images(tf.constant(image[None]), (640, 640))
        assert_opencv(frame[0].numpy(), LetterBox((640, 640), auto=False)(image=image))


@pytest.mark.parametrize(("size_hw", "image_hw"), SIZES)
def test_boxes_return_as_ultralytics_scales_them(size_hw, image_hw):
    import torch
    from ultralytics.utils.ops import scale_boxes

    boxes = np.random.default_rng(0).uniform(-50, 700, (1, 20, 4)).astype(np.float32)
    _, placed = letterbox.letterbox_images(tf.zeros((1, *image_hw, 3), tf.uint8), size_hw)
    expected = scale_boxes(size_hw, torch.from_numpy(boxes[0].copy()), image_hw)
    np.testing.assert_allclose(placed.to_image_pixels(tf.constant(boxes))[0], expected, rtol=1e-5, atol=1e-3)


def test_padded_images_are_letterboxed_as_alone():
    images = [read_image(path) for path in IMAGES[:3]]
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    canvas = np.full((3, *sizes.max(axis=0), 3), 200, np.uint8)  # what lies outside must not show
    for place, image in zip(canvas, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    together, placements = letterbox.letterbox_padded_images(tf.constant(canvas), tf.constant(sizes), (320, 320))
    for index, image in enumerate(images):
        alone, placed = letterbox.letterbox_images(tf.constant(image[None]), (320, 320))
        np.testing.assert_array_equal(together[index], alone[0])
        for part, expected in zip(placements, placed, strict=True):
            np.testing.assert_array_equal(part[index], expected[0])


def test_encoded_images_are_decoded_as_opencv_does():
    data = [path.read_bytes() for path in IMAGES[:3]]
    together = read_each(tf.constant(data), (320, 320), letterbox.letterbox_padded_images).frames
    for frame, path in zip(together, IMAGES, strict=False):
        alone, _ = letterbox.letterbox_images(tf.constant(read_image(path)[None]), (320, 320))
        np.testing.assert_allclose(frame.numpy().astype(int), alone[0].numpy().astype(int), atol=1)


def test_an_empty_batch_stays_empty():
    got, placed = letterbox.letterbox_images(tf.zeros((0, 40, 50, 3), tf.uint8), (64, 64))
    assert got.shape == (0, 64, 64, 3)
    assert placed.gain_xy.shape == (0, 2)
