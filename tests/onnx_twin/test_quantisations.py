"""Integers are TensorFlow's for every float: tried at all that lie beside the halves, where a division fails."""

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from tests.onnx_twin import graphs
from tftrt_yolo.onnx_twin import twin_parity
from tftrt_yolo.onnx_twin.twin_worker import drawn_as

RANGES = np.float32([0.37, 1.0, 2.9, 6.03, 11.5, 123.4])


def _beside_halves(threshold):
    """For each half between two integers the 16 floats on either side of it, and what lies beyond the range."""
    step = np.float64(np.float32(threshold)) / 127
    centers = ((np.arange(-129, 129) + 0.5) * step).astype(np.float32)
    rows, below, above = [centers], centers, centers
    for _ in range(16):
        below, above = np.nextafter(below, np.float32(-np.inf)), np.nextafter(above, np.float32(np.inf))
        rows += [below, above]
    return np.concatenate([*rows, np.float32([0, -0.0, 1e9, -1e9])])


def _quantised(threshold):
    return lambda x: tf.raw_ops.QuantizeAndDequantizeV2(
        input=x,
        input_min=-threshold,
        input_max=threshold,
        range_given=True,
        signed_input=True,
        num_bits=8,
        round_mode="HALF_TO_EVEN",
    )


def _divided(values, step):
    """What QuantizeLinear makes of the numbers with the step itself."""
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["y"])],
        "divided",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [None])],
        initializer=[onnx.numpy_helper.from_array(np.array(v), n) for n, v in (("step", step), ("zero", np.int8(0)))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values})[0]


@pytest.mark.parametrize("threshold", RANGES)
def test_every_half_falls_where_tensorflow_lets_it_fall(threshold):
    function = _quantised(threshold)
    drawn = drawn_as(graphs.frozen(function), 19, "FP32")
    [tensor] = drawn.quantized
    values = _beside_halves(threshold)
    step = np.float32(threshold) / np.float32(127)
    expected = np.rint(function(values).numpy() / step).astype(np.int8)
    assert (expected.min(), expected.max()) == (-128, 127)
    found = twin_parity.quantized_alone(drawn.draft, tensor, values.reshape(1, 1, 1, -1))
    np.testing.assert_array_equal(found.ravel(), expected)
    dequantised = (found.ravel() * step).astype(np.float32)
    np.testing.assert_array_equal(dequantised, function(values).numpy())


def test_a_division_by_the_step_would_not_do():
    """The reason for the product before it: without it, floats beside a half become another integer."""
    different = 0
    for threshold in RANGES:
        values, step = _beside_halves(threshold), np.float32(threshold) / np.float32(127)
        expected = np.rint(_quantised(threshold)(values).numpy() / step).astype(np.int8)
        different += np.count_nonzero(_divided(values, step) != expected)
    assert different > 0


def test_a_filter_is_the_integers_it_is_made_of():
    kernel = np.random.default_rng(3).uniform(-1, 1, (3, 3, 3, 5)).astype(np.float32)
    quantised = _quantised(np.float32(0.9))
    factors = np.float32([1, 2, 0.5, 3, 0.1])

    def network(x):
        product = tf.nn.conv2d(_quantised(np.float32(2.5))(x), quantised(tf.constant(kernel)), 1, "SAME")
        return product * factors + np.float32([1, 2, 3, 4, 5])

    expected, found, drawn = graphs.both(network)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert graphs.operators(drawn) == ["Mul", "QuantizeLinear", *["DequantizeLinear"] * 2, "Conv", "Transpose"]
    [integers] = [values for values in drawn.draft.constants.values() if values.shape == (5, 3, 3, 3)]
    step = np.float32(0.9) / np.float32(127)
    assert integers.dtype == np.int8
    np.testing.assert_array_equal(integers, np.rint(quantised(kernel).numpy() / step).transpose(3, 2, 0, 1))
