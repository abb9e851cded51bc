"""Runs one contestant in a process of its own and gathers what it says.

    outcome = run(contestant, artifacts, print)
    outcome.measurements, outcome.absent, outcome.crash

Whatever becomes of that process, the others go on.
"""

import dataclasses
from collections.abc import Callable, Iterator

from tftrt_yolo.benchmarking.artifacts import PEER_ENVIRONMENT, Artifacts, NotHereError, why_not
from tftrt_yolo.benchmarking.contestants import Contestant
from tftrt_yolo.benchmarking.machine import GpuWatch
from tftrt_yolo.benchmarking.results.measurements import Absence, Budget, ContestantRun, Crash, Measurement
from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError

_TENSORFLOW_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2"}  # errors stay: they are the last words of a crash


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a contestant.

    Attributes:
      run: What ran; None if it never came to say.
      measurements: What was measured, also before a crash.
      absent: What it could not do.
      crash: How it ended, if it did not come to its end.
      budget: Where the time of a file goes; None if that was not measured.
    """

    run: ContestantRun | None
    measurements: tuple[Measurement, ...]
    absent: tuple[Absence, ...]
    crash: Crash | None
    budget: Budget | None = None


def run(contestant: Contestant, artifacts: Artifacts, on_progress: Callable[[str], None]) -> Outcome:
    """Prepares and measures a contestant.

    Args:
      contestant: Who.
      artifacts: What it starts from.
      on_progress: Called with a line before each step.

    Returns:
      What became of it.
    """
    on_progress(f"{contestant.name}: preparing")
    try:
        job, preparation_seconds = artifacts.prepare(contestant)
    except (NotHereError, TftrtYoloError, WorkerCrashedError) as error:
        return _refused(contestant, error)
    environment = PEER_ENVIRONMENT if contestant.is_in_peer_python else _TENSORFLOW_ENVIRONMENT
    python = artifacts.plan.peer_python if contestant.is_in_peer_python else None
    gathered = _Gathered(contestant.name)
    on_progress(f"{contestant.name}: loading")
    with (
        GpuWatch() as watch,
        Worker(contestant.module, python=python, environment=environment, keep_heap=False) as worker,
    ):
        worker.start(**job)
        try:
            for event in _events(worker):
                watch.set_timing(event["event"] == "timing")
                gathered.take(event)
                if event["event"] == "begin":
                    on_progress(f"{contestant.name}: {event['mode']}, batch {event['batch_size']}")
        except (WorkerCrashedError, TftrtYoloError) as error:
            gathered.crash = Crash(contestant.name, gathered.step, str(error))
    return gathered.outcome(contestant, preparation_seconds, watch)


class _Gathered:
    """What the events of a process add up to."""

    def __init__(self, name: str):
        self.name, self.step, self.crash = name, "loading", None
        self._measurements, self._absent, self._about, self._peak_host_bytes = [], [], None, 0
        self._budget = None

    def take(self, event: dict) -> None:
        """Takes the next event."""
        event = dict(event)
        kind = event.pop("event")
        self._peak_host_bytes = event.pop("peak_host_bytes", self._peak_host_bytes)
        if kind == "begin":
            self.step = f"{event['mode']}, batch {event['batch_size']}"
        elif kind == "about":
            note = event.pop("note")
            self._about, self.name = event, f"{self.name} ({note})" if note else self.name
        elif kind == "absent":
            self._absent.append(Absence(self.name, **event))
        elif kind == "measured":
            windows = tuple(event.pop("windows_images_per_second"))
            self._measurements.append(Measurement(self.name, **event, windows_images_per_second=windows))
        elif kind == "budget":
            self._budget = Budget(self.name, **event)

    def outcome(self, contestant: Contestant, preparation_seconds: float | None, watch: GpuWatch) -> Outcome:
        """The sum."""
        run = None
        if self._about:
            run = ContestantRun(
                name=self.name,
                precision=contestant.precision,
                is_ours=contestant.is_ours,
                backend=self._about["backend"],
                versions=self._about["versions"],
                preparation_seconds=preparation_seconds,
                peak_host_bytes=self._peak_host_bytes,
                peak_device_bytes=watch.peak_bytes,
                clock=watch.clock,
            )
        return Outcome(run, tuple(self._measurements), tuple(self._absent), self.crash, self._budget)


def _events(worker: Worker) -> Iterator[dict]:
    """A process's events up to its last one: "end", or the absence of everything."""
    while True:
        event = worker.receive()
        is_last = event["event"] == "end" or (event["event"] == "absent" and event["mode"] is None)
        yield event
        if is_last:
            return


def _refused(contestant: Contestant, error: Exception) -> Outcome:
    """A contestant whose preparation failed: absent if that was refused, crashed if its process died."""
    crashed = isinstance(error, WorkerCrashedError) or isinstance(error.__cause__, WorkerCrashedError)
    if crashed:
        return Outcome(None, (), (), Crash(contestant.name, "preparation", str(error)))
    return Outcome(None, (), (Absence(contestant.name, None, None, why_not(error)),), None)
