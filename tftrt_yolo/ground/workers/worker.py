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
        worker.open(weights="/models/yolov8n.pt")             # as start(); work(..., requests) gets an iterator too
        facts = worker.receive()
        worker.send(frames)
        dense = worker.receive()                              # before the next send()

A worker runs in a folder of its own, imports nothing from the caller's, has no network, and dies with the thread that
started it (see `clean_room`). So what it is told of must not be relative: give it absolute paths.
"""

import contextlib
import errno
import os
import pickle
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.text import printable
from tftrt_yolo.ground.workers.results import NotTakenError, unpacked

_PACKAGE = Path(__file__).resolve().parents[2]
# It finds this package by its folder, for what lies beside the package, or in the working directory, is not to be
# imported. Python 3.10 has no flag that keeps the working directory away and PYTHONPATH in use.
_BOOTSTRAP = """\
import sys
sys.path[:] = filter(None, sys.path)
from importlib import util
folder, *arguments = sys.argv[1:]
spec = util.spec_from_file_location("tftrt_yolo", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["tftrt_yolo"] = package = util.module_from_spec(spec)
spec.loader.exec_module(package)
from tftrt_yolo.ground.workers import child
child.main(*arguments)
"""
_LAST_LINES, _LINE_LENGTH, _LOG_TAIL = 12, 300, 64 << 10  # lines, characters, bytes
_SECONDS_TO_END = 10.0  # for a process that has closed its results
# Graphs with their weights inside are copied dozens of times. Heap that is kept instead of given back to the system
# between the copies need not be cleared again, which for yolov8x is half of the time (glibc; others ignore these).
_KEEP_HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 << 30), "MALLOC_TOP_PAD_": str(64 << 20)}
# What tells an interpreter where its packages and libraries are, or how its XLA works: poison for another one.
_OF_ONE_INTERPRETER = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "XLA_FLAGS")
_PEER_PYTHONPATH = "TFTRT_YOLO_PEER_PYTHONPATH"
_ALONE = {
    "PYTHONSAFEPATH": "1",  # Python 3.11 and newer, in what the process itself starts
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime 1.31 looks a host up when it is imported, and keeps a store at home
    "YOLO_AUTOINSTALL": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",  # builds networks without evaluating what a file names
}
# Unless the user says otherwise: it shares the GPU with its parent and with others of its kind.
_SHARES_GPU = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
_OFFLINE = {"YOLO_OFFLINE": "true"}
# Variables that name folders for settings, caches and temporary files, to their names in the worker's folder.
_FOLDERS = {"YOLO_CONFIG_DIR": "ultralytics", "KERAS_HOME": "keras", "TMPDIR": "tmp"}
_GPU_FULL = (
    "Status: out of memory",  # TensorFlow, where it takes the GPU
    "CUDA_ERROR_OUT_OF_MEMORY",  # CUDA's driver
    "OOM when allocating",  # TensorFlow, in a kernel
    "(out of memory)",  # TensorRT: "Error Code 1: Cuda Runtime (out of memory)", or Cuda Driver
    "CUDA out of memory",  # PyTorch
)
_MEANINGS = {
    signal.SIGKILL: ", as Linux does where memory runs out",
    signal.SIGSEGV: ", a fault in native code",
    signal.SIGBUS: ", a fault in native code, or a disk that is full",
    signal.SIGILL: ", an instruction that this CPU does not have",
    signal.SIGABRT: ", a refusal of native code",
}


class WorkerCrashedError(Exception):
    """The process ended without a result; the message ends with the last lines that it printed."""

    @property
    def is_disk_full(self) -> bool:
        """Whether its last words say that a disk had no space."""
        return any(os.strerror(number) in str(self) for number in (errno.ENOSPC, errno.EDQUOT))  # or no quota

    @property
    def is_gpu_full(self) -> bool:
        """Whether its last words say that a GPU had no memory."""
        return any(words in str(self) for words in _GPU_FULL)


class Worker:
    """One child process for one job.

    Attributes:
      folder: A temporary folder for the job's files, where it runs; it goes when the context ends.
    """

    def __init__(
        self,
        module: str,
        *,
        python: str | Path | None = None,
        environment: dict[str, str] | None = None,
        keep_heap: bool = True,
        network: bool = False,
    ):
        """Prepares a process.

        Args:
          module: A module with a function `work`; its import is the first thing that the process does.
          python: Its interpreter; None for the caller's. One that is named gets neither PYTHONPATH nor LD_LIBRARY_PATH
            nor XLA_FLAGS of the caller, but TFTRT_YOLO_PEER_PYTHONPATH as its PYTHONPATH; of the caller's packages it
            sees this one alone. The caller's own keeps of PYTHONPATH what is absolute and not the working directory.
          environment: Environment variables to set for it, beside the caller's own.
          keep_heap: Whether it keeps memory that it freed, which is quicker and takes more; false where either is
            measured.
          network: Whether it may reach the network; for downloads that the user asked for, before anything of a
            stranger's is opened.
        """
        self._module, self._network = module, network
        self._python = None if python is None else str(python)
        self._environment = {**(_KEEP_HEAP if keep_heap else {}), **_SHARES_GPU, **os.environ, **_ALONE}
        self._environment |= ({} if network else _OFFLINE) | (environment or {})

    def __enter__(self) -> "Worker":
        """Starts the process, which imports its module and waits for its job."""
        # Its name is known before it is there, so that whatever comes in between, it can be removed.
        self.folder = Path(tempfile.gettempdir()).resolve() / f"tftrt_yolo_{secrets.token_hex(8)}"
        self._resources, self._process = contextlib.ExitStack(), None
        # For an interrupt that comes just as `__exit__` begins.
        self._last_resort = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        try:
            self.folder.mkdir(mode=0o700)
            for name in _FOLDERS.values():
                (self.folder / name).mkdir()
            self._log = self._resources.enter_context(open(self.folder / "log", "w+b"))
            read_end, write_end = os.pipe()
            self._results = self._resources.enter_context(open(read_end, "rb"))
            with open(write_end, "wb"):  # the child has its own; closed here, its end is the end of the results
                self._process = self._start_process(write_end)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """Ends the process if it still runs and removes the folder."""
        try:
            self._end()
        finally:  # an interrupt may have come meanwhile
            self._end()

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

    def kill(self) -> None:
        """Ends the process at once, from another thread too; a `receive` that waits raises then."""
        self._process.kill()

    def receive(self):
        """Waits for the next result.

        Returns:
          What `work` returned, or yielded next.

        Raises:
          TftrtYoloError: What `work` raised.
          WorkerCrashedError: If the process failed in any other way, or was killed.
        """
        try:
            result = unpacked(self._results)
        except NotTakenError as error:
            self._process.kill()
            raise WorkerCrashedError(
                f"gave {error}. Taken are plain values, NumPy's arrays and numbers, paths, and dataclasses and errors "
                "of tftrt_yolo that are loaded here; it must give these."
            ) from error
        except EOFError as error:
            ending = _ending(self._process)  # before its last words are read: it may still write them
            last_words = "\n  ".join(_last_lines(self._log))
            raise WorkerCrashedError(f"{ending}. Its last words:\n  {last_words}") from error
        if isinstance(result, TftrtYoloError):
            raise result
        return result

    def _start_process(self, pipe: int) -> subprocess.Popen:
        """Starts the process, which writes its results into a pipe."""
        arguments = (str(_PACKAGE), self._module, str(pipe), "open" if self._network else "closed")
        return subprocess.Popen(
            [self._python or sys.executable, "-c", _BOOTSTRAP, *arguments],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            pass_fds=(pipe,),
            env=self._whole_environment(),
        )

    def _whole_environment(self) -> dict[str, str]:
        """Environment of the process."""
        environment = {**self._environment, **{key: str(self.folder / name) for key, name in _FOLDERS.items()}}
        if self._python:
            environment = {key: value for key, value in environment.items() if key not in _OF_ONE_INTERPRETER}
            paths = os.environ.get(_PEER_PYTHONPATH, "").split(os.pathsep)
        else:
            here = os.path.realpath(os.curdir)
            paths = self._environment.get("PYTHONPATH", "").split(os.pathsep)
            paths = [path for path in paths if os.path.isabs(path) and os.path.realpath(path) != here]
        # An empty entry would mean the working directory.
        return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def _end(self) -> None:
        """Ends all that there is yet; again does no harm."""
        if self._process:
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._resources.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._last_resort.detach()


def _ending(process: subprocess.Popen) -> str:
    """How a process ended that gives no more results, and what that may mean."""
    try:
        status = process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        return "closed its results and went on"
    if status >= 0:
        return f"ended with status {status}"
    number = -status
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"was ended by {name}{_MEANINGS.get(number, '')}"


def _last_lines(log: BinaryIO) -> list[str]:
    """The last lines of a log, which libraries wrote and strangers' files may have filled."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_TAIL))
    lines = printable(log.read().decode(errors="replace").strip().replace("\r", "\n")).splitlines()
    return [line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]} ..." for line in lines[-_LAST_LINES:]]
