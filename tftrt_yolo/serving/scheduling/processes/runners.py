"""Threads that each hold one process, and one more whose process stands ready for the model of one that dies.

runners = Runners(asyncio.get_running_loop())
runners.want(version)                 # a process for it, as soon as there is one; after some seconds if it must be
runners.end(seconds=5)                # of all of them

A process dies with the thread that started it, so a thread never gives its process away: it takes a model over. What
it learns it tells in the event loop.
"""

import asyncio
import contextlib
import threading
import time
from typing import Protocol

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.serving.scheduling.processes.job import Job
from tftrt_yolo.serving.scheduling.request import Request

_MODULE = "tftrt_yolo.serving.scheduling.processes.model_process"
_SPARE = 1  # processes that stand ready
_SECONDS_AFTER_AN_END = 0.1  # so that what stood ready goes first
_JOIN_SECONDS = 0.05
_SECONDS_BETWEEN_STARTS = 1.0  # of processes that end before they have TensorFlow


class Served(Protocol):
    """A version of a model, as its processes see it; all but `take` is called in the event loop."""

    job: Job

    def take(self) -> list[Request] | None:
        """Waits for the next batch, in the runner's thread; None to end."""

    def loaded(self, runner: "Runner", known: dict) -> None:
        """A process has the model, and it ran."""

    def not_loaded(self, runner: "Runner", error: Exception) -> None:
        """A process could not load it."""

    def begun(self, batch: list[Request]) -> None:
        """A batch goes to a process."""

    def finished(self, batch: list[Request], result: dict) -> None:
        """A batch came back."""

    def died(self, runner: "Runner", batch: list[Request], error: Exception) -> None:
        """A process ended, with a batch or without."""

    def ended(self, runner: "Runner") -> None:
        """A process ended as it was asked to."""


class Runner(threading.Thread):
    """A thread with a process.

    Attributes:
      busy_since: When what its process does began, in seconds of `time.monotonic`; None while it waits.
      is_loading: Whether that is to load a model.
    """

    def __init__(self, runners: "Runners"):
        """Prepares."""
        super().__init__(name="model", daemon=True)
        self._runners, self._worker = runners, None
        self.busy_since, self.is_loading = None, False

    def kill(self) -> None:
        """Ends its process at once; from any thread."""
        worker = self._worker
        if worker is not None:
            worker.kill()

    def run(self) -> None:
        """Holds one process after the other."""
        while self._runners.may_start():
            try:
                with Worker(_MODULE) as self._worker:
                    is_needed = self._hold(self._worker)
            except (WorkerCrashedError, OSError):  # before it had TensorFlow
                is_needed = True
                time.sleep(_SECONDS_BETWEEN_STARTS)
            finally:
                self._worker = self.busy_since = None
            time.sleep(_SECONDS_AFTER_AN_END)
            if not is_needed:
                return

    def _hold(self, worker: Worker) -> bool:
        """Brings one process through its life; whether another is to follow."""
        worker.open()
        worker.receive()
        version = self._runners.next_for(self)
        if version is None:
            return False
        self.busy_since, self.is_loading = time.monotonic(), True
        try:
            worker.send(version.job)
            self._runners.tell(version.loaded, self, worker.receive())
        except (TftrtYoloError, WorkerCrashedError) as error:
            return self._runners.free(version.not_loaded, self, error)
        finally:
            self.busy_since, self.is_loading = None, False
        self._runners.settled()
        while (batch := version.take()) is not None:
            self.busy_since = time.monotonic()
            self._runners.tell(version.begun, batch)
            first = batch[0].inference
            try:
                worker.send((first.signature, [request.parts() for request in batch], first.selection))
                result = worker.receive()
            except (TftrtYoloError, WorkerCrashedError) as error:
                return self._runners.free(version.died, self, batch, error)
            self.busy_since = None
            self._runners.tell(version.finished, batch, result)
            del batch, result, first  # or they would stay until the next comes
        return self._runners.free(version.ended, self)


class Runners:
    """All threads that hold processes."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        """Starts none yet.

        Args:
          loop: Where versions are told what happens.
        """
        self._loop = loop
        self._changed = threading.Condition()
        self._wanted = []  # when, and for which version
        self._threads, self._free, self._loading, self._is_closed = set(), 0, 0, False

    @property
    def busy(self) -> list[Runner]:
        """Those whose process does something."""
        with self._changed:
            return [runner for runner in self._threads if runner.busy_since is not None]

    def want(self, version: Served, delay: float = 0.0) -> None:
        """Has a process load a version.

        Args:
          version: Is told of it.
          delay: Seconds to wait.
        """
        with self._changed:
            if self._is_closed:
                return
            self._wanted.append((time.monotonic() + delay, version))
            for _ in range(len(self._wanted) + _SPARE - self._free):
                runner = Runner(self)
                self._threads.add(runner)
                self._free += 1
                runner.start()
            self._changed.notify_all()

    def end(self, seconds: float) -> None:
        """Ends every thread and its process.

        Args:
          seconds: How long is waited for them.
        """
        with self._changed:
            self._is_closed = True
            self._wanted.clear()
            self._changed.notify_all()
            threads = [*self._threads]
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.kill()  # its process may only just have started
                thread.join(_JOIN_SECONDS)

    def may_start(self) -> bool:
        """Waits until a process may start: one that is to stand ready does not while others load; false to end."""
        with self._changed:
            while not self._is_closed and not self._wanted and self._loading:
                self._changed.wait()
            if self._is_closed:
                self._free -= 1
                self._threads.discard(threading.current_thread())
            return not self._is_closed

    def next_for(self, runner: Runner) -> Served | None:
        """Waits for a version that wants a process; None to end."""
        with self._changed:
            while not self._is_closed and self._free - len(self._wanted) <= _SPARE:
                now = time.monotonic()
                due = min((when for when, _ in self._wanted), default=None)
                if due is not None and due <= now:
                    index = [when for when, _ in self._wanted].index(due)
                    self._free -= 1
                    self._loading += 1
                    return self._wanted.pop(index)[1]
                self._changed.wait(None if due is None else due - now)
            self._free -= 1
            self._threads.discard(runner)
            return None

    def settled(self) -> None:
        """A process has its model."""
        with self._changed:
            self._loading -= 1
            self._changed.notify_all()

    def free(self, tell, *arguments) -> bool:
        """A runner's process ended, and it may hold another: true."""
        with self._changed:
            self._free += 1
            if arguments and arguments[0].is_loading:
                self._loading -= 1
            self._changed.notify_all()
        self.tell(tell, *arguments)
        return True

    def tell(self, function, *arguments) -> None:
        """Calls something in the event loop, if it still runs."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)
