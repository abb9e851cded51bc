"""The command line: `tftrt-yolo COMMAND --flag=value ...`.

Each command calls one public function and prints its report. The flags of a command are the function's arguments, under
the same names, with the descriptions of its docstring; a section of a `--config` file holds the same names.

    tftrt-yolo export --weights=yolov8n.pt --saved_model_dir=yolov8n_saved_model
    tftrt-yolo convert --config=configs/yolov8n_fp16.py --precision_mode=FP32
"""

import contextlib
import dataclasses
import errno
import inspect
import os
import re
import runpy
import signal
import subprocess
import sys
import types
import typing
import warnings
from collections.abc import Callable, Iterator

_COMMANDS = {
    "export": "export a checkpoint to a SavedModel",
    "convert": "convert a SavedModel with TF-TRT, XLA or oneDNN",
    "predict": "predict on files and draw what is found",
    "inspect": "show what is inside a SavedModel",
    "check": "show what this machine has, and what to do about what it lacks",
    "benchmark": "measure an export, its conversions and its peers here",
    "evaluate": "measure accuracy on labelled images",
    "sensitivity": "measure which convolutions INT8 loses its accuracy in",
    "demo": "run export, convert and predict on a packaged model and photo",
}
_USAGE = (
    "Usage: tftrt-yolo COMMAND [--flag=value ...]\n\n"
    + "\n".join(f"  {name:<13}{text}" for name, text in _COMMANDS.items())
    + "\n\n`tftrt-yolo COMMAND --help` lists a command's flags. --config=FILE.py gives them from a file's section."
)


# Drops the lines that TensorFlow, XLA and absl log below "fatal": "I0000 ...", "2026-01-31 ...: W ...".
_FILTER = r"""
import re, sys
chatter = re.compile(
    rb"[IWE]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IWE] |WARNING: All log messages before absl|To enable the following"
)
for line in sys.stdin.buffer:
    if not chatter.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def run(arguments: list[str] | None = None) -> None:
    """Entry point: runs a command and ends the process with its exit status.

    Args:
      arguments: What stands behind `tftrt-yolo`; None for the process's own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    # A job that is ended, by `timeout` or a scheduler, cleans up after itself as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(arguments))


def main(arguments: list[str]) -> int:
    """Runs a command.

    Args:
      arguments: The command and its flags.

    Returns:
      0 if it succeeded, 1 if it failed, 2 if the command line is wrong.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        _print(_USAGE)
        return 0 if arguments else 2
    name, *flag_arguments = arguments
    if name not in _COMMANDS:
        return _fail(f"has no command '{name}'; known are {', '.join(_COMMANDS)}.\n\n{_USAGE}", 2)
    with _quiet(), _warnings_of_ours():
        return _run_command(name, flag_arguments)


def _run_command(name: str, flag_arguments: list[str]) -> int:
    """Parses a command's flags, calls its function and prints the report."""
    import absl.flags

    import tftrt_yolo
    from tftrt_yolo.ground.errors import TftrtYoloError

    function = getattr(tftrt_yolo, name)
    try:
        keywords = _parse(name, function, flag_arguments)
    except _HelpRequestedError as help_text:
        _print(help_text)
        return 0
    except (absl.flags.Error, OSError, ValueError) as error:
        return _fail(f"{name}: {error}", 2)
    try:
        report = _call(name, function, keywords)
    except (TftrtYoloError, ValueError, TypeError, OSError) as error:
        if os.environ.get("TFTRT_YOLO_TRACEBACK"):
            raise
        is_full = getattr(error, "errno", None) == errno.ENOSPC
        hint = ". Free some space, or write to another disk; nothing half written is left." if is_full else ""
        return _fail(f"{name}: {error}{hint}", 1)
    except KeyboardInterrupt:
        return _fail(f"{name}: interrupted; nothing half written is left", 130)
    _print(report)
    return 0


