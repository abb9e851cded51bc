import numpy as np
import pytest

from tftrt_yolo.benchmarking.contestants import CONTESTANTS
from tftrt_yolo.benchmarking.floor.cost import Ceilings, Cost, floor_ms


@pytest.fixture(scope="module")
def network():
    """Convolution, depthwise, transposed convolution and matrix product, with a dynamic batch."""
    import tensorflow as tf

    kernels = [tf.Variable(np.ones(shape, np.float32)) for shape in ((3, 3, 3, 8), (5, 5, 8, 1), (2, 2, 4, 8), (4, 6))]

    @tf.function(input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.float32)])
    def run(frames):
        x = tf.nn.conv2d(frames, kernels[0], strides=2, padding="SAME")  # (b, 8, 8, 8)
        x = tf.nn.depthwise_conv2d(x, kernels[1], strides=(1, 1, 1, 1), padding="SAME")  # (b, 8, 8, 8)
        x = tf.nn.conv2d_transpose(x, kernels[2], (tf.shape(x)[0], 16, 16, 4), strides=2)  # (b, 16, 16, 4)
        return {"boxes": tf.reshape(x, (-1, 4)) @ kernels[3], "scores": x}

    function = run.get_concrete_function()
    function.kernels = kernels  # it does not keep its variables alive by itself
    return function


@pytest.mark.parametrize("batch_size", [1, 3])
def test_flops_and_numbers_by_hand(network, batch_size):
    from tftrt_yolo.benchmarking.floor.count import count

    cost = count(network, batch_size)
    convolution = 8 * 8 * 8 * 3 * 3 * 3
    depthwise = 8 * 8 * 8 * 5 * 5
    transposed = 8 * 8 * 8 * 2 * 2 * 4
    product = 16 * 16 * 4 * 6
    assert cost.flops == 2 * batch_size * (convolution + depthwise + transposed + product)
    assert cost.weight_values == 3 * 3 * 3 * 8 + 5 * 5 * 8 + 2 * 2 * 4 * 8 + 4 * 6
    assert cost.input_values == batch_size * 16 * 16 * 3
    assert cost.output_values == batch_size * 16 * 16 * (6 + 4)


COST = Cost(batch_size=1, flops=10**9, weight_values=10**6, input_values=10**6, output_values=10**5)


@pytest.mark.parametrize(
    ("name", "ceilings", "expected_ms"),
    [
        ("xla-fp16", Ceilings({"FP16": 1e12, "FP32": 1e11}, 1e15), 1.0),  # arithmetic in its own precision
        ("xla-fp32", Ceilings({"FP16": 1e12, "FP32": 1e11}, 1e15), 10.0),
        ("onednn-bf16", Ceilings({"BF16": 1e11, "FP32": 1e12}, 1e15), 1.0),  # FP32 is never slower than that
        ("onednn-bf16", Ceilings({"FP16": 1e12}, 1e15), 1.0),  # what was not measured is the best that was
        ("xla-fp16", Ceilings({"FP16": 1e18}, 1e9), 6.4),  # weights 2 bytes, frames and outputs 4
        ("xla-fp32", Ceilings({"FP32": 1e18}, 1e9), 8.4),
        ("pytorch-eager-fp16", Ceilings({"FP16": 1e18}, 1e9), 3.2),  # frames 1 byte, the others 2
    ],
)
def test_the_floor_is_arithmetic_or_traffic(name, ceilings, expected_ms):
    assert floor_ms(COST, ceilings, CONTESTANTS[name]) == pytest.approx(expected_ms)


def test_an_export_costs_the_same_for_each_image(tiny_export):
    """910,830 parameters, 2,100 anchors and 10 classes; what the decode holds beside them is small."""
    import tensorflow as tf

    from tftrt_yolo.benchmarking.floor.count import count

    loaded = tf.saved_model.load(str(tiny_export))
    signature = loaded.signatures["network"]
    one, four = count(signature, 1), count(signature, 4)
    assert four.flops == 4 * one.flops
    assert four.weight_values == one.weight_values
    assert one.output_values == 2100 * (4 + 10)
    assert 910_000 < one.weight_values < 930_000
