"""A step's process that is killed, and the next step; what a step needs."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tftrt_yolo.ground.environment import Environment
from tftrt_yolo.workflows.accepting import materials
from tftrt_yolo.workflows.accepting.acceptance_report import FAILED, IMPOSSIBLE, NOT_RUN, PASSED
from tftrt_yolo.workflows.accepting.plan import Step
from tftrt_yolo.workflows.accepting.run import Runner


def _step(title, function, arguments, **more):
    return Step(title, function, "detect", "FP16", arguments, **more)


def _opening(tmp_path, export_dir, **more):
    material = materials.lay_out("detect", tmp_path / f"data{len(list(tmp_path.iterdir()))}", most=2)
    return _step("given export", "open export", {"material": material, "export_dir": export_dir}, **more)


def _children():
    """Processes of this one that do steps."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"accepting.steps" in (path / "cmdline").read_bytes():
                yield int(path.name)


def _kill_the_next(number):
    """Sends a signal to the next process of a step."""

    def kill():
        deadline = time.monotonic() + 60
        while not (found := list(_children())) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(found[0], number)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, "The process was ended by SIGSEGV, a fault in native code."),
        (signal.SIGABRT, "The process was ended by SIGABRT, a refusal of native code."),
        (signal.SIGKILL, "The process was ended by SIGKILL, as Linux does where memory runs out."),
    ],
)
def test_a_process_that_is_killed_is_a_row_and_the_next_goes_on(tiny_export, tmp_path, number, words):
    with Runner(seconds=300.0, shown=str) as runner:
        thread = _kill_the_next(number)
        row = runner.run(_opening(tmp_path, tiny_export))
        thread.join()
        assert row.finding.state == FAILED
        assert row.finding.words.startswith(words)
        assert runner.run(_opening(tmp_path, tiny_export)).finding.state == PASSED
    assert list(_children()) == []


def test_a_step_that_hangs_is_ended(tiny_export, tmp_path):
    with Runner(seconds=0.2, shown=str) as runner:
        row = runner.run(_opening(tmp_path, tiny_export))
        assert row.finding.state == FAILED
        assert row.finding.words.startswith("It did not end within 0.2 s and was ended. Its last words:")
        assert row.seconds < 60
        assert list(_children()) == []


def test_a_limit_that_comes_as_the_answer_does(monkeypatch):
    """The answer counts; the process, which was ended over it, is replaced before the next step."""
    with Runner(seconds=300.0, shown=str) as runner:
        monkeypatch.setattr(threading.Timer, "cancel", lambda timer: (timer.function(), timer.finished.set()))
        environment, row = runner.check()
        assert isinstance(environment, Environment)
        assert row.finding.state == PASSED
        assert list(_children()) == []
        assert runner.check()[1].finding.state == PASSED


def test_a_check_that_is_killed_is_a_row_too():
    with Runner(seconds=300.0, shown=str) as runner:
        thread = _kill_the_next(signal.SIGILL)
        environment, row = runner.check()
        thread.join()
        assert environment is None
        assert row.finding.state == FAILED
        assert "was ended by SIGILL, an instruction that this CPU does not have" in str(row)
        assert str(row).startswith("check: The process")


def test_steps_that_load_nothing_share_a_process(tiny_export, tmp_path):
    with Runner(seconds=300.0, shown=str) as runner:
        environment, row = runner.check()
        assert isinstance(environment, Environment)
        assert (row.step, row.task, row.finding.state) == ("check", "", PASSED)
        before = set(_children())
        assert runner.run(_opening(tmp_path, tiny_export)).finding.state == PASSED
        assert set(_children()) == before
        assert runner.run(_opening(tmp_path, tiny_export, is_fresh=True)).finding.state == PASSED
        fresh = set(_children())
        assert len(fresh) == 1
        assert fresh != before
        assert runner.run(_opening(tmp_path, tiny_export, is_last=True)).finding.state == PASSED
        assert set(_children()) == set()


def test_what_a_step_raises_is_its_words(tiny_export, tmp_path):
    """One of ours, and one that nobody thought of."""
    with Runner(seconds=300.0, shown=lambda words: words.replace("nowhere", "somewhere")) as runner:
        missing = runner.run(_step("inspect", "inspect", {"conversion": tmp_path / "nowhere"})).finding
        assert missing.state == FAILED
        assert "somewhere is no directory" in missing.words
        unknown = runner.run(_step("inspect", "inspect", {"conversion": 7})).finding
        assert unknown.state == FAILED
        assert unknown.words.startswith("TypeError: ")
        assert runner.run(_opening(tmp_path, tiny_export)).finding.state == PASSED


def test_what_needs_something_that_failed_is_not_run(tiny_conversion, tmp_path):
    """And what needs something that is impossible here is impossible too."""
    with Runner(seconds=300.0, shown=str) as runner:
        made, impossible = ("export", "detect"), ("engine", "detect")
        first = runner.run(_opening(tmp_path, tmp_path / "nowhere", makes=made))
        assert first.finding.state == FAILED
        second = runner.run(_opening(tmp_path, tiny_conversion, needs=(made,), makes=("conversion", "detect"))).finding
        assert (second.state, second.words) == (NOT_RUN, "it needs the export detect, which see")
        arguments = {"conversion": tiny_conversion}
        engines = runner.run(_step("built engines", "built engines", arguments, makes=impossible)).finding
        if engines.state == PASSED:
            pytest.skip("engines can be built here")
        third = runner.run(_opening(tmp_path, tiny_conversion, needs=(impossible,))).finding
        assert third.state == IMPOSSIBLE
        assert third.words == f"it needs the engine detect: {engines.words}"
