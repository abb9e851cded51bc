"""The entry point of `tftrt-yolo`: it stands before everything else is imported, so that an interrupt is always heeded.

`tftrt-yolo convert ...` calls run(), which calls `command_line.main` with what stands behind `tftrt-yolo`.
"""

import atexit
import contextlib
import os
import sys
import traceback

from tftrt_yolo.cli import interrupts
from tftrt_yolo.ground.workers import late_keras

_INTERRUPTED = 130  # exit status: 128 and the number of INT, for TERM and HUP too


def run(arguments: list[str] | None = None) -> None:
    """Runs a command and ends the process with its exit status.

    Args:
      arguments: What stands behind `tftrt-yolo`; None for the process's own.
    """
    interrupts.heed()
    late_keras.leave_out()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        from tftrt_yolo.cli.command_line import main  # late, for it takes a moment, in which an interrupt may come

        status = main(arguments)
        interrupts.rest()
    except BaseException as error:
        if not interrupts.came():
            raise
        _leave(arguments, error)
    sys.exit(status)


def _leave(arguments: list[str], error: BaseException) -> None:
    """Ends the process after an interrupt; nothing that libraries say at their end reaches the terminal."""
    interrupts.rest()
    command = f" {arguments[0]}" if arguments and arguments[0].isalnum() else ""
    try:
        with contextlib.suppress(OSError):  # nobody listens
            os.write(2, f"tftrt-yolo{command}: interrupted; {_left(error)}\n".encode())
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        _let_go(error)
    finally:
        os._exit(_INTERRUPTED)


def _left(error: BaseException) -> str:
    """What an interrupt left; a command that keeps what is whole says so in the interrupt that it passes on."""
    said = error.args[0] if isinstance(error, KeyboardInterrupt) and error.args else None
    return said if isinstance(said, str) else "nothing half written is left"


def _let_go(error: BaseException | None) -> None:
    """Closes what an interrupt left open: contexts just being entered, and what is to be done at the process's end."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    atexit._run_exitfuncs()
