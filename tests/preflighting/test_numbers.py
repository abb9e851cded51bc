"""Recordings of a toy against TensorFlow, as they are and damaged: a network that computes another thing is caught."""

import dataclasses
import math
import re

import numpy as np
import pytest

from tests import toy
from tests.conftest import IMAGES
from tests.preflighting.layers import changed
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.numbers_report import (
    ConvolutionDifference,
    Numbers,
    OutputDifference,
    RoundingDifference,
)
from tftrt_yolo.preflighting.preflight import preflight
from tftrt_yolo.saved_model.handle import open_saved_model, open_unfinished


@pytest.fixture(scope="module")
def compare():
    """Compares a network with TensorFlow; TensorFlow comes late, for others to be collected sooner."""
    from tftrt_yolo.preflighting.numbers import compare_numbers

    return lambda source, *networks, images=IMAGES[:1]: compare_numbers(source, networks, [str(i) for i in images])


@pytest.fixture(scope="module")
def plain(toy_export, tmp_path_factory):
    """What was converted, and its network: FP16."""
    folder = tmp_path_factory.mktemp("fp16") / "preflight"
    preflight(toy_export, output_dir=folder)
    [network] = recorded_network.read(folder)
    return open_saved_model(toy_export), network


@pytest.fixture(scope="module")
def quantized(toy_export, tmp_path_factory):
    """The same for INT8: what a preflight quantises, quantised again."""
    from tftrt_yolo.converter.int8 import calibration
    from tftrt_yolo.converter.int8.int8_options import Int8Options

    folder = tmp_path_factory.mktemp("int8")
    preflight(toy_export, precision_mode="INT8", calibration_data=IMAGES[0].parent, output_dir=folder / "preflight")
    [network] = recorded_network.read(folder / "preflight")
    options = Int8Options(calibration_data=IMAGES[0].parent)
    source = open_saved_model(toy_export)
    calibrated = calibration.calibrate(source, options.quantization(folder).calibration)
    calibration.write_quantized(source, folder / "quantized", calibrated)
    return open_unfinished(folder / "quantized"), network


def test_int8_with_a_tail_in_float(toy_export, tmp_path):
    """Two engines, the second fed what the first gives; with TensorFlow's integers they agree as FP16's do."""
    from tftrt_yolo.converter.int8.int8_options import Int8Options

    int8 = Int8Options(calibration_data=IMAGES[0].parent, float_layers=("head",))
    report = preflight(
        toy_export, precision_mode="INT8", calibration_data=int8, batch_sizes=(1,), output_dir=tmp_path / "preflight"
    )
    assert report.faults == (), report
    assert (report.nodes_outside, report.left_to_tensorflow) == (0, ())
    body, tail = (engine.summary for engine in report.engines)
    assert ("INT8" in body.builder_flags, "INT8" in tail.builder_flags, "FP16" in tail.builder_flags) == (1, 0, 1)
    counts = [sum(row.count for row in summary.convolutions) for summary in (body, tail)]
    assert counts == [part.convolutions for part in report.parts] == [toy.CONVOLUTIONS - 4, 4]
    assert [sum(row.quantized for row in summary.convolutions) for summary in (body, tail)] == [counts[0], 0]
    handed = {port.link: port.dims[1:] for port in tail.inputs}
    assert handed == report.parts[1].inputs == {port.link: port.dims[1:] for port in body.outputs}
    assert {port.signature_output for port in tail.outputs} == {"boxes", "scores"}
    numbers = report.numbers
    assert [one.bound for one in numbers.outputs] == [None, None]
    assert [one.bound for one in numbers.settled] == [0.01, 1e-4]
    assert len(numbers.convolutions) == toy.CONVOLUTIONS
    assert numbers.left_out == ()
    first, second = recorded_network.read(tmp_path / "preflight")
    assert first.links["TensorRTInputPH_0"] == "frames"
    assert set(second.links.values()) == set(handed)
    assert report.engines[0].builder is None or not report.engines[0].builder.in_half
    assert report.engines[1].builder is None or report.engines[1].builder.in_half


