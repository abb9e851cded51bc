"""What a report says of a machine, and that it claims nothing that was not shown."""

import dataclasses
import json

import pytest

import tftrt_yolo
from tests.workflows.accepting import reports
from tftrt_yolo.workflows.accepting.acceptance_report import FAILED, FILE, PASSED, AcceptanceReport, Finding

STATES = {
    "no GPU": (reports.without_engines(reports.WITHOUT_GPU), "(no GPU, libnvinfer.so.8.6.1 cannot be opened); the"),
    "no TensorRT": (
        reports.without_engines(reports.WITHOUT_TENSORRT),
        "No TensorRT engine was built or run on this machine (libnvinfer.so.8.6.1 cannot be opened); the",
    ),
    "stand-in": (
        reports.built(is_rehearsal=True),
        "computed the engines of 1 of 2 conversions on the host; that shows",
    ),
    "TensorRT": (reports.built(), "TensorRT 8.6.1 built engines for 1 of 2 conversions on this machine; what"),
    "TensorRT, and nothing built": (
        reports.without_engines(reports.WITH_TENSORRT),
        "No TensorRT engine was built or run on this machine (see the rows that did not pass); the",
    ),
    "check crashed": (reports.without_engines(reports.CRASHED), "(`check` did not come to an end); the"),
}


@pytest.mark.parametrize("state", STATES)
def test_the_headline_says_what_was_shown(state):
    report, expected = STATES[state]
    assert expected in report.headline
    assert report.headline.count(". ") == 0
    assert str(report).splitlines()[1] == report.headline


@pytest.mark.parametrize("state", STATES)
def test_only_a_rehearsal_is_called_one(state):
    report, _ = STATES[state]
    is_rehearsal = state == "stand-in"
    assert report.is_rehearsal == is_rehearsal
    assert ("rehearsal, not TensorRT" in str(report)) == is_rehearsal
    assert report.headline.startswith("A rehearsal: ") == is_rehearsal


def test_what_failed_is_a_fault_and_what_is_impossible_is_none():
    assert reports.built().faults == ("detect INT8, convert: TensorRT said\nno <b>engine</b>",)
    assert reports.without_engines(reports.WITHOUT_GPU).faults == ()


def test_it_is_read_back(tmp_path):
    report = reports.built(is_rehearsal=True)
    report.write(tmp_path)
    assert AcceptanceReport.read(tmp_path) == AcceptanceReport.read(tmp_path / FILE) == report
    document = json.loads((tmp_path / FILE).read_text())
    assert document["title"] == "Acceptance of tftrt_yolo 1.2.3: rehearsal, not TensorRT"
    assert document["counts"] == {"passed": 3, "failed": 1, "not possible here": 0, "not run": 1}
    assert document["environment"]["engine_runtime"] == "stand-in for TensorRT 8.6.1"


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(
        tftrt_yolo.AcceptanceError, match=r"cannot be read: .* Expected a report\.json of an acceptance"
    ):
        tftrt_yolo.AcceptanceReport.read(tmp_path)
    (tmp_path / FILE).write_text('{"format_version": 1, "engines": []}')
    with pytest.raises(tftrt_yolo.AcceptanceError, match=r"is damaged \(.*'engines'.*; run it again"):
        tftrt_yolo.AcceptanceReport.read(tmp_path)


def test_the_text_sums_up_by_steps_and_names_what_failed():
    lines = str(reports.built()).splitlines()
    table = {line.split("  ")[0].strip(): " ".join(line.split("  ")[1:]).strip() for line in lines}
    assert table["export"] == "ok"
    assert table["convert"] == "ok FP16, FAILED INT8"
    assert table["built engines"] == "ok FP16, not run INT8"
    assert "rehearsed FP16, FAILED INT8" in str(reports.built(is_rehearsal=True))
    assert "failed: detect INT8 convert" in lines
    assert "  no <b>engine</b>" in lines


def test_the_matrix_has_a_line_a_precision():
    header, lines = reports.built().matrix()
    assert header == ["task", "precision", "export", "convert", "built engines"]
    assert lines == [
        ["detect", "", "ok", "", ""],
        ["detect", "FP16", "", "ok", "ok"],
        ["detect", "INT8", "", "FAILED", "not run"],
    ]
    _, lines = reports.built(is_rehearsal=True).matrix()
    assert lines[:2] == [["detect", "", "ok", "", ""], ["detect", "FP16", "", "rehearsed", "rehearsed"]]


def test_the_headline_tells_of_engine_files():
    """A TensorRT on this machine that builds and runs nothing is no "nothing of TensorRT"."""
    finding = Finding(PASSED, "built, and not run", {"built by": "TensorRT-RTX 1.7.1"})
    for state, expected in (
        (PASSED, "and TF-TRT built none (no GPU"),
        (FAILED, "No TensorRT engine was built or run on this machine (no GPU"),
    ):
        rows = (("engine file", mode, dataclasses.replace(finding, state=state)) for mode in ("FP16", "INT8"))
        report = reports.report(reports.WITHOUT_GPU, *rows)
        assert expected in report.headline
        assert ("TensorRT-RTX 1.7.1 built 2 standalone engine files, which were not run" in report.headline) == (
            state == PASSED
        )
        assert report.headline.count(". ") == 0
