"""A process of its own for work that must not touch the caller's process.

Ultralytics patches Pillow and installs packages; onnx2tf prints and exits as it likes; TF-TRT aborts the process where
a library is missing or has the wrong version; and all need gigabytes that a process which ends gives back. So they run
in children:

    with Worker("tftrt_yolo.converter.tensorrt") as worker:   # starts importing the module
        ...                                                   # meanwhile the caller prepares the input
        worker.start(source=handle, output_dir=..., ...)      # calls the module's work(**arguments)
        result = worker.receive()                             # what work() returned or, if it is a generator, yielded

A job that answers request after request, without loading its model again for each:

    with Worker("tftrt_yolo.exporter.reference") as worker:
        worker.open(weights="yolov8n.pt")                     # as start(); work(..., requests) gets an iterator too
        facts = worker.receive()
        worker.send(frames)
        dense = worker.receive()                              # before the next send()
"""

import contextlib
import importlib
import inspect
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tftrt_yolo.ground.errors import TftrtYoloError

_PACKAGE_PARENT = Path(__file__).resolve().parents[3]
_LAST_LINES = 12
# Graphs with their weights inside are copied dozens of times. Heap that is kept instead of given back to the system
# between the copies need not be cleared again, which for yolov8x is half of the time (glibc; others ignore these).
_KEEP_HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 << 30), "MALLOC_TOP_PAD_": str(64 << 20)}
# What tells an interpreter where its packages and libraries are, or how its XLA works: poison for another one.
_OF_ONE_INTERPRETER = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "XLA_FLAGS")
_PEER_PYTHONPATH = "TFTRT_YOLO_PEER_PYTHONPATH"


class WorkerCrashedError(Exception):
    """The process ended without a result; the message ends with the last lines that it printed."""


