"""The whole acceptance: narrow, on exports that cannot be used, without what it needs; of all tasks it is slow."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import tftrt_yolo
from tests.cli.test_signals import _Command
from tests.workflows.accepting import hidden
from tftrt_yolo.workflows.accepting import materials
from tftrt_yolo.workflows.accepting.acceptance_report import (
    ENGINE_FILE,
    ENGINES,
    EXPORTS_DIR,
    FAILED,
    FILE,
    IMPOSSIBLE,
    NOT_RUN,
    PAGE_FILE,
    PASSED,
)
from tftrt_yolo.workflows.accepting.materials import TASK_NAMES
from tftrt_yolo.workflows.accepting.plan import Places, plan
from tftrt_yolo.workflows.accepting.run import Runner


@pytest.fixture(scope="module")
def exports_dir(models, tmp_path_factory):
    """Exports as an acceptance leaves them."""
    folder = tmp_path_factory.mktemp("exports")
    for name, task in (("tiny", "detect"), ("classify", "classify")):
        (folder / f"{task}_saved_model").symlink_to(models.exported(name))
    return folder


def _states(report):
    return {(row.step, row.precision_mode): row.finding.state for row in report.rows}


def _run(*flags, without=(), folder=None):
    """The command in a process, in which some packages cannot be found."""
    environment = dict(os.environ)
    if without:
        environment["PYTHONPATH"] = hidden.python_path(folder, *without)
    command = [sys.executable, "-m", "tftrt_yolo", "acceptance", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def narrow(exports_dir, tmp_path_factory):
    """One task and one precision, of given exports: the report, its folder, and the lines of progress."""
    output_dir, lines = tmp_path_factory.mktemp("narrow") / "out", []
    report = tftrt_yolo.acceptance(
        output_dir,
        tasks=("classify",),
        precision_modes=["FP32"],
        exports_dir=exports_dir,
        on_progress=lines.append,
    )
    return report, output_dir, lines


def test_every_step_has_a_row(narrow):
    report, _, lines = narrow
    states = _states(report)
    assert report.faults == ()
    for step in ("preflight", "convert", "inspect", "predict", "compare", "evaluate"):
        assert states[step, "FP32"] == PASSED, step
    for step in ("given export", "evaluate", "two in one process", "benchmark"):
        assert states[step, ""] == PASSED, step
    assert report.counts[NOT_RUN] == 0
    assert [line.rpartition(": ")[2].rpartition("classify")[2] for line in lines[1:]] == [
        f" {row.precision_mode}, {row.step}".replace(" ,", ",") for row in report.rows[1:]
    ]
    assert lines[-1] == f"step {len(report.rows) - 1} of {len(report.rows) - 1}: classify, benchmark"


def test_what_needs_engines_says_what_is_missing(narrow):
    report, _, _ = narrow
    if report.environment.can_build_engines:
        pytest.skip("engines can be built here")
    for step in (ENGINES, "batch outside"):
        [row] = [row for row in report.rows if row.step == step]
        assert row.finding.state == IMPOSSIBLE
        assert row.finding.words == f"no engine was built: {report.environment.why_no_engines}"
    [file] = [row for row in report.rows if row.step == ENGINE_FILE]
    if file.finding.state == PASSED:
        assert report.headline.startswith("No TensorRT engine was run on this machine, and TF-TRT built none (")
        assert f"{file.finding.figures['built by']} built 1 standalone engine file, which was not" in report.headline
    else:
        assert report.headline.startswith("No TensorRT engine was built or run on this machine (")
    assert report.environment.why_no_engines in report.headline
    assert "rehearsal" not in report.title


def test_the_accuracy_is_the_exports(narrow):
    report, _, _ = narrow
    [converted] = [row for row in report.rows if (row.step, row.precision_mode) == ("evaluate", "FP32")]
    [exported] = [row for row in report.rows if (row.step, row.precision_mode) == ("evaluate", "")]
    assert exported.finding.figures["top-1"] > 0.8
    assert converted.finding.figures["top-1, export"] == exported.finding.figures["top-1"]
    assert converted.finding.figures["top-1"] == pytest.approx(exported.finding.figures["top-1"], abs=0.005)


def test_what_is_written(narrow):
    report, output_dir, _ = narrow
    assert {path.name for path in output_dir.iterdir()} == {FILE, PAGE_FILE}  # the exports were given
    assert tftrt_yolo.AcceptanceReport.read(output_dir) == report
    document = json.loads((output_dir / FILE).read_text())
    assert document["headline"] == report.headline
    assert document["faults"] == []
    assert document["rows"][0]["finding"]["state"] == PASSED
    page = (output_dir / PAGE_FILE).read_text()
    assert report.title in page
    assert "/work/" not in page
    assert list(output_dir.parent.iterdir()) == [output_dir]


def test_a_damaged_export_is_a_row_and_the_exit_status(models, exports_dir, tmp_path):
    shutil.copytree(models.exported("classify"), tmp_path / "exports" / "classify_saved_model")
    graph = tmp_path / "exports" / "classify_saved_model" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:1000])
    flags = ("--tasks=classify", "--precision_modes=FP16,INT8", f"--exports_dir={tmp_path / 'exports'}")
    result = _run(f"--output_dir={tmp_path / 'out'}", "--json", *flags)
    assert result.returncode == 1, result.stderr
    report = tftrt_yolo.AcceptanceReport.read(tmp_path / "out")
    assert json.loads(result.stdout)["faults"] == list(report.faults)
    [fault] = report.faults
    assert fault.startswith("classify, given export: ")
    assert "classify_saved_model" in fault
    assert report.counts[NOT_RUN] == len(report.rows) - 2  # all but this one and `check`
    assert {row.finding.words for row in report.rows[2:]} == {
        "it needs the export classify, which see",
        "it needs the conversion classify FP16, which see",
        "it needs the conversion classify INT8, which see",
    }


def test_exports_of_another_model_are_refused(models, tmp_path):
    """Of the right task, but not of the packaged weights: its accuracy would mean nothing."""
    (tmp_path / "exports").mkdir()
    (tmp_path / "exports" / "detect_saved_model").symlink_to(models.exported("toy"))
    report = tftrt_yolo.acceptance(
        tmp_path / "out", tasks=("detect",), precision_modes=("FP16",), exports_dir=tmp_path / "exports"
    )
    [fault] = report.faults
    assert "was exported from yolov8-toy.pt; expected an export of the packaged yolov8n-tiny-detect.pt" in fault


def test_without_export_tools(tmp_path):
    """Nothing can be done, which is no fault, and the report says what to install or to give."""
    result = _run(f"--output_dir={tmp_path / 'out'}", "--tasks=obb", without=("torch", "onnx2tf"), folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    report = tftrt_yolo.AcceptanceReport.read(tmp_path / "out")
    assert report.counts[IMPOSSIBLE] == len(report.rows) - 1  # all but `check`
    words = report.rows[1].finding.words
    assert words.startswith("torch, onnx2tf cannot be imported; pip install tftrt_yolo[export], or give exports")
    assert report.rows[2].finding.words == f"it needs the export obb: {words}"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {FILE, PAGE_FILE}


def test_a_step_that_takes_too_long_is_ended(exports_dir, tmp_path):
    report = tftrt_yolo.acceptance(
        tmp_path / "out", tasks=("classify",), precision_modes=("FP16",), exports_dir=exports_dir, seconds=0.1
    )
    assert report.environment is None
    assert [fault.partition(":")[0] for fault in report.faults] == ["check", "classify, given export"]
    assert all("It did not end within 0.1 s and was ended." in fault for fault in report.faults)
    assert "`check` did not come to an end" in report.headline
    assert "did not come to an end here" in (tmp_path / "out" / PAGE_FILE).read_text()


def test_what_would_be_deleted_is_refused(exports_dir, tmp_path):
    output_dir = tmp_path / "out"
    shutil.copytree(exports_dir, output_dir / EXPORTS_DIR)
    (output_dir / FILE).touch()
    with pytest.raises(FileExistsError, match=r"out holds .*exports, which is to be read, so overwrite=True does not"):
        tftrt_yolo.acceptance(
            output_dir, tasks=("detect",), exports_dir=output_dir / EXPORTS_DIR, overwrite=True, seconds=0.1
        )
    (output_dir / EXPORTS_DIR / "mine.txt").touch()
    with pytest.raises(FileExistsError, match=r"holds what this did not write \(exports/mine\.txt\)"):
        tftrt_yolo.acceptance(output_dir, overwrite=True, seconds=0.1)
    assert (output_dir / EXPORTS_DIR / "detect_saved_model" / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ("detect", "detection")}, r"^tasks has 'detection'; expected one or more of detect, segment, pose"),
        ({"tasks": ()}, r"^tasks is a tuple of 0; expected one or more of detect"),
        ({"tasks": "detect"}, r"^tasks is 'detect'; expected one or more of detect"),
        ({"tasks": 3}, r"^tasks is 3; expected one or more"),
        ({"precision_modes": ("BF16",)}, r"^precision_modes has 'BF16'; expected one or more of FP32, FP16, INT8\."),
        ({"precision_modes": ([],)}, r"^precision_modes has a list of 0; expected"),
        ({"seconds": 0}, r"^seconds is 0; it must be a number above 0\."),
        ({"seconds": float("nan")}, r"^seconds is nan; it must be"),
        ({"seconds": float("inf")}, r"^seconds is inf; it must be"),
        ({"seconds": True}, r"^seconds is True; it must be"),
        ({"seconds": "9"}, r"^seconds is '9'; it must be"),
        ({"exports_dir": "nowhere"}, r"^exports_dir is nowhere, which has no detect_saved_model\. Expected the folder"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.acceptance(tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_nothing(exports_dir, tmp_path):
    command = _Command(
        tmp_path,
        "acceptance",
        f"--output_dir={tmp_path / 'output' / 'x'}",
        f"--exports_dir={exports_dir}",
        "--tasks=classify",
    )
    command.wait_for_workers(1)
    time.sleep(3.0)
    command.process.send_signal(signal.SIGINT)
    command.check_ended()


@pytest.mark.slow
def test_everything(tmp_path):
    """All tasks; where there are no engines FP32 is left to `narrow`: what computes it is what computes FP16."""
    pytest.importorskip("torch")
    precision_modes = None if tftrt_yolo.check().can_build_engines else ("FP16", "INT8")
    report = tftrt_yolo.acceptance(tmp_path / "out", precision_modes=precision_modes)
    assert report.faults == ()
    assert report.counts[NOT_RUN] == 0
    assert {row.task for row in report.rows[1:]} == {"detect", "segment", "pose", "obb", "classify"}  # first: `check`
    assert len(list((tmp_path / "out" / EXPORTS_DIR).iterdir())) == 5
    counts = {row.step for row in report.rows if row.finding.state == FAILED}
    assert counts == set()
    for task, row in _opened(tmp_path / "out" / EXPORTS_DIR, tmp_path / "again").items():
        assert (task, row.finding.state, row.finding.words) == (task, PASSED, "made elsewhere, and given")


def _opened(exports_dir, work_dir):
    """What another acceptance says of the exports that one has made: task to its row."""
    places = Places(exports_dir, work_dir, are_given=True)
    laid_out = {task: materials.lay_out(task, work_dir, most=1) for task in TASK_NAMES}
    steps = plan(laid_out, ("FP16",), places, has_gpu=False, has_engines=False)
    with Runner(seconds=600.0, shown=str) as runner:
        return {step.task: runner.run(step) for step in steps if step.title == "given export"}
