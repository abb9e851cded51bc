"""A network in parts against the same network whole, in TensorFlow; and what each part holds, as TF-TRT needs it."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests import toy
from tests.conftest import IMAGES
from tftrt_yolo.converter import parts
from tftrt_yolo.converter.int8 import calibration, quantization
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.calibration_images import Calibration
from tftrt_yolo.converter.int8.in_float.float_layers import FloatLayers
from tftrt_yolo.converter.int8.quantization import QUANTIZE_OPS
from tftrt_yolo.ground.files import directories
from tftrt_yolo.saved_model.handle import open_saved_model

PICTURES = tuple(map(str, IMAGES[:3]))
FRAMES = np.random.default_rng(0).random((2, toy.SIZE, toy.SIZE, 3), np.float32)
FLOAT, INT8 = parts.FLOAT, parts.INT8


@functools.cache
def _calibrated(export, *asked):
    wanted = FloatLayers(asked) if asked else None
    return calibration.calibrate(
        open_saved_model(export), Calibration(PICTURES, "max", str(directories.cache_dir()), wanted)
    )


def _run(graph_def, inputs, outputs, given):
    """A graph's outputs by name; inputs and outputs are names to tensors."""

    def run(*values):
        return tf.graph_util.import_graph_def(
            graph_def, dict(zip(inputs.values(), values, strict=True)), list(outputs.values())
        )

    found = tf.function(run, autograph=False)(*(tf.constant(given[name]) for name in inputs))
    return {name: value.numpy() for name, value in zip(outputs, found, strict=True)}


def _chained(divided):
    values = {parts.FRAMES: FRAMES}
    for part in divided:
        values |= _run(part.graph_def, part.inputs, part.outputs, values)
    return values


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        (("head",), [INT8, FLOAT]),
        (("scores",), [INT8, FLOAT]),  # boxes come from the first, scores from the second
        (("convolution",), [FLOAT, INT8]),  # the first of all
        (("convolution", "convolution_2", "head"), [FLOAT, INT8, FLOAT, INT8, FLOAT]),
    ],
)
def test_parts_compute_what_the_whole_computes(toy_export, asked, kinds):
    """What is whole is quantised in one graph, and no part of it: two ways to the same numbers."""
    calibrated = _calibrated(toy_export, *asked)
    divided = parts.divide(calibrated)
    assert [part.precision_mode for part in divided] == kinds
    assert sum(part.convolutions for part in divided) == toy.CONVOLUTIONS
    whole = calibrated.quantized()
    expected = _run(whole, {parts.FRAMES: calibrated.frames_name}, calibrated.outputs, {parts.FRAMES: FRAMES})
    found = _chained(divided)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-3 if name == "boxes" else 1e-5)
    assert divided[0].inputs == {parts.FRAMES: calibrated.frames_name}
    for part in divided[1:]:
        assert parts.FRAMES not in part.inputs
        assert part.shapes.keys() == part.inputs.keys()


def test_a_part_in_int8_is_quantised_throughout_and_one_in_float_not_at_all(toy_export):
    """Otherwise TF-TRT leaves convolutions to TensorFlow, or takes all for INT8 (tensorflow's convert_graph.cc)."""
    for part in parts.divide(_calibrated(toy_export, "convolution_2", "head")):
        nodes = {node.name: node for node in part.graph_def.node}
        convolutions = [node for node in nodes.values() if node.op == "Conv2D"]
        assert len(convolutions) == part.convolutions > 0
        producers = [nodes[name.partition(":")[0]].op for node in convolutions for name in node.input[:2]]
        if part.precision_mode == INT8:
            assert producers == ["QuantizeAndDequantizeV2"] * len(producers)
        else:
            assert not QUANTIZE_OPS.intersection(node.op for node in nodes.values())


def test_layers_in_float_keep_their_filters(toy_export):
    calibrated, plain = _calibrated(toy_export, "head"), _calibrated(toy_export)
    assert len(calibrated.layers) + len(calibrated.float_layers) == len(plain.layers) == toy.CONVOLUTIONS
    tail = parts.divide(calibrated)[1]
    found = {layer.name: layer.kernel for layer in quantization.find_layers(tail.graph_def)}
    exported = {layer.name: layer.kernel for layer in calibrated.float_layers}
    assert found.keys() == exported.keys()
    for name, kernel in exported.items():
        np.testing.assert_array_equal(found[name], kernel)


