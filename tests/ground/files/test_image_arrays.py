"""Arrays and tensors as images, against NumPy's own words for the same."""

import logging

import numpy as np
import pytest

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_arrays
from tftrt_yolo.ground.files.image_arrays import ArrayOptions, each, to_rgb
from tftrt_yolo.ground.files.image_files import read_ahead

_IMAGE = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
_FIRST = np.moveaxis(_IMAGE, -1, 0)


class _Array:
    """An array of another package, as NumPy meets it."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __array__(self, dtype=None, copy=None):
        return self._array


def _torch(array):
    return pytest.importorskip("torch").from_numpy(np.ascontiguousarray(array))


def _tf(array):
    import tensorflow as tf

    return tf.constant(array)


_MAKERS = {"NumPy": np.asarray, "another package": _Array, "PyTorch": _torch, "TensorFlow": _tf}


@pytest.mark.parametrize("package", _MAKERS)
def test_layouts_and_orders_of_channels(package):
    make = _MAKERS[package]
    bgr = ArrayOptions(channel_order="bgr")
    alpha = np.concatenate([_IMAGE, _IMAGE[..., :1]], -1)
    bgra = np.concatenate([_IMAGE[..., ::-1], _IMAGE[..., :1]], -1)
    for array, options in [
        (_IMAGE, None),
        (_FIRST, None),
        (_IMAGE[..., ::-1], bgr),
        (_FIRST[::-1], bgr),
        (alpha, None),
        *([(np.moveaxis(alpha, -1, 0), None)] if package == "PyTorch" else []),
        (bgra, bgr),
    ]:
        found = to_rgb(make(np.ascontiguousarray(array)), options or ArrayOptions())
        np.testing.assert_array_equal(found, _IMAGE)
        assert found.dtype == np.uint8


@pytest.mark.parametrize("package", _MAKERS)
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (1, 6, 5)])
def test_grey(package, shape, caplog):
    grey = _IMAGE[..., 0]
    with caplog.at_level(logging.WARNING):
        found = to_rgb(_MAKERS[package](np.ascontiguousarray(grey.reshape(shape))), ArrayOptions(channel_order="bgr"))
    np.testing.assert_array_equal(found, np.stack([grey] * 3, -1))
    assert "taken as grey; converted to RGB" in caplog.text


def test_where_both_ends_could_be_channels():
    """The last axis has them, and the first of a tensor of PyTorch."""
    array = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    np.testing.assert_array_equal(to_rgb(array), array)
    np.testing.assert_array_equal(to_rgb(_tf(array)), array)
    np.testing.assert_array_equal(to_rgb(_torch(array)), np.moveaxis(array, 0, -1))


@pytest.mark.parametrize("package", _MAKERS)
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        ("float32", 255),
        ("float64", 255),
        ("float16", 255),
        ("float32", 1),
        ("int32", 1),
        ("int64", 1),
        ("uint16", 1 / 257),
    ],
)
def test_scales(package, dtype, scale):
    array = (_IMAGE.astype(np.float64) / scale).round(6).astype(dtype)
    if package == "PyTorch" and dtype == "uint16":
        pytest.skip("of which older versions have no tensors")
    np.testing.assert_array_equal(to_rgb(_MAKERS[package](array), ArrayOptions(scale=scale)), _IMAGE)


def test_brain_floats():
    """Of 8 bits of mantissa, which whole numbers to 255 fit into."""
    import tensorflow as tf

    scale = ArrayOptions(scale=1)
    np.testing.assert_array_equal(to_rgb(tf.cast(_IMAGE, tf.bfloat16), scale), _IMAGE)
    np.testing.assert_array_equal(to_rgb(_torch(_IMAGE).bfloat16(), scale), _IMAGE)
    with pytest.raises(
        ImageError, match=r"dtype bfloat16 and shape \(6, 5, 3\).*pass scale=255 for values from 0 to 1"
    ):
        to_rgb(tf.cast(_IMAGE, tf.bfloat16))


def test_tensors_with_gradients_and_strange_strides():
    tensor = _torch(_IMAGE / np.float32(255)).requires_grad_()
    np.testing.assert_array_equal(to_rgb(tensor.permute(2, 0, 1), ArrayOptions(scale=255)), _IMAGE)
    np.testing.assert_array_equal(to_rgb(_IMAGE[::-1, ::-1][::-1, ::-1]), _IMAGE)
    np.testing.assert_array_equal(to_rgb(np.asfortranarray(_IMAGE)), _IMAGE)


def test_values_are_rounded_to_the_next():
    values = np.float32([[0.0, 0.4999, 0.5001, 254.6, 255.4]]) / 255
    assert to_rgb(values[..., np.newaxis].repeat(3, -1), ArrayOptions(scale=255))[0, :, 0].tolist() == [
        0,
        0,
        1,
        255,
        255,
    ]


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            lambda: _IMAGE / 255,
            {},
            r"dtype float64 and shape \(6, 5, 3\)\. Expected uint8.*scale=255.*scale=1 for 0 to 255",
        ),
        (lambda: _torch(_FIRST / np.float32(255)), {}, r"dtype float32 and shape \(3, 6, 5\).*pass scale=255"),
        (lambda: _IMAGE.astype(np.int64), {}, r"dtype int64.*cast it to uint8 first"),
        (lambda: _IMAGE > 9, {"scale": 255}, r"dtype bool.*cast it to uint8 first"),
        (lambda: _IMAGE * 1j, {"scale": 255}, r"dtype complex128.*cast it to uint8 first"),
        (
            lambda: _IMAGE,
            {"scale": 255},
            r"dtype uint8.*and scale=255\. Values of uint8 are not scaled; leave it out\.",
        ),
        (lambda: _IMAGE * 1.0, {"scale": 255}, r"has values from .* to 6\d{4} with scale=255\. Expected 0 to 255"),
        (lambda: _IMAGE / 255 - 0.5, {"scale": 255}, r"has values from -12\d to .* with scale=255\. Expected 0 to 255"),
        (lambda: _IMAGE * np.nan, {"scale": 255}, r"has values from nan to nan with scale=255\."),
        (lambda: np.zeros((4, 4, 2), np.uint8), {}, r"array of shape \(4, 4, 2\)\. Expected"),
        (lambda: np.zeros((2, 4, 5), np.uint8), {}, r"array of shape \(2, 4, 5\)\. Expected"),
        (lambda: np.zeros((0, 4, 3), np.uint8), {}, r"array of shape \(0, 4, 3\)\. Expected"),
        (lambda: np.zeros((3, 0, 4), np.float32), {"scale": 255}, r"array of shape \(3, 0, 4\)\. Expected"),
        (
            lambda: np.zeros(4, np.uint8),
            {},
            r"array of shape \(4,\)\. Expected.*give the images alone or tuples of both",
        ),
        (lambda: np.zeros((1, 4, 4, 3), np.uint8), {}, r"array of shape \(1, 4, 4, 3\)\. Expected"),
        (lambda: np.zeros((1, 65_536, 3), np.uint8), {}, r"65,536 pixels wide and 1 high.*scale it down first"),
        (lambda: _torch(_FIRST).to_sparse(), {}, r"is a Tensor and no array \(.*[Ss]parse"),
        (lambda: _torch(_FIRST).to("meta"), {}, r"is a Tensor and no array \("),
        (lambda: None, {}, r"dtype object and shape \(\)"),
    ],
)
def test_what_is_no_image(make, options, message):
    with pytest.raises(ImageError, match=message):
        to_rgb(make(), ArrayOptions(**options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel_order": "BGR"}, r"channel_order is 'BGR'; expected 'rgb' or 'bgr'\."),
        ({"channel_order": None}, r"channel_order is None; expected 'rgb' or 'bgr'\."),
        ({"channel_order": ["rgb"]}, r"channel_order is a list of 1; expected 'rgb' or 'bgr'\."),
        ({"scale": 0}, r"scale is 0; it must be a number above 0, such as 255\."),
        ({"scale": -1.5}, r"scale is -1\.5; it must be a number above 0"),
        ({"scale": float("inf")}, r"scale is inf; it must be a number above 0"),
        ({"scale": float("nan")}, r"scale is nan; it must be a number above 0"),
        ({"scale": True}, r"scale is True; it must be a number above 0"),
        ({"scale": "255"}, r"scale is '255'; it must be a number above 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        ArrayOptions(**options)


def _named(found):
    """What `each` gave: shapes of arrays, and whatever else as it is."""
    return [tuple(image.shape) if getattr(image, "shape", ()) else image for image in found]


_ONE, _FOUR = np.zeros((6, 5, 3), np.uint8), np.zeros((2, 6, 5, 3), np.uint8)
_TWO = [(6, 5, 3), (6, 5, 3)]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (_ONE, _TWO[:1]),
        (_ONE[..., 0], [(6, 5)]),
        (b"bytes", [b"bytes"]),
        (None, [None]),
        (_FOUR, _TWO),
        (_FOUR[:0], []),
        ([], []),
        ([_ONE, "a.jpg"], [(6, 5, 3), "a.jpg"]),
        ((_ONE, "a.jpg"), [(6, 5, 3), "a.jpg"]),
        (np.array(["a.jpg", "b.jpg"]), ["a.jpg", "b.jpg"]),
        (np.array([_ONE, None], object), [(6, 5, 3), None]),
        ([_FOUR, _ONE], [*_TWO, (6, 5, 3)]),
        ([["a.jpg", "b.jpg"], ["c.jpg"]], ["a.jpg", "b.jpg", "c.jpg"]),
        ([(_ONE, 7), (_FOUR, np.arange(2))], [(6, 5, 3), *_TWO]),
        ([("a.jpg", "cat")], ["a.jpg"]),
        ([((_ONE, _ONE), ({}, {}))], _TWO),
        ([{"image": _ONE, "label": 1}, {"images": _FOUR}, {"img": "a.jpg"}], [(6, 5, 3), *_TWO, "a.jpg"]),
        ({"image": _FOUR}, _TWO),
        ((image for image in (_FOUR, _FOUR)), [*_TWO, *_TWO]),
    ],
)
def test_each_image_of_what_people_give(images, expected):
    assert _named(each(images)) == expected


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([{"pixels": 1, 2: 3}], r"An element is a dictionary with 'pixels', 2\. Expected an image under 'image'\."),
        ({}, r"An element is a dictionary with nothing\. Expected an image under 'image'\."),
        ([()], r"An element is an empty tuple\. Expected an image, or an image and its label\."),
    ],
)
def test_elements_without_an_image(images, message):
    with pytest.raises(ImageError, match=message):
        list(each(images))


def test_datasets_of_tensorflow():
    import tensorflow as tf

    images = tf.data.Dataset.from_tensor_slices(_FOUR)
    labels = tf.data.Dataset.range(2)
    pairs = tf.data.Dataset.zip((images, labels))
    for dataset in (images, images.batch(2), pairs, pairs.batch(2), pairs.as_numpy_iterator()):
        assert _named(each(dataset)) == _TWO


def test_loaders_of_pytorch():
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader
    tensors = [torch.zeros(3, 6, 5, dtype=torch.uint8) for _ in range(2)]
    pairs, paths = list(zip(tensors, (0, 1), strict=True)), ["a.jpg", "b.jpg"]
    for images in (loader(tensors, batch_size=2), loader(pairs, batch_size=2), loader(pairs, batch_size=None)):
        assert _named(each(images)) == [(3, 6, 5)] * 2
    for images in (loader(paths, batch_size=2), loader([(path, 1) for path in paths], batch_size=2)):
        assert list(each(images)) == paths
    transposed = loader(pairs, batch_size=2, collate_fn=lambda batch: tuple(zip(*batch, strict=True)))
    assert _named(each(transposed)) == [(3, 6, 5)] * 2


def test_each_is_lazy():
    """An endless generator is fine, and nothing is taken ahead."""
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield _FOUR

    found = each(endless())
    assert [next(found).shape for _ in range(3)] == [(6, 5, 3)] * 3
    assert len(taken) == 2


def test_options_are_for_arrays_alone(tmp_path):
    """Files and Pillow images among them say themselves what they are."""
    import PIL.Image

    PIL.Image.fromarray(_IMAGE).save(tmp_path / "a.png")
    images = [
        tmp_path / "a.png",
        (tmp_path / "a.png").read_bytes(),
        PIL.Image.fromarray(_IMAGE),
        _IMAGE[..., ::-1] / 255,
    ]
    options = ArrayOptions(channel_order="bgr", scale=255)
    for _, array in read_ahead(images, arrays=options):
        np.testing.assert_array_equal(array, _IMAGE)
    assert ArrayOptions() == image_arrays.PLAIN
