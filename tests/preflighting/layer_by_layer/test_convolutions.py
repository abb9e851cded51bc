"""Convolutions alone: nodes of TensorFlow against layers made by hand, right ones and wrong ones."""

import contextlib

import numpy as np
import pytest
import tensorflow as tf

from tests.preflighting.layers import changed, layer, network, numbers
from tftrt_yolo.preflighting.layer_by_layer import convolutions
from tftrt_yolo.preflighting.layer_by_layer.convolutions import compare_convolutions
from tftrt_yolo.preflighting.layer_by_layer.rounding import Rounding

_STEP, _FILTER_STEP = np.float32(3) / np.float32(127), np.float32(2) / np.float32(127)


@contextlib.contextmanager
def _session(build):
    """The graph of a function of x, and what fetches of it."""
    graph = tf.Graph()
    with graph.as_default():
        build(tf.compat.v1.placeholder(tf.float32, (None, 9, 8, 4), "x"))
    with tf.compat.v1.Session(graph=graph) as session:
        data = numbers(1, 9, 8, 4)

        def fetch(names):
            tensors = [graph.get_tensor_by_name(name if ":" in name else f"{name}:0") for name in names]
            return session.run(tensors, {"x:0": data})

        yield graph.as_graph_def(), fetch


def _compare(recorded, build):
    with _session(build) as (graph_def, fetch):
        return list(compare_convolutions(recorded, graph_def, fetch))


def _plain(filters, out_dims, *, kind="CONVOLUTION", suffix="conv", **attributes):
    """A network of one convolution with weights."""
    made = layer(
        kind,
        name=f"TRTEngineOp_000_000/m/conv-{suffix}:{kind}",
        inputs=[0],
        outputs=[1],
        weights={"kernel": filters},
        **attributes,
    )
    return network([("x", "FLOAT", (-1, 4, 9, 8)), ("y", "FLOAT", out_dims)], [made], inputs=[0], outputs=[1])


_FILTERS = numbers(3, 3, 4, 4, seed=1)  # as many maps as channels, so that nothing but the numbers can show a swap
_RIGHT = {"kernel": (3, 3), "maps": 4, "stride": (2, 2), "padding_mode": "SAME_UPPER"}


def _strided(x):
    tf.nn.conv2d(x, _FILTERS, 2, "SAME", name="m/conv")


def test_a_convolution():
    recorded = _plain(_FILTERS.transpose(3, 2, 0, 1), (-1, 4, 5, 4), **_RIGHT)
    [found] = _compare(recorded, _strided)
    assert (found.node, found.filters, found.why, found.is_within) == ("m/conv", 0, "", True)
    assert found.output < 1e-6
    assert str(found).startswith("m/conv: filters equal, output within ")


@pytest.mark.parametrize(
    ("filters", "attributes"),
    [
        (_FILTERS.transpose(3, 2, 1, 0), {}),  # height and width
        (_FILTERS.transpose(2, 3, 0, 1), {}),  # channels and maps
        (_FILTERS.transpose(3, 2, 0, 1)[:, ::-1], {}),  # the order of the channels
        (_FILTERS.transpose(3, 2, 0, 1)[::-1], {}),  # of the maps
        (_FILTERS.transpose(3, 2, 0, 1)[:, :, ::-1], {}),  # upside down
        (_FILTERS.transpose(3, 2, 0, 1) * np.float32(1.0001), {}),
        (_FILTERS.transpose(3, 2, 0, 1).astype(np.float16), {}),
        (_FILTERS, {}),  # as TensorFlow has them
        (np.where(np.arange(144) == 7, np.nan, _FILTERS.transpose(3, 2, 0, 1).reshape(-1)), {}),
        (None, {"padding_mode": None}),  # dropped
        (None, {"padding_mode": "SAME_LOWER"}),  # the odd row on the other side
        (None, {"stride": (1, 1)}),
        (None, {"stride": (2, 1)}),
        (None, {"dilation": (2, 2)}),
        (None, {"padding_mode": None, "pre_padding": (1, 1), "post_padding": (1, 0)}),
    ],
)
def test_a_wrong_convolution_is_caught(filters, attributes):
    right = _plain(_FILTERS.transpose(3, 2, 0, 1), (-1, 4, 5, 4), **_RIGHT)
    weights = {} if filters is None else {"kernel": np.ascontiguousarray(filters).reshape(-1)}
    wrong = changed(right, lambda _: True, attributes=attributes, weights=weights)
    [found] = _compare(wrong, _strided)
    assert not found.is_within
    if filters is None:
        assert found.filters == 0
        assert found.output > 0.01
    else:
        assert found.filters > 0


