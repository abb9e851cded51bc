"""A process of its own for work that must not take the caller's process with it.

onnx2tf prints, patches and exits as it likes; TF-TRT aborts the process where a library is missing or a version is
wrong; both need gigabytes that a process which ends gives back. So both run in a child:

    with Worker("tftrt_yolo.exporter.tensorflow_half") as worker:   # starts importing the module
        ...                                                         # meanwhile the caller prepares the input
        worker.start(onnx_path=worker.folder / "trunk.onnx", ...)   # calls the module's work(**arguments)
        result = worker.finish()                                    # what work() returned, or its error
"""

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from tftrt_yolo.errors import TftrtYoloError

_PACKAGE_PARENT = Path(__file__).resolve().parents[1]
_RESULT_FILE = "result.pickle"
_LAST_LINES = 12
# Graphs with their weights inside are copied dozens of times. Heap that is kept instead of given back to the system
# between the copies need not be cleared again, which for yolov8x is half of the time (glibc; others ignore these).
_KEEP_HEAP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(16 << 30), "MALLOC_TOP_PAD_": str(64 << 20)}


class WorkerCrashedError(Exception):
    """The process ended without a result; the message ends with the last lines that it printed."""


class Worker:
    """One child process for one job.

    Attributes:
      folder: A temporary folder, the child's working directory; it goes when the context ends.
    """

    def __init__(self, module: str, *, environment: dict[str, str] | None = None):
        """Prepares a process.

        Args:
          module: A module with a function `work`; its import is the first thing that the process does.
          environment: Environment variables to set for it, beside the caller's own.
        """
        self._module = module
        self._environment = environment or {}

    def __enter__(self) -> "Worker":
        """Starts the process, which imports its module and waits for its job."""
        self._resources = contextlib.ExitStack()
        self.folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="tftrt_yolo_")))
        self._log = self._resources.enter_context(open(self.folder / "log", "w+b"))
        python_path = os.pathsep.join([str(_PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tftrt_yolo.worker", self._module],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={**_KEEP_HEAP, **os.environ, "PYTHONPATH": python_path, **self._environment},
        )
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
        with contextlib.suppress(BrokenPipeError):  # it died early: finish() says why
            pickle.dump(arguments, self._process.stdin)
            self._process.stdin.close()

    def finish(self):
        """Waits for the result.

        Returns:
          What `work` returned.

        Raises:
          TftrtYoloError: What `work` raised.
          WorkerCrashedError: If the process failed in any other way, or was killed.
        """
        status = self._process.wait()
        result_path = self.folder / _RESULT_FILE
        if status or not result_path.is_file():
            self._log.seek(0)
            last_lines = self._log.read().decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
            raise WorkerCrashedError(f"ended with status {status}. Its last words:\n  " + "\n  ".join(last_lines))
        result = pickle.loads(result_path.read_bytes())
        if isinstance(result, TftrtYoloError):
            raise result
        return result


def _main() -> None:
    """Does one job from standard input; without one it ends quietly."""
    work = importlib.import_module(sys.argv[1]).work
    serialized = sys.stdin.buffer.read()
    if not serialized:
        return
    try:
        result = work(**pickle.loads(serialized))
    except TftrtYoloError as error:
        result = error
    except Exception:  # noqa: BLE001 - whatever it is, the parent shows it
        traceback.print_exc()
        sys.exit(1)
    Path(_RESULT_FILE).write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    _main()
