"""The terminal: what reaches it, how a command's progress is shown, and printing into pipes that may be closed."""

import contextlib
import inspect
import logging
import os
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable, Iterator

import absl.logging

from tftrt_yolo.cli.signatures import kinds
from tftrt_yolo.ground.text import printable

# Drops the lines that TensorFlow, XLA and absl log below "fatal": "I0000 ...", "2026-01-31 ...: W ...". It ends with
# its input, not with a signal that all processes get.
FILTER = r"""
import re, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
chatter = re.compile(
    rb"[IWE]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IWE] |WARNING: All log messages before absl|To enable the following"
)
for line in sys.stdin.buffer:
    if not chatter.match(line):
        text = line.decode(errors="backslashreplace")
        plain = (c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
        sys.stdout.buffer.write("".join(plain).encode())
        sys.stdout.buffer.flush()
"""


def show(text: object) -> None:
    """Prints to standard output, which may be closed: `| head` has seen enough."""
    try:
        print(printable(text), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(message: str, status: int) -> int:
    """Prints an error and returns the exit status."""
    print(f"tftrt-yolo {printable(message)}", file=sys.stderr)
    return status


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
        [sys.executable, "-I", "-S", "-c", FILTER],  # -I: nothing is imported from the working directory
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


class _PlainFormatter(logging.Formatter):
    """Escapes what a terminal would obey: warnings name what strangers' files hold."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextlib.contextmanager
def warnings_of_ours() -> Iterator[None]:
    """Shows warnings, such as this package's of a picture that was converted to RGB, as a line each."""
    logger = absl.logging.get_absl_logger()
    before = logger.handlers, logger.propagate, absl.logging.get_verbosity()
    form = warnings.formatwarning
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter("tftrt-yolo: %(message)s"))
    logger.handlers, logger.propagate = [handler], False
    absl.logging.set_verbosity(absl.logging.WARNING)
    warnings.formatwarning = _plain_warning
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before[:2]
        absl.logging.set_verbosity(before[2])
        warnings.formatwarning = form


def _plain_warning(message: Warning, category: type[Warning], *_, **__) -> str:
    """A warning of Python's as a line, without the code that gave it."""
    return f"tftrt-yolo: {category.__name__}: {printable(message)}\n"


@contextlib.contextmanager
def free_standard_output() -> Iterator[None]:
    """Sends what libraries print, in Python or C++, to standard error: standard output is for JSON alone."""
    sys.stdout.flush()
    standard_output = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(standard_output, 1)
        os.close(standard_output)


@contextlib.contextmanager
def progress_of(command: str, function: Callable) -> Iterator[dict[str, Callable]]:
    """Shows how far a command is: a bar where its function counts, otherwise a line.

    Args:
      command: The command.
      function: Its function.

    Yields:
      The function's callback, if it has one, by its name.
    """
    from rich.console import Console  # these two take a tenth of a second, which a command's help need not wait for
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    console = Console(stderr=True)
    name, takes = _callback_of(function)
    if takes == [int, int]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Into a file or a pipe the bar would write empty lines.
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(command, total=None)
            yield {name: lambda done, total: progress.update(task, completed=done, total=total)}
        return
    with console.status(f"{command} ...") as status:
        yield {name: lambda line: status.update(Text(f"{printable(line)} ..."))} if name else {}


def _callback_of(function: Callable) -> tuple[str | None, list]:
    """Name of a function's callback and the types that it takes: two numbers, or a line; None if it has none."""
    name = next((name for name in inspect.signature(function).parameters if name.startswith("on_")), None)
    if name is None:
        return None, []
    callback = kinds(typing.get_type_hints(function)[name])[0]
    return name, typing.get_args(callback)[0]
