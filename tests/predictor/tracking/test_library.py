"""The import of Ultralytics: what it needs, and that the process is afterwards what it was."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ultralytics")
pytest.importorskip("lap")

import tftrt_yolo
from tftrt_yolo.predictor.tracking import library

_STATE = """
import json, logging, os, sys, threading, warnings
import cv2, numpy as np, PIL.Image, torch
import tftrt_yolo

def state():
    loggers = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    return {
        "environment": dict(os.environ), "numpy": repr(np.get_printoptions()), "errors": np.geterr(),
        "torch": repr(vars(torch._tensor_str.PRINT_OPTS)), "torch threads": torch.get_num_threads(),
        "opencv": cv2.getNumThreads(), "warnings": list(map(repr, warnings.filters)), "path": sys.path,
        "functions": [repr(f) for m in (PIL.Image, cv2, torch) for _, f in sorted(vars(m).items()) if callable(f)],
        "opened": sorted(PIL.Image.OPEN), "threads": [thread.name for thread in threading.enumerate()],
        "loggers": [(l.name, l.level, repr(l.handlers)) for l in loggers if l.level or l.handlers],
        "modules": [name for name in sys.modules if name.split(".")[0] == "ultralytics"],
        "hooks": [repr(hook) for hook in (sys.excepthook, sys.displayhook, threading.excepthook)],
    }
"""


def _run(code, folder, **environment):
    """What a process prints, at home in an empty folder; ultralytics finds no settings there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO_", "OMP_", "ULTRALYTICS_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_process_stays_as_it_was(tmp_path):
    """Also where a look-up of a host would be seen, and without a word on standard output."""
    code = f"""{_STATE}
import socket
np.set_printoptions(precision=3); cv2.setNumThreads(2); torch.set_printoptions(linewidth=99); torch.set_num_threads(2)
os.environ["NUMEXPR_MAX_THREADS"] = "5"
logging.getLogger("coremltools").setLevel(logging.WARNING)
sys.addaudithook(lambda event, _: event.startswith("socket.") and print("reached for the network:", event))
before = state()
for name in ("bytetrack", "botsort"):
    tftrt_yolo.Tracking(name)
print(json.dumps([before, state()]))
"""
    before, after = json.loads(_run(code, tmp_path))
    assert after == before
    assert (before["modules"], before["torch threads"]) == ([], 2)
    assert not [path for path in tmp_path.rglob("*") if "ltralytics" in path.name]


def test_a_later_import_of_ultralytics_is_the_first(tmp_path):
    """It does all that it does; and an earlier one is used as it is."""
    _run(
        f"""{_STATE}
before = state()
tftrt_yolo.Tracking()
import ultralytics
from ultralytics.trackers import BYTETracker
assert ultralytics.settings and cv2.getNumThreads() == 1 and PIL.Image.open.__module__ == "ultralytics.utils.patches"
assert logging.getLogger("ultralytics").handlers
after = state()
one = tftrt_yolo.Tracking("botsort")
assert state() == after
""",
        tmp_path,
        YOLO_OFFLINE="true",
    )
    settings = [path.name for path in tmp_path.rglob("settings.json")]
    assert settings == ["settings.json"]
    _run(
        f"""{_STATE}
from ultralytics.trackers import BYTETracker
np.set_printoptions(precision=3)
before = state()
assert type(tftrt_yolo.Tracking()._tracker) is BYTETracker
assert state() | {{"modules": 0}} == before | {{"modules": 0}}
""",
        tmp_path,
        YOLO_OFFLINE="true",
    )


def test_a_damaged_picture_is_still_refused(tmp_path):
    """Pillow's own function, and not one that installs a package."""
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    code = """
import PIL.Image, tftrt_yolo
tftrt_yolo.Tracking()
try:
    PIL.Image.open("a.jpg")
except PIL.UnidentifiedImageError as error:
    print(error)
"""
    assert "cannot identify image file" in _run(code, tmp_path)


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        (("lap",), "lap cannot be imported"),
        (("ultralytics",), "ultralytics cannot be imported"),
        (("torch",), "torch cannot be imported"),
        (("torch", "ultralytics", "lap"), "torch, ultralytics and lap cannot be imported"),
    ],
)
def test_what_is_not_installed_is_named(missing, found, monkeypatch):
    """And nothing installs it."""
    library._load.cache_clear()
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    remedy = "; trackers are Ultralytics'. Install what tracking needs: pip install 'tftrt_yolo[track]'."
    for name in ("bytetrack", "botsort"):
        with pytest.raises(tftrt_yolo.TrackingError, match=re.escape(found + remedy)):
            tftrt_yolo.Tracking(name)


def test_a_package_that_does_not_work_is_named(tmp_path):
    """A lap that cannot be loaded, which Ultralytics would install once more."""
    (tmp_path / "lap.py").write_text("raise ImportError('no symbol of this name')\n")
    code = """
import subprocess, tftrt_yolo
subprocess.Popen = None
try:
    tftrt_yolo.Tracking()
except tftrt_yolo.TrackingError as error:
    print(error)
"""
    found = "Ultralytics' trackers cannot be imported: no symbol of this name. Install what tracking needs: pip"
    assert found in _run(code, tmp_path)


@pytest.mark.parametrize(
    ("version", "is_taken"), [("8.4.174", False), ("8.3.999", False), ("8.4.175", True), ("9", True)]
)
def test_an_ultralytics_whose_trackers_share_ids_is_refused(version, is_taken, monkeypatch):
    monkeypatch.setattr(library.importlib.metadata, "version", lambda _: version)
    library._load.cache_clear()
    if is_taken:
        assert set(library.load().trackers) == {"bytetrack", "botsort"}
        return
    expected = f"Ultralytics is {version}, whose trackers share their ids; expected 8.4.175 or newer. Install what"
    with pytest.raises(tftrt_yolo.TrackingError, match=re.escape(expected)):
        tftrt_yolo.Tracking()