def test_fp16(compare, plain):
    found = compare(*plain, images=IMAGES[:2])
    assert found.faults == ()
    assert [(one.label, one.unit, one.bound) for one in found.outputs] == [("boxes", "px", 0.01), ("scores", "", 1e-4)]
    assert all(0 < one.mean <= one.largest for one in found.outputs)
    assert len(found.convolutions) == toy.CONVOLUTIONS
    assert all(one.filters == 0 for one in found.convolutions)
    assert (found.images, found.left_out, found.settled, found.rounding) == (2, (), (), None)


def test_int8(compare, quantized):
    found = compare(*quantized)
    assert found.faults == ()
    assert [one.bound for one in found.outputs] == [None, None]
    assert [one.bound for one in found.settled] == [0.01, 1e-4]
    assert found.rounding.values > 50_000
    assert len(found.convolutions) == toy.CONVOLUTIONS
    assert all(one.filters == 0 for one in found.convolutions)


def _first(kind):
    return lambda one: one.kind == kind


def _big(one):
    return one.kind == "CONVOLUTION" and one.attributes["kernel"] == (3, 3) and one.attributes["stride"] == (1, 1)


def _filters(network, turn):
    """The network with the filters of a convolution of 3 x 3 turned."""
    one = next(filter(_big, network.layers))
    kernel = one.weights["kernel"].reshape(one.attributes["maps"], -1, 3, 3)
    return changed(network, _big, weights={"kernel": np.ascontiguousarray(turn(kernel)).reshape(-1)})


_SHAPE = r"gives float32 \(.*\)\. Expected FLOAT \(.*\) as recorded"


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda network: _filters(network, lambda x: x.swapaxes(2, 3)), "filters differ by"),  # height and width
        (lambda network: _filters(network, lambda x: x[:, ::-1]), "filters differ by"),  # order of channels
        (lambda network: _filters(network, lambda x: x[::-1]), "filters differ by"),
        (lambda network: changed(network, _big, attributes={"padding_mode": None}), _SHAPE),
        (lambda network: changed(network, _big, attributes={"stride": (2, 2)}), _SHAPE),
        (
            lambda network: changed(network, _first("PADDING"), attributes={"pre_padding": (0, 0)}),
            _SHAPE,
        ),
        (  # another side: no convolution alone shows it, for it is fed what TensorFlow padded
            lambda network: changed(
                network, _first("PADDING"), attributes={"pre_padding": (0, 0), "post_padding": (2, 2)}
            ),
            "boxes .* px at most",
        ),
        (lambda network: changed(network, _first("ACTIVATION"), attributes={"type": "TANH"}), "boxes .* px at most"),
        (
            lambda network: changed(network, _first("SHUFFLE"), attributes={"first_transpose": (0, 3, 1, 2)}),
            "boxes|gives",
        ),
        (
            lambda network: changed(network, _first("ELEMENTWISE"), attributes={"operation": "SUB"}),
            "boxes .* px at most",
        ),
        (
            lambda network: changed(network, _first("ACTIVATION"), kind="LRN"),
            r"is of kind LRN, which the executor does",
        ),
        (
            lambda network: dataclasses.replace(
                network, signature_outputs=dict.fromkeys(network.signature_outputs, "masks")
            ),
            r"TensorRTOutputPH_\d of the recorded network is \(1, \d+, \d+\) and masks of the signature missing\. "
            "Expected one shape",
        ),
        (
            lambda network: dataclasses.replace(
                network,
                signature_outputs=dict(
                    zip(network.signature_outputs, reversed(network.signature_outputs.values()), strict=True)
                ),
            ),
            r"is \(1, \d+, \d+\) and \w+ of the signature \(1, \d+, \d+\)\. Expected one shape",
        ),
    ],
)
def test_a_damaged_network_is_caught(compare, plain, damage, fault):
    source, network = plain
    found = compare(source, damage(network))
    assert any(re.search(fault, one) for one in found.faults), found
    assert not any(fault in str(found) for fault in found.faults)  # the report tells them, once


def test_int8_filters_that_are_turned_are_caught(compare, quantized):
    """Height and width swapped: a real builder accepts that."""
    source, network = quantized
    producers = network.producers()
    turns = {id(producers[one.inputs[1]]) for one in network.layers if _big(one)}
    damaged = changed(network, lambda one: id(one) in turns, attributes={"first_transpose": (3, 2, 1, 0)})
    [fault] = [one for one in compare(source, damaged).faults if "filters differ by" in one]
    assert "output within 0." in fault or "output within 1." in fault


