r"""What TensorFlow, XLA and absl log in C++, kept off the standard error.

    with chatter.filtered():                   # lines of the process's standard error that are none of theirs pass
        import tensorflow

    chatter.heed()                             # from now on, as often as a module of ours is the first to import it

Much of it is written before any setting is read, or reads none, straight to the standard error of the process. So that
goes through a filter while TensorFlow is imported, a model is loaded, or something is compiled; for the rest its own
setting serves. A user who imported TensorFlow before, or who set TF_CPP_MIN_LOG_LEVEL, finds all as it was. Errors
are exceptions, and what is fatal is printed.
"""

import contextlib
import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
FATAL = "3"  # its value for messages that end the process, and no others
# Drops the lines that TensorFlow, XLA and absl log below "fatal": "I0000 ...", "2026-01-31 ...: W ...", and Ray's:
# "[2026-01-31 ... E 12 12] ...". It ends with its input, not with a signal that all processes get.
FILTER = r"""
import re, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
chatter = re.compile(
    rb"[IWE]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IWE] |\[[\d-]+ [\d:,]+ [IWE] "
    rb"|WARNING: All log messages before absl|To enable the following"
)
for line in sys.stdin.buffer:
    if not chatter.match(line):
        text = line.decode(errors="backslashreplace")
        plain = (c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
        sys.stdout.buffer.write("".join(plain).encode())
        sys.stdout.buffer.flush()
"""
_OURS, _THEIRS = __name__.partition(".")[0] + ".", "tensorflow"
_lock = threading.Lock()
_stop, _depth = None, 0  # of the filter that runs, and how many want it


@contextlib.contextmanager
def filtered() -> Iterator[None]:
    """Sends the standard error of the process through a filter; what Python itself writes there goes past it.

    The filter is a process of its own, which lives to print the last words of this one if TensorFlow aborts it.
    """
    global _stop, _depth
    with _lock:
        if not _depth:
            _stop = _start()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if not _depth:
                _stop()


def kept_off() -> contextlib.AbstractContextManager:
    """As `filtered`, if TensorFlow came quietly; for what is the first to start a GPU or to compile something.

    XLA and the code for GPUs log by absl, which reads no setting.
    """
    return filtered() if _Loader.has_loaded else contextlib.nullcontext()


def heed() -> None:
    """Has TensorFlow come quietly if a module of this package is the first to import it; again does no harm."""
    if _THEIRS not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _start() -> Callable[[], None]:
    """Starts the filter; gives what stops it."""
    try:
        terminal = os.dup(2)
    except OSError:  # it is closed: there is nothing to keep off
        return lambda: None
    python_stderr = sys.stderr
    with contextlib.suppress(AttributeError, OSError, ValueError):  # None, or closed
        python_stderr.flush()
    filtering = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", FILTER],  # -I: nothing is imported from the working directory
        stdin=subprocess.PIPE,
        stdout=terminal,
        start_new_session=True,  # it outlives an interrupt
    )
    os.dup2(filtering.stdin.fileno(), 2)
    if _is_standard(python_stderr):  # a notebook's is another
        sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1)
    ours = sys.stderr

    def stop() -> None:
        if sys.stderr is ours and ours is not python_stderr:
            ours.flush()
            sys.stderr = python_stderr
        os.dup2(terminal, 2)
        filtering.stdin.close()
        filtering.wait()
        os.close(terminal)

    return stop


def _is_standard(stream: object) -> bool:
    """Whether a stream of Python's writes to the standard error of the process."""
    try:
        return stream.fileno() == 2
    except (AttributeError, OSError, ValueError):
        return False


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow as the others find it, for modules of this package."""

    def find_spec(self, name: str, path=None, target=None) -> importlib.machinery.ModuleSpec | None:
        """As importlib asks; None for whatever else, and for everybody else."""
        if name != _THEIRS or LEVEL in os.environ or not _is_asked_by_us(sys._getframe(1)):
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads TensorFlow with its own loader, which stays what the module knows."""

    has_loaded = False

    def __init__(self, loader: importlib.abc.Loader):
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        """As its own loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        """As its own loader does, with the standard error filtered."""
        module.__spec__.loader = module.__loader__ = self._loader
        os.environ[LEVEL] = FATAL
        try:
            with filtered():
                self._loader.exec_module(module)
        except BaseException:
            os.environ.pop(LEVEL, None)
            raise
        _Loader.has_loaded = True


def _is_asked_by_us(frame: types.FrameType | None) -> bool:
    """Whether the code that imports is this package's; importlib's own frames lie between."""
    while frame and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__", "").startswith(_OURS)
