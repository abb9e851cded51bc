"""A server in a loop of its own, from its start until a signal ends it."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine

from tftrt_yolo.ground.arguments import named_plainly
from tftrt_yolo.serving.server import Server, Settings
from tftrt_yolo.serving.serving_report import Serving, ServingReport
from tftrt_yolo.serving.signals import taken

# A signal that comes again within so many seconds is the same one: `timeout`, say, sends its own to a program and then
# to its group.
_AGAIN_SECONDS = 0.5


class _EndedEarlyError(Exception):
    """A signal came before the work was done."""


def run(settings: Settings, on_ready: Callable[[Serving], None] | None) -> ServingReport:
    """Serves until TERM, INT or HUP comes; what is accepted is finished then. A second signal ends it at once.

    Args:
      settings: What the server is told.
      on_ready: Called once, when the models are loaded and the doors open.

    Returns:
      What it did.

    Raises:
      KeyboardInterrupt: If a signal came before it was ready, or a second one; or whatever the handlers raise that were
        there before.
    """
    signals = _Signals()
    with taken(signals.came):
        try:
            return asyncio.run(_served(settings, on_ready, signals))
        except _EndedEarlyError:
            pass
    signal.raise_signal(signals.last)  # as if nobody had heeded it
    raise KeyboardInterrupt


async def _served(settings: Settings, on_ready: Callable | None, signals: "_Signals") -> ServingReport:
    """As `run`, in the loop."""
    signals.begin()
    server = Server(settings)
    async with contextlib.AsyncExitStack() as stack:
        await signals.unless(1, stack.enter_async_context(server))
        if on_ready is not None:
            on_ready(server.serving)
        with named_plainly():  # what clients give are no flags
            await signals.first.wait()
        models = server.serving.models
        try:
            await signals.unless(2, server.drain())
        except _EndedEarlyError:
            server.abandon()
            raise
        return server.report(models)


class _Signals:
    """Signals that came, for the loop.

    Attributes:
      first: Set by the first.
      last: The number of the last.
    """

    def __init__(self):
        self.last, self._count, self._loop, self._came_at = signal.SIGTERM, 0, None, float("-inf")

    def begin(self) -> None:
        """Works with the running loop from here on."""
        self._loop, self._events = asyncio.get_running_loop(), (asyncio.Event(), asyncio.Event())
        self._tell()

    @property
    def first(self) -> asyncio.Event:
        """Set by the first signal."""
        return self._events[0]

    async def unless(self, count: int, work: Coroutine) -> None:
        """Does work unless so many signals come meanwhile; then it is cancelled.

        Raises:
          _EndedEarlyError: If they did.
        """
        working = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self._events[count - 1].wait())
        try:
            await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return
            working.cancel()
            await asyncio.wait((working,))
            raise _EndedEarlyError
        finally:
            ending.cancel()

    def came(self, number: int, _) -> None:
        """Handles one."""
        now = time.monotonic()
        is_again = number == self.last and now - self._came_at < _AGAIN_SECONDS
        self.last, self._came_at, self._count = number, now, self._count + (not is_again)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it ended
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        """Sets what is to be set."""
        for event in self._events[: self._count]:
            event.set()
