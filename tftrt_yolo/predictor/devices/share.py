"""One device's share of a run, from the caller's side: its process, and what it gave and was not taken yet.

    share = Share(job, place, entries)
    with contextlib.ExitStack() as resources:
        share.begin(resources)
        while (event := share.next_event())[0] != "end": ...

A process that dies is replaced, and goes on behind the last image that was taken: what it gave counts, and the rest is
done again. Where the next one dies before it gave anything, that is an error.
"""

import collections
import contextlib
import pickle
import threading
from pathlib import Path

from absl import logging

from tftrt_yolo.ground.errors import DeviceError
from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError
from tftrt_yolo.predictor.devices.device_worker import Job
from tftrt_yolo.predictor.devices.places import Place

_MODULE = "tftrt_yolo.predictor.devices.device_worker"
_MOST_WAITING_BYTES = 256 << 20  # of one process, which waits then: it may be far ahead of the others
_MOST_FAILURES = 2  # processes that give nothing, one after the other


class Share:
    """A device's process and its part of the files.

    Attributes:
      place: Where it runs.
      backend: What runs the network; empty before it is ready.
      notes: What a reader must know: processes that died.
    """

    def __init__(self, job: Job, place: Place, entries: list[tuple[int, Path]]):
        """Prepares; nothing is started.

        Args:
          job: What is asked of each process.
          place: Where it runs.
          entries: Its files, each with its number in the run.
        """
        self.place, self.backend, self.notes = place, "", []
        self._job, self._entries = job, collections.deque(entries)
        self._num_taken = 0  # outcomes of the first of the entries
        self._num_again = 0  # outcomes that come again and were taken before
        self._failures = 0

    def begin(self, resources: contextlib.ExitStack) -> None:
        """Starts the process, which loads the model and begins.

        Args:
          resources: Ends it.
        """
        self._resources = resources
        worker = resources.enter_context(Worker(_MODULE, environment=self.place.environment, keep_heap=False))
        worker.start(job=self._job, cores=self.place.cores, entries=list(self._entries))
        self._waiting = _Waiting(worker)
        resources.callback(self._waiting.end)  # before the worker's own end
        self._events = collections.deque()

    def next_event(self) -> tuple:
        """The next outcome of its share, in order.

        Returns:
          ("found", number, packed), ("unreadable", number, reason) or ("end", number, notes).

        Raises:
          ImageError: If an image cannot be read and is not to be skipped.
          DeviceError: If its process ends without giving anything, twice.
        """
        while True:
            event = self._received()
            if event[0] == "ready":
                self.backend = event[1]
            elif event[0] == "warning":
                logging.warning("%s", event[1])
            elif event[0] == "end":
                self._entries.popleft()
                self._num_taken = self._num_again = 0
                return event
            elif self._num_again:
                self._num_again -= 1
            else:
                self._num_taken += 1
                self._failures = 0
                return event

    def until_ready(self) -> None:
        """Waits until the model is loaded."""
        while not self.backend:
            event = self._received()
            if event[0] == "ready":
                self.backend = event[1]
            else:
                logging.warning("%s", event[1])

    def _received(self) -> tuple:
        """The next event; where the process died, of the next process."""
        while not self._events:
            try:
                self._events += pickle.loads(self._waiting.take())
            except WorkerCrashedError as error:
                self._begin_again(error)
        return self._events.popleft()

    def _begin_again(self, error: WorkerCrashedError) -> None:
        """Replaces a process that died."""
        self._failures += 1
        ending, _, last_words = str(error).partition(". Its last words:")
        rest = f"its {counted(len(self._entries), 'file')} from {shown(self._entries[0][1])} on"
        if self._failures >= _MOST_FAILURES:
            raise DeviceError(
                f"The process on {self.place.name} {ending}, as the one before it, and {rest} were not done. Expected "
                "a device with memory for the model, and pictures that end no process: leave this device out, or try "
                f"these pictures without devices. Its last words:{last_words}"
            ) from error
        self.notes.append(f"the process on {self.place.name} {ending}; {rest} were left to another one")
        logging.warning("%s", self.notes[-1])
        self._num_again = self._num_taken
        self.begin(self._resources)


class _Waiting:
    """What a process gave and nobody took yet; a thread receives it, until it is too much."""

    def __init__(self, worker: Worker):
        self._worker, self._results, self._size, self._is_over = worker, collections.deque(), 0, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._receive, name="receive", daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        """Receives until the process ends."""
        while True:
            try:
                result = self._worker.receive()
            except Exception as error:  # noqa: BLE001 - whoever takes gets it
                result = error
            with self._changed:
                self._changed.wait_for(lambda: self._size < _MOST_WAITING_BYTES or self._is_over)
                if self._is_over:
                    return
                self._results.append(result)
                self._size += len(result) if isinstance(result, bytes) else 0
                self._changed.notify_all()
            if isinstance(result, Exception):
                return

    def take(self) -> bytes:
        """The next result; raises what came in its place."""
        with self._changed:
            self._changed.wait_for(lambda: self._results)
            result = self._results.popleft()
            self._size -= len(result) if isinstance(result, bytes) else 0
            self._changed.notify_all()
        if isinstance(result, Exception):
            raise result
        return result

    def end(self) -> None:
        """Ends the process and the thread."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._worker.kill()
        self._thread.join()