@pytest.mark.parametrize("factor", [0.5, 1.01, 2])
def test_a_step_that_is_wrong_is_caught(compare, quantized, factor):
    """Of what the second convolution reads: in its own output, and in the integers."""
    source, network = quantized
    of_data = [i for i in network.layers if i.kind == "QUANTIZE" and network.tensors[i.inputs[0]].dims[0] == -1]
    step = network.producers()[of_data[1].inputs[1]]
    values = {"values": step.weights["values"] * np.float32(factor)}
    result = compare(source, changed(network, lambda one: one is step, weights=values))
    assert not result.rounding.is_within
    assert any("filters equal, output within" in one for one in result.faults)
    assert any("quantised numbers differ, by" in one for one in result.faults)


def _taking(network, *dims):
    """The network with an input of another shape."""
    tensors = list(network.tensors)
    tensors[network.inputs[0]] = dataclasses.replace(tensors[network.inputs[0]], dims=dims)
    return dataclasses.replace(network, tensors=tuple(tensors))


def _renamed(network):
    """The network with names of convolutions that TensorFlow's graph does not have."""
    layers = (
        dataclasses.replace(one, name=f"{network.engine}/other-conv:CONVOLUTION") if one.kind == "CONVOLUTION" else one
        for one in network.layers
    )
    return dataclasses.replace(network, layers=tuple(layers))


@pytest.mark.parametrize(
    ("given", "missing"),
    [((), "boxes, scores"), (("boxes",), "scores"), (("scores",), "boxes")],
)
def test_an_output_that_the_only_engine_does_not_give_is_a_fault(compare, plain, given, missing):
    source, network = plain
    outputs = {name: output for name, output in network.signature_outputs.items() if output in given}
    found = compare(source, dataclasses.replace(network, signature_outputs=outputs))
    what = f"{missing} of the signature, which TRTEngineOp_000_000 does not give"
    assert found.faults == (f"not compared: {what}",)
    assert found.left_out == ()
    assert {one.label for one in found.outputs} == set(given)
    assert len(found.convolutions) == toy.CONVOLUTIONS  # these need no frames


def test_of_several_engines_no_output_is_missed(compare, plain):
    """Another engine, or TensorFlow between them, gives what this one does not."""
    source, network = plain
    first = dataclasses.replace(network, signature_outputs={}, engine="TRTEngineOp_000_001")
    found = compare(source, first, _taking(network, -1, 32, 32, 3))
    assert found.faults == ()
    assert found.left_out == (
        "boxes, scores of the signature, which TRTEngineOp_000_001 does not give",
        "the outputs of TRTEngineOp_000_000, whose inputs are not the frames alone",
    )
    assert str(found).splitlines()[-2:] == [f"  not compared: {what}" for what in found.left_out]
    assert len(found.convolutions) == 2 * toy.CONVOLUTIONS


def test_convolutions_of_which_none_is_compared_are_a_fault(compare, plain):
    source, network = plain
    found = compare(source, _renamed(network))
    assert found.convolutions == ()
    assert found.faults == (
        f"no convolution of TRTEngineOp_000_000 was compared: of {toy.CONVOLUTIONS} none has the name of one in "
        "TensorFlow's graph. Run the preflight again, and report it with its network.json.",
    )
    assert len(found.left_out) == toy.CONVOLUTIONS
    assert [one.label for one in found.outputs] == ["boxes", "scores"]
    found = compare(source, _taking(_renamed(network), -1, 32, 32, 3))  # nothing at all
    assert (found.outputs, found.convolutions, len(found.faults)) == ((), (), 1)


def test_one_convolution_that_is_not_compared_is_left_out(compare, plain):
    source, network = plain
    name = f"{network.engine}/other-conv:CONVOLUTION"
    found = compare(source, changed(network, _first("CONVOLUTION"), name=name))
    assert found.faults == ()
    assert found.left_out == (f"{name}: there is no convolution of that name in TensorFlow's graph",)
    assert len(found.convolutions) == toy.CONVOLUTIONS - 1


