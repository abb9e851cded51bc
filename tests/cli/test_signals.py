"""INT, TERM and HUP at any moment: status 130, one line, and nothing left, neither files nor processes."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

import tftrt_yolo
from tests.conftest import IMAGES, TINY_WEIGHTS, heed_interrupts
from tests.predictor.sources import servers

_LINE = re.compile(r"tftrt-yolo \w+: interrupted; nothing half written is left\n")
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class _Command:
    """A command that runs, with a folder of its own for temporary files, by which its processes are known."""

    def __init__(self, folder: Path, *arguments: object, preexec_fn=heed_interrupts):
        self.output, self.temporary = folder / "output", folder / "temporary"
        for path in (self.output, self.temporary):
            path.mkdir()
        environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tftrt_yolo", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=preexec_fn,
            env=environment | {"TMPDIR": str(self.temporary)},
        )
        while not _handles_signals(self.process.pid) and self.process.poll() is None:
            time.sleep(0.001)

    def processes(self) -> list[int]:
        """Its processes and those that they started: all that know its folder."""
        mark, found = str(self.temporary).encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # it has just ended
                if mark in path.read_bytes() and int(path.parent.name) != self.process.pid:
                    found.append(int(path.parent.name))
        return found

    def wait_for_workers(self, number: int) -> None:
        """Waits until so many workers are there."""
        deadline = time.monotonic() + 60
        while len(list(self.temporary.glob("tftrt_yolo_*/log"))) < number and time.monotonic() < deadline:
            time.sleep(0.01)

    def check_ended(self) -> None:
        """The line, the status, and that nothing is left."""
        _, error = self.process.communicate(timeout=60)
        assert _LINE.fullmatch(error), error
        assert self.process.returncode == 130
        self.check_nothing_left()

    def check_nothing_left(self) -> None:
        """No files, and no processes, or not for long."""
        self.check_nothing_runs()
        assert list(self.output.iterdir()) == []

    def check_nothing_runs(self, *, seconds: float = 5) -> None:
        """No processes, or not for long, and none of their files."""
        deadline = time.monotonic() + seconds
        while (processes := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert processes == []
        assert list(self.temporary.iterdir()) == []


def _handles_signals(process_id: int) -> bool:
    """Whether a process has its own handler of TERM: the interpreter itself has none, and for INT one that prints."""
    with contextlib.suppress(OSError, TypeError):
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process_id}/status").read_text())
        return bool(int(caught[1], 16) & 1 << signal.SIGTERM - 1)
    return False


def _export(folder: Path) -> list[str]:
    return ["export", f"--weights={TINY_WEIGHTS}", f"--saved_model_dir={folder / 'output' / 'x'}", "--image_size=64"]


def _predict(folder: Path, saved_model_dir: Path) -> list[str]:
    flags = [f"--source={IMAGES[0].parent}", f"--output_dir={folder / 'output' / 'x'}"]
    return ["predict", f"--saved_model_dir={saved_model_dir}", *flags]


@pytest.mark.parametrize("name", _SIGNALS)
def test_while_modules_are_imported(tiny_export, tmp_path, name):
    command = _Command(tmp_path, *_predict(tmp_path, tiny_export))
    time.sleep(0.4)
    command.process.send_signal(getattr(signal, name))
    command.check_ended()


@pytest.mark.parametrize("delay", [0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12])
@pytest.mark.parametrize("name", _SIGNALS)
def test_while_the_help_is_gathered(tmp_path, name, delay):
    """It may be done before the signal comes."""
    command = _Command(tmp_path, "export", "--help")
    time.sleep(delay)
    command.process.send_signal(getattr(signal, name))
    output, error = command.process.communicate(timeout=60)
    if command.process.returncode == 0:
        assert "--weights" in output
        assert error == ""
    else:
        assert command.process.returncode == 130
        assert error == "tftrt-yolo export: interrupted; nothing half written is left\n"
    command.check_nothing_left()


@pytest.mark.parametrize("pause", [0, 0.0005, 0.002, 0.01, 0.05])
def test_more_of_them_while_the_first_is_dealt_with(tmp_path, pause):
    pytest.importorskip("torch")
    command = _Command(tmp_path, *_export(tmp_path))
    command.wait_for_workers(2)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGTERM", "SIGINT"):
        command.process.send_signal(getattr(signal, name))
        time.sleep(pause)
    command.check_ended()


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.01 * 1.7**step for step in range(13)])
@pytest.mark.parametrize("name", _SIGNALS)
@pytest.mark.parametrize("verb", ["export", "predict"])
def test_at_many_moments(tiny_export, tmp_path, verb, name, delay):
    """From the first hundredth of a second to the sixth second."""
    pytest.importorskip("torch")
    command = _Command(tmp_path, *(_export(tmp_path) if verb == "export" else _predict(tmp_path, tiny_export)))
    time.sleep(delay)
    if command.process.poll() is None:
        command.process.send_signal(getattr(signal, name))
    _, error = command.process.communicate(timeout=60)
    if command.process.returncode == 0:  # it was quicker
        assert error == ""
        return
    assert command.process.returncode == 130
    assert _LINE.fullmatch(error), error
    command.check_nothing_runs()
    if left := list(command.output.iterdir()):  # the signal came after the result had been put into its place
        assert [path.name for path in left] == ["x"]
        _check_whole(left[0], verb)


def _check_whole(output_dir: Path, verb: str) -> None:
    """What a command wrote, as if nothing had interrupted it."""
    if verb == "export":
        assert tftrt_yolo.inspect(output_dir).export is not None
        return
    lines = [json.loads(line) for line in (output_dir / "detections.jsonl").read_text().splitlines()]
    assert len(lines) == len(list(IMAGES[0].parent.iterdir()))
    pictures = {line["picture"] for line in lines}
    assert pictures == {path.name for path in output_dir.iterdir()} - {"detections.jsonl"}


def test_a_hang_up_that_is_ignored_stays_so(tiny_export, tmp_path):
    """As under nohup."""
    command = _Command(
        tmp_path, *_predict(tmp_path, tiny_export), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    command.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    command.process.send_signal(signal.SIGHUP)
    _, error = command.process.communicate(timeout=60)
    assert (command.process.returncode, error) == (0, "")


def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    pytest.importorskip("torch")
    command = _Command(tmp_path, *_export(tmp_path))
    command.wait_for_workers(2)
    time.sleep(0.5)  # they import
    assert len(command.processes()) >= 2
    command.process.kill()
    command.process.wait()
    deadline = time.monotonic() + 1
    while (left := command.processes()) and time.monotonic() < deadline:
        time.sleep(0.01)
    command.process.communicate(timeout=60)
    assert left == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_end_of_a_run_on_a_stream(tiny_export, tmp_path, name):
    """A stream has no end of its own: what was found is kept, and the status is that of success."""
    with servers.web({"/camera": servers.mjpeg(itertools.count(), before=lambda _: time.sleep(0.02))}) as url:
        out = tmp_path / "output" / "x"
        flags = [f"--source={url}/camera", f"--output_dir={out}", "--save=txt,csv,coco"]
        command = _Command(tmp_path, "predict", f"--saved_model_dir={tiny_export}", *flags)
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in command.output.glob(".x.*/new/*.mp4")):
            assert time.monotonic() < deadline
            assert command.process.poll() is None, command.process.communicate()
            time.sleep(0.05)
        time.sleep(0.5)
        command.process.send_signal(getattr(signal, name))
        text, error = command.process.communicate(timeout=60)
    assert command.process.returncode == 0, error
    assert error == ""
    assert "  ended        interrupted; what was found until then is kept" in text
    lines = [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()]
    assert f"on {len(lines)} frames of 1 video" in text.replace(",", "")
    with av.open(str(out / lines[0]["video"])) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(lines)
    json.loads((out / "coco_results.json").read_text())
    assert len(json.loads((out / "coco_images.json").read_text())["images"]) == len(lines)
    assert [path.name for path in command.output.iterdir()] == ["x"]
    assert command.processes() == []
