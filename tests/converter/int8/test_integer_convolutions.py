"""INT8 for CPUs: oneDNN's integers against the same numbers in float64, a whole network against its export."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import DATA, IMAGES
from tftrt_yolo import Int8Options
from tftrt_yolo.converter.conversion_report import ConversionReport
from tftrt_yolo.converter.int8 import integer_convolutions
from tftrt_yolo.converter.int8.histogram import Range
from tftrt_yolo.converter.int8.in_float import choosing
from tftrt_yolo.converter.int8.quantization import best_threshold, find_layers
from tftrt_yolo.graph import biases
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.saved_model import freeze

RANDOM = np.random.default_rng(0)
FRAMES = np.clip(RANDOM.standard_normal((2, 9, 10, 16)), -3, 3).astype(np.float32)
PICTURES = IMAGES[0].parent / "*0.jpg"
needs_int8 = pytest.mark.skipif(not environment.cpu_flags("INT8"), reason="this CPU has no integer products")


def _network(kernel, bias, *, strides=1, padding="SAME", pads=None, activation):
    """A convolution with bias and activation: its graph, and the names of its tensors."""

    def network(frames):
        padded = frames if pads is None else tf.pad(frames, pads)
        summed = tf.nn.bias_add(tf.nn.conv2d(padded, kernel, strides, padding), bias, name="summed")
        return activation(summed)

    signature = tf.TensorSpec((None, *FRAMES.shape[1:]), name="frames")
    function = tf.function(network, autograph=False).get_concrete_function(signature)
    return function.graph.as_graph_def(), function.outputs[0].name


def _silu(values):
    """As a graph says it; tf.nn.silu would be a function with a gradient of its own."""
    return values * tf.sigmoid(values)


def _rounded(values, threshold, levels=127):
    """To the nearest of 255 steps, in float64."""
    step = np.float64(np.float32(threshold)) / levels
    return np.clip(np.rint(values / step), -levels, levels) * step


@pytest.mark.parametrize(
    ("size", "strides", "padding", "pads"),
    [
        (3, 1, "SAME", None),
        (3, 2, "VALID", [[0, 0], [1, 1], [1, 1], [0, 0]]),  # as PyTorch pads where it strides
        (3, 2, "VALID", [[0, 0], [0, 1], [2, 0], [0, 0]]),
        (3, 2, "SAME", None),
    ],
)
def test_integers_are_those_of_a_naive_sum(size, strides, padding, pads):
    kernel = (RANDOM.standard_normal((size, size, 16, 8)) * np.logspace(-2, 0, 8)).astype(np.float32)
    bias = RANDOM.standard_normal(8).astype(np.float32)
    graph_def, output = _network(kernel, bias, strides=strides, padding=padding, pads=pads, activation=_silu)
    (found,) = integer_convolutions.find(graph_def)
    assert (found.source.partition(":")[0], len(found.padding)) == ("frames", 8 if pads else 0)
    limit = 20.0
    integer_convolutions.replace(graph_def, [found], {found.source: Range(-3, 3), found.added: Range(-limit, limit)})

    def run(frames):
        return tf.graph_util.import_graph_def(graph_def, {"frames:0": frames}, [output])[0]

    got = tf.function(run)(tf.constant(FRAMES)).numpy()

    steps = np.stack([_rounded(kernel[..., i], best_threshold(kernel[..., i])) for i in range(8)], -1)
    values = _rounded(FRAMES, 3.0)
    if pads:
        values = np.pad(values, pads)
    summed = tf.nn.conv2d(values, steps, strides, padding).numpy() + bias  # in float64
    kept = _rounded(summed, limit)
    expected = kept / (1 + np.exp(-kept))
    step = limit / 127
    assert np.abs(got - expected).max() <= 1.2 * step  # a tie that float32 rounds the other way
    assert (np.abs(got - expected) > 1e-4).mean() < 0.01


@pytest.mark.parametrize(
    ("kernel", "activation"),
    [
        ((3, 3, 16, 8), tf.nn.relu),
        ((1, 1, 16, 8), _silu),  # too few channels to gain
        ((3, 3, 8, 8), _silu),  # groups
    ],
)
def test_what_gains_nothing_stays(kernel, activation):
    graph_def, _ = _network(np.ones(kernel, np.float32), np.ones(8, np.float32), activation=activation)
    with pytest.raises(ConversionError, match=r"None of 1 convolution can be computed in INT8 by oneDNN: expected"):
        integer_convolutions.find(graph_def)


@needs_int8
def test_a_network_in_int8_is_near_its_export(tiny_export, tmp_path):
    path = tmp_path / "int8_saved_model"
    options = Int8Options(calibration_data=PICTURES, evaluation_data=DATA / "detect" / "data.yaml")
    done = []
    report = tftrt_yolo.convert(
        tiny_export,
        path,
        accelerator="onednn",
        precision_mode="INT8",
        int8=options,
        on_progress=lambda count, total: done.append((count, total)),
    )
    found = report.quantization
    assert ConversionReport.read(path) == report
    assert done[-1] == (found.images, found.images)
    assert 40 < found.layers < report.matrix_ops == 71
    assert f"INT8 in {found.layers} of 71 convolutions" in str(report)
    assert found.parity.matched >= 0.9 * found.parity.detections > 9
    before, after = found.accuracy["box mAP50-95"]
    assert after > before - 0.02

    predictor = tftrt_yolo.Predictor(path)
    assert str(predictor.backend).endswith("converted for onednn, INT8")
    assert sum(map(len, predictor(sorted(IMAGES)[:2]))) > 0

    code = (
        "import sys, tensorflow as tf\n"
        "network = tf.saved_model.load(sys.argv[1]).signatures['network']\n"
        "assert network(frames=tf.zeros((0, 320, 320, 3)))['boxes'].shape[0] == 0\n"
        "network(frames=tf.zeros((1, 320, 320, 3)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_VERBOSE": "1"},
    )
    ran = [line for line in result.stdout.splitlines() if ",exec,cpu,convolution," in line]
    assert sum("src_s8" in line and "wei_s8" in line for line in ran[-71:]) == found.layers


@needs_int8
def test_layers_that_stay_in_float(toy_export, tmp_path):
    """One that gains is one less, the head's never were in INT8; and where none is left it is refused."""
    frozen = freeze.freeze_network(toy_export)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(frozen.graph_def, name="")
    biases.say_bias_add(graph, frozen.graph_def)
    gaining = [found.node.name for found in integer_convolutions.find(frozen.graph_def)]
    layers = {layer.name: choosing.short_name(layer) for layer in find_layers(frozen.graph_def)}
    report = tftrt_yolo.convert(
        toy_export,
        tmp_path / "int8_saved_model",
        accelerator="onednn",
        precision_mode="INT8",
        int8=Int8Options(calibration_data=PICTURES, float_layers=("head", layers[gaining[0]])),
    )
    assert report.quantization.layers == len(gaining) - 1 > 0
    assert len(report.quantization.float_layers) == 4 + 1
    assert layers[gaining[0]] in report.quantization.float_layers
    graph_def, _ = _network(np.ones((3, 3, 16, 8), np.float32), np.ones(8, np.float32), activation=_silu)
    (found,) = integer_convolutions.find(graph_def)
    with pytest.raises(ConversionError, match="float_layers leave nothing to quantise: oneDNN computes 1 convolution"):
        integer_convolutions.find(graph_def, in_float={found.node.name})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "precision_mode is INT8, which needs calibration_data"),
        ({"calibration": "tensorrt"}, "calibration is 'tensorrt', which is TF-TRT's own .* accelerator is 'onednn'"),
        ({"calibration_cache_dir": "cache"}, "calibration_cache_dir is for tensorrt, and accelerator is 'onednn', for"),
    ],
)
def test_options_that_are_tensorrts(tiny_export, tmp_path, options, message):
    given = {"calibration_data": PICTURES} if options else {}
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.convert(
            tiny_export,
            tmp_path / "b_saved_model",
            accelerator="onednn",
            precision_mode="INT8",
            int8=Int8Options(**given, **options),
        )


def test_a_cpu_without_integer_products(tiny_export, tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("flags\t\t: fpu avx2 avx512f avx512_bf16\n")
    monkeypatch.setattr(environment, "_CPU_INFO", cpuinfo)
    with pytest.raises(ConversionError, match=r"INT8 was asked for .* none of the flags avx512_vnni, avx_vnni, amx_"):
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", accelerator="onednn", precision_mode="INT8")
