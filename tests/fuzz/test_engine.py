"""The engine notices every fault, goes on after it, and repeats a case from its seed and index."""

import dataclasses
import json
import subprocess
import sys

import pytest

from tests.fuzz import engine

# A kind of input whose cases misbehave, each in the way of its index.
_MISBEHAVING = """
import ctypes, os, pathlib, socket, subprocess, sys, time
from tests.fuzz import canary

REFUSALS = (ValueError,)
OUTSIDE = pathlib.Path(__file__).parent

def prepare(folder):
    return 7

def case(prepared, rng, folder):
    ways = [
        lambda: None,
        lambda: (_ for _ in ()).throw(ValueError("got that, expected this")),
        lambda: {}["missing"],
        lambda: sys.exit(0),
        lambda: os.abort(),
        lambda: ctypes.string_at(0),
        lambda: os._exit(3),
        lambda: time.sleep(60),
        lambda: [bytearray(os.urandom(1 << 20)) for _ in range(100_000)],
        lambda: (canary() / "was_here").touch(),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: os.system("true"),
        lambda: subprocess.run(["true"]),
        lambda: (OUTSIDE / "written").write_text("x"),
        lambda: (folder / "written").write_text("x"),
        lambda: ((folder / "m.py").write_text("x = 1"), sys.path.insert(0, str(folder)), __import__("m")),
        lambda: (_ for _ in ()).throw(ValueError("\\x1b[31m")),
        lambda: (_ for _ in ()).throw(ValueError("x" * 3_000)),
        lambda: (_ for _ in ()).throw(ValueError("")),
        lambda: subprocess.run([sys.executable, "-c", "bytearray(b'x') * (700 << 20); import time; time.sleep(60)"]),
        lambda: subprocess.run(["sh", "-c", "echo > $FUZZ_CANARY/child"]),
        lambda: (_ for _ in ()).throw(ValueError(str(rng.integers(1 << 62)))),
        lambda: None,
    ]
    index = int(folder.name.rpartition("_")[2])
    return f"way {index}" if index < 22 else f"way {index} {rng.integers(1 << 62)}", ways[index]
"""
_SECONDS = 6  # of a case here
_EXPECTED = {
    2: ("raw exception", "KeyError: 'missing'"),
    3: ("raw exception", "SystemExit"),
    4: ("abort", "SIGABRT"),
    5: ("abort", "SIGSEGV"),
    6: ("abort", "exit status 3"),
    7: ("timeout", "in <lambda>"),  # where it hung
    8: ("memory", "bytes"),
    9: ("code executed", "canary was_here"),
    10: ("code executed", "socket.getaddrinfo"),
    11: ("code executed", "os.system"),
    12: ("code executed", "subprocess.Popen"),
    13: ("code executed", "open "),
    15: ("code executed", "exec "),
    16: ("bad message", "control characters"),
    17: ("bad message", "3,000 characters"),
    18: ("bad message", "is empty"),
    19: ("memory", "bytes"),
    20: ("code executed", "canary child"),
}


@pytest.fixture
def settings(tmp_path, monkeypatch):
    (tmp_path / "misbehaving.py").write_text(_MISBEHAVING)
    return engine.Run(1, 2, tmp_path / "fuzz", most_bytes=500 << 20, seconds=_SECONDS, python_path=tmp_path)


def test_every_fault_is_noticed(settings, tmp_path):
    log = engine.run("misbehaving", 23, settings, module="misbehaving")
    found = {fault.index: fault for fault in log.faults}
    assert {index: fault.kind for index, fault in found.items()} == {i: kind for i, (kind, _) in _EXPECTED.items()}
    for index, (_, detail) in _EXPECTED.items():
        assert detail in found[index].detail, found[index]
    assert (log.tried, log.accepted, log.refused) == (23, 3, {"ValueError": 2})
    assert log.slowest[0] > _SECONDS
    assert log.largest[0] > settings.most_bytes
    engine.write([log], tmp_path / "log" / "fuzz.json")
    [written] = json.loads((tmp_path / "log" / "fuzz.json").read_text())
    assert len(written["faults"]) == len(_EXPECTED)
    assert "case 4 (?): abort: SIGABRT" in str(log)
    assert not list((tmp_path / "fuzz").glob("child_*"))


def test_a_case_is_repeated_from_its_seed_and_index(settings):
    last = dataclasses.replace(settings, first=22)
    [label] = engine.run("misbehaving", 1, last, module="misbehaving").labels
    assert engine.run("misbehaving", 1, last, module="misbehaving").labels == {label: 1}
    other = engine.run("misbehaving", 1, dataclasses.replace(last, seed=2), module="misbehaving")
    assert other.labels != {label: 1}


def test_a_kind_that_cannot_prepare_itself(settings, tmp_path):
    (tmp_path / "broken.py").write_text("REFUSALS = ()\ndef prepare(folder): raise RuntimeError('no model')\n")
    with pytest.raises(RuntimeError, match=r"(?s)a child for broken could not prepare itself \(abort\).*no model"):
        engine.run("broken", 5, settings, module="broken")


@pytest.mark.parametrize("kind", engine.kinds())
def test_a_slice_of_every_kind(kind, tmp_path_factory):
    log = engine.run(kind, 150, engine.Run(0, 1, tmp_path_factory.getbasetemp() / "fuzz"))
    assert not log.faults, str(log)
    assert log.tried == 150
    assert log.accepted
    assert log.refused


def test_the_command_says_what_it_takes():
    shown = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--help"], cwd=engine.ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert all(f"--{kind} CASES" in shown for kind in engine.kinds())
