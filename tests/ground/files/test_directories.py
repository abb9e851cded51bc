"""What is promised about output directories, tried at every step of the code that keeps it."""

import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import heed_interrupts
from tftrt_yolo import contract
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.files.directories import Contents

PAIR = Contents("marker.txt", ("other.txt",))
EARLIER = {"marker.txt": "old", "other.txt": "old too"}
NEW = {"marker.txt": "new", "other.txt": "new too"}


def _fill(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _held(folder):
    """Every file below a folder, with its text."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def _overwrite(target):
    with directories.written_whole(target, PAIR, overwrite=True) as partial_dir:
        _fill(partial_dir, NEW)


_TRACED = (directories.__file__, contextlib.__file__, shutil.__file__)


class _Interrupt:
    """Does something after so many steps: instructions of the module, and lines of what it relies on."""

    def __init__(self, at, action):
        self.left, self.action = at, action

    def __call__(self, frame, event, _):
        if event == "call":
            if frame.f_code.co_filename not in _TRACED:
                return None
            frame.f_trace_opcodes = frame.f_code.co_filename == directories.__file__
        elif event == ("opcode" if frame.f_trace_opcodes else "line"):
            self.left -= 1
            if self.left == 0:
                self.action()
        return self


def _raises(error):
    def action():
        raise error

    return action


def _run_interrupted(target, at, action):
    """Overwrites with an interrupt at a step; returns whether the step was there."""
    interrupt = _Interrupt(at, action)
    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        _overwrite(target)
    finally:
        sys.settrace(before)
    return interrupt.left <= 0


def _collect(folder):
    """Ends a context manager that was interrupted as it was entered: Python does it when it finds it."""
    if list(folder.rglob(".*")):
        gc.collect()


@pytest.fixture(params=["exchange", "two renames"])
def swaps(request, monkeypatch):
    """Both ways to put the new directory into its place."""
    if request.param == "two renames":
        monkeypatch.setattr(directories, "_exchange", lambda one, other: False)
    return request.param


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, OSError])
def test_whatever_is_raised_at_any_step_one_result_is_there_whole(tmp_path, swaps, error):
    target, seen, at = tmp_path / "result", [], 0
    _fill(target, EARLIER)
    while True:
        at += 1
        try:
            if not _run_interrupted(target, at, _raises(error)):
                break
        except (error, OSError):  # interrupted between two lines, shutil.rmtree may close a file twice
            pass
        _collect(tmp_path)
        held = _held(target)
        assert held in (EARLIER, NEW), (at, held)
        assert [path.name for path in tmp_path.iterdir()] == ["result"], at
        seen.append(held == NEW)
        shutil.rmtree(target)
        _fill(target, EARLIER)
    assert len(seen) > 300
    assert {*seen} == {True, False}


def test_whatever_is_raised_where_nothing_was_before_there_is_all_or_nothing(tmp_path):
    """Not even the parents that were made for it."""
    target, at = tmp_path / "deep" / "down" / "result", 0
    while True:
        at += 1
        try:
            if not _run_interrupted(target, at, _raises(KeyboardInterrupt)):
                break
        except (KeyboardInterrupt, OSError):
            pass
        _collect(tmp_path)
        assert _held(tmp_path) in ({}, {f"deep/down/result/{name}": text for name, text in NEW.items()}), at
        assert target.exists() or not list(tmp_path.iterdir()), at
        shutil.rmtree(tmp_path / "deep", ignore_errors=True)


def test_a_process_that_is_killed_at_any_step_loses_no_result(tmp_path, swaps):
    target, at, statuses = tmp_path / "result", 0, []
    while not statuses or statuses[-1] == 9:
        at += 7
        shutil.rmtree(tmp_path)
        _fill(target, EARLIER)
        child = os.fork()
        if child == 0:
            try:
                _run_interrupted(target, at, lambda: os._exit(9))  # nothing is tidied up
                os._exit(0)
            finally:
                os._exit(1)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        if target.exists():
            assert _held(target) in (EARLIER, NEW), at
        else:
            assert swaps == "two renames"
            [workspace] = tmp_path.glob(".result.*")
            assert _held(workspace / "replaced") == EARLIER
            assert _held(workspace / "new") == NEW
    assert statuses[-1] == 0
    assert len(statuses) > 50


@pytest.mark.skipif(sys.platform != "linux", reason="Linux exchanges two directories at once")
def test_directories_are_exchanged(tmp_path):
    _fill(tmp_path / "a", {"x": "1"})
    _fill(tmp_path / "b", {"y": "2", "z": "3"})
    if not directories._exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system cannot exchange two directories")
    assert _held(tmp_path / "a") == {"y": "2", "z": "3"}
    assert _held(tmp_path / "b") == {"x": "1"}
    assert not directories._exchange(tmp_path / "a", tmp_path / "missing")


_SLOW = """
import sys
from pathlib import Path
from tftrt_yolo.ground.files import directories
with directories.written_whole(Path(sys.argv[1]), directories.Contents("marker.txt"), overwrite=True) as partial_dir:
    while True:
        (partial_dir / "marker.txt").write_text("half")
        print("writing", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signals_while_it_is_written(tmp_path, number):
    target = tmp_path / "result"
    _fill(target, EARLIER)
    shutil.rmtree(target)
    _fill(target, {"marker.txt": "old"})
    command = [sys.executable, "-c", _SLOW, str(target)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=heed_interrupts
    ) as process:
        process.stdout.readline()
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == -number
    assert _held(target) == {"marker.txt": "old"}
    left = [path.name for path in tmp_path.iterdir() if path != target]
    assert [name[:8] for name in left] == ([] if number == signal.SIGINT else [".result."])


def test_permissions_are_the_usual_ones(tmp_path):
    (tmp_path / "usual").mkdir()
    _overwrite(tmp_path / "result")
    assert (tmp_path / "result").stat().st_mode == (tmp_path / "usual").stat().st_mode


SAVED = {"saved_model.pb": "", "metadata.yaml": "", "variables/variables.index": ""}
# What lies beside an earlier SavedModel, and how a refusal names it; None where it is ours.
BESIDE = {
    "variables/variables.data-00000-of-00001": None,
    "assets/trt-serialized-engine.TRTEngineOp_000_000": None,
    "keras_metadata.pb": None,
    "fingerprint.pb": None,
    "conversion.json": None,
    "holiday.jpg": "holiday.jpg",
    ".hidden": ".hidden",
    "variables/notes.txt": "variables/notes.txt",
    "variables/variables.data-00000-of-00001.bak/x": "variables/variables.data-00000-of-00001.bak/",
    "assets/labels.txt": "assets/labels.txt",
    "assets.extra/tf_serving_warmup_requests": "assets.extra/",
    "photos/2024/a.jpg": "photos/",
    "conversion.json/x": "conversion.json/",
}


@pytest.mark.parametrize("name", BESIDE)
def test_only_what_a_stage_wrote_is_deleted(tmp_path, name):
    target = tmp_path / "model"
    _fill(target, SAVED | {name: "mine"})
    if BESIDE[name] is None:
        directories.check_free(target, contract.SAVED_MODEL, overwrite=True)
        return
    with pytest.raises(FileExistsError, match="holds what this did not write") as refusal:
        directories.check_free(target, contract.SAVED_MODEL, overwrite=True)
    assert f"({BESIDE[name]})" in str(refusal.value)
    assert "Move that elsewhere, or choose another directory" in str(refusal.value)
    with (
        contextlib.suppress(FileExistsError),
        directories.written_whole(target, contract.SAVED_MODEL, overwrite=True),
    ):
        pytest.fail("it was written")
    assert _held(target) == SAVED | {name: "mine"}


def test_a_refusal_names_the_first_few(tmp_path):
    _fill(tmp_path / "model", SAVED | {f"{letter}.jpg": "" for letter in "gfedcba"})
    with pytest.raises(FileExistsError, match=r"\(a\.jpg, b\.jpg, c\.jpg and 4 more\)"):
        directories.check_free(tmp_path / "model", contract.SAVED_MODEL, overwrite=True)


def test_links_are_not_ours(tmp_path):
    target = tmp_path / "model"
    _fill(tmp_path, {"kept/variables.index": "kept", "kept.pb": "kept"})
    _fill(target, SAVED)
    for name, to in (("fingerprint.pb", "kept.pb"), ("assets", "kept")):
        (target / name).symlink_to(tmp_path / to)
        with pytest.raises(FileExistsError, match=rf"\({name}\)"):
            directories.check_free(target, contract.SAVED_MODEL, overwrite=True)
        (target / name).unlink()
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FileExistsError, match="is not what this writes"):
        directories.check_free(tmp_path / "link", contract.SAVED_MODEL, overwrite=True)


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere"), os.mkfifo])
def test_what_is_no_directory_stays(tmp_path, make):
    make(tmp_path / "result")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"has no marker\.txt"):
            directories.check_free(tmp_path / "result", PAIR, overwrite=overwrite)
    assert os.path.lexists(tmp_path / "result")