class Worker:
    """One child process for one job.

    Attributes:
      folder: A temporary folder for the job's files; it goes when the context ends.
    """

    def __init__(
        self,
        module: str,
        *,
        python: str | Path | None = None,
        working_dir: str | Path | None = None,
        environment: dict[str, str] | None = None,
        keep_heap: bool = True,
    ):
        """Prepares a process.

        Args:
          module: A module with a function `work`; its import is the first thing that the process does.
          python: Its interpreter; None for the caller's. One that is named gets neither PYTHONPATH nor LD_LIBRARY_PATH
            nor XLA_FLAGS of the caller, but TFTRT_YOLO_PEER_PYTHONPATH as its PYTHONPATH; of the caller's packages it
            sees this one alone.
          working_dir: Its working directory; None for `folder`.
          environment: Environment variables to set for it, beside the caller's own.
          keep_heap: Whether it keeps memory that it freed, which is quicker and takes more; false where either is
            measured.
        """
        self._module, self._working_dir = module, working_dir
        self._python = None if python is None else str(python)
        self._environment = {**(_KEEP_HEAP if keep_heap else {}), **os.environ} | (environment or {})

    def __enter__(self) -> "Worker":
        """Starts the process, which imports its module and waits for its job."""
        self._resources = contextlib.ExitStack()
        self.folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="tftrt_yolo_")))
        self._log = self._resources.enter_context(open(self.folder / "log", "w+b"))
        read_end, write_end = os.pipe()
        self._results = self._resources.enter_context(open(read_end, "rb"))
        self._process = subprocess.Popen(
            [self._python or sys.executable, "-m", "tftrt_yolo.ground.workers.worker", self._module, str(write_end)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self._working_dir or self.folder,
            pass_fds=(write_end,),
            env=self._foreign_environment() if self._python else self._own_environment(),
        )
        os.close(write_end)  # the child has its own; now its end is the end of the results
        return self

    def __exit__(self, *_) -> None:
        """Ends the process if it still runs and removes the folder."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._resources.close()

    def start(self, **arguments) -> None:
        """Hands the arguments of `work` over; the process works while the caller goes on."""
        self.open(**arguments)
        self.close()

    def open(self, **arguments) -> None:
        """As `start`, for a `work` that also takes `requests`, an iterator over what `send` gives."""
        self.send(arguments)

    def send(self, request) -> None:
        """Sends a request; its answer must be received before the next is sent, or both sides wait for ever."""
        data = pickle.dumps(request, protocol=pickle.HIGHEST_PROTOCOL)  # whole, or nothing is sent
        with contextlib.suppress(BrokenPipeError):  # it died early: receive() says why
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def close(self) -> None:
        """Says that no request follows."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def receive(self):
        """Waits for the next result.

        Returns:
          What `work` returned, or yielded next.

        Raises:
          TftrtYoloError: What `work` raised.
          WorkerCrashedError: If the process failed in any other way, or was killed.
        """
        try:
            result = pickle.load(self._results)
        except ImportError as error:
            raise WorkerCrashedError(
                f"gave a result that holds an object of a package which is not here ({error}). Its interpreter has "
                "other packages than this one; it must give plain values."
            ) from error
        except (AttributeError, TypeError) as error:
            raise WorkerCrashedError(
                f"gave a result that cannot be put together here ({type(error).__name__}: {error}). It must give plain "
                "values."
            ) from error
        except (EOFError, pickle.UnpicklingError) as error:
            status = self._process.wait()
            self._log.seek(0)
            last_lines = self._log.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
            raise WorkerCrashedError(
                f"ended with status {status}. Its last words:\n  " + "\n  ".join(last_lines)
            ) from error
        if isinstance(result, TftrtYoloError):
            raise result
        return result

    def _own_environment(self) -> dict[str, str]:
        """Environment of a process of the caller's interpreter."""
        return {**self._environment, "PYTHONPATH": _join_paths(str(_PACKAGE_PARENT), os.environ.get("PYTHONPATH"))}

    def _foreign_environment(self) -> dict[str, str]:
        """Environment of a process of another interpreter; a link in `folder` leads it to this package alone."""
        import_dir = self.folder / "import"
        import_dir.mkdir()
        (import_dir / "tftrt_yolo").symlink_to(_PACKAGE_PARENT / "tftrt_yolo")
        kept = {name: value for name, value in self._environment.items() if name not in _OF_ONE_INTERPRETER}
        return {**kept, "PYTHONPATH": _join_paths(str(import_dir), os.environ.get(_PEER_PYTHONPATH))}


def _join_paths(*paths: str | None) -> str:
    """Joins search paths; None and "" are left out, for an empty entry means the working directory."""
    return os.pathsep.join(filter(None, paths))


def _requests() -> Iterator:
    """What the parent sends, until it closes."""
    with contextlib.suppress(EOFError):
        while True:
            yield pickle.load(sys.stdin.buffer)


def _give(pipe: BinaryIO, result: object) -> None:
    """Writes a result into the pipe, all of it: a file without a buffer may take less, and say so in its own way."""
    try:
        data = pickle.dumps(result)
    except Exception as error:  # whatever it is, pickle says it in a dozen ways
        raise TypeError(f"work() gave a {type(result).__name__} that cannot be pickled: {error}") from error
    pipe.write(data)
    pipe.flush()


def _main() -> None:
    """Does one job from standard input; without one it ends quietly."""
    module, results = sys.argv[1:]
    work = importlib.import_module(module).work
    try:
        arguments = pickle.load(sys.stdin.buffer)
    except EOFError:
        return
    if "requests" in inspect.signature(work).parameters:
        arguments["requests"] = _requests()
    os.set_inheritable(int(results), False)  # or the parent would wait for programs that `work` starts
    with open(int(results), "wb") as pipe:
        try:
            outcome = work(**arguments)
            for result in outcome if inspect.isgenerator(outcome) else (outcome,):
                _give(pipe, result)
        except TftrtYoloError as error:
            _give(pipe, error)
        except Exception:  # noqa: BLE001 - whatever it is, the parent shows it
            traceback.print_exc()
            sys.exit(1)


if __name__ == "__main__":
    _main()
