"""What a step says of a machine that lacks something, and of a conversion that is not what it should be."""

import dataclasses
import inspect
import os
import shutil
from types import SimpleNamespace

import pytest

import tftrt_yolo
from tests.workflows.accepting import hidden
from tftrt_yolo.converter.parity import Parity
from tftrt_yolo.ground.errors import ConversionError, TensorRTUnavailableError
from tftrt_yolo.workflows.accepting import materials, steps
from tftrt_yolo.workflows.accepting.acceptance_report import FAILED, IMPOSSIBLE, PASSED
from tftrt_yolo.workflows.accepting.plan import Step
from tftrt_yolo.workflows.accepting.run import Runner


def _found(function, arguments, task="detect"):
    with Runner(seconds=300.0, shown=str) as runner:
        return runner.run(Step(function, function, task, "FP16", arguments)).finding


@pytest.fixture
def material(tmp_path):
    return materials.lay_out("detect", tmp_path / "data", most=3)


def test_without_the_library_of_the_metrics(tiny_export, material, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", hidden.python_path(tmp_path, "faster_coco_eval"))
    found = _found("evaluate export", {"material": material, "export_dir": tiny_export})
    assert found.state == IMPOSSIBLE
    assert found.words == "faster_coco_eval cannot be imported; pip install tftrt_yolo[evaluate]"


def test_without_a_compiler(tiny_export, material, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # where none is kept
    monkeypatch.setenv("CXX", "no-compiler")
    arguments = {"material": material, "export_dir": tiny_export, "precision_mode": "FP16"}
    found = _found("preflight", arguments)
    assert found.state == IMPOSSIBLE
    assert found.words.startswith("CXX names no-compiler, which is not there.")


def test_an_export_without_tools_says_both_ways_out(material, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", hidden.python_path(tmp_path, "onnxslim"))
    found = _found("export", {"material": material, "export_dir": tmp_path / "x"})
    assert found.state == IMPOSSIBLE
    expected = "onnxslim cannot be imported; pip install tftrt_yolo[export], or give exports that an acceptance made"
    assert found.words.startswith(expected)


def test_a_conversion_that_lost_its_engine(tiny_export, tiny_conversion, tmp_path):
    """Its conversion.json says that there is one, and the graph is the export's."""
    broken = tmp_path / "broken_saved_model"
    shutil.copytree(tiny_conversion, broken)
    shutil.copyfile(tiny_export / "saved_model.pb", broken / "saved_model.pb")
    found = _found("inspect", {"conversion": broken})
    assert found.state == FAILED
    assert "broken_saved_model" in found.words


def test_a_conversion_is_compared_with_its_export(tiny_export, tiny_conversion, material):
    arguments = {"material": material, "export_dir": tiny_export, "conversion": tiny_conversion}
    found = _found("compare", arguments | {"precision_mode": "FP16"})
    assert found.state == PASSED
    if not tftrt_yolo.check().can_build_engines:
        assert found.words == "no engine ran: its native segments, in TensorFlow, in FP32"
    matched, total = found.figures["matched"].split(" of ")
    assert int(matched) == int(total) > 5


@pytest.mark.parametrize(
    ("precision_mode", "least"),
    [
        ("FP32", 99),  # of 100
        ("FP16", 95),
        ("INT8", 75),
    ],
)
def test_how_many_detections_must_be_found(precision_mode, least):
    for matched in (least, least - 1):
        parity = Parity(images=3, detections=100, matched=matched, extra=0, differences={}, device="CPU")
        if matched == least:
            steps._check_parity(parity, precision_mode)
        else:
            expected = rf"^{matched} of 100 detections.* Accepted for {precision_mode} are {least}% of"
            with pytest.raises(ConversionError, match=expected):
                steps._check_parity(parity, precision_mode)


def test_nothing_detected_is_nothing_shown():
    parity = Parity(images=3, detections=0, matched=0, extra=0, differences={}, device="CPU")
    with pytest.raises(ConversionError, match="nothing detected on 3 images, which shows nothing"):
        steps._check_parity(parity, "FP16")


@pytest.mark.parametrize(("before", "state"), [(0.1, PASSED), (1.5, FAILED)])
def test_accuracy_that_is_lost_is_a_fault(tiny_export, tiny_conversion, material, before, state):
    """Against an export that never was so good."""
    arguments = {"material": material, "export_dir": tiny_export, "conversion": tiny_conversion}
    arguments |= {"precision_mode": "FP16", "before": {"box mAP50-95": before}}
    with Runner(seconds=300.0, shown=str) as runner:
        found = runner._ask("evaluate", arguments)
    assert found.state == state, found
    if state == FAILED:
        assert found.words.startswith("box mAP50-95 falls from 1.5000 to 0.")
        assert found.words.endswith("accepted for FP16 is 0.02.")


@pytest.mark.parametrize(("is_built", "has_stand_in"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_rehearsal_has_engines_of_the_stand_in(tiny_conversion, is_built, has_stand_in):
    """Where it built none, as without a GPU, TensorFlow computes, and nothing is rehearsed."""
    report = steps._report_of(tiny_conversion)
    report = dataclasses.replace(report, engines_built=is_built, has_stand_in=has_stand_in)
    assert steps._is_rehearsed(report) == (is_built and has_stand_in)
    assert steps._ran_by(report).startswith("no engine ran") != is_built


@pytest.mark.parametrize("is_built", [True, False])
@pytest.mark.parametrize("name", ["predict", "compare", "evaluate", "two in one process"])
def test_where_engines_were_built_they_compute(material, tmp_path, monkeypatch, name, is_built):
    """TF-TRT's detour through TensorFlow is closed, or a row would pass over engines that do not run.

    What computes is played: here are no engines.
    """
    seen, variable = [], "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"
    monkeypatch.delenv(variable, raising=False)

    def compute(*_, **__):
        seen.append(os.environ.get(variable))
        raise TensorRTUnavailableError("played")

    built = SimpleNamespace(engines_built=is_built, precision_mode="FP16", has_stand_in=False)
    monkeypatch.setattr(steps, "_report_of", lambda _: built)
    for verb in ("predict", "_parity", "_evaluated", "Predictor"):
        monkeypatch.setattr(steps, verb, compute)
    given = {"conversion": tmp_path, "conversions": (tmp_path, tmp_path), "material": material, "export_dir": tmp_path}
    given |= {"pictures_dir": tmp_path, "precision_mode": "FP16", "before": {}}
    step = steps.STEPS[name]
    finding = steps._outcome(step, {key: given[key] for key in inspect.signature(step).parameters})
    assert (finding.state, finding.words) == (IMPOSSIBLE, "played")
    assert seen == ["false" if is_built else None]
    assert variable not in os.environ
