"""Memory for what clients send, or are sent, of all of them together.

memory = Memory(1 << 30)
with memory.hold() as held:
    held.take(len(chunk))             # refuses the request where all of them have too much
    ...
"""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

LARGEST_AT_ONCE = 16  # bodies or messages of the greatest length that may be in memory together
_ANSWERS_LIMIT = "--max_answer_bytes"
# Bytes of an element as JSON, with its comma, at most: -2.2250738585072014e-308, -9223372036854775808, false.
_AS_JSON = {"f": 25, "i": 21, "u": 21, "b": 6}
_AROUND_A_STRING = 16  # {"b64":""}, and what base64 fills up with


class Memory:
    """Bytes that requests hold together; of one event loop."""

    def __init__(self, most_bytes: int):
        """Begins empty.

        Args:
          most_bytes: That all requests may hold together.
        """
        self.most_bytes, self.taken = most_bytes, 0

    def held(self) -> "Held":
        """What one request holds, until it is released."""
        return Held(self)

    @contextlib.contextmanager
    def hold(self) -> Iterator["Held"]:
        """What one request holds, until the context ends."""
        held = self.held()
        try:
            yield held
        finally:
            held.release()

    def refusal(self, alone: int) -> RefusedError:
        """What a request is refused with for which there is no room.

        Args:
          alone: Bytes that it would hold itself.
        """
        return _full(f"Requests with more than {self.most_bytes:,} bytes are under way together.")


class AnswerMemory(Memory):
    """Bytes of answers, from a model's outputs to the last byte that a client reads."""

    def refusal(self, alone: int) -> RefusedError:
        """As `Memory`; an answer for which there is never room is another matter."""
        if alone <= self.most_bytes:
            return _full(f"Answers with more than {self.most_bytes:,} bytes are under way together ({_ANSWERS_LIMIT}).")
        return RefusedError(
            Refusal.TOO_LARGE,
            f"The answer takes up to {alone:,} bytes; expected at most {self.most_bytes:,} ({_ANSWERS_LIMIT}). Send "
            "fewer pictures at once, name the outputs that are wanted, or ask for binary data.",
        )


class Held:
    """What one request holds."""

    def __init__(self, memory: Memory):
        """Begins with nothing.

        Args:
          memory: Of which it is a part.
        """
        self._memory, self.taken = memory, 0

    def take(self, count: int) -> None:
        """Counts bytes that came, or that are to be made.

        Args:
          count: How many.

        Raises:
          RefusedError: If all requests together have too many; then none of them is counted.
        """
        if self._memory.taken + count > self._memory.most_bytes:
            raise self._memory.refusal(self.taken + count)
        self.settle(self.taken + count)

    def settle(self, count: int) -> None:
        """Holds so many from now on, whatever it was before."""
        self._memory.taken += count - self.taken
        self.taken = count

    def release(self) -> None:
        """Holds nothing any more; again does no harm."""
        self.settle(0)


def bytes_of(outputs: Mapping[str, np.ndarray]) -> int:
    """Memory that outputs take."""
    return sum(_bytes_of(array) for array in outputs.values())


def most_as_json(outputs: Mapping[str, np.ndarray]) -> int:
    """Bytes that outputs take as JSON, at most; the brackets of their lists aside."""
    return sum(
        2 * _bytes_of(array) + _AROUND_A_STRING * array.size
        if array.dtype == object
        else _AS_JSON[array.dtype.kind] * array.size
        for array in outputs.values()
    )


def _bytes_of(array: np.ndarray) -> int:
    """Memory that an output takes; strings are of dtype object, bytes."""
    return sum(map(len, array.reshape(-1).tolist())) if array.dtype == object else array.nbytes


def _full(words: str) -> RefusedError:
    """For what has room later."""
    return RefusedError(Refusal.UNAVAILABLE, f"{words} Try again in a moment.", retry_after_seconds=1)