def test_an_empty_directory_is_free_to_overwrite(tmp_path):
    (tmp_path / "result").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        directories.check_free(tmp_path / "result", PAIR, overwrite=False)
    _overwrite(tmp_path / "result")
    assert _held(tmp_path / "result") == NEW


@pytest.mark.parametrize("path", [".", "..", "../result", "below/.."])
def test_the_working_directory_stays(tmp_path, monkeypatch, path):
    _fill(tmp_path / "result", EARLIER)
    (tmp_path / "result" / "below").mkdir()
    monkeypatch.chdir(tmp_path / "result")
    if path == "..":
        monkeypatch.chdir("below")
    elif path != "below/..":
        (tmp_path / "result" / "below").rmdir()
    with pytest.raises(FileExistsError, match="is the working directory, or holds it"):
        _overwrite(Path(path))
    assert _held(tmp_path / "result") == EARLIER


def test_what_comes_while_it_is_written_stays(tmp_path):
    target = tmp_path / "result"
    _fill(target, EARLIER)

    def write():
        with directories.written_whole(target, PAIR, overwrite=True) as partial_dir:
            _fill(partial_dir, NEW)
            _fill(target, {"photo.jpg": "mine"})

    with pytest.raises(FileExistsError, match=r"\(photo\.jpg\)"):
        write()
    assert _held(target) == EARLIER | {"photo.jpg": "mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_what_is_read_is_not_deleted(tmp_path):
    _fill(tmp_path / "result", EARLIER)
    (tmp_path / "link.txt").symlink_to(tmp_path / "result" / "other.txt")
    for path in (tmp_path / "result", tmp_path / "result" / "other.txt", tmp_path / "link.txt"):
        with pytest.raises(FileExistsError, match=f"holds {path}, which is to be read"):
            directories.check_apart(tmp_path / "result", [tmp_path / "elsewhere", path])
    directories.check_apart(tmp_path / "result", [tmp_path, tmp_path / "results"])
    directories.check_apart(tmp_path / "nowhere", [tmp_path])


def test_parents_that_were_there_or_were_used_stay(tmp_path):
    (tmp_path / "there").mkdir()

    def fail(target, also=None):
        with directories.written_whole(target, PAIR, overwrite=False):
            if also:
                also.touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(tmp_path / "there" / "made" / "result")
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
    with pytest.raises(RuntimeError):
        fail(tmp_path / "there" / "made" / "result", also=tmp_path / "there" / "made" / "mine.txt")
    assert _held(tmp_path) == {"there/made/mine.txt": ""}
