"""Which convolutions stay in float: against a search of another kind through the graph, and what is refused."""

import dataclasses

import pytest

import tftrt_yolo
from tests import toy
from tests.conftest import IMAGES
from tftrt_yolo import Int8Options
from tftrt_yolo.converter.int8 import depthwise, quantization
from tftrt_yolo.converter.int8.in_float import choosing
from tftrt_yolo.converter.int8.in_float.float_layers import FloatLayers
from tftrt_yolo.converter.int8.in_float.sensitivity_report import SensitivityReport
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.handle import open_saved_model

PICTURES = IMAGES[0].parent / "*0.jpg"


@pytest.fixture(scope="module")
def network(toy_export):
    """What `choose` takes beside what was asked for."""
    handle = open_saved_model(toy_export)
    frozen, _, outputs = freeze.freeze_network(handle)
    graph_def = depthwise.as_ordinary(frozen)
    return graph_def, quantization.find_layers(graph_def), outputs, handle.metadata


@pytest.fixture(scope="module")
def report(toy_export, tmp_path_factory):
    """A sensitivity report of the toy, and its directory."""
    directory = tmp_path_factory.mktemp("sensitivity") / "report"
    return tftrt_yolo.sensitivity(toy_export, PICTURES, images=2, output_dir=directory), directory


def _readers(graph_def, name):
    """Every node that depends on a node, by looking forward."""
    found, grew = {name}, True
    while grew:
        more = {
            node.name
            for node in graph_def.node
            if node.name not in found and any(one.lstrip("^").partition(":")[0] in found for one in node.input)
        }
        found, grew = found | more, bool(more)
    return found - {name}


def test_the_head_is_what_no_convolution_comes_behind(network):
    graph_def, layers, outputs, _ = network
    names = {layer.name for layer in layers}
    behind = {name: _readers(graph_def, name) for name in names}
    last = {name for name in names if not behind[name] & names}
    assert len(last) == 4  # two levels, two branches
    assert choosing.choose(FloatLayers(("head",)), *network) == last
    for output in ("boxes", "scores"):
        giving = {name for name in last if outputs[output].partition(":")[0] in behind[name]}
        assert len(giving) == 2
        assert choosing.choose(FloatLayers((output,)), *network) == giving
    assert choosing.choose(FloatLayers(("boxes", "scores", "head")), *network) == last
    assert choosing.choose(None, *network) == frozenset()


def test_names_are_those_that_sensitivity_prints(network, report):
    found, _ = report
    by_cost = sorted(found.layers, key=lambda layer: -layer.cost)
    for count in (1, 3):
        chosen = choosing.choose(FloatLayers(report=found, report_path="a", costliest=count), *network)
        rows = {layer.name for layer in by_cost[:count]}
        assert {choosing.short_name(layer) for layer in network[1] if layer.name in chosen} == rows
        assert choosing.choose(FloatLayers(tuple(rows)), *network) == chosen


def test_what_is_not_there_or_leaves_nothing_is_refused(network):
    everything = tuple(choosing.short_name(layer) for layer in network[1])
    for asked, message in (
        (
            ("convolution_99",),
            r"names 'convolution_99', which is no .*Near are convolution_\d.*Known are head, boxes, sc",
        ),
        (("hed",), r"names 'hed'.*Near are head\. "),
        (("\x1b[31m" * 90,), r"names '\\x1b\[31m.* \.\.\., which is no convolution"),
        (everything, rf"leave nothing to quantise: all {toy.CONVOLUTIONS} convolutions .*Name fewer of them, or conv"),
    ):
        with pytest.raises(ConversionError, match=f"float_layers .*{message}"):
            choosing.choose(FloatLayers(asked), *network)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: {"task": "pose"}, "for 'pose' at 64 x 64 px"),
        (lambda report: {"image_size_hw": (64, 32)}, "for 'detect' at 32 x 64 px"),
        (lambda report: {"layers": report.layers[:-1]}, "with 27 convolutions, and this one has 28"),
        (lambda report: {"weights_sha256": "0" * 64}, "with other weights, though of the same layers"),
        (
            lambda report: {"layers": (dataclasses.replace(report.layers[0], name="x"), *report.layers[1:])},
            r"whose 'x' has a filter \[3, 3, 3, 8\], and here convolution has \[3, 3, 3, 8\]",
        ),
    ],
)
def test_a_report_of_another_model_is_refused(network, report, change, message):
    other = dataclasses.replace(report[0], **change(report[0]))
    with pytest.raises(ConversionError, match=f"a.json is the sensitivity report of another model, {message}"):
        choosing.choose(FloatLayers(report=other, report_path="a.json", costliest=1), *network)
    nameless = dataclasses.replace(report[0], weights_sha256=None)  # an older version's
    assert len(choosing.choose(FloatLayers(report=nameless, costliest=1), *network)) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"costliest_layers": 3}, ValueError, "costliest_layers needs sensitivity_report"),
        ({"sensitivity_report": "nowhere"}, tftrt_yolo.SensitivityError, "nowhere cannot be read"),
        (
            {"float_layers": "head", "calibration": "tensorrt"},
            ValueError,
            "float_layers names what stays in float, and",
        ),
    ],
)
def test_options_that_make_no_sense(toy_export, tmp_path, options, error, message):
    int8 = Int8Options(calibration_data=PICTURES, **options)
    with pytest.raises(error, match=message):
        tftrt_yolo.convert(toy_export, tmp_path / "b_saved_model", precision_mode="INT8", int8=int8)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"float_layers": (1,)}, "float_layers is a tuple of 1; expected names"),
        ({"float_layers": ("",)}, "float_layers is a tuple of 1; expected names"),
        ({"float_layers": 5}, "float_layers is 5; expected names"),
        ({"costliest_layers": 0}, "costliest_layers is 0; it must be a whole number of at least 1"),
    ],
)
def test_options_of_another_form(options, message):
    with pytest.raises(ValueError, match=message):
        Int8Options(calibration_data="a", **options)


def test_a_report_that_cannot_be_read(toy_export, report, tmp_path):
    """Damaged before anything is calibrated; and the report's own number is what it was."""
    file = tmp_path / "sensitivity.json"
    file.write_bytes((report[1] / "sensitivity.json").read_bytes()[:-40])
    with pytest.raises(tftrt_yolo.SensitivityError, match=r"sensitivity\.json is damaged"):
        Int8Options(calibration_data=PICTURES, sensitivity_report=file).check("tensorrt")
    assert SensitivityReport.read(report[1]).weights_sha256 == open_saved_model(toy_export).metadata.weights_sha256
