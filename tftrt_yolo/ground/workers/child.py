"""The worker's side: enters the clean room, imports its module, and does the job that comes by standard input.

python -c "$BOOTSTRAP" /package tftrt_yolo.exporter.pytorch_half 5 closed     # as `worker.Worker` starts it
"""

import contextlib
import importlib
import inspect
import os
import pickle
import sys
import traceback
from collections.abc import Iterator
from typing import BinaryIO

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.workers import clean_room, late_keras, results

OPEN, CLOSED = "open", "closed"  # the network, on the command line
closed_by = ""  # what closes the network of this process


def work() -> str:
    """A job of its own, for who wants to know: what closes the network of a worker here."""
    return closed_by


def main(module: str, pipe: str, network: str) -> None:
    """Does one job from standard input; without one it ends quietly.

    Args:
      module: A module with a function `work`.
      pipe: File descriptor for the results.
      network: OPEN or CLOSED.
    """
    global closed_by
    closed_by = clean_room.enter(int(pipe), network=network == OPEN)
    late_keras.leave_out()
    work = importlib.import_module(module).work
    try:
        arguments = pickle.load(sys.stdin.buffer)
    except EOFError:
        return
    if "requests" in inspect.signature(work).parameters:
        arguments["requests"] = _requests()
    os.set_inheritable(int(pipe), False)  # or the parent would wait for programs that `work` starts
    with open(int(pipe), "wb") as file:
        try:
            outcome = work(**arguments)
            for result in outcome if inspect.isgenerator(outcome) else (outcome,):
                _give(file, result)
        except TftrtYoloError as error:
            _give(file, error)
        except Exception:  # noqa: BLE001 - whatever it is, the parent shows it
            traceback.print_exc()
            sys.exit(1)


def _requests() -> Iterator:
    """What the parent sends, until it closes."""
    with contextlib.suppress(EOFError):
        while True:
            yield pickle.load(sys.stdin.buffer)


def _give(file: BinaryIO, result: object) -> None:
    """Writes a result into the pipe, all of it: a file without a buffer may take less, and say so in its own way."""
    file.write(results.packed(result))
    file.flush()
