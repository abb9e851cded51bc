import inspect
import re
import subprocess
import sys

import pytest

import tftrt_yolo
from tftrt_yolo.cli import command_line as cli
from tftrt_yolo.cli.commands import COMMANDS
from tftrt_yolo.ground.version import __version__

HEAVY = ("tensorflow", "torch", "keras", "ultralytics", "onnx", "matplotlib", "rich")


@pytest.mark.parametrize("command_line", [[command, "--help"] for command in COMMANDS] + [["--help"], ["--version"]])
def test_help_loads_nothing_heavy(command_line):
    code = (
        "import sys\nfrom tftrt_yolo.cli import command_line\n"
        f"assert command_line.main({command_line!r}) == 0\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.splitlines()[-1] == "[]"
    assert result.stdout


def test_the_list_of_commands(capfd):
    assert cli.main(["--help"]) == 0
    lines = capfd.readouterr().out.splitlines()
    starts = {len(line) - len(line.split(maxsplit=1)[1]) for line in lines if line.startswith("  ")}
    assert len(starts) == 1, lines  # the descriptions stand below each other, behind the longest name too
    assert "engine is short for build_engine, onnx is short for write_onnx." in lines
    assert max(map(len, lines)) <= 120


def test_version(capfd):
    import tensorflow as tf

    assert cli.main(["--version"]) == 0
    own, platform = capfd.readouterr().out.splitlines()
    assert own == f"tftrt-yolo {__version__}"
    assert platform == f"Python {sys.version.split()[0]}, TensorFlow {tf.__version__}"


def test_the_version_without_tensorflow(capfd, monkeypatch):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert cli.main(["--version"]) == 0
    assert capfd.readouterr().out.endswith(", no TensorFlow\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_in_two_ways(capfd, command):
    assert cli.main([command, "--help"]) == 0
    text = capfd.readouterr().out
    assert text.startswith(f"tftrt-yolo {command}: ")
    assert cli.main(["help", command]) == 0
    assert capfd.readouterr().out == text
    first = next(iter(inspect.signature(getattr(tftrt_yolo, command)).parameters), None)
    takes_a_model = first in ("weights", "saved_model_dir") or command == "serve"
    assert ("without its name" in text) == takes_a_model


def test_options_show_their_defaults(capfd):
    assert cli.main(["help", "convert"]) == 0
    text = capfd.readouterr().out
    assert "--batch_sizes (default: 1)\n      Batch sizes that engines are built for." in text
    assert text.count("--batch_sizes") == 1  # of two accelerators
    assert "With xla the batch sizes that are compiled, 65,536 or fewer, by default every power of two" in " ".join(
        text.split()
    )
    assert "--minimum_coverage (default: 0.95)" in text
    assert "--calibration_data (default: none)" in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [("convrt", "convert"), ("evalute", "evaluate"), ("--versoin", "--version"), ("hlep", "help"), ("train", None)],
)
def test_what_was_perhaps_meant(capfd, name, meant):
    assert cli.main([name]) == 2
    first = capfd.readouterr().err.splitlines()[0]
    assert f"has no command '{name}'; known are export, convert" in first
    assert re.findall(r"Did you mean (\S+)\?", first) == ([meant] if meant else [])


def test_help_of_an_unknown_command(capfd):
    assert cli.main(["help", "exprot"]) == 2
    assert "Did you mean export?" in capfd.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect"],
        ["predict", "--source=tests/data/images", "--output_dir=none"],
        ["evaluate", "--data=nowhere.yaml"],
        ["convert", "--output_saved_model_dir=none"],
        ["preflight"],
        ["build_engine", "--engine_path=none.engine"],
        ["extract_engines", "--output_dir=none"],
        ["write_onnx", "--onnx_path=none.onnx"],
        ["sensitivity", "--calibration_data=tests/data/images"],
        ["benchmark", "--output_dir=none"],
        ["triton", "--model_repository=none"],
        ["tf_serving", "--base_path=none"],
    ],
)  # fmt: skip
def test_a_wrong_path_is_told_before_tensorflow_is_there(arguments):
    """The most usual mistake is told in half a second; TensorFlow takes two and more."""
    command, *others = arguments
    code = (
        "import sys\nfrom tftrt_yolo.cli import command_line\n"
        f"assert command_line.main([{command!r}, 'nowhere', *{others!r}]) == 1\n"
        "print('tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nowhere is no directory. Expected a SavedModel directory" in result.stderr
    assert result.stdout.split() == ["False"]
