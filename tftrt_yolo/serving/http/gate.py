"""Whether the server takes requests: not before its models are there, and not after it was told to end.

gate = Gate()
gate.open()                              # the models are ready
gate.close(retry_after_seconds=5)        # TERM came
gate.check()                             # raises what a request is refused with meanwhile
"""

from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

_LOADING_SECONDS = 5.0


class Gate:
    """Open or not, and why not.

    Attributes:
      is_open: Whether requests are taken.
    """

    def __init__(self):
        """Is closed until the models are there."""
        self.is_open = False
        self._why, self._seconds = "The models are being loaded.", _LOADING_SECONDS

    def open(self) -> None:
        """Requests are taken from here on."""
        self.is_open = True

    def close(self, *, retry_after_seconds: float) -> None:
        """Requests are refused from here on, for the server ends.

        Args:
          retry_after_seconds: When another may be there.
        """
        self.is_open, self._why, self._seconds = False, "The server ends.", retry_after_seconds

    def check(self) -> None:
        """Refuses a request while it is closed."""
        if not self.is_open:
            raise RefusedError(
                Refusal.UNAVAILABLE, f"{self._why} Try again in a moment.", retry_after_seconds=self._seconds
            )