def test_a_padding_that_is_spelt_out_is_as_good():
    attributes = {"padding_mode": None, "pre_padding": (1, 0), "post_padding": (1, 1)}
    right = _plain(_FILTERS.transpose(3, 2, 0, 1), (-1, 4, 5, 4), **_RIGHT)
    [found] = _compare(changed(right, lambda _: True, attributes=attributes), _strided)
    assert found.is_within


def test_what_makes_a_difference_infinite():
    right = _plain(_FILTERS.transpose(3, 2, 0, 1), (-1, 4, 5, 4), **_RIGHT)
    [found] = _compare(changed(right, lambda _: True, attributes={"stride": (1, 1)}), _strided)
    assert (found.output, found.why) == (np.inf, "shape (1, 4, 9, 8) and TensorFlow's (1, 4, 5, 4)")
    assert str(found) == "m/conv: not equal (shape (1, 4, 9, 8) and TensorFlow's (1, 4, 5, 4))"
    [found] = _compare(changed(right, lambda _: True, weights={"kernel": np.ones(7, np.float32)}), _strided)
    assert (found.filters, found.output) == (np.inf, np.inf)
    assert "cannot reshape array of size 7" in found.why
    [found] = _compare(changed(right, lambda _: True, weights={"kernel": None}), _strided)
    assert "the layer has no kernel" in found.why
    assert not found.is_within


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_told(value):
    right = _plain(_FILTERS.transpose(3, 2, 0, 1), (-1, 4, 5, 4), **_RIGHT)
    broken = right.layers[0].weights["kernel"].copy()
    broken[5] = value
    [found] = _compare(changed(right, lambda _: True, weights={"kernel": broken}), _strided)
    assert found.why == "not a number, or infinite, in the recorded filters, the layer's output"
    assert str(found) == f"m/conv: not equal ({found.why})"
    assert not found.is_within
    [found] = _compare(changed(right, lambda _: True, weights={"bias": np.full(4, value, np.float32)}), _strided)
    assert (found.filters, found.why) == (0, "not a number, or infinite, in the layer's output")
    assert not found.is_within


def test_filters_of_another_count_are_told():
    why = convolutions._why_infinite(np.zeros(3), np.zeros(4), np.zeros(2), np.zeros(2))
    assert why == "3 numbers in the filters and 4 in TensorFlow's"


def test_a_difference_that_is_too_large_is_told():
    right = _plain(_FILTERS.transpose(3, 2, 0, 1), (-1, 4, 5, 4), **_RIGHT)
    huge = np.where(right.layers[0].weights["kernel"] > 0, -3.4e38, 3.4e38).astype(np.float32)
    [found] = _compare(changed(right, lambda _: True, weights={"kernel": huge}), _strided)
    assert not found.is_within
    assert found.why


