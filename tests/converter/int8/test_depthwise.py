"""Depthwise convolutions in the form in which INT8 has them."""

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.converter.int8 import depthwise, quantization
from tftrt_yolo.converter.int8.histogram import Range
from tftrt_yolo.ground.errors import ConversionError

RNG = np.random.default_rng(0)
FRAMES = RNG.standard_normal((2, 9, 8, 6)).astype(np.float32)


def _graph(network):
    """A network as a GraphDef; its constants are nodes."""
    signature = tf.TensorSpec((None, *FRAMES.shape[1:]), name="frames")
    return tf.function(network, autograph=False).get_concrete_function(signature).graph.as_graph_def()


def _run(graph_def, name):
    def run():
        return tf.graph_util.import_graph_def(graph_def, {"frames:0": tf.constant(FRAMES)}, [f"{name}:0"])

    return tf.compat.v1.wrap_function(run, [])()[0].numpy()


@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding"), [(1, "SAME"), (2, "SAME"), (2, "VALID")])
def test_the_numbers_stay(outputs, stride, padding):
    """Its readers find it under its name, and another convolution is left as it is."""
    kernel = RNG.standard_normal((3, 3, 6, outputs)).astype(np.float32)
    other = RNG.standard_normal((1, 1, 6 * outputs, 4)).astype(np.float32)

    def network(frames):
        depth = tf.nn.depthwise_conv2d(frames, tf.constant(kernel), (1, stride, stride, 1), padding)
        return tf.nn.conv2d(tf.nn.relu(depth), tf.constant(other), 1, "SAME", name="last")

    graph_def = _graph(network)
    ordinary = depthwise.as_ordinary(graph_def)
    assert [node.op for node in graph_def.node].count("DepthwiseConv2dNative") == 1  # not changed in place
    assert "DepthwiseConv2dNative" not in {node.op for node in ordinary.node}
    np.testing.assert_allclose(_run(ordinary, "last"), _run(graph_def, "last"), atol=1e-5)
    [name] = [node.name for node in graph_def.node if node.op == "DepthwiseConv2dNative"]
    assert depthwise.as_ordinary(graph_def, kept={name}) == graph_def  # one that stays in float
    first, last = quantization.find_layers(ordinary)
    assert (first.kernel.shape, last.kernel.shape) == ((3, 3, 6, 6 * outputs), other.shape)
    assert np.count_nonzero(first.kernel) == kernel.size


def test_the_zeros_are_kept_and_every_channel_has_a_scale():
    """Channels that differ by five decades: with one scale for all, the small ones would be 0."""
    kernel = RNG.standard_normal((3, 3, 6, 1)).astype(np.float32) * 10.0 ** np.arange(-4, 2).reshape(6, 1)

    def network(frames):
        return tf.nn.depthwise_conv2d(frames, tf.constant(kernel, tf.float32), (1, 1, 1, 1), "SAME", name="depth")

    ordinary = depthwise.as_ordinary(_graph(network))
    [layer] = quantization.find_layers(ordinary)
    quantized = quantization.quantize(ordinary, [layer], {layer.source: Range(-5.0, 5.0)})
    expected = _run(ordinary, layer.name)
    got = _run(quantized, quantization.output_of(layer, {node.name for node in quantized.node}))
    error = np.abs(got - expected).mean((0, 1, 2)) / np.abs(expected).mean((0, 1, 2))
    assert (error < 0.03).all()


def test_a_filter_that_is_computed():
    """It stays what it is, and is refused by name where the layers are looked for."""

    def network(frames):
        kernel = tf.reshape(frames[0, :3, :3], (3, 3, 6, 1))
        return tf.nn.depthwise_conv2d(frames, kernel, (1, 1, 1, 1), "SAME", name="depth")

    graph_def = _graph(network)
    assert depthwise.as_ordinary(graph_def) == graph_def
    with pytest.raises(
        ConversionError, match=r"^The filter of \S*depth\S* is no constant\. Expected what `export` wrote\.$"
    ):
        quantization.find_layers(graph_def)
