"""An interrupt that native code caught and printed: nothing is to be seen of it, and it comes again."""

import subprocess
import sys

import pytest

_AS_PYERR_PRINT = """
import signal, sys, time
from tftrt_yolo.cli import interrupts
interrupts.heed()
try:
    sys.excepthook({error}, {error}("text"), None)
    time.sleep(5.0)
except KeyboardInterrupt:
    print("came again")
"""


def _run(error: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", _AS_PYERR_PRINT.format(error=error).replace("5.0", "5.0" if "Key" in error else "0")],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_what_native_code_prints_comes_again():
    """NumPy's extensions call PyErr_Print, and with it this hook, where their import is interrupted."""
    done = _run("KeyboardInterrupt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "came again\n", "")


@pytest.mark.parametrize("error", ["ValueError", "ImportError"])
def test_other_errors_are_printed(error):
    done = _run(error)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{error}: text\n")
