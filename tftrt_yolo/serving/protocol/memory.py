"""Memory for what clients send, of all of them together.

memory = Memory(1 << 30)
with memory.hold() as held:
    held.take(len(chunk))             # refuses the request where all of them have too much
    ...
"""

import contextlib
from collections.abc import Iterator

from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

LARGEST_AT_ONCE = 16  # bodies or messages of the greatest length that may be in memory together


class Memory:
    """Bytes that requests hold together; of one event loop."""

    def __init__(self, most_bytes: int):
        """Begins empty.

        Args:
          most_bytes: That all requests may hold together.
        """
        self.most_bytes, self.taken = most_bytes, 0

    @contextlib.contextmanager
    def hold(self) -> Iterator["Held"]:
        """What one request holds, until the context ends."""
        held = Held(self)
        try:
            yield held
        finally:
            self.taken -= held.taken


class Held:
    """What one request holds."""

    def __init__(self, memory: Memory):
        """Begins with nothing.

        Args:
          memory: Of which it is a part.
        """
        self._memory, self.taken = memory, 0

    def take(self, count: int) -> None:
        """Counts bytes that came.

        Args:
          count: How many.

        Raises:
          RefusedError: If all requests together have too many.
        """
        self.taken += count
        self._memory.taken += count
        if self._memory.taken > self._memory.most_bytes:
            raise RefusedError(
                Refusal.UNAVAILABLE,
                f"Requests with more than {self._memory.most_bytes:,} bytes are under way together. Try again in a "
                "moment.",
                retry_after_seconds=1,
            )
