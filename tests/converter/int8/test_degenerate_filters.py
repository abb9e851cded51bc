"""Filters that training leaves behind and no textbook has: zeros, next to nothing, and what is not finite."""

import numpy as np
import pytest

import tftrt_yolo
from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.converter.int8.histogram import Range

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-0.25, 1, (2, 6, 5, 3)).astype(np.float32)
# Shape of the filter, and the axis of its output channels.
SHAPES = {
    "Conv2D": ((3, 3, 3, 4), 3),
    "Conv2D of one pixel": ((1, 1, 3, 4), 3),  # as that above, it reads what is shifted
    "DepthwiseConv2dNative": ((3, 3, 3, 2), 2),
    "Conv2DBackpropInput": ((2, 2, 4, 3), 2),
}
KINDS = {
    "all zeros": lambda kernel, axis: kernel * 0,
    "a channel of zeros": lambda kernel, axis: kernel * _one_channel(kernel, axis, 0),
    "a channel of next to nothing": lambda kernel, axis: kernel * _one_channel(kernel, axis, 1e-20),
    "a channel that float32 cannot divide": lambda kernel, axis: kernel * _one_channel(kernel, axis, 1e-38),
    "all of next to nothing": lambda kernel, axis: kernel * np.float32(1e-38),
    "ordinary": lambda kernel, axis: kernel,
}


def _one_channel(kernel, axis, factor):
    factors = np.ones([size if at == axis else 1 for at, size in enumerate(kernel.shape)], np.float32)
    factors[tuple(1 if at == axis else 0 for at in range(kernel.ndim))] = factor
    return factors


def _network(name, kernel):
    """A frozen graph of one convolution: its definition, and the names of its input and output."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def network(frames):
        if name == "DepthwiseConv2dNative":
            return tf.nn.depthwise_conv2d(frames, kernel, [1, 1, 1, 1], "VALID")
        if name == "Conv2DBackpropInput":
            shape = [tf.shape(frames)[0], 12, 10, kernel.shape[2]]
            return tf.nn.conv2d_transpose(frames, kernel, shape, 2, "VALID")
        return tf.nn.conv2d(frames, kernel, 1, "VALID")

    function = tf.function(network).get_concrete_function(tf.TensorSpec((None, 6, 5, 3), tf.float32))
    frozen = convert_variables_to_constants_v2(function)
    return frozen.graph.as_graph_def(), frozen.inputs[0].name, frozen.outputs[0].name


def _run(graph_def, frames_name, output):
    import tensorflow as tf

    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    return whole.prune(frames_name, output)(tf.constant(IMAGES)).numpy()


def _convolve(name, kernel):
    """The same in float64, in loops."""
    images, kernel = IMAGES.astype(np.float64), kernel.astype(np.float64)
    height, width = kernel.shape[:2]
    if name == "Conv2DBackpropInput":
        outputs = np.zeros((len(images), 12, 10, kernel.shape[2]))
        for y in range(6):
            for x in range(5):
                outputs[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] += np.einsum("hwoi,bi->bhwo", kernel, images[:, y, x])
        return outputs
    rule = "bhwi,hwio->bio" if name == "DepthwiseConv2dNative" else "bhwi,hwio->bo"
    rows = [
        [np.einsum(rule, images[:, y : y + height, x : x + width], kernel) for x in range(6 - width)]
        for y in range(7 - height)
    ]
    return np.stack([np.stack(row, 1) for row in rows], 1).reshape(len(images), 7 - height, 6 - width, -1)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_quantised_it_computes_what_numpy_does(name, kind):
    shape, axis = SHAPES[name]
    kernel = KINDS[kind](RNG.normal(size=shape).astype(np.float32), axis).astype(np.float32)
    graph_def, frames_name, output = _network(name, kernel)
    layers = quantization.find_layers(graph_def)
    assert len(layers) == 1
    quantized = quantization.quantize(graph_def, layers, {layers[0].source: Range(-0.25, 1.0)})
    expected, outputs = _convolve(name, kernel), _run(quantized, frames_name, output)
    assert np.isfinite(outputs).all()
    error, most = np.abs(outputs - expected).max(), np.abs(expected).max()
    assert error <= 0.03 * most + 1e-30
    if kind == "all zeros":
        assert not outputs.any()


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e-20, 1.0, 1e20])
def test_the_best_range_does_not_depend_on_the_unit(scale):
    kernel = RNG.normal(size=500).astype(np.float32)
    best = quantization.best_threshold(kernel * np.float32(scale)) / np.float64(np.float32(scale))
    assert best == pytest.approx(quantization.best_threshold(kernel), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 1e-38])
def test_the_range_of_nothing_is_one(value):
    kernel = np.full((3, 3), value, np.float32)
    assert quantization.best_threshold(kernel) == 1.0
    assert not np.abs(quantization.quantize_dequantize(kernel, 1.0)).any()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_name(name, value):
    kernel = RNG.normal(size=SHAPES[name][0]).astype(np.float32)
    kernel[0, 0, :2, 0] = value
    graph_def, _, _ = _network(name, kernel)
    [node] = [node for node in graph_def.node if node.op in quantization.INPUT_INDEX]
    label = ([None, *node.name.split("/")])[-2] or node.name
    with pytest.raises(tftrt_yolo.ConversionError, match=f"filter of layer {label} holds 2 of {kernel.size} weights"):
        quantization.find_layers(graph_def)
