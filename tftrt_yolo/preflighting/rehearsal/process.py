"""A program whose TensorFlow takes the stand-in for TensorRT, and everything that the program starts.

    status = process.run(["saved_model_cli", "run", ...])

The library has TensorRT's names only in a folder of the program's own, which goes when the program ends.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.stand_in import library

REHEARSAL = "TFTRT_YOLO_REHEARSAL"  # "1": the stand-in passes for TensorRT 8.6.1, and its engines are computed
_PACKAGES = Path(__file__).resolve().parents[3]  # the folder that holds this package
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)
_SIGNALLED = 128  # what shells add to the signal that ended a program


def is_rehearsal() -> bool:
    """Whether this process was started for a rehearsal."""
    return os.environ.get(REHEARSAL) == "1"


def environment_for(folder: Path) -> dict[str, str]:
    """Environment variables of a rehearsal.

    Args:
      folder: An empty folder, which must stay as long as the program runs; the library is written there.

    Returns:
      Variables to set. This package is found by whatever Python runs, before others of its name.

    Raises:
      PreflightError: As `library.built`.
    """
    packages = [str(_PACKAGES), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **library.search_path(library.built(), folder),
        REHEARSAL: "1",
        "PYTHONPATH": os.pathsep.join(packages),
    }


def run(command: Sequence[str]) -> int:
    """Runs a program in a rehearsal.

    Args:
      command: The program and its arguments.

    Returns:
      Its exit status; of one that a signal ended 128 and the signal, as shells have it.

    Raises:
      PreflightError: As `library.built`, or if the program cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="tftrt_yolo_") as folder:
        environment = os.environ | environment_for(Path(folder).resolve())
        with _Signals() as signals, _started(command, environment) as process:
            signals.pass_on_to(process)
            status = process.wait()
    return status if status >= 0 else _SIGNALLED - status


@contextlib.contextmanager
def _started(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """Starts a program, which ends before the context does."""
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        raise PreflightError(
            f"{command[0]} cannot be started ({error.strerror}). Expected a program and its arguments, such as python "
            "-m pytest -m tensorrt."
        ) from error
    with process:
        yield process


class _Signals:
    """Leaves interrupts to the program, to which a terminal sends them too, and passes on what comes to us alone.

    It listens before the program starts, and keeps what came until then: else such a signal would end us, and leave the
    folder behind. What is ignored here, as below nohup, stays so in both.
    """

    def __init__(self):
        self._process = None
        self._came = []

    def __enter__(self) -> "_Signals":
        heeded = [name for name in (signal.SIGINT, *_PASSED_ON) if signal.getsignal(name) is not signal.SIG_IGN]
        self._handlers = {name: signal.signal(name, self._take) for name in heeded}
        return self

    def __exit__(self, *_) -> None:
        for name, handler in self._handlers.items():
            signal.signal(name, handler)

    def pass_on_to(self, process: subprocess.Popen) -> None:
        """Sends a program what came, and what will come."""
        self._process = process
        while self._came:
            process.send_signal(self._came.pop(0))

    def _take(self, number: int, _) -> None:
        if number == signal.SIGINT:
            return
        if self._process is None:
            self._came.append(number)
        else:
            self._process.send_signal(number)