def test_every_op_that_becomes_a_convolution():
    depthwise, dilated = numbers(3, 2, 4, 2, seed=2), numbers(3, 2, 4, 6, seed=3)
    grouped, backwards = numbers(3, 3, 2, 6, seed=4), numbers(2, 2, 5, 4, seed=5)
    cases = [
        (
            lambda x: tf.nn.depthwise_conv2d(x, depthwise, (1, 1, 1, 1), "SAME", name="m/conv"),
            _plain(
                depthwise.transpose(2, 3, 0, 1),
                (-1, 8, 9, 8),
                kernel=(3, 2),
                maps=8,
                groups=4,
                padding_mode="SAME_UPPER",
            ),
        ),
        (
            lambda x: tf.nn.conv2d(x, dilated, 1, "VALID", dilations=(2, 3), name="m/conv"),
            _plain(dilated.transpose(3, 2, 0, 1), (-1, 6, 5, 5), kernel=(3, 2), maps=6, dilation=(2, 3)),
        ),
        (
            lambda x: tf.nn.conv2d(x, grouped, 1, "VALID", name="m/conv"),
            _plain(grouped.transpose(3, 2, 0, 1), (-1, 6, 7, 6), kernel=(3, 3), maps=6, groups=2),
        ),
        (
            lambda x: tf.nn.conv2d_transpose(x, backwards, (1, 18, 16, 5), 2, "SAME", name="m/conv"),
            _plain(
                backwards.transpose(3, 2, 0, 1),
                (-1, 5, 18, 16),
                kind="DECONVOLUTION",
                kernel=(2, 2),
                maps=5,
                stride=(2, 2),
            ),
        ),
    ]
    for build, recorded in cases:
        [found] = _compare(recorded, build)
        assert found.is_within, found
        kernel = recorded.layers[0].weights["kernel"]
        swapped = changed(recorded, lambda _: True, weights={"kernel": kernel[::-1].copy()})
        [found] = _compare(swapped, build)
        assert found.filters > 0
        assert found.output > 0.1


def test_a_layer_that_no_node_is_known_for():
    recorded = _plain(_FILTERS.transpose(3, 2, 0, 1), (-1, 4, 5, 4), **_RIGHT)
    other = changed(recorded, lambda _: True, name="TRTEngineOp_000_000/m/other-conv:CONVOLUTION")
    expected = (
        "TRTEngineOp_000_000/m/other-conv:CONVOLUTION: there is no convolution of that name in TensorFlow's graph"
    )
    assert _compare(other, _strided) == [expected]
    unnamed = changed(recorded, lambda _: True, name="(Unnamed Layer* 3)")
    assert _compare(unnamed, _strided) == [f"(Unnamed Layer* 3){expected.partition('CONVOLUTION')[2]}"]


def test_a_few_at_a_time(monkeypatch):
    filters = [numbers(1, 1, 4, 4, seed=i) for i in range(5)]

    def build(x):
        for i, one in enumerate(filters):
            x = tf.nn.conv2d(x, one, 1, "VALID", name=f"m/conv{i}")

    tensors = [(f"t{i}", "FLOAT", (-1, 4, 9, 8)) for i in range(6)]
    layers = [
        layer(
            "CONVOLUTION",
            name=f"TRTEngineOp_000_000/m/conv{i}-conv:CONVOLUTION",
            inputs=[i],
            outputs=[i + 1],
            kernel=(1, 1),
            maps=4,
            weights={"kernel": one.transpose(3, 2, 0, 1)},
        )
        for i, one in enumerate(filters)
    ]
    recorded = network(tensors, layers, inputs=[0], outputs=[5])
    one_bytes = 2 * 4 * 4 * 9 * 8
    for room, runs in ((5 * one_bytes, 1), (2 * one_bytes, 3), (1, 5)):
        monkeypatch.setattr(convolutions, "_FETCHED_BYTES", room)
        with _session(build) as (graph_def, fetch):
            asked = []

            def counted(names, fetch=fetch, asked=asked):
                asked.append(names)
                return fetch(names)

            found = list(compare_convolutions(recorded, graph_def, counted))
        assert [one.node for one in found] == [f"m/conv{i}" for i in range(5)]
        assert all(one.is_within for one in found)
        assert len(asked) == runs


def _quantized(x):
    """As an INT8 network has it: input and filters quantised, with a step each."""
    options = {"range_given": True, "round_mode": "HALF_TO_EVEN"}
    x = tf.raw_ops.QuantizeAndDequantizeV2(input=x, input_min=-3.0, input_max=3.0, name="m/x", **options)
    filters = tf.raw_ops.QuantizeAndDequantizeV2(input=_FILTERS, input_min=-2.0, input_max=2.0, name="m/w", **options)
    tf.nn.conv2d(x, filters, 2, "SAME", name="m/conv")


