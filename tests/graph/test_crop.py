"""Centre crops against Pillow, with the sizes and roundings of torchvision's Resize and CenterCrop."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.conftest import IMAGES
from tftrt_yolo.graph import crop, letterbox
from tftrt_yolo.graph.encoded.images import read_each
from tftrt_yolo.ground.files.image_files import read_image


def pillows_crop(image, size_hw):
    """What ultralytics.data.augment.classify_transforms does before its ToTensor, step by step."""
    picture = PIL.Image.fromarray(image)
    if size_hw[0] != size_hw[1]:
        return np.asarray(picture.resize(size_hw[::-1], PIL.Image.Resampling.BILINEAR))
    size, short = size_hw[0], min(picture.size)
    scaled = tuple(size if side == short else int(size * side / short) for side in picture.size)
    picture = picture.resize(scaled, PIL.Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2.0) for side in picture.size)
    return np.asarray(picture.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize(
    ("size_hw", "image_hw"),
    [
        ((64, 64), (401, 404)),  # made smaller
        ((64, 64), (37, 100)),  # made larger
        ((64, 64), (64, 64)),  # untouched
        ((64, 64), (64, 67)),  # only cropped, by an odd number
        ((64, 64), (1, 50)),  # one pixel high
        ((65, 65), (300, 203)),  # odd
        ((224, 224), (1_500, 2_000)),
        ((48, 96), (333, 777)),  # not square: the whole image, out of shape
        ((96, 48), (20, 20)),
        ((64, 64), (3, 5_000)),  # of strips only the middle is read
        ((64, 64), (5_001, 2)),
        ((64, 64), (130, 1_000)),
        ((65, 65), (203, 1_001)),
        ((48, 96), (3, 5_000)),
    ],
)
def test_a_crop_is_pillows_to_the_bit(size_hw, image_hw):
    images = np.random.default_rng(0).integers(0, 256, (2, *image_hw, 3), np.uint8)
    tensor = tf.constant(images)
    got, _ = crop.crop_images(tensor, letterbox.sizes_of(tensor), size_hw)
    for image, frame in zip(images, got.numpy(), strict=True):
        np.testing.assert_array_equal(frame, pillows_crop(image, size_hw))


@pytest.mark.torchvision
def test_the_oracle_is_torchvisions():
    """Where torchvision works, it is asked itself."""
    from torchvision import transforms

    image = read_image(IMAGES[0])
    both = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64)])
    np.testing.assert_array_equal(np.asarray(both(PIL.Image.fromarray(image))), pillows_crop(image, (64, 64)))


def test_images_of_different_sizes_in_one_tensor():
    images = [read_image(path) for path in IMAGES[:4]]
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    canvas = np.full((4, *sizes.max(0), 3), 255, np.uint8)
    for place, image in zip(canvas, images, strict=True):
        place[: image.shape[0], : image.shape[1]] = image
    got, placement = crop.crop_images(tf.constant(canvas), tf.constant(sizes), (64, 64))
    for image, frame in zip(images, got.numpy(), strict=True):
        np.testing.assert_array_equal(frame, pillows_crop(image, (64, 64)))
    np.testing.assert_array_equal(placement.image_sizes_hw, sizes)


def test_strips_in_one_tensor():
    """Only what all of them need is read: here rows of a tall one and columns of a wide one."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*hw, 3), np.uint8) for hw in [(2_000, 3), (2, 1_500), (30, 40), (1_999, 8)]]
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    for some in ([0, 1, 2, 3], [0, 3], [0, 2], [1]):
        canvas = np.full((len(some), *sizes[some].max(0), 3), 255, np.uint8)
        for place, index in zip(canvas, some, strict=True):
            place[: sizes[index, 0], : sizes[index, 1]] = images[index]
        got, _ = crop.crop_images(tf.constant(canvas), tf.constant(sizes[some]), (64, 64))
        for frame, index in zip(got.numpy(), some, strict=True):
            np.testing.assert_array_equal(frame, pillows_crop(images[index], (64, 64)))


def test_encoded_images_are_cropped():
    data = [path.read_bytes() for path in IMAGES[:3]]
    together = read_each(tf.constant(data), (64, 64), crop.crop_images).frames
    for frame, path in zip(together, IMAGES, strict=False):
        expected = pillows_crop(read_image(path), (64, 64))
        np.testing.assert_allclose(frame.numpy().astype(int), expected.astype(int), atol=1)


def test_an_empty_batch_stays_empty():
    tensor = tf.zeros((0, 40, 50, 3), tf.uint8)
    got, _ = crop.crop_images(tensor, letterbox.sizes_of(tensor), (64, 64))
    assert got.shape == (0, 64, 64, 3)
