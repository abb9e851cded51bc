"""Rewritten graphs against the ops that they replace, run by TensorFlow itself."""

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.converter.baked import grappler, xla_forms

EVERYTHING = 10**9


def _graph(function, *shapes):
    """A graph of a function of placeholders, with its result named "y"."""
    with tf.Graph().as_default() as graph:
        inputs = [tf.compat.v1.placeholder(tf.float32, shape, name=f"x{i}") for i, shape in enumerate(shapes)]
        tf.identity(function(*inputs), name="y")
    return graph.as_graph_def()


def _run(graph_def, *arrays):
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
    with tf.compat.v1.Session(graph=graph) as session:
        return session.run("y:0", {f"x{i}:0": array for i, array in enumerate(arrays)})


def _ops(graph_def):
    return {node.op for node in graph_def.node}


def _random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("size_hw", "kernel_hw", "stride", "padding"),
    [
        ((8, 8), (1, 1), 1, "SAME"),
        ((8, 6), (3, 3), 1, "SAME"),
        ((7, 9), (3, 3), 1, "VALID"),
        ((6, 8), (5, 5), 1, "SAME"),
        ((6, 8), (3, 1), 1, "SAME"),
        ((10, 6), (3, 3), 2, "VALID"),  # as YOLOv8 has it, padded by hand to an even size
        ((9, 7), (3, 3), 2, "VALID"),
        ((8, 8), (3, 3), 2, "SAME"),
        ((7, 9), (3, 3), 2, "SAME"),
        ((8, 8), (2, 2), 2, "SAME"),
        ((8, 8), (4, 4), 2, "SAME"),
        ((8, 8), (1, 1), 2, "SAME"),
    ],
)
def test_a_convolution_as_a_product(size_hw, kernel_hw, stride, padding):
    kernel = _random(*kernel_hw, 5, 7)
    graph_def = _graph(lambda x: tf.nn.conv2d(x, kernel, stride, padding), (None, *size_hw, 5))
    images = _random(3, *size_hw, 5)
    expected = _run(graph_def, images)
    xla_forms.convolutions_as_products(graph_def, EVERYTHING)
    assert "Conv2D" not in _ops(graph_def)
    got = _run(graph_def, images)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel_shape", "options", "most_values"),
    [
        ((3, 3, 4, 6), {"strides": 1, "padding": "SAME", "dilations": 2}, EVERYTHING),
        ((3, 3, 2, 6), {"strides": 1, "padding": "SAME"}, EVERYTHING),  # two groups
        ((3, 3, 4, 6), {"strides": 3, "padding": "SAME"}, EVERYTHING),
        ((3, 3, 4, 6), {"strides": (2, 1), "padding": "SAME"}, EVERYTHING),
        ((5, 5, 4, 6), {"strides": 2, "padding": "SAME"}, EVERYTHING),  # reaches beyond two blocks
        ((3, 3, 4, 6), {"strides": 1, "padding": "SAME"}, 9 * 6 * 8 * 8 - 1),  # one number too many
        ((3, 3, 4, 6), {"strides": 2, "padding": "SAME"}, 4 * 6 * 4 * 4 - 1),
    ],
)
def test_a_convolution_that_stays(kernel_shape, options, most_values):
    graph_def = _graph(lambda x: tf.nn.conv2d(x, _random(*kernel_shape), **options), (None, 8, 8, 4))
    xla_forms.convolutions_as_products(graph_def, most_values)
    assert "Conv2D" in _ops(graph_def)
    assert "MatMul" not in _ops(graph_def)


@pytest.mark.parametrize(
    ("kernel_shape", "stride", "is_rewritten"),
    [
        ((1, 1, 4, 6), 1, True),
        ((1, 1, 4, 6), 2, False),
        ((1, 1, 2, 6), 1, False),  # two groups
        ((3, 3, 4, 6), 1, False),
    ],
)
def test_a_pointwise_convolution_at_every_batch_size(kernel_shape, stride, is_rewritten):
    graph_def = _graph(lambda x: tf.nn.conv2d(x, _random(*kernel_shape), stride, "SAME"), (None, 8, 6, 4))
    images = _random(3, 8, 6, 4)
    expected = _run(graph_def, images)
    xla_forms.rewrite(graph_def)
    assert ("Conv2D" in _ops(graph_def)) != is_rewritten
    np.testing.assert_allclose(_run(graph_def, images), expected, rtol=1e-5, atol=1e-5)


def test_the_limit_counts_what_the_product_has():
    graph_def = _graph(lambda x: tf.nn.conv2d(x, _random(3, 3, 4, 6), 1, "SAME"), (None, 8, 8, 4))
    xla_forms.convolutions_as_products(graph_def, 9 * 6 * 8 * 8)
    assert "Conv2D" not in _ops(graph_def)


@pytest.mark.parametrize("scale", [1.0, 100.0])  # the second overflows without the largest taken off
def test_the_mean_of_a_distribution(scale):
    weights = np.arange(16, dtype=np.float32)
    graph_def = _graph(lambda x: tf.reduce_sum(tf.nn.softmax(x) * weights, axis=-1), (None, 10, 4, 16))
    logits = scale * _random(2, 10, 4, 16)
    exact = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    expected = (np.exp(exact) * weights).sum(axis=-1) / np.exp(exact).sum(axis=-1)
    xla_forms.rewrite(graph_def)
    pruned = grappler._pruned(graph_def, ["y:0"])
    assert not {"Softmax", "Sum"} & _ops(pruned)
    np.testing.assert_allclose(_run(pruned, logits), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.reduce_sum(tf.nn.softmax(x) * np.arange(16, dtype=np.float32), axis=1),
        lambda x: tf.reduce_sum(tf.nn.softmax(x) * np.arange(16, dtype=np.float32), axis=-1, keepdims=True),
        lambda x: tf.reduce_sum(tf.nn.softmax(x) * np.float32([2.0]), axis=-1),
        lambda x: tf.reduce_sum(tf.nn.relu(x) * np.arange(16, dtype=np.float32), axis=-1),
    ],
)
def test_another_sum_stays(function):
    graph_def = _graph(function, (None, 10, 4, 16))
    before = graph_def.SerializeToString()
    xla_forms.rewrite(graph_def)
    assert graph_def.SerializeToString() == before


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
def test_variants_are_chosen_by_the_batch_and_share_their_weights(batch_size):
    """Each variant adds another number, so that the result tells which one ran."""
    weights = _random(32, 32)
    variants = []
    for most_images, extra in ((1, 10.0), (3, 20.0), (0, 30.0)):
        graph_def = _graph(lambda x, extra=extra: tf.matmul(x, tf.constant(weights, name="w")) + extra, (None, 32))
        variants.append((most_images, graph_def))
    network = tf.function(grappler._as_network(variants, "x0:0", {"y": "y:0"}), autograph=False)
    function = network.get_concrete_function(tf.TensorSpec((None, 32), tf.float32))
    frames = _random(batch_size, 32)
    added = function(tf.constant(frames))["y"].numpy() - frames @ weights
    np.testing.assert_allclose(added, {1: 10, 2: 20, 3: 20, 5: 30}[batch_size], atol=1e-4)

    proto = function.graph.as_graph_def()
    nodes = [*proto.node, *(node for library in proto.library.function for node in library.node_def)]
    large = [node for node in nodes if node.op == "Const" and node.attr["value"].tensor.ByteSize() > 4_000]
    assert len(large) == 1
    assert large[0].attr["value"].tensor.tensor_content == weights.tobytes()