def _int8_network(*, data_transpose=(0, 3, 1, 2), filter_transpose=(3, 2, 0, 1), step=_STEP, filter_step=_FILTER_STEP):
    """What TF-TRT makes of it: x NHWC is quantised, turned to NCHW and read."""

    def scalar(value, output):
        return layer("CONSTANT", outputs=[output], dims=(), weights={"values": np.array([value], np.float32)})

    tensors = [
        *(("x", "FLOAT", (-1, 9, 8, 4)), ("step", "FLOAT", ()), ("q", "INT8", (-1, 9, 8, 4))),
        *(("dq", "FLOAT", (-1, 9, 8, 4)), ("nchw", "FLOAT", (-1, 4, 9, 8)), ("w", "FLOAT", (3, 3, 4, 4))),
        *(("wstep", "FLOAT", ()), ("wq", "INT8", (3, 3, 4, 4)), ("wdq", "FLOAT", (3, 3, 4, 4))),
        *(("kcrs", "FLOAT", (4, 4, 3, 3)), ("y", "FLOAT", (-1, 4, 5, 4))),
    ]
    layers = [
        scalar(step, 1),
        layer("QUANTIZE", inputs=[0, 1], outputs=[2], axis=1),
        layer("DEQUANTIZE", inputs=[2, 1], outputs=[3], axis=1),
        layer("SHUFFLE", inputs=[3], outputs=[4], first_transpose=data_transpose, reshape=(0, 0, 0, 0)),
        layer("CONSTANT", outputs=[5], dims=(3, 3, 4, 4), weights={"values": _FILTERS}),
        scalar(filter_step, 6),
        layer("QUANTIZE", inputs=[5, 6], outputs=[7], axis=1),
        layer("DEQUANTIZE", inputs=[7, 6], outputs=[8], axis=1),
        layer("SHUFFLE", inputs=[8], outputs=[9], first_transpose=filter_transpose, reshape=(0, 0, 0, 0)),
        layer("CONVOLUTION", name="TRTEngineOp_000_000/m/conv-conv:CONVOLUTION", inputs=[4, 9], outputs=[10], **_RIGHT),
    ]
    return network(tensors, layers, inputs=[0], outputs=[10])


def test_a_quantised_convolution():
    [found] = _compare(_int8_network(), _quantized)
    assert found.filters == 0
    assert found.output < 1e-6


@pytest.mark.parametrize(
    ("changes", "shows_in_filters"),
    [
        ({"filter_transpose": (3, 2, 1, 0)}, True),  # height and width
        ({"filter_transpose": (2, 3, 0, 1)}, True),  # channels and maps
        ({"filter_step": _FILTER_STEP * np.float32(1.01)}, True),
        ({"step": _STEP * np.float32(1.01)}, False),  # of the data: it does not lie on that grid
        ({"step": _STEP / 2}, False),  # it does, but is cut off
    ],
)
def test_a_wrong_quantised_convolution_is_caught(changes, shows_in_filters):
    [found] = _compare(_int8_network(**changes), _quantized)
    assert not found.is_within
    assert (found.filters > 0) == shows_in_filters
    assert found.output > 1e-3


def test_filters_that_are_no_constants():
    recorded = _int8_network()
    made_of_data = changed(recorded, lambda one: one.kind == "CONVOLUTION", inputs=(4, 0))
    [found] = _compare(made_of_data, _quantized)
    assert "Expected filters made of constants" in found.why
    assert not found.is_within


def test_rounding():
    with _session(_quantized) as (graph_def, fetch):
        rounding = Rounding(_int8_network(), graph_def)
        assert rounding
        [(name, replace)] = rounding.replacing(fetch).items()
        [quantized] = fetch(["m/x"])
        expected = np.rint(quantized / _STEP).astype(np.int8)
        assert name == "q"
        np.testing.assert_array_equal(replace(expected), expected)
        assert rounding.difference.is_within
        other = expected.copy()
        other[0, 0, 0, 0] += 1
        other[0, 3, 2, 1] -= 2
        np.testing.assert_array_equal(replace(other), expected)
    assert str(rounding.difference) == "2 of 576 quantised numbers differ, by 2 steps at most"
    assert not rounding.difference.is_within
    with _session(_strided) as (graph_def, _):
        assert not Rounding(_plain(_FILTERS, (-1, 4, 5, 4), **_RIGHT), graph_def)
