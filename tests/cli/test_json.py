"""--json: the report on standard output, strict JSON, and nothing beside it."""

import contextlib
import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import DATA, IMAGES, TINY_WEIGHTS
from tftrt_yolo.cli import command_line as cli
from tftrt_yolo.cli import terminal
from tftrt_yolo.ground.files import documents
from tftrt_yolo.workflows.demo import DemoStage

DETECT = str(DATA / "detect" / "data.yaml")
PICTURES = str(DATA / "images" / "*0.jpg")


def _strict(text):
    """Reads JSON as every reader must be able to: without NaN and Infinity, which Python's would take."""

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _report(*arguments):
    """Runs a command as a user would, and takes its standard output for JSON."""
    env = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "tftrt_yolo", *map(str, arguments), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert result.returncode == 0, result.stderr
    return _strict(result.stdout)


def test_check():
    machine = tftrt_yolo.check()
    document = _report("check")
    assert document["tensorflow_version"] == machine.tensorflow_version
    assert document["can_build_engines"] is machine.can_build_engines
    assert document["why_no_engines"] == machine.why_no_engines
    assert document["remedies"] == list(machine.remedies)


def test_export(tmp_path):
    pytest.importorskip("torch")
    document = _report("export", f"--weights={TINY_WEIGHTS}", f"--saved_model_dir={tmp_path / 'a'}", "--image_size=64")
    assert document["saved_model_dir"] == str(tmp_path / "a")
    assert document["image_size_hw"] == [64, 64]
    assert 0 < document["parity"]["boxes"] < 0.1


def test_convert_and_inspect(toy_export, tmp_path):
    output = tmp_path / "int8"
    flags = ["--precision_mode=INT8", f"--calibration_data={PICTURES}"]
    document = _report("convert", f"--saved_model_dir={toy_export}", f"--output_saved_model_dir={output}", *flags)
    assert document["coverage"] == 1.0
    assert document["quantization"]["images"] == 4
    assert document == _strict((output / "conversion.json").read_text())
    found = _report("inspect", output)
    assert found["saved_model_dir"] == str(output)
    assert found["metadata"]["names"]["3"] == "3"
    assert {**found["conversion"], "format_version": 1} == document


def test_predict(toy_export, tmp_path):
    document = _report("predict", toy_export, f"--source={IMAGES[0]}", f"--output_dir={tmp_path / 'out'}")
    assert document["num_images"] == 1
    assert sum(document["class_counts"].values()) == document["num_detections"]
    assert Path(document["output_dir"]) == tmp_path / "out"


def test_evaluate(tiny_export):
    pytest.importorskip("faster_coco_eval")
    document = _report("evaluate", f"--saved_model_dir={tiny_export}", f"--data={DETECT}")
    [model] = document["models"]
    figure = next(metric for metric in model["metrics"] if metric["name"] == "box mAP50-95")
    assert 0 < figure["value"] < 1
    assert set(figure["per_class"]) == {str(index) for index in range(10)}


def test_benchmark(toy_export, tmp_path):
    flags = ["--contestants=tensorflow-fp32", "--batch_sizes=1", "--seconds=0.1"]
    output = tmp_path / "benchmark"
    document = _report("benchmark", f"--saved_model_dir={toy_export}", f"--output_dir={output}", *flags)
    assert document == _strict((output / "benchmark.json").read_text())
    for measurement in document["measurements"]:
        assert measurement["images_per_second"] == sorted(measurement["windows_images_per_second"])[1]
        assert measurement["batch_ms"] == pytest.approx(1000 / measurement["images_per_second"])
    assert tftrt_yolo.BenchmarkReport.read(output).batch_sizes == (1,)


def test_sensitivity(toy_export):
    flags = [f"--saved_model_dir={toy_export}", f"--calibration_data={PICTURES}", "--images=1"]
    document = _report("sensitivity", *flags)
    assert len(document["layers"]) > 20
    assert set(document["all_layers"]) == {"boxes", "scores"}


def test_demo():
    """The report alone: what it runs is tested elsewhere, and takes a minute."""
    stage = DemoStage("Export", "tftrt-yolo export", 1.5, "Exported\n  and so on")
    document = _strict(documents.to_json(tftrt_yolo.DemoReport((stage,), Path("demo") / "digits.jpg")))
    assert document["stages"][0]["outcome"] == "Exported\n  and so on"
    assert document["picture"] == "demo/digits.jpg"


def test_what_libraries_print_goes_to_standard_error(capfd, monkeypatch):
    """From Python, from C, and from processes."""

    def check(*, fix: bool = False):
        """Prints.

        Args:
          fix: Nothing.
        """
        sys.stdout.write("from Python\n")
        os.write(1, b"from C\n")
        subprocess.run(["echo", "from a process"], check=True)
        return documents_report

    documents_report = _Report(ratio=0.5)
    monkeypatch.setattr(tftrt_yolo, "check", check)
    assert cli.main(["check", "--json"]) == 0
    captured = capfd.readouterr()
    assert _strict(captured.out) == {"format_version": 1, "ratio": 0.5, "half": 0.25}
    assert captured.err.split("\n")[:3] == ["from Python", "from C", "from a process"]
    assert cli.main(["check"]) == 0
    assert "from Python\nfrom C\nfrom a process\n" in capfd.readouterr().out


def test_standard_output_comes_back_after_an_error(capfd):
    with contextlib.suppress(ValueError), terminal.free_standard_output():
        raise ValueError
    os.write(1, b"here")
    assert capfd.readouterr().out == "here"


@dataclasses.dataclass(frozen=True)
class _Report:
    ratio: float

    DERIVED = ("half",)

    @property
    def half(self):
        return self.ratio / 2


@dataclasses.dataclass(frozen=True)
class _Value:
    value: object


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (-math.inf, None),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ((1, (2.0, None)), [1, [2.0, None]]),
        ({3: {(1, 2): "a"}}, {"3": {"(1, 2)": "a"}}),
        (frozenset({"a"}), ["a"]),
        (Path("a") / "b", "a/b"),
        (PurePosixPath("a"), "a"),
        ([_Report(0.5)], [{"ratio": 0.5, "half": 0.25}]),
        ("Ü\n", "Ü\n"),
    ],
)
def test_what_a_report_may_hold(value, expected):
    assert _strict(documents.to_json(_Value(value))) == {"format_version": 1, "value": expected}


def test_what_json_does_not_have_is_named():
    with pytest.raises(TypeError, match=r"_Value\.value\['a'\]\[1\] is a function"):
        documents.to_json(_Value({"a": [1, test_demo]}))


def test_a_number_that_is_none_is_read_back_as_nan():
    report = documents.parse(_strict(documents.to_json(_Report(math.inf))), _Report)
    assert math.isnan(report.ratio)
