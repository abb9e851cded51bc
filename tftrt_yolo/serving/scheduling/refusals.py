"""What a request is refused for, in one place for every door.

raise RefusedError(Refusal.NOT_FOUND, "There is no model 'dog'; known are digits.")
"""

import enum

from tftrt_yolo.ground.errors import TftrtYoloError


class Refusal(enum.Enum):
    """Kinds of refusals: HTTP's status, and the name of gRPC's."""

    INVALID_ARGUMENT = (400, "INVALID_ARGUMENT")
    UNAUTHENTICATED = (401, "UNAUTHENTICATED")
    NOT_FOUND = (404, "NOT_FOUND")
    TIMEOUT = (408, "DEADLINE_EXCEEDED")  # the client did not send in time what it promised
    TOO_LARGE = (413, "RESOURCE_EXHAUSTED")
    UNREADABLE = (422, "INVALID_ARGUMENT")  # a picture, where a request is one picture
    INTERNAL = (500, "INTERNAL")
    UNAVAILABLE = (503, "UNAVAILABLE")  # try again: the queue is full, the model is loading, the server ends
    DEADLINE_EXCEEDED = (504, "DEADLINE_EXCEEDED")

    @property
    def http_status(self) -> int:
        """As HTTP has it."""
        return self.value[0]

    @property
    def grpc_name(self) -> str:
        """The name of `grpc.StatusCode`'s."""
        return self.value[1]


class RefusedError(TftrtYoloError):
    """A request gets no answer but this.

    Attributes:
      refusal: Its kind.
      retry_after_seconds: After which the client may try again; None where that would not help.
    """

    def __init__(self, refusal: Refusal, message: str, *, retry_after_seconds: float | None = None):
        """Says why.

        Args:
          refusal: Its kind.
          message: What was got, what was expected and what to do.
          retry_after_seconds: After which the client may try again; None where that would not help.
        """
        super().__init__(message)
        self.refusal, self.retry_after_seconds = refusal, retry_after_seconds
