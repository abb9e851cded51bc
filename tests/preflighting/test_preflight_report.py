"""A report for its reader: each fault once, and a last line that says no more than was compared."""

import numpy as np
import pytest

from tests.preflighting.recordings import Sketch
from tftrt_yolo.preflighting.numbers_report import ConvolutionDifference, Numbers, OutputDifference
from tftrt_yolo.preflighting.preflight_report import EnginePreflight, PreflightReport
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport
from tftrt_yolo.preflighting.real_builder.replay import Difference
from tftrt_yolo.preflighting.summary import summarize

NUMBERS = Numbers(
    images=1,
    outputs=(OutputDifference("boxes", "px", 0.001, 0.0, 0.01),),
    convolutions=(ConvolutionDifference("a", 0.0, 0.0),),
)
BUILT = BuilderReport(
    builder="TensorRT-RTX",
    version="1.7",
    compute_capability="8.9",
    on_cpu=True,
    engine="TRTEngineOp_000_000",
    layers=1,
    tensor_types={"FLOAT": 2},
    in_half=False,
    differences=(),
    profiles={},
    seconds=1.0,
    plan_bytes=1,
    warnings=(),
)
DIFFERENCE = Difference("UNARY 'exp'", "'y'", "FLOAT (-1, 8)", "FLOAT (-1, 9)")


def _misfitting():
    """A network of a convolution whose filters do not fit."""
    sketch = Sketch()
    facts = {"maps": 16, "kernel": (3, 3), "stride": (1, 1), "groups": 1}
    weights = {"kernel": np.zeros(100, np.float32)}
    sketch.output(sketch.layer("CONVOLUTION", [sketch.input(-1, 8, 6, 6)], (-1, 16, 4, 4), weights=weights, **facts))
    return sketch.network()


def _report(*engines, network=None, numbers=NUMBERS):
    """A report of engines that have these fields."""
    summary = summarize(network or Sketch().network())
    return PreflightReport(
        saved_model_dir="model",
        precision_mode="FP16",
        batch_sizes=(1,),
        tensorflow_version="2.17.0",
        nodes_inside=1,
        nodes_outside=0,
        left_to_tensorflow=(),
        engines=tuple(
            EnginePreflight(name=f"TRTEngineOp_000_00{i}", digest="0" * 64, summary=summary, profiles={}, **fields)
            for i, fields in enumerate(engines)
        ),
        numbers=numbers,
        seconds=1.0,
    )


def _last(report):
    return str(report).splitlines()[-1]


def test_no_faults():
    report = _report({"builder": BUILT})
    assert report.faults == ()
    assert _last(report) == "  no faults"


def test_what_was_left_out_is_in_the_last_line():
    left_out = ("the outputs of e, whose inputs are not the frames alone", "c: there is no convolution of that name")
    report = _report({"builder": BUILT}, numbers=Numbers(1, NUMBERS.outputs, NUMBERS.convolutions, left_out=left_out))
    assert report.faults == ()
    assert _last(report) == "  no faults in what was compared; not compared: 2, above"
    assert [line.strip() for line in str(report).splitlines() if "not compared: " in line][:-1] == [
        f"not compared: {what}" for what in left_out
    ]


BROKEN = Numbers(
    images=1,
    outputs=(OutputDifference("boxes", "px", 5.0, 1.0, 0.01),),
    convolutions=(ConvolutionDifference("a", 0.5, 0.25), ConvolutionDifference("b", 0.25, 0.125)),
    failures=("an unknown layer",),
    left_out=("this",),
)


@pytest.mark.parametrize(
    ("report", "faults"),
    [
        (_report({"refusal": "TensorRT-RTX 1.7 refuses layer 1 of 1"}), 1),
        (_report({"builder": BUILT, "refusal": ""}, {"refusal": "it says nothing"}), 1),
        (_report({"builder": BuilderReport(**vars(BUILT) | {"differences": (DIFFERENCE, DIFFERENCE)})}), 2),
        (_report({"builder": BUILT}, network=_misfitting()), 1),
        (_report({"builder": BUILT}, numbers=BROKEN), 4),
    ],
    ids=["refused", "one of two refused", "another shape", "misfit", "numbers"],
)
def test_each_fault_is_told_once(report, faults):
    assert len(report.faults) == faults
    lines = str(report).splitlines()
    assert [line for line in lines if line.startswith("  FAULT ")] == [f"  FAULT {fault}" for fault in report.faults]
    rest = "\n".join(line for line in lines if not line.startswith("  FAULT "))
    assert "fault" not in rest
    assert "not fit" not in rest
    assert str(DIFFERENCE) not in rest
    assert not any(fault in rest for fault in (*report.faults, *report.numbers.faults))
    assert not any(fault.partition(": ")[2] in rest for engine in report.engines for fault in engine.faults)


@pytest.mark.parametrize(
    ("engines", "is_asked"),
    [
        ([{}], False),
        ([{}, {}], False),
        ([{"builder": BUILT}, {"builder": BUILT}], True),
        ([{"refusal": "no"}], True),
    ],
)
def test_who_was_not_asked_is_told_once(engines, is_asked):
    text = str(_report(*engines))
    assert text.count("was not asked") == text.count("TensorRT 8.6.1, which this TensorFlow loads, was not asked") == 1
    assert text.count("No real TensorRT was asked, for none is installed; pip install ") == (0 if is_asked else 1)
