"""Recipes of every command with values of every kind, up to the call of the command.

A recipe is the user's own Python and is run; what must hold is that its values are checked like flags.
"""

import contextlib
import os
from pathlib import Path

import absl.flags
import numpy as np

import tftrt_yolo
from tests.fuzz import damages
from tftrt_yolo.cli.commands import COMMANDS
from tftrt_yolo.cli.flags import parse
from tftrt_yolo.cli.signatures import arguments_of, as_keywords

REFUSALS = (ValueError, TypeError, FileExistsError, absl.flags.Error, tftrt_yolo.TftrtYoloError)
RUNS_PYTHON = True
STARTS = ("uname", "lscpu", "fc-list")  # how libraries look at the machine when they are first used
_VALUES = (
    *(None, True, False, 0, 1, -1, 2**70, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "x", "FP16", "\x1b[31m"),
    *(
        [],
        [1],
        [1, "a"],
        [[1]],
        {},
        {"a": 1},
        (1, 2),
        b"x",
        {1, 2},
        "x" * 500,
        "../..",
        "/dev/zero",
        "a\0b",
        10**5_000,
    ),
)
_BODIES = (
    *("raise SystemExit(3)", "raise KeyError('x')", "return 5", "return {}", "return None", "1 / 0", "get_config()"),
    *(
        "return ConfigDict({'export': 5})",
        "return ConfigDict({'export': {1: 2}})",
        "raise ValueError('\\x1b[31m' * 999)",
    ),
    *(
        "return ConfigDict({5: {}})",
        "raise ExceptionGroup('', [])",
    ),
)


def prepare(folder: Path):
    return {name: arguments_of(getattr(tftrt_yolo, name)) for name in COMMANDS}


def case(prepared, rng: np.random.Generator, folder: Path):
    command = str(rng.choice(list(prepared)))
    arguments = prepared[command]
    path = folder / "recipe.py"
    way = str(rng.choice(["values", "values", "values", "values", "body", "bytes"]))
    names = [argument.name for argument in arguments] + ["unknown"]
    chosen = [str(name) for name in rng.choice(names, min(len(names), int(rng.integers(0, 6))), replace=False)]
    section = {name: _VALUES[rng.integers(len(_VALUES))] for name in chosen}
    needed = {
        a.name: "missing.pt" for a in arguments if (a.name not in section and "dir" in a.name) or a.name == "weights"
    }
    body = f"return ConfigDict({{{command!r}: {_written(needed | section)}}})"
    if way == "body":
        body = _BODIES[rng.integers(len(_BODIES))]
    text = f"from ml_collections import ConfigDict\n\n\ndef get_config():\n    {body}\n".encode()
    path.write_bytes(damages.bits(text, rng) if way == "bytes" else text)
    return f"{command} {way}", lambda: _bring(command, arguments, path)


def _written(section: dict) -> str:
    with contextlib.suppress(ValueError):  # of a number that is too long for text
        return (
            repr(section)
            .replace("nan", "float('nan')")
            .replace("inf,", "float('inf'),")
            .replace("inf}", "float('inf')}")
        )
    return "{" + ", ".join(f"{key!r}: 10**5000" for key in section) + "}"


def _bring(command, arguments, path):
    """What the command line does before it calls the function, and its own checks of what needs no model."""
    given = parse(command, arguments, [f"--config={path}"], plain=COMMANDS[command].plain)
    keywords = as_keywords(arguments, given.values)
    if (
        command in ("inspect", "predict", "evaluate", "convert", "sensitivity")
        and keywords.get("saved_model_dir") == "missing.pt"
    ):
        os.chdir(path.parent)
        getattr(tftrt_yolo, command)(**keywords)
