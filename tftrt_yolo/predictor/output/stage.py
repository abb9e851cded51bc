"""A thread that works behind whoever hands it things, so that both go on at once.

    stage = Stage(write, name="write")
    stage.put(picture)                  # comes back at once, unless the thread is some pictures behind
    stage.close()                       # waits for all of them

What the work raises comes out of the next call. An interrupt strikes whoever hands over, never the work.
"""

import contextlib
import queue
import threading
from collections.abc import Callable

_LOOK_SECONDS = 0.1  # how often a thread that waits looks whether the other one is still there
_END = object()


class Stage:
    """A thread with a short queue before it."""

    def __init__(self, work: Callable[[object], None], *, name: str, most_waiting: int = 2):
        """Starts the thread.

        Args:
          work: Takes one thing.
          name: The thread's.
          most_waiting: Things that may wait; whoever hands over more waits too, so that memory stays flat.
        """
        self._work, self._waiting = work, queue.Queue(most_waiting)
        self._error, self._is_over = None, False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        """Works until the end comes, or a failure."""
        while (item := self._waiting.get()) is not _END:
            if self._is_over:
                continue
            try:
                self._work(item)
            except BaseException as error:  # noqa: BLE001 - whoever hands over gets it
                self._error, self._is_over = error, True

    def put(self, item: object) -> None:
        """Hands something over.

        Args:
          item: What the work takes.

        Raises:
          Exception: What the work raised before.
        """
        self._raise_error()
        while True:
            with contextlib.suppress(queue.Full):
                self._waiting.put(item, timeout=_LOOK_SECONDS)
                return
            self._raise_error()

    def close(self) -> None:
        """Waits until everything is done, and ends the thread.

        Raises:
          Exception: What the work raised.
        """
        self._end()
        self._raise_error()

    def abandon(self) -> None:
        """Ends the thread; what waits is not done. Nothing is raised."""
        self._is_over = True
        self._end()

    def _end(self) -> None:
        """Has the thread end."""
        if self._thread.is_alive():
            self._waiting.put(_END)
        self._thread.join()

    def _raise_error(self) -> None:
        """Raises what the work raised, once it did."""
        if self._error is not None:
            raise self._error
