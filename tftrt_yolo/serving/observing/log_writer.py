"""Lines for a file that may be read slowly, or not at all: whoever writes them never waits.

writer = LogWriter(sys.stderr.fileno())
writer.write("a line")
writer.close()                           # what is left is written, for a second at most
"""

import contextlib
import os
import queue
import threading

_MOST_WAITING = 10_000  # lines
_CLOSE_SECONDS = 1.0


class LogWriter:
    """Writes lines from a thread; those that find no room are dropped, and counted."""

    def __init__(self, descriptor: int):
        """Starts the thread.

        Args:
          descriptor: Where the lines go; it stays open at the end.
        """
        self._descriptor = descriptor
        self._lines = queue.Queue(_MOST_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that found no room so far."""
        return self._dropped

    def write(self, line: str) -> None:
        """Writes a line soon, or drops it.

        Args:
          line: Without a line break at its end.
        """
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Writes what is left, unless the reader takes too long."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_CLOSE_SECONDS)
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        """Writes until the end, or until nobody can read."""
        with contextlib.suppress(OSError):  # the reader is gone
            while (line := self._lines.get()) is not None:
                rest = f"{line}\n".encode(errors="backslashreplace")
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