def _padded_network():
    """Convolutions of PyTorch's kind, which pad before they stride, and a split whose second half is handed on."""
    random = np.random.default_rng(1)
    kernels = [random.standard_normal(shape).astype(np.float32) for shape in ((3, 3, 3, 8), (3, 3, 8, 8), (1, 1, 4, 4))]

    def network(frames):
        first = tf.nn.silu(tf.nn.conv2d(frames, kernels[0], 1, "SAME", name="a/one"))
        padded = tf.pad(first, [[0, 0], [1, 1], [1, 1], [0, 0]])
        second = tf.nn.conv2d(padded, kernels[1], 2, "VALID", name="b/two")
        left, right = tf.split(second, 2, axis=-1)
        third = tf.nn.conv2d(right, kernels[2], 1, "SAME", name="c/three")
        return tf.identity(left + third, name="result")

    signature = tf.TensorSpec((None, 16, 16, 3), tf.float32, name="frames")
    function = tf.function(network, autograph=False).get_concrete_function(signature)
    return function.graph.as_graph_def(), function.outputs[0].name


@pytest.mark.parametrize(("in_float", "handed"), [("two", (16, 16, 8)), ("three", (8, 8, 4))])
def test_what_is_handed_on(in_float, handed):
    """Before the pad and not behind it; the half of a split that is read, under a name of its own; else to the bit."""
    graph_def, output = _padded_network()
    layers = quantization.find_layers(graph_def)
    frames = np.random.default_rng(2).random((2, 16, 16, 3), np.float32)
    chosen = [layer for layer in layers if not layer.name.endswith(in_float)]
    ranges = {layer.source: quantization.Range(-4.0, 4.0) for layer in layers}
    calibrated = Calibrated(graph_def, "frames:0", {"result": output}, chosen, ranges, [], [])
    divided = parts.divide(calibrated)
    taken = {name: shape for part in divided for name, shape in part.shapes.items() if name != parts.FRAMES}
    assert handed in taken.values()
    whole = quantization.quantize(graph_def, chosen, ranges)
    [expected] = _run(whole, {"frames": "frames:0"}, {"result": output}, {"frames": frames}).values()
    values = {parts.FRAMES: frames}
    for part in divided:
        values |= _run(part.graph_def, part.inputs, part.outputs, values)
    np.testing.assert_allclose(values["result"], expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def converted(toy_export, tmp_path_factory):
    output = tmp_path_factory.mktemp("split") / "toy_split_saved_model"
    int8 = tftrt_yolo.Int8Options(calibration_data=IMAGES[0].parent / "*0.jpg", float_layers="head")
    return output, tftrt_yolo.convert(toy_export, output, precision_mode="INT8", int8=int8)


def test_a_conversion_holds_both_engines(toy_export, converted):
    from tftrt_yolo.saved_model import saved_model_pb
    from tftrt_yolo.saved_model.trust import agreement

    output, report = converted
    assert [part.precision_mode for part in report.parts] == [INT8, FLOAT]
    assert (report.engines, report.nodes_outside, report.coverage) == (2, 0, 1.0)
    assert report.quantization.layers + len(report.quantization.float_layers) == toy.CONVOLUTIONS
    assert [part.convolutions for part in report.parts] == [report.quantization.layers, 4]  # two levels, two branches
    engines = saved_model_pb.engine_nodes(saved_model_pb.read(output).meta_graphs[0].graph_def)
    assert sorted(map(agreement.precision_mode, engines.values())) == [FLOAT, INT8]
    looked = tftrt_yolo.inspect(output)
    assert looked.conversion == report
    assert len(looked.engines) == 2
    text = str(report)
    assert "2 TensorRT engines, INT8/FP16, not built here" in text
    assert "part 2, FP16: 4 convolutions, 1 engine" in text
    cut = sum(4 * np.prod(shape) for shape in report.parts[1].inputs.values())
    assert report.parts[1].input_bytes == cut > 0
    assert sorted(looked.engine_precision_modes.values()) == [FLOAT, INT8]
    predictor = tftrt_yolo.Predictor(output)
    assert "FP16/INT8" in str(predictor.backend)
    assert len(predictor(IMAGES[0])) > 0


def test_a_report_that_says_other_precisions_is_refused(converted, tmp_path):
    from tests.saved_model.edits import copied
    from tftrt_yolo.saved_model.handle import SavedModelHandle
    from tftrt_yolo.saved_model.trust import agreement, believed

    output, report = converted
    handle = open_saved_model(copied(output, tmp_path / "b_saved_model"))
    meta_graph = believed.read(handle)
    rows = handle.conversion["parts"]
    for changed, message in (
        ([], "has engines in 'FP16', 'INT8'. Its conversion.json says INT8: "),
        ([rows[0] | {"precision_mode": "FP32"}, rows[1]], "Its conversion.json says FP16, FP32: "),
        ([rows[0], {}], "has 'parts': a list of 2 in its conversion.json. Expected a list of the network's parts"),
        ("FP16", "has 'parts': 'FP16' in its conversion.json"),
        ([[]], "has 'parts': a list of 1"),
    ):
        edited: SavedModelHandle = dataclasses.replace(handle, conversion=handle.conversion | {"parts": changed})
        with pytest.raises(tftrt_yolo.SavedModelError, match=message.replace(".", r"\.")):
            agreement.check(edited, meta_graph)
    assert report.parts
