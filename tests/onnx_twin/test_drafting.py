"""Each operation, drawn and run: TensorFlow is the oracle, ONNX Runtime the reader."""

import numpy as np
import pytest
import tensorflow as tf

from tests.onnx_twin import graphs
from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.onnx_twin.drafting.draw import draw

RNG = np.random.default_rng(1)


def _filter(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


KERNEL, DEPTHWISE, GROUPED, WIDE = _filter(3, 3, 4, 6), _filter(3, 3, 4, 2), _filter(1, 1, 2, 6), _filter(2, 3, 5, 4)
MATRIX, ROW = _filter(4, 7), _filter(4)


def _silu(x):
    return x * tf.sigmoid(x)


OPERATIONS = {
    "SAME, odd strides": lambda x: tf.nn.conv2d(x, KERNEL, (1, 2, 3, 1), "SAME"),
    "VALID, dilated": lambda x: tf.nn.conv2d(x, KERNEL, 1, "VALID", dilations=(1, 2, 1, 1)),
    "explicit pads": lambda x: tf.nn.conv2d(x, KERNEL, 2, [[0, 0], [1, 0], [2, 1], [0, 0]]),
    "groups": lambda x: tf.nn.conv2d(x, GROUPED, 1, "VALID"),
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, DEPTHWISE, (1, 2, 2, 1), "SAME"),
    "a pad that a convolution takes": lambda x: tf.nn.conv2d(
        tf.pad(x, [[0, 0], [1, 2], [3, 0], [0, 0]]), KERNEL, 2, "VALID"
    ),
    "a pad that none takes": lambda x: tf.pad(x, [[0, 0], [1, 2], [3, 0], [1, 0]], constant_values=0.5) * 2.0,
    "bias and SiLU": lambda x: _silu(tf.nn.bias_add(tf.nn.conv2d(x, KERNEL, 1, "SAME"), ROW[:1].repeat(6))),
    "TensorFlow's SiLU": tf.nn.silu,
    "a level's rows": lambda x: tf.sigmoid(
        tf.concat([tf.reshape(x, (-1, 96, 4)), tf.reshape(x * 2.0, (-1, 96, 4))], 1)
    ),
    "distances": lambda x: tf.reduce_sum(tf.nn.softmax(tf.reshape(x, (-1, 96, 2, 2))) * np.float32([0, 1]), -1),
    "axes that stand apart": lambda x: tf.reshape(x, (-1, 12, 32)) * np.arange(32, dtype=np.float32),
    "slices": lambda x: x[:, 2:-1:3, ::-1, 1:3] + x[:, 1:10:3, :, :1],
    "an axis taken out, another put in": lambda x: x[:, 3, :, tf.newaxis, -2] * x[:, -1, :, tf.newaxis, 0],
    "an ellipsis": lambda x: tf.concat([x[..., :2], x[..., 3:]], -1) - x[:, 0, 0, 0][:, None, None, None],
    "split and other order": lambda x: tf.transpose(tf.split(x, 2, axis=3)[1], (0, 2, 1, 3)) * 3.0,
    "attention": lambda x: tf.matmul(
        tf.nn.softmax(tf.matmul(tf.reshape(x, (-1, 96, 4)), tf.reshape(x, (-1, 96, 4)), transpose_b=True)),
        tf.reshape(x, (-1, 96, 4)),
    ),
    "mean and matrix": lambda x: tf.nn.softmax(tf.matmul(tf.reduce_mean(x, (1, 2)), MATRIX)),
    "largest, axes kept": lambda x: x / (1.0 + tf.abs(tf.reduce_max(x, (1, 3), keepdims=True))),
    "max pool, SAME": lambda x: tf.nn.max_pool2d(x, (5, 4), (1, 2), "SAME"),
    "average pool, SAME": lambda x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    "nearest neighbours": lambda x: tf.raw_ops.ResizeNearestNeighbor(images=x, size=[24, 24], half_pixel_centers=True),
    "between neighbours": lambda x: tf.raw_ops.ResizeBilinear(images=x, size=[24, 24], align_corners=True),
    "depth to space": lambda x: tf.nn.depth_to_space(x, 2),
    "elements": lambda x: tf.cos(x) + tf.sin(x) * tf.exp(-tf.abs(x)) + tf.nn.relu6(x) - tf.nn.leaky_relu(x, 0.1) / 3.0,
    "extremes": lambda x: tf.maximum(tf.minimum(tf.tanh(x), 0.5), tf.sqrt(tf.nn.relu(x)) - 1.0),
    "a transposed convolution": lambda x: tf.raw_ops.Conv2DBackpropInput(
        input_sizes=[2, 24, 16, 5], filter=WIDE, out_backprop=x, strides=[1, 2, 2, 1], padding="SAME"
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("opset", [13, 21])
def test_an_operation(name, opset):
    expected, found, _ = graphs.both(OPERATIONS[name], channels=4, opset=opset)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_axes_stand_as_they_are_until_the_end():
    """A decode's shapes: nothing is transposed but the output, and rows in another order only where they must be."""
    _, _, drawn = graphs.both(OPERATIONS["distances"], channels=4)
    assert graphs.operators(drawn) == ["Reshape", "Softmax", "Mul", "ReduceSum", "Transpose"]
    _, _, drawn = graphs.both(OPERATIONS["axes that stand apart"], channels=4)
    assert graphs.operators(drawn) == ["Transpose", "Reshape", "Mul"]
    _, _, drawn = graphs.both(lambda x: tf.transpose(x, (0, 3, 1, 2)) * 2.0, channels=4)
    assert graphs.operators(drawn) == ["Mul"]
    _, _, drawn = graphs.both(OPERATIONS["attention"], channels=4)
    assert graphs.operators(drawn).count("Transpose") == 2  # one before the first product, and the output


def test_a_convolution_takes_in_what_it_can():
    _, _, drawn = graphs.both(OPERATIONS["a pad that a convolution takes"], channels=4)
    assert graphs.operators(drawn) == ["Conv", "Transpose"]
    assert drawn.draft.nodes[0].attributes["pads"] == [1, 3, 2, 0]
    _, _, drawn = graphs.both(OPERATIONS["bias and SiLU"], channels=4)
    assert graphs.operators(drawn) == ["Conv", "Sigmoid", "Mul", "Transpose"]
    assert len(drawn.draft.nodes[0].inputs) == 3


def test_two_names_for_one_tensor_and_the_frames_themselves():
    network = graphs.frozen(lambda x: tf.nn.relu(x))
    outputs = {"one": network.outputs["result"], "other": network.outputs["result"], "given": network.frames_name}
    drawn = draw(network._replace(outputs=outputs), 19)
    images = RNG.standard_normal((1, 3, *graphs.SIZE)).astype(np.float32)
    one, other, given = graphs.run(drawn, 19, images)
    np.testing.assert_array_equal(given, images.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(one, np.maximum(given, 0))
    np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: tf.cumsum(x, 1),
            r"is a Cumsum, which is not translated; known are Abs, Add, .*Export the checkpoint",
        ),
        (lambda x: x[1:], r"is a StridedSlice with a part of the batch, which is not translated"),
        (lambda x: tf.raw_ops.ResizeBilinear(images=x, size=[24, 16]), "with corners that move"),
        (lambda x: tf.raw_ops.ResizeNearestNeighbor(images=x, size=[18, 8]), r"with sides from \(12, 8\) to \(18, 8\)"),
        (
            lambda x: tf.raw_ops.QuantizeAndDequantizeV2(input=x, input_min=-1.0, input_max=2.0, range_given=True),
            "a range",
        ),
        (
            lambda x: tf.raw_ops.QuantizeAndDequantizeV2(input=x, input_min=-1.0, input_max=1.0, range_given=False),
            "with range_given of False",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_name(function, message):
    with pytest.raises(OnnxError, match=message):
        draw(graphs.frozen(function), 19)
