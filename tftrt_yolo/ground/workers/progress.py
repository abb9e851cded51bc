"""What a worker says before its result, on the way from its process to the caller.

def work(...):
    yield Stage("calibrating")
    yield Progress(4, 40)
    yield Remark("ranges.npz is damaged; it is measured again")
    yield {"engines": 1}                # what is no event is the result

result_of(worker, on_progress)          # {"engines": 1}, when the events before it are dealt with
"""

import dataclasses
from collections.abc import Callable, Generator

from absl import logging

from tftrt_yolo.ground import stages
from tftrt_yolo.ground.workers.worker import Worker


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far it is.

    Attributes:
      done: Images that are done; of two passes over them, each counts.
      total: Images, times the passes.
    """

    done: int
    total: int


@dataclasses.dataclass(frozen=True)
class Stage:
    """What is done from now on.

    Attributes:
      name: A few words, as `ground.stages.enter` takes them.
    """

    name: str


@dataclasses.dataclass(frozen=True)
class Remark:
    """Something that the user is to know and that stops nothing.

    Attributes:
      text: A line for the log.
    """

    text: str


def take(event: object, on_progress: Callable[[int, int], None] | None) -> bool:
    """Passes progress and stages on and logs a remark as a warning.

    Args:
      event: A Progress, a Stage, a Remark or a result.
      on_progress: Called with what is done and the total; None for nobody.

    Returns:
      Whether it was an event, and no result.
    """
    if isinstance(event, Progress):
        if on_progress:
            on_progress(event.done, event.total)
    elif isinstance(event, Stage):
        stages.enter(event.name)
    elif isinstance(event, Remark):
        logging.warning("%s", event.text)
    else:
        return False
    return True


def result_of(worker: Worker, on_progress: Callable[[int, int], None] | None) -> dict:
    """Deals with what a worker says until its result comes.

    Args:
      worker: A worker that was started.
      on_progress: As `take`.

    Returns:
      The result.

    Raises:
      TftrtYoloError: What its `work` raised.
      WorkerCrashedError: If its process ends without a result.
    """
    while take(received := worker.receive(), on_progress):
        pass
    return received


def finish(steps: Generator, on_progress: Callable[[int, int], None] | None) -> object:
    """Runs a generator of events to its end.

    Args:
      steps: Yields events and returns a result.
      on_progress: As `take`.

    Returns:
      The result.
    """
    while True:
        try:
            event = next(steps)
        except StopIteration as stop:
            return stop.value
        take(event, on_progress)
