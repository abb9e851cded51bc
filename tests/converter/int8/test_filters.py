"""Filters fitted to what convolutions read: every choice of steps tried, every place summed up by a loop."""

import itertools

import numpy as np
import pytest

from tests.conftest import IMAGES
from tftrt_yolo.converter.int8 import calibration, quantization
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.int8.filters import fitting, padding, rounding
from tftrt_yolo.converter.int8.filters.reading import Sample
from tftrt_yolo.saved_model.handle import open_saved_model

WIDTHS = np.array([0.1, 0.02, 3.0])


def _layer(rng, *, inputs=7, places=500):
    """Weights, and inputs of which each is much like the one before it, as neighbouring pixels are."""
    readings = np.cumsum(rng.normal(size=(places, inputs)), axis=1) + 0.3 * rng.normal(size=(places, inputs))
    return rng.normal(size=(inputs, len(WIDTHS))) * WIDTHS * 5, readings


def _error(readings, weights, steps):
    """Mean squared error of each output, in float64, from the inputs themselves."""
    return np.square(readings @ (steps * WIDTHS - weights)).mean(axis=0)


def test_steps_are_nearly_the_best_of_all():
    """Against every choice of rounding up or down: on average within 10 % of the best, where nearest is at 4 times."""
    found, nearest = [], []
    for seed in range(20):
        weights, readings = _layer(np.random.default_rng(seed))
        moments = readings.T @ readings / len(readings)
        steps = rounding.round_filter(weights, WIDTHS, moments)
        assert (steps == np.round(steps)).all()
        down = np.floor(weights / WIDTHS)
        choices = np.array(list(itertools.product((0, 1), repeat=len(weights))))
        best = np.min([_error(readings, weights, down + choice[:, np.newaxis]) for choice in choices], axis=0)
        found.append(_error(readings, weights, steps) / best)
        nearest.append(_error(readings, weights, np.round(weights / WIDTHS)) / best)
    assert np.mean(found) < 1.1
    assert np.mean(nearest) > 2
    assert np.mean(np.asarray(found) <= np.asarray(nearest)) > 0.95  # the damping is another error, a little


@pytest.mark.parametrize(
    "moments",
    [
        np.zeros((7, 7)),  # a layer of which the sampled places show nothing
        np.full((7, 7), np.nan),
        np.diag([1.0, 0, 0, 0, 0, 0, 0]),  # dead channels
        np.eye(7) * 1e-30,
        np.eye(7) * 1e30,
    ],
)
def test_inputs_that_say_nothing_leave_the_nearest_steps(moments):
    weights, _ = _layer(np.random.default_rng(0))
    np.testing.assert_array_equal(rounding.round_filter(weights, WIDTHS, moments), np.round(weights / WIDTHS))


def test_zeros_stay_zeros():
    """As a depthwise convolution that was made an ordinary one has them; the others make up for each other."""
    weights, readings = _layer(np.random.default_rng(2))
    weights[1::2, 0] = 0
    moments = readings.T @ readings / len(readings)
    steps = rounding.round_filter(weights, WIDTHS, moments)
    assert not steps[1::2, 0].any()
    assert _error(readings, weights, steps)[0] < 0.5 * _error(readings, weights, np.round(weights / WIDTHS))[0]


def test_steps_stay_on_the_grid():
    weights, readings = _layer(np.random.default_rng(1))
    steps = rounding.round_filter(weights * 100, WIDTHS, readings.T @ readings)
    assert np.abs(steps).max() == 127
    assert (steps == np.round(steps)).all()