def test_int8_that_nothing_bounds_is_a_fault(compare, quantized):
    """Its outputs are only reported where TensorFlow's integers cannot stand for its own."""
    source, network = quantized
    found = compare(source, _renamed(network))
    assert [one.bound for one in found.outputs] == [None, None]
    assert found.settled == ()
    assert found.faults[0] == (
        "TRTEngineOp_000_000 quantises, and no quantisation stands before a convolution of TensorFlow's graph: nothing "
        "bounds its outputs. Run the preflight again, and report it with its network.json."
    )
    assert found.faults[1].startswith("no convolution of TRTEngineOp_000_000 was compared: ")


def test_a_network_that_was_frozen_is_not_frozen_again(plain):
    """What is given is what is compared with: here another network's weights."""
    import tensorflow as tf

    from tftrt_yolo.preflighting.numbers import compare_numbers
    from tftrt_yolo.saved_model import freeze

    source, network = plain
    frozen = freeze.freeze_network(source)
    for node in frozen.graph_def.node:
        if node.op == "Conv2D":
            filters = next(one for one in frozen.graph_def.node if one.name == node.input[1].partition(":")[0])
            values = tf.make_ndarray(filters.attr["value"].tensor)
            filters.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(2 * values))
            break
    found = compare_numbers(source, [network], [str(IMAGES[0])], frozen=frozen)
    assert sum(one.filters != 0 for one in found.convolutions) == 1


def test_no_image(compare, plain):
    with pytest.raises(ValueError, match=r"^no images\. Expected at least one to compare on\.$"):
        compare(*plain, images=[])


def test_figures_for_a_reader():
    outputs = (
        OutputDifference("boxes", "px", 0.00043, 1.4e-05, 0.01),
        OutputDifference("prototypes", "relative", 0.5, 0.2, None),
    )
    convolutions = (
        ConvolutionDifference("a", 0.0, 2e-6),
        ConvolutionDifference("b", 0.25, 0.0),
        ConvolutionDifference("c", 0.0, 0.0),
    )
    settled = (OutputDifference("scores", "", math.nan, 0.0, 1e-4),)
    found = Numbers(
        images=1,
        outputs=outputs,
        convolutions=convolutions,
        settled=settled,
        rounding=RoundingDifference(19_127_500, 231, 1),
        left_out=("this",),
        failures=("that",),
    )
    assert str(found).splitlines() == [
        "The recorded network against TensorFlow, on 1 image:",
        "  boxes 0.00043 px at most, 1.4e-05 px on average (0.01 px allowed)",
        "  prototypes 0.5 relative at most, 0.2 relative on average (reported only)",
        "  231 of 19,127,500 quantised numbers differ, by 1 step at most; with TensorFlow's in their place:",
        "    scores beyond what is allowed",
        "  3 convolutions alone: the filters of 2 equal, the outputs of 2 equal to the bit, 1 beyond what is allowed",
        "  not compared: this",
    ]
    assert found.faults == (
        "that",
        "scores nan at most, 0 on average (0.0001 allowed)",
        "b: filters differ by 0.25, output within 0 of its largest",
    )
    within = dataclasses.replace(found, convolutions=convolutions[::2])
    assert (
        "  2 convolutions alone: the filters of 2 equal, the outputs of 1 equal to the bit, the worst is a: filters "
        "equal, output within 2e-06 of its largest\n"
    ) in str(within)
    alone = ConvolutionDifference("a", math.inf, math.inf, "layer a cannot be computed")
    told = Numbers(images=1, outputs=(), convolutions=(alone,), failures=(alone.why,))
    assert told.faults == (alone.why,)
    assert dataclasses.replace(told, failures=()).faults == ("a: not equal (layer a cannot be computed)",)
    many = dataclasses.replace(found, rounding=RoundingDifference(10, 5, 2))
    assert "\n  more quantised numbers differ than ties explain; with TensorFlow's in their place:\n" in str(many)
    assert "5 of 10 quantised numbers differ, by 2 steps at most" in many.faults
    assert str(ConvolutionDifference("a", math.inf, 0.0)) == "a: not equal"  # as a report of an earlier version has it
    assert OutputDifference("scores", "", 0.5, 0.1, None).is_within
    assert not OutputDifference("scores", "", math.nan, math.nan, None).is_within  # though nothing bounds it
    assert RoundingDifference(10_000, 2, 1).is_within is False  # more than a tie now and then
    assert Numbers(images=2, outputs=(), convolutions=()).faults == ()
    assert (
        str(Numbers(images=2, outputs=(), convolutions=())) == "The recorded network against TensorFlow, on 2 images:"
    )
