"""The terminal: what reaches it, how a command's progress is shown, and printing into pipes that may be closed."""

import contextlib
import inspect
import logging
import os
import sys
import typing
import warnings
from collections.abc import Callable, Iterator

import absl.logging

from tftrt_yolo.cli.signatures import kinds
from tftrt_yolo.ground import chatter, stages
from tftrt_yolo.ground.text import printable


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
    """Keeps TensorFlow's chatter off the terminal; a user's own TF_CPP_MIN_LOG_LEVEL and its fatal messages stay."""
    warnings.filterwarnings("ignore", module="supervision")  # that it draws without OpenCV
    if chatter.LEVEL in os.environ:
        yield
        return
    os.environ[chatter.LEVEL] = chatter.FATAL
    with chatter.filtered():
        yield


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
    """Shows on a terminal what a command does and for how long; a bar where its function counts, or its own line.

    What a function says when it is ready is printed, whatever standard output is.

    Args:
      command: The command.
      function: Its function.

    Yields:
      The function's callback, if it has one, by its name.
    """
    from rich.console import Console  # these two take a tenth of a second, which a command's help need not wait for
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    name, takes = _callback_of(function)
    counts = _count_columns() if len(takes) == 2 else ()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), *counts, TimeElapsedColumn())
    # Into a file or a pipe it would write empty lines.
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"{command} ...", total=None)

        def describe(line: str) -> None:
            progress.update(task, description=f"{printable(line)} ...")

        def count(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        def ready(found: object) -> None:
            progress.stop()
            show(found)

        def enter(stage: str) -> None:
            describe(f"{command}: {stage}")

        with contextlib.nullcontext() if takes == [str] else stages.told_to(enter):  # its own lines say more
            yield {name: count if counts else describe if takes == [str] else ready} if name else {}


def _count_columns() -> tuple:
    """Rich's columns of a bar, of how much is done, how much a second and how long it will take.

    Where nobody knows how much there is, there is neither a bar nor an end.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TimeRemainingColumn
    from rich.text import Text

    class Bar(BarColumn):
        def render(self, task):
            return Text() if task.total is None and task.completed else super().render(task)

    class Done(MofNCompleteColumn):
        def render(self, task):
            is_counted = task.total is None and task.completed
            return Text(f"{int(task.completed):,}", "progress.download") if is_counted else super().render(task)

    class Rate(ProgressColumn):
        def render(self, task):
            return Text(f"{task.speed:,.1f}/s" if task.speed else "", "progress.data.speed")

    class Left(TimeRemainingColumn):
        def render(self, task):
            return Text() if task.time_remaining is None else Text("left ") + super().render(task)

    return Bar(), Done(), Rate(), Left()


def _callback_of(function: Callable) -> tuple[str | None, list]:
    """Name and types of a function's callback: of two numbers, a line, or what is shown; None if it has none."""
    name = next((name for name in inspect.signature(function).parameters if name.startswith("on_")), None)
    if name is None:
        return None, []
    callback = kinds(typing.get_type_hints(function)[name])[0]
    return name, typing.get_args(callback)[0]
