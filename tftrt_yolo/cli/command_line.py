"""The command line: `tftrt-yolo COMMAND --flag=value ...`.

Each command calls one public function and prints its report. The flags of a command are the function's arguments, and
the fields of its dataclasses of options, under the same names, with the descriptions of the docstrings; a section of a
`--config` file holds the same names.

    tftrt-yolo export --weights=yolov8n.pt --saved_model_dir=yolov8n_saved_model
    tftrt-yolo convert --config=configs/yolov8n_fp16.py --precision_mode=FP32
    tftrt-yolo inspect yolov8n_saved_model --json
"""

import contextlib
import errno
import os
from collections.abc import Callable

import absl.flags

import tftrt_yolo
from tftrt_yolo.cli import interrupts
from tftrt_yolo.cli.commands import ALIASES, COMMANDS
from tftrt_yolo.cli.flags import parse
from tftrt_yolo.cli.help import USAGE, help_of, version
from tftrt_yolo.cli.signatures import arguments_of, as_keywords
from tftrt_yolo.cli.terminal import fail, free_standard_output, progress_of, quiet, show, warnings_of_ours
from tftrt_yolo.ground.arguments import named_as_flags
from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.predictor.spelling import did_you_mean


def main(arguments: list[str]) -> int:
    """Runs a command.

    Args:
      arguments: The command and its flags.

    Returns:
      0 if it succeeded, 1 if it failed or its report names faults, 2 if the command line is wrong.

    Raises:
      KeyboardInterrupt: If it was interrupted; `entry.run` ends the process then.
    """
    if not arguments or arguments in (["-h"], ["--help"], ["help"]):
        show(USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        show(version())
        return 0
    name, *flag_arguments = arguments
    if name in ("-h", "--help", "help"):  # `tftrt-yolo help COMMAND`
        name, flag_arguments = flag_arguments[0], ["--help"]
    name = ALIASES.get(name, name)
    if name not in COMMANDS:
        words = [*COMMANDS, *ALIASES, "help", "--help", "--version"]
        known = f"known are {', '.join(COMMANDS)}.{did_you_mean(name, words)}"
        return fail(f"has no command '{name}'; {known}\n\n{USAGE}", 2)
    with quiet(), warnings_of_ours(), named_as_flags():
        return _run_command(name, flag_arguments)


def _run_command(name: str, flag_arguments: list[str]) -> int:
    """Parses a command's flags, calls its function and prints the report."""
    function = getattr(tftrt_yolo, name)
    arguments = arguments_of(function)
    try:
        given = parse(name, arguments, flag_arguments, plain=COMMANDS[name].plain)
    except (absl.flags.Error, OSError, ValueError) as error:
        return fail(f"{name}: {error}", 2)
    if given.wants_help:
        show(help_of(name, function, arguments))
        return 0
    try:
        found = _call(name, function, as_keywords(arguments, given.values), to_standard_output=not given.as_json)
        report = documents.to_json(found).rstrip() if given.as_json else found
    except (TftrtYoloError, ValueError, TypeError, OSError) as error:
        if interrupts.came():
            raise KeyboardInterrupt from error
        if os.environ.get("TFTRT_YOLO_TRACEBACK"):
            raise
        is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        hint = ". Free some space, or write to another disk; nothing half written is left." if is_full else ""
        return fail(f"{name}: {error}{hint}", 1)
    show(report)
    return 1 if getattr(found, "faults", ()) else 0


def _call(name: str, function: Callable, keywords: dict, *, to_standard_output: bool) -> object:
    """Calls a command's function, with its progress on the terminal; gives its report."""
    where = contextlib.nullcontext() if to_standard_output else free_standard_output()
    with where, progress_of(name, function) as callback:
        return function(**keywords, **callback)
