"""Windows against PyTorch and TensorFlow."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as F

from tests.preflighting.layers import layer, numbers
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.executor import windows
from tftrt_yolo.preflighting.executor.execute import compute

_TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


def _torch(values):
    return torch.from_numpy(np.ascontiguousarray(values))


def _run(made, *inputs):
    [result] = compute(made, list(inputs))
    return result


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "groups", "pads"),
    [
        ((1, 1), (1, 1), (1, 1), 1, (0, 0, 0, 0)),  # a plain product
        ((3, 3), (1, 1), (1, 1), 1, (1, 1, 1, 1)),
        ((3, 3), (2, 2), (1, 1), 1, (0, 0, 0, 0)),
        ((1, 1), (2, 2), (1, 1), 1, (0, 0, 0, 0)),  # every other place
        ((3, 2), (2, 3), (1, 1), 1, (0, 1, 2, 3)),  # nothing alike: top, bottom, left, right
        ((2, 3), (1, 1), (3, 2), 1, (2, 0, 1, 2)),  # dilated
        ((3, 3), (1, 1), (1, 1), 3, (1, 1, 1, 1)),  # groups
        ((3, 3), (2, 1), (2, 2), 6, (2, 2, 2, 2)),  # depthwise: a group a channel
        ((5, 1), (1, 1), (1, 1), 2, (2, 2, 0, 0)),
    ],
)
def test_convolution(kernel, stride, dilation, groups, pads, dtype):
    data = numbers(2, 6, 11, 13, dtype=dtype)
    filters, bias = numbers(12, 6 // groups, *kernel, seed=1), numbers(12, seed=2)
    attributes = {
        "kernel": kernel,
        "maps": 12,
        "stride": stride,
        "dilation": dilation,
        "groups": groups,
        "pre_padding": (pads[0], pads[2]),
        "post_padding": (pads[1], pads[3]),
    }
    expected = F.conv2d(
        F.pad(_torch(data), (pads[2], pads[3], pads[0], pads[1])),
        _torch(filters.astype(dtype)),
        _torch(bias.astype(dtype)),
        stride,
        0,
        dilation,
        groups,
    )
    found = _run(layer("CONVOLUTION", weights={"kernel": filters, "bias": bias}, **attributes), data)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, **_TOLERANCE)
    as_input = layer("CONVOLUTION", weights={"bias": bias}, **attributes)  # as in INT8
    np.testing.assert_array_equal(_run(as_input, data, filters.astype(dtype)), found)
    bias_too = layer("CONVOLUTION", **attributes)
    np.testing.assert_array_equal(_run(bias_too, data, filters.astype(dtype), bias.astype(dtype)), found)


def test_rows_at_a_time_are_the_rows_at_once(monkeypatch):
    made = layer(
        "CONVOLUTION", kernel=(3, 3), maps=4, padding_mode="SAME_UPPER", weights={"kernel": numbers(4, 6, 3, 3)}
    )
    data = numbers(1, 6, 11, 13)
    at_once = _run(made, data)
    for values in (1, 3 * 3 * 6 * 13 * 4):  # a row, and four rows of which the last are three
        monkeypatch.setattr(windows, "_COLUMN_VALUES", values)
        np.testing.assert_allclose(_run(made, data), at_once, **_TOLERANCE)


@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [((3, 3), 1, 1), ((3, 3), 2, 1), ((2, 4), 1, 1), ((4, 2), 3, 1), ((3, 2), 1, 2)]
)
def test_same_upper_is_tensorflows_same(size, kernel, stride, dilation):
    data, filters = numbers(1, size, size, 4), numbers(*kernel, 4, 5, seed=1)
    expected = tf.nn.conv2d(data, filters, stride, "SAME", dilations=dilation).numpy().transpose(0, 3, 1, 2)
    made = layer(
        "CONVOLUTION",
        kernel=kernel,
        maps=5,
        stride=(stride, stride),
        dilation=(dilation, dilation),
        padding_mode="SAME_UPPER",
        weights={"kernel": filters.transpose(3, 2, 0, 1)},
    )
    np.testing.assert_allclose(_run(made, data.transpose(0, 3, 1, 2)), expected, **_TOLERANCE)


def test_same_lower_puts_the_odd_one_first():
    data = numbers(1, 2, 6, 6)
    filters = numbers(3, 2, 2, 4, seed=1)
    made = layer("CONVOLUTION", kernel=(2, 4), maps=3, padding_mode="SAME_LOWER", weights={"kernel": filters})
    expected = F.conv2d(F.pad(_torch(data), (2, 1, 1, 0)), _torch(filters))
    np.testing.assert_allclose(_run(made, data), expected, **_TOLERANCE)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_filters_are_a_channels_own(multiplier):
    data, filters = numbers(1, 9, 9, 4), numbers(3, 3, 4, multiplier, seed=1)
    expected = tf.nn.depthwise_conv2d(data, filters, (1, 1, 1, 1), "SAME").numpy().transpose(0, 3, 1, 2)
    made = layer(
        "CONVOLUTION",
        kernel=(3, 3),
        maps=4 * multiplier,
        groups=4,
        padding_mode="SAME_UPPER",
        weights={"kernel": filters.transpose(2, 3, 0, 1)},
    )
    np.testing.assert_allclose(_run(made, data.transpose(0, 3, 1, 2)), expected, **_TOLERANCE)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "pads"),
    [
        ((2, 2), (2, 2), (0, 0)),  # of segmentation's prototypes
        ((3, 3), (1, 1), (1, 1)),
        ((4, 3), (2, 3), (1, 0)),
        ((1, 1), (2, 2), (0, 0)),  # zeros between
    ],
)
def test_deconvolution(kernel, stride, pads, groups):
    data, filters, bias = numbers(2, 4, 5, 6), numbers(4, 8 // groups, *kernel, seed=1), numbers(8, seed=2)
    attributes = {"kernel": kernel, "maps": 8, "stride": stride, "groups": groups}
    attributes |= {"pre_padding": pads, "post_padding": pads}
    expected = F.conv_transpose2d(_torch(data), _torch(filters), _torch(bias), stride, pads, 0, groups)
    found = _run(layer("DECONVOLUTION", weights={"kernel": filters, "bias": bias}, **attributes), data)
    np.testing.assert_allclose(found, expected, **_TOLERANCE)
    np.testing.assert_array_equal(
        _run(layer("DECONVOLUTION", weights={"bias": bias}, **attributes), data, filters), found
    )


@pytest.mark.parametrize(
    ("kernel", "stride"), [((2, 2), 2), ((3, 3), 2), ((4, 3), 1), ((1, 2), 2), ((1, 1), 3), ((5, 5), 3)]
)
def test_same_deconvolution_is_tensorflows(kernel, stride):
    data, filters = numbers(1, 5, 6, 4), numbers(*kernel, 3, 4, seed=1)
    shape = (1, 5 * stride, 6 * stride, 3)
    expected = tf.nn.conv2d_transpose(data, filters, shape, stride, "SAME").numpy().transpose(0, 3, 1, 2)
    # TensorRT ends where the last window ends; TensorFlow adds zeros up to the shape that it is asked for.
    rows, columns = (min(n * stride, (n - 1) * stride + side) for n, side in zip((5, 6), kernel, strict=True))
    assert not expected[:, :, rows:].any()
    assert not expected[..., columns:].any()
    expected = expected[:, :, :rows, :columns]
    made = layer(
        "DECONVOLUTION",
        kernel=kernel,
        maps=3,
        stride=(stride, stride),
        padding_mode="SAME_UPPER",
        weights={"kernel": filters.transpose(3, 2, 0, 1)},
    )
    np.testing.assert_allclose(_run(made, data.transpose(0, 3, 1, 2)), expected, **_TOLERANCE)


_POOLED = [
    ((5, 5), (1, 1), (2, 2), "EXPLICIT_ROUND_DOWN"),  # of SPPF
    ((2, 2), (2, 2), (0, 0), "EXPLICIT_ROUND_DOWN"),
    ((3, 2), (2, 3), (1, 0), "EXPLICIT_ROUND_DOWN"),
    ((3, 3), (2, 2), (1, 1), "EXPLICIT_ROUND_UP"),
    ((3, 2), (3, 2), (0, 0), "EXPLICIT_ROUND_UP"),  # the last window hangs over
]


@pytest.mark.parametrize(("window", "stride", "pads", "mode"), _POOLED)
def test_pooling(window, stride, pads, mode):
    data, is_up = numbers(2, 3, 10, 11) - 5, mode.endswith("UP")  # all below 0: padding must not be the largest
    attributes = {"window": window, "stride": stride, "pre_padding": pads, "post_padding": pads, "padding_mode": mode}
    expected = F.max_pool2d(_torch(data), window, stride, pads, 1, is_up)
    np.testing.assert_array_equal(_run(layer("POOLING", type="MAX", **attributes), data), expected)
    for excludes in (True, False):
        expected = F.avg_pool2d(_torch(data), window, stride, pads, is_up, not excludes)
        made = layer("POOLING", type="AVERAGE", average_excludes_padding=int(excludes), **attributes)
        np.testing.assert_allclose(_run(made, data), expected, **_TOLERANCE)


@pytest.mark.parametrize(
    ("kind", "size", "window", "stride"), list(itertools.product(["MAX", "AVG"], [7, 8], [2, 3, 5], [1, 2]))
)
def test_same_pooling_is_tensorflows(kind, size, window, stride):
    data = numbers(1, size, size, 3) - 5
    expected = tf.nn.pool(data, (window, window), kind, strides=(stride, stride), padding="SAME").numpy()
    made = layer(
        "POOLING",
        type="AVERAGE" if kind == "AVG" else kind,
        window=(window, window),
        stride=(stride, stride),
        padding_mode="SAME_UPPER",
    )
    np.testing.assert_allclose(_run(made, data.transpose(0, 3, 1, 2)), expected.transpose(0, 3, 1, 2), **_TOLERANCE)


def test_pooling_of_bytes():
    data = np.full((1, 1, 2, 2), -7, np.int8)
    made = layer("POOLING", type="MAX", window=(3, 3), pre_padding=(1, 1), post_padding=(1, 1))
    np.testing.assert_array_equal(_run(made, data), data)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((1, 2), (3, 4), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 3), (2, 4)))),
        ((0, 0), (0, 0), lambda x: x),
        ((-1, 0), (0, -2), lambda x: x[:, :, 1:, :-2]),  # cuts off
        ((2, -1), (-1, 1), lambda x: np.pad(x[:, :, :-1, 1:], ((0, 0), (0, 0), (2, 0), (0, 1)))),
    ],
)
def test_padding(before, after, expected):
    data = numbers(2, 3, 5, 6)
    found = _run(layer("PADDING", pre_padding=before, post_padding=after), data)
    np.testing.assert_array_equal(found, expected(data))


@pytest.mark.parametrize("has_bias", [True, False])
def test_fully_connected(has_bias):
    data, filters, bias = numbers(2, 3, 4, 5), numbers(7, 60, seed=1), numbers(7, seed=2)
    weights = {"kernel": filters} | ({"bias": bias} if has_bias else {})
    expected = F.linear(_torch(data.reshape(2, -1)), _torch(filters), _torch(bias) if has_bias else None)
    found = _run(layer("FULLY_CONNECTED", maps=7, weights=weights), data)
    np.testing.assert_allclose(found, expected.reshape(2, 7, 1, 1), **_TOLERANCE)


@pytest.mark.parametrize(
    ("made", "shape", "message"),
    [
        (
            layer("CONVOLUTION", kernel=(3, 3), maps=2, weights={"kernel": numbers(2, 3, 3, 3)}),
            (1, 4, 8, 8),
            r"CONVOLUTION layer a/convolution:CONVOLUTION cannot be computed of float32 \(1, 4, 8, 8\) \(ValueError: "
            r"2 filters of 3 channels in 1 groups over 4 channels\)\. Expected what TensorRT's documentation",
        ),
        (
            layer("CONVOLUTION", kernel=(3, 3), maps=2, weights={"kernel": numbers(2, 3, 3, 3)}),
            (1, 3, 2, 8),
            r"a window that reaches over 3 of 2 rows or columns",
        ),
        (
            layer("CONVOLUTION", kernel=(3, 3), maps=2, weights={"kernel": numbers(2, 3, 3, 3)}),
            (3, 8, 8),
            r"an input of rank 3; expected \(N, C, H, W\)",
        ),
        (
            layer("CONVOLUTION", kernel=(1, 1), maps=3, groups=2, weights={"kernel": numbers(3, 2, 1, 1)}),
            (1, 4, 8, 8),
            r"3 filters of 2 channels in 2 groups over 4 channels",
        ),
        (layer("CONVOLUTION", kernel=(3, 3), maps=2), (1, 3, 8, 8), r"KeyError: 'kernel'"),
        (
            layer("CONVOLUTION", kernel=(3, 3), maps=2, weights={"kernel": numbers(5)}),
            (1, 3, 8, 8),
            r"cannot reshape array of size 5",
        ),
        (
            layer("DECONVOLUTION", kernel=(2, 2), maps=2, dilation=(2, 2), weights={"kernel": numbers(3, 2, 2, 2)}),
            (1, 3, 8, 8),
            r"a dilated deconvolution; expected dilation 1",
        ),
        (
            layer(
                "DECONVOLUTION",
                kernel=(2, 2),
                maps=2,
                pre_padding=(1, 0),
                post_padding=(1, 0),
                weights={"kernel": numbers(3, 2, 2, 2)},
            ),
            (1, 3, 1, 8),
            r"a deconvolution of which padding cuts off 2 of 2 rows or columns",
        ),
        (
            layer("CONVOLUTION", kernel=(1, 1), maps=2, stride=(0, 1), weights={"kernel": numbers(2, 3, 1, 1)}),
            (1, 3, 8, 8),
            r"a window of 1, stride 0 and dilation 1; expected 1 or more of each",
        ),
        (
            layer("DECONVOLUTION", kernel=(1, 1), maps=2, stride=(1, 0), weights={"kernel": numbers(3, 2, 1, 1)}),
            (1, 3, 8, 8),
            r"a window of 1, stride 0 and dilation 1; expected 1 or more of each",
        ),
        (
            layer("POOLING", type="MAX_AVERAGE_BLEND", window=(2, 2)),
            (1, 3, 8, 8),
            r"POOLING layer a/pooling:POOLING has type MAX_AVERAGE_BLEND\. Expected one of MAX, AVERAGE, which the "
            r"executor computes; leave the layer's op to TensorFlow \(TF_TRT_OP_DENYLIST in the environment\), or file "
            r"an issue with network\.json\.",
        ),
        (
            layer("POOLING", type="MAX", window=(2, 2), padding_mode="CAFFE"),
            (1, 3, 8, 8),
            r"has padding_mode CAFFE\. Expected one of EXPLICIT_ROUND_DOWN, EXPLICIT_ROUND_UP, SAME_UPPER, SAME_LOWER",
        ),
        (
            layer("POOLING", type="MAX", window=(2, 2), stride=(0, 1)),
            (1, 3, 8, 8),
            r"a window of 2, stride 0 and dilation 1",
        ),
        (layer("PADDING", pre_padding=(1, 1), post_padding=(1,)), (1, 3, 8, 8), r"zip\(\) argument 2 is shorter"),
        (layer("FULLY_CONNECTED", maps=7, weights={"kernel": numbers(7, 5)}), (1, 3, 2, 1), r"matmul"),
    ],
)
def test_what_cannot_be_computed(made, shape, message):
    with pytest.raises(PreflightError, match=message):
        compute(made, [numbers(*shape)])
