"""What waits for a version of a model, and how it becomes batches.

waiting = Waiting(BatchingOptions())
waiting.put(request)                  # in the event loop; raises FullError
batch = waiting.take()                # in a thread that has a process; None when the version ends

First come, first served: the oldest request says what the next batch is made of, and those of the same key that came
after it join. The pictures and the bytes that wait are bounded; what a dead process left is taken before all others.
"""

import collections
import threading
import time

from tftrt_yolo.serving.scheduling.request import Request
from tftrt_yolo.serving.serving_options import BatchingOptions

_MOST_WAITING_BYTES = 1 << 30
_MOST_BATCH_BYTES = 256 << 20  # of the inputs of several requests; one alone may have more


class FullError(Exception):
    """Nothing more may wait."""


class Waiting:
    """The requests that wait for a version of a model.

    Attributes:
      pictures: How many wait.
    """

    def __init__(self, batching: BatchingOptions):
        """Begins empty.

        Args:
          batching: How requests become batches.
        """
        self._batching, self._max_batch_size = batching, batching.max_batch_size
        self._requests, self._first = collections.deque(), collections.deque()
        self.pictures, self._bytes, self._is_closed = 0, 0, False
        self._idle, self._is_crowded = 0, False  # threads that have nothing to do; whether several requests met lately
        self._changed, self._turn = threading.Condition(), threading.Lock()

    def put(self, request: Request) -> None:
        """Lets a request wait.

        Args:
          request: It; one that finds nobody before it may wait whatever it takes.

        Raises:
          FullError: If too many pictures wait, or too many bytes.
        """
        with self._changed:
            pictures, num_bytes = self.pictures + max(1, request.size), self._bytes + request.num_bytes
            is_full = pictures > self._batching.queue_size or num_bytes > _MOST_WAITING_BYTES
            if is_full and self._requests:
                raise FullError
            self.pictures, self._bytes = pictures, num_bytes
            self._is_crowded |= bool(self._requests) or not self._idle
            self._requests.append(request)
            self._changed.notify_all()

    def limit(self, max_batch_size: int) -> None:
        """Keeps batches to what the model can take, once that is known."""
        with self._changed:
            self._max_batch_size = min(self._max_batch_size, max_batch_size)

    def put_first(self, requests: list[Request]) -> None:
        """Lets requests go before all others, each alone; of those that were taken already, or that test a model."""
        with self._changed:
            for request in requests:
                request.is_alone, request.started = True, None
                self._first.append(request)
            self._changed.notify_all()

    def discard(self, request: Request) -> None:
        """Takes a request out that nobody waits for any more, if it is still here."""
        with self._changed:
            if request in self._first:
                self._first.remove(request)
            elif request in self._requests:
                self._requests.remove(request)
                self._forget(request)

    def close(self) -> None:
        """Ends every `take` as soon as nothing waits."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def clear(self) -> list[Request]:
        """Takes out all that waits."""
        with self._changed:
            left = [*self._first, *self._requests]
            self._first.clear()
            self._requests.clear()
            self.pictures = self._bytes = 0
            return left

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._requests and not self._first

    def take(self) -> list[Request] | None:
        """Waits for a batch.

        Returns:
          Requests of one key; None if none is to come any more.
        """
        with self._turn, self._changed:  # who comes second waits for a batch of its own
            while True:
                now = time.monotonic()
                self._drop_unwanted(now)
                if self._first:
                    return self._started([self._first.popleft()], now)
                if self._requests:
                    batch, is_full = self._gathered()
                    due = self._requests[0].accepted + self._delay
                    if is_full or self._is_closed or now >= due:
                        for request in batch:
                            self._requests.remove(request)
                            self._forget(request)
                        self._is_crowded = len(batch) > 1
                        return self._started(batch, now)
                    self._changed.wait(due - now)
                elif self._is_closed:
                    return None
                else:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1

    @property
    def _delay(self) -> float:
        """Seconds that the oldest request waits for others: none where one client asks, and waits for each answer."""
        return self._batching.max_delay_ms / 1_000 if self._is_crowded else 0.0

    def _gathered(self) -> tuple[list[Request], bool]:
        """The oldest request with those that join it, and whether no more may."""
        oldest = self._requests[0]
        batch, size, num_bytes = [], 0, 0
        for request in self._requests:
            if request.key != oldest.key:
                continue
            size, num_bytes = size + request.size, num_bytes + request.num_bytes
            if batch and (size > self._max_batch_size or num_bytes > _MOST_BATCH_BYTES):
                return batch, True
            batch.append(request)
            if size >= self._max_batch_size:
                return batch, True
        return batch, False

    def _drop_unwanted(self, now: float) -> None:
        """Forgets what nobody waits for any more; they were told already, or are told when their time is over."""
        if all(request.is_wanted(now) for waiting in (self._first, self._requests) for request in waiting):
            return
        for request in [request for request in self._requests if not request.is_wanted(now)]:
            self._requests.remove(request)
            self._forget(request)
        for request in [request for request in self._first if not request.is_wanted(now)]:
            self._first.remove(request)

    def _forget(self, request: Request) -> None:
        """Counts a request out."""
        self.pictures -= max(1, request.size)
        self._bytes -= request.num_bytes

    @staticmethod
    def _started(batch: list[Request], now: float) -> list[Request]:
        """Requests whose batch begins."""
        for request in batch:
            request.started = now
        return batch