def _node(op="Conv2D", padding_mode=b"VALID", strides=(1, 1), dilations=(1, 1)):
    import tensorflow as tf

    node = tf.compat.v1.NodeDef(name="a", op=op, input=["x", "w"])
    node.attr["padding"].s = padding_mode
    node.attr["strides"].list.i.extend([1, *strides, 1])
    node.attr["dilations"].list.i.extend([1, *dilations, 1])
    return node


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 3, 2, 4), {}),
        ((3, 3, 2, 4), {"strides": (2, 2)}),
        ((3, 2, 2, 4), {"padding_mode": b"SAME", "strides": (2, 1)}),  # other zeros before than behind
        ((2, 3, 2, 4), {"dilations": (2, 1)}),
        ((1, 1, 2, 4), {"padding_mode": b"SAME"}),
        ((2, 2, 4, 3), {"op": "Conv2DBackpropInput", "strides": (2, 2)}),
    ],
)
def test_what_is_read_is_what_tensorflow_reads(shape, options):
    """Each place times the filter is a cell of the convolution's output, and all cells are met."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    kernel, activations = rng.normal(size=shape).astype(np.float32), rng.normal(size=(2, 5, 6, 2)).astype(np.float32)
    node = _node(**options)
    strides = [1, *options.get("strides", (1, 1)), 1]
    if node.op == "Conv2D":
        how = options.get("padding_mode", b"VALID").decode()
        outputs = tf.nn.conv2d(activations, kernel, strides, how, dilations=options.get("dilations", (1, 1))).numpy()
    else:
        activations = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
        outputs = tf.nn.conv2d_transpose(activations, kernel, [2, 10, 12, 4], 2, "VALID").numpy()
        outputs = outputs.reshape(2, 5, 2, 6, 2, 4).transpose(0, 1, 3, 2, 4, 5).reshape(2, 5, 6, 16)  # block by block
    sample = Sample(node, quantization.Layer("a", "x", kernel), threshold=1.0, offset=0.0)
    assert sample.is_product
    read = sample._read(activations, 300, rng) @ sample.weights()
    cells = outputs.reshape(-1, outputs.shape[-1])
    distances = np.abs(read[:, np.newaxis] - cells[np.newaxis]).max(axis=2)
    assert distances.min(axis=1).max() < 1e-5
    assert set(distances.argmin(axis=1)) == set(range(len(cells)))
    np.testing.assert_array_equal(sample.filter_of(sample.weights()), kernel)


def test_a_transposed_convolution_that_adds_up_is_left_alone():
    kernel = np.ones((3, 3, 4, 2), np.float32)
    node = _node(op="Conv2DBackpropInput", strides=(2, 2))
    assert not Sample(node, quantization.Layer("a", "x", kernel), threshold=1.0, offset=0.0).is_product


def test_a_fitted_filter_and_its_mean_error():
    """Shifted, clipped and rounded by NumPy: rounding costs less than to the nearest steps, and nothing on average."""
    rng = np.random.default_rng(3)
    activations = np.abs(rng.normal(size=(1, 40, 40, 3))).cumsum(axis=3).astype(np.float32)
    layer = quantization.Layer("a", "x", rng.normal(size=(1, 1, 3, 4)).astype(np.float32))
    sample = Sample(_node(), layer, threshold=1.5, offset=1.25)  # clips above 2.75
    sample.add(activations, places=4_000, rng=rng)
    kernel, threshold, factors, constants = fitting.fit("Conv2D", sample)
    np.testing.assert_array_equal(quantization.quantize_dequantize(kernel, threshold), kernel)  # on the grid
    pixels = activations.reshape(-1, 3)
    read = quantization.quantize_dequantize(pixels - np.float32(1.25), 1.5).astype(np.float64) + 1.25
    expected = pixels.astype(np.float64) @ layer.kernel[0, 0]
    error = read @ (kernel[0, 0] * factors) - expected
    assert np.abs(error.mean(axis=0)).max() > 0.02  # what clipping takes away
    assert np.abs((error + constants).mean(axis=0)).max() < 0.1 * np.abs(error.mean(axis=0)).max()
    nearest = quantization._nearest("Conv2D", layer.kernel)
    plain = (quantization.quantize_dequantize(nearest.kernel, nearest.threshold)[0, 0] * nearest.factors).astype(float)
    lost = [(read @ (weights - layer.kernel[0, 0])).var(axis=0).sum() for weights in (kernel[0, 0] * factors, plain)]
    assert lost[0] < 0.9 * lost[1]


@pytest.mark.parametrize(
    ("shape", "options", "moves"),
    [
        ((3, 3, 2, 4), {}, True),
        ((2, 5, 2, 4), {}, True),  # more zeros behind than before
        ((3, 3, 2, 4), {"dilations": 2}, True),
        ((1, 1, 2, 4), {}, False),
        ((3, 3, 2, 4), {"strides": 2}, False),
        ((3, 3, 2, 4), {"padding": "VALID"}, False),
    ],
)
def test_zeros_before_a_convolution_are_those_inside(shape, options, moves):
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=shape).astype(np.float32) for _ in range(2)]
    options = {"strides": 1, "padding": "SAME", **options}

    @tf.function(input_signature=[tf.TensorSpec((None, 7, 8, 2), tf.float32)])
    def network(frames):
        return [tf.nn.conv2d(frames, kernel, **options) for kernel in kernels]

    frozen = convert_variables_to_constants_v2(network.get_concrete_function())
    graph_def = frozen.graph.as_graph_def()
    padded = padding.pad_before(graph_def)
    assert [node.op for node in padded.node].count("Pad") == int(moves)  # both read the same one
    frames, names = rng.normal(size=(2, 7, 8, 2)).astype(np.float32), [tensor.name for tensor in frozen.outputs]
    runs = []
    for one in (graph_def, padded):
        whole = tf.compat.v1.wrap_function(lambda one=one: tf.graph_util.import_graph_def(one, name=""), [])
        runs.append([value.numpy() for value in whole.prune(frozen.inputs[0].name, names)(tf.constant(frames))])
    for expected, got in zip(*runs, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_less_is_lost_on_images_that_were_not_calibrated_on(tiny_export):
    """Of the trained network: fitted filters keep the scores better than the nearest steps, for the same ranges."""
    import tensorflow as tf

    from tftrt_yolo.ground.files.image_files import read_image
    from tftrt_yolo.saved_model import freeze
    from tftrt_yolo.saved_model.network import Framer, in_unit_range

    source = open_saved_model(tiny_export)
    calibrated = calibration.calibrate(source, Calibration(tuple(map(str, IMAGES[:16:2])), "max"))
    framer = Framer(source.metadata)
    frames = tf.constant(in_unit_range(np.stack([framer(read_image(image))[0] for image in IMAGES[1:17:2]])))

    def scores(graph_def):
        whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
        return whole.prune(calibrated.frames_name, whole.graph.get_tensor_by_name(calibrated.outputs["scores"]))(
            frames
        ).numpy()

    expected, errors = scores(freeze.freeze_network(source).graph_def), []
    seen = expected > 0.1
    for filters in ({}, calibrated.filters):
        quantized = quantization.quantize(calibrated.graph_def, calibrated.layers, calibrated.ranges, filters)
        errors.append(scores(quantized)[seen].astype(np.float64) - expected[seen])
    nearest, fitted = errors
    assert len(calibrated.filters) == 71
    assert np.square(fitted).mean() < 0.95 * np.square(nearest).mean()
    assert abs(fitted.mean()) < abs(nearest.mean())