def _print(text: object) -> None:
    """Prints to standard output, which may be closed: `| head` has seen enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _HelpRequestedError(Exception):
    """--help was given; the message is the help."""


@dataclasses.dataclass(frozen=True)
class _Argument:
    """One argument of a public function, as a flag."""

    name: str
    annotation: object
    default: object
    help: str


def _arguments(function: Callable) -> list[_Argument]:
    """A function's arguments that can be flags, with the descriptions of its docstring."""
    section = re.search(r"\n\s*Args:\n(.*?)(\n\s*\n|$)", inspect.getdoc(function) + "\n\n", re.DOTALL)
    descriptions = {
        match[1]: " ".join(match[2].split())
        for match in re.finditer(r"^  (\w+): (.*?)(?=^  \w+: |\Z)", section[1] + "\n", re.DOTALL | re.MULTILINE)
    }
    annotations = typing.get_type_hints(function)
    return [
        _Argument(name, annotations[name], parameter.default, descriptions[name])
        for name, parameter in inspect.signature(function).parameters.items()
        if not name.startswith("on_")  # callbacks are the command line's own
    ]


def _parse(command: str, function: Callable, arguments: list[str]) -> dict:
    """Turns flags, over a config file's section, into keyword arguments.

    Raises:
      _HelpRequestedError: If --help is among the arguments.
      absl.flags.Error: If a flag is unknown, malformed or missing.
    """
    from absl import flags

    values = flags.FlagValues()
    known = _arguments(function)
    for argument in known:
        _define_flag(argument, values)
    flags.DEFINE_string("config", None, "A Python file with get_config().", flag_values=values)
    flags.DEFINE_boolean("help", False, "Shows this text.", short_name="h", flag_values=values)
    rest = values([command, *arguments], known_only=False)[1:]
    if values.help:
        raise _HelpRequestedError(_help(command, function, known))
    if rest:
        raise flags.Error(f"'{rest[0]}' is no flag; write --name=value.")

    keywords = {}
    if values.config is not None:
        section = _load_config(values.config).get(command, {})
        unknown = sorted(set(section) - {argument.name for argument in known})
        if unknown:
            raise flags.Error(
                f"the config's section '{command}' has {unknown[0]!r}, which is no argument of {command}."
            )
        keywords |= section
    keywords |= {argument.name: values[argument.name].value for argument in known if values[argument.name].present}
    for argument in known:
        if argument.default is inspect.Parameter.empty and argument.name not in keywords:
            raise flags.Error(f"--{argument.name} is missing: {argument.help}")
        if isinstance(keywords.get(argument.name), list):
            several = keywords[argument.name]
            # One number for an argument that is a number or a pair; a tuple for one that is always several.
            is_one = len(several) == 1 and int in _kinds(argument.annotation)
            keywords[argument.name] = several[0] if is_one else tuple(several)
    return keywords


def _load_config(path: str) -> dict:
    """Runs a config file's get_config(); the file may import others from its own folder.

    Raises:
      ValueError: If the file is missing, fails or has no get_config().
    """
    if not os.path.isfile(path):
        raise ValueError(f"--config={path} does not exist. Expected a Python file such as configs/yolov8n_fp16.py.")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        return runpy.run_path(path)["get_config"]().to_dict()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"--config={path} cannot be used ({type(error).__name__}: {error}). Expected a Python file whose "
            "get_config() returns an ml_collections.ConfigDict."
        ) from error
    finally:
        del sys.path[0]


def _define_flag(argument: _Argument, values) -> None:
    """Defines the flag whose type is the argument's annotation."""
    from absl import flags

    default = None if argument.default is inspect.Parameter.empty else argument.default
    kinds = _kinds(argument.annotation)
    if tuple[str, ...] in kinds:
        flags.DEFINE_list(argument.name, default, argument.help, flag_values=values)
    elif any(map(_is_tuple, kinds)):
        if default is not None:
            default = [str(item) for item in (default if isinstance(default, tuple) else (default,))]
        flag = _WholeNumbersFlag(argument.name, default, argument.help)
        flags.DEFINE_flag(flag, flag_values=values)
    elif bool in kinds:
        flags.DEFINE_boolean(argument.name, default, argument.help, flag_values=values)
    elif int in kinds:
        flags.DEFINE_integer(argument.name, default, argument.help, flag_values=values)
    elif float in kinds:
        flags.DEFINE_float(argument.name, default, argument.help, flag_values=values)
    else:
        flags.DEFINE_string(argument.name, None if default is None else str(default), argument.help, flag_values=values)


