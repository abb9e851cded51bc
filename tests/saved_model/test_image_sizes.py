"""The signatures refuse images whose sizes cannot be, and files of too many pixels, whoever calls them."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.conftest import IMAGES
from tftrt_yolo.graph import letterbox
from tftrt_yolo.ground.files.image_files import read_image

SIDES = r"height and width must be 1 to 65535 pixels, and no more than those of the tensor in which it lies\. Scale it"


@pytest.fixture(scope="module", params=["exported", "converted"])
def signatures(models, request):
    from tftrt_yolo.saved_model import load
    from tftrt_yolo.saved_model.handle import open_saved_model

    return load.load(open_saved_model(getattr(models, request.param)("tiny")), strict=False)[0]


def _zeros(*shape):
    return tf.zeros(shape, tf.uint8)


@pytest.mark.parametrize("size_hw", [(65_536, 1), (1, 70_000), (0, 5)])
def test_sides(signatures, size_hw):
    with pytest.raises(tf.errors.InvalidArgumentError, match=SIDES) as raised:
        signatures["serving_default"](images=_zeros(1, *size_hw, 3))
    assert f"[[{size_hw[0]} {size_hw[1]}]]" in str(raised.value)


def test_the_longest_side(signatures):
    assert signatures["serving_default"](images=_zeros(1, 65_535, 1, 3))["num_detections"].shape == (1,)


@pytest.mark.parametrize("sizes", [[[3, 4], [6, 6]], [[3, 7], [5, 6]], [[0, 4], [5, 6]], [[3, -1], [5, 6]]])
def test_sizes_that_no_image_has(signatures, sizes):
    """On a GPU they would be read from beyond the tensor, as zeros."""
    with pytest.raises(tf.errors.InvalidArgumentError, match=SIDES):
        signatures["padded"](images=_zeros(2, 5, 6, 3), sizes=tf.constant(sizes))
    assert len(signatures["padded"](images=_zeros(2, 5, 6, 3), sizes=tf.constant([[3, 4], [5, 6]]))["boxes"]) == 2


@pytest.mark.parametrize("size_hw", [(0, 4), (5, -1), (65_536, 4)])
def test_sizes_beside_frames(signatures, size_hw):
    """A size of 0 would make every box NaN."""
    height, width = signatures["framed"].structured_input_signature[1]["frames"].shape[1:3]
    with pytest.raises(tf.errors.InvalidArgumentError, match="of the image itself and not of its frame"):
        signatures["framed"](frames=_zeros(1, height, width, 3), sizes=tf.constant([size_hw]))


def test_frames_give_what_their_images_give(signatures):
    """To the bit, where the frames are those of the graph."""
    image = read_image(IMAGES[0])
    height, width = signatures["framed"].structured_input_signature[1]["frames"].shape[1:3]
    frames, _ = letterbox.letterbox_images(tf.constant(image[None]), (height, width))
    found = signatures["framed"](frames=frames, sizes=tf.constant([image.shape[:2]]))
    expected = signatures["serving_default"](images=tf.constant(image[None]))
    assert int(expected["num_detections"][0]) > 3
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name])


def _png(width, height):
    file = io.BytesIO()
    PIL.Image.new("L", (8, 8)).save(file, "PNG")
    data = file.getvalue()
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def _black(width, height):
    file = io.BytesIO()
    PIL.Image.new("L", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (
            _png(100_000, 100_000),
            "it is 100000 pixels wide and 100000 high; expected sides of 1 to 65535: scale it down",
        ),
        (_png(9_000, 9_000), "it is damaged; expected a whole image file"),  # of which nothing is there
        (_black(13_378, 13_378), "it has 13378 x 13378 pixels; expected at most 178956970 in all: scale it down first"),
        (_black(65_536, 1), "it is 65536 pixels wide and 1 high; expected sides of 1 to 65535: scale it down first"),
        (b"", "it is empty; expected JPEG, PNG, BMP or GIF"),
        (
            b"no image",
            "it is no image: it starts with the bytes 6e 6f 20 69 6d 61 67 65; expected JPEG, PNG, BMP or GIF",
        ),
    ],
)
def test_files(signatures, data, status):
    good = _black(40, 30)
    outputs = signatures["encoded"](image_bytes=tf.constant(np.asarray([good, data, good], object)))
    before, said, after = outputs.pop("status").numpy()
    assert said.decode().startswith(status)
    assert before == after == b""
    alone = signatures["encoded"](image_bytes=tf.constant([good] * 3))
    for name, values in outputs.items():
        assert not values[1].numpy().any()
        np.testing.assert_array_equal(values[::2], alone[name][::2])


def test_the_longest_side_of_a_file(signatures):
    outputs = signatures["encoded"](image_bytes=tf.constant([_black(65_535, 1), _black(1, 65_535)]))
    assert outputs["status"].numpy().tolist() == [b"", b""]
