"""Biases in the form that TensorFlow fuses: the numbers are AddV2's. What is fused is in tests/converter/baked."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from tftrt_yolo.graph import biases

RANDOM = np.random.default_rng(0)
FRAMES = RANDOM.standard_normal((2, 9, 7, 5)).astype(np.float32)
BIAS = RANDOM.standard_normal(6).astype(np.float32)


def _convolved(frames, *, filters=6):
    kernel = np.random.default_rng(1).standard_normal((3, 3, 5, filters)).astype(np.float32)
    return tf.nn.conv2d(frames, kernel, 1, "SAME")


@pytest.mark.parametrize(
    ("network", "ops"),
    [
        (lambda frames: _convolved(frames) + BIAS, {"BiasAdd": 1}),
        (lambda frames: tf.raw_ops.AddV2(x=BIAS, y=_convolved(frames)), {"BiasAdd": 1}),
        (lambda frames: _convolved(frames) + BIAS[0], {"AddV2": 1}),  # one number for all channels
        (lambda frames: _convolved(frames) + BIAS[:1], {"AddV2": 1}),
        (lambda frames: _convolved(frames, filters=1) + BIAS, {"AddV2": 1}),  # which has more channels than it was
        (lambda frames: _convolved(frames) + BIAS[None, None, None], {"AddV2": 1}),
        (lambda frames: _convolved(frames) + _convolved(frames), {"AddV2": 1}),  # a residual
        (lambda frames: frames + BIAS[:5], {"AddV2": 1}),
    ],
)
def test_only_biases_of_convolutions_change_and_no_number_does(network, ops):
    signature = tf.TensorSpec((None, *FRAMES.shape[1:]), name="frames")
    function = tf.function(network, autograph=False).get_concrete_function(signature)
    graph_def = function.graph.as_graph_def()
    biases.say_bias_add(function.graph, graph_def)
    assert Counter(node.op for node in graph_def.node if node.op in ("AddV2", "BiasAdd")) == ops

    def imported(frames):
        return tf.graph_util.import_graph_def(graph_def, {"frames:0": frames}, [function.outputs[0].name])[0]

    frames = tf.constant(FRAMES)
    np.testing.assert_array_equal(tf.function(imported)(frames), function(frames))