def _WholeNumbersFlag(name: str, default: list[str] | None, help_text: str):  # noqa: N802 - it stands for a class
    """A flag of whole numbers, separated by commas: --batch_sizes=1,8 or --image_size=480,640."""
    from absl import flags

    class Parser(flags.ListParser):
        def parse(self, argument):
            try:
                return [int(item) for item in super().parse(argument)]
            except ValueError as error:
                raise ValueError(f"{argument!r} is not a list of whole numbers such as 1,8") from error

    return flags.Flag(Parser(), flags.CsvListSerializer(","), name, default, help_text)


def _kinds(annotation) -> tuple:
    """The members of a union, in either spelling; of another type, itself."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _is_tuple(annotation) -> bool:
    """Whether a type is a tuple."""
    return typing.get_origin(annotation) is tuple


def _help(command: str, function: Callable, known: list[_Argument]) -> str:
    """The help of a command, from the function's own docstring."""
    import textwrap

    lines = [f"tftrt-yolo {command}: {inspect.getdoc(function).splitlines()[0]}", "", "Flags:"]
    for argument in known:
        if argument.default is inspect.Parameter.empty:
            default = "required"
        else:
            shown = argument.default
            shown = ",".join(map(str, shown)) if isinstance(shown, tuple) else shown
            default = "default: none" if shown is None else f"default: {shown}"
        lines.append(f"  --{argument.name} ({default})")
        lines += textwrap.wrap(argument.help, 96, initial_indent="      ", subsequent_indent="      ")
    lines += [
        "  --config",
        f"      A Python file with get_config(); its section '{command}' gives these flags; flags given here win.",
    ]
    return "\n".join(lines)


def _call(command: str, function: Callable, keywords: dict) -> object:
    """Calls the function, with a progress bar where it reports progress."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if command in ("predict", "evaluate", "convert", "sensitivity"):
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Into a file or a pipe the bar would write empty lines.
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(command, total=None)
            return function(
                **keywords, on_progress=lambda done, total: progress.update(task, completed=done, total=total)
            )
    with console.status(f"{command} ...") as status:
        if command == "demo":
            keywords["on_stage"] = lambda stage: status.update(f"{stage} ...")
        if command == "benchmark":
            keywords["on_progress"] = lambda line: status.update(f"{line} ...")
        return function(**keywords)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TensorFlow's chatter off the terminal; a user's own TF_CPP_MIN_LOG_LEVEL and its fatal messages stay.

    Much of it is written by C++ before any setting is read, straight to the standard error of the process. So that goes
    through a filter, in a process of its own, which lives to print the last words of this one if TensorFlow aborts it.
    """
    warnings.filterwarnings("ignore", module="supervision")  # that it draws without OpenCV
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    terminal, python_stderr = os.dup(2), sys.stderr
    filtering = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _FILTER],
        stdin=subprocess.PIPE,
        stdout=terminal,
        start_new_session=True,  # it outlives an interrupt
    )
    os.dup2(filtering.stdin.fileno(), 2)
    sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = python_stderr
        os.dup2(terminal, 2)
        filtering.stdin.close()
        filtering.wait()
        os.close(terminal)


@contextlib.contextmanager
def _warnings_of_ours() -> Iterator[None]:
    """Shows this package's own warnings, such as a picture that was converted to RGB, as a line each."""
    import logging

    import absl.logging

    logger = absl.logging.get_absl_logger()
    before = logger.handlers, logger.propagate, absl.logging.get_verbosity()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("tftrt-yolo: %(message)s"))
    logger.handlers, logger.propagate = [handler], False
    absl.logging.set_verbosity(absl.logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        absl.logging.set_verbosity(before[2])


def _fail(message: str, status: int) -> int:
    """Prints an error and returns the exit status."""
    print(f"tftrt-yolo {message}", file=sys.stderr)
    return status
