"""Files of depths from strangers: what is read, and what is said of those that are none."""

import io

import cv2
import numpy as np
import pytest

from tftrt_yolo.evaluation.datasets.examples import BadLabelError
from tftrt_yolo.evaluation.datasets.maps import depth_labels
from tftrt_yolo.ground.errors import DatasetError


@pytest.fixture
def image(tmp_path):
    """Where an image of 30 x 40 pixels would be; its depth comes beside it."""
    (tmp_path / "depth" / "val").mkdir(parents=True)
    return tmp_path / "images" / "val" / "one.jpg"


def _read(image, **document):
    return depth_labels.reader(document, "data.yaml")(image).truth.in_pixels((30, 40)).depth


def _npy(image, values):
    np.save(image.parents[2] / "depth" / "val" / "one.npy", values)


def test_png_and_npy(image):
    metres = np.random.default_rng(0).uniform(0.5, 9, (60, 80))
    cv2.imwrite(str(image.parents[2] / "depth" / "val" / "one.png"), np.round(metres * 256).astype(np.uint16))
    np.testing.assert_allclose(_read(image, depth_scale=256), metres, atol=0.5 / 256 + 1e-6)
    (image.parents[2] / "depth" / "val" / "one.png").unlink()
    metres[0, :4] = np.nan, np.inf, -np.inf, -1
    for values in (metres, np.asfortranarray(metres.astype(np.float16)), metres.astype(">f4")):
        _npy(image, values)
        found = _read(image)
        assert found.dtype == np.float32
        assert not found[0, :4].any()
        np.testing.assert_allclose(found[1:], values[1:], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((30, 40, 3), np.float32), r"is a NPY of shape \(30, 40, 3\) and type float32, which holds no depths"),
        (np.ones((30, 40), np.int32), "type int32, which holds no depths"),
        (np.ones((0, 40), np.float32), "is of 0 x 40 pixels; 1 to "),
        (np.array([{}], object), "cannot be read|type object"),  # a pickle, of which nothing is run
    ],
)
def test_a_npy_that_holds_no_depths(image, values, message):
    _npy(image, values)
    with pytest.raises(BadLabelError, match=message):
        _read(image)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((40, 30), 2.0), r"is of \[40, 30\], height and width, and its image of \[30, 40\], another shape"),
        (np.full((30, 40), -2.0), "has no pixel with a depth between 0.001 and 100 metres. Expected 10 or more"),
        (np.full((30, 40), 2_000.0), "no pixel with a depth between 0.001 and 100 metres"),  # millimetres
        (np.where(np.arange(1_200).reshape(30, 40) < 9, 1.0, np.nan), "has 9 pixels with a depth"),
    ],
)
def test_depths_that_do_not_fit_the_image(image, values, message):
    _npy(image, values)
    with pytest.raises(BadLabelError, match=message):
        _read(image)


def _png(mode, size=(40, 30)):
    import PIL.Image

    file = io.BytesIO()
    PIL.Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_png("RGB"), "is a PNG of mode 'RGB', which holds no depths. Expected a PNG of 16 bits"),
        (_png("L"), "is a PNG of mode 'L'"),
        (_png("I;16"), r"has no pixel with a depth between 0\.001 and 100 metres"),  # all 0
        (_png("I;16")[:60], "cannot be read"),
        (b"", "cannot be read"),
        (b"GIF89a", "cannot be read"),
    ],
)
def test_a_png_that_holds_no_depths(image, data, message):
    (image.parents[2] / "depth" / "val" / "one.png").write_bytes(data)
    with pytest.raises(BadLabelError, match=message):
        _read(image)


def test_a_npy_that_promises_more_than_it_has(image):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10_000, 10_000)})
    (image.parents[2] / "depth" / "val" / "one.npy").write_bytes(file.getvalue() + bytes(64))
    with pytest.raises(BadLabelError, match="has 64 bytes of numbers for 10,000 x 10,000 of float32"):
        _read(image)


@pytest.mark.parametrize("header", [b"{'descr': '<f4',\n", b"}" * 40, b"{'shape': (" + b"(" * 900, b"\xff\0\x1b"])
def test_a_npy_whose_header_is_damaged(image, header):
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4_800)
    (image.parents[2] / "depth" / "val" / "one.npy").write_bytes(data)
    with pytest.raises(BadLabelError, match="cannot be read: ") as caught:
        _read(image)
    assert str(caught.value).isprintable()


def test_no_file(image):
    with pytest.raises(BadLabelError, match=r"has no depth: neither .*one.png nor a .npy of that name is there"):
        _read(image)


@pytest.mark.parametrize("value", [0, -1, True, "1000", float("nan"), float("inf"), [256]])
@pytest.mark.parametrize("key", ["depth_scale", "max_depth"])
def test_numbers_that_are_none(key, value):
    with pytest.raises(DatasetError, match=rf"data.yaml has {key}: .*Expected a number above 0"):
        depth_labels.reader({key: value}, "data.yaml")
