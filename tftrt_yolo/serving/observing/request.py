"""A request at a door, from its arrival to its answer: both doors go through this, so that they count the same way.

with observing.request("http", "POST /v2/models/{name}/infer", remote="127.0.0.1:50312", traceparent="") as asked:
    asked.names("digits", version=None, request_id="7")
    outcome = await asked.infer(hub, inference)

How it ended is taken from the exception that leaves the block: a RefusedError's kind, "cancelled", or "internal".
"""

import asyncio
import contextvars
import dataclasses
import time

from tftrt_yolo import contract
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.scheduling.inference import Inference, Outcome
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

OK, CANCELLED = "ok", "cancelled"
_INTERNAL = Refusal.INTERNAL.name.lower()
_current = contextvars.ContextVar("request", default=None)


@dataclasses.dataclass(eq=False)
class AskedRequest:
    """What is known of a request so far.

    Attributes:
      door: "http" or "grpc".
      method: What is asked, in few kinds: "POST /v2/models/{name}/infer", "inference.GRPCInferenceService/ModelInfer".
      remote: The client's address.
      traceparent: What it belongs to, as W3C's `traceparent`; empty for nothing. Where there are traces, the request's
        own span from the beginning on.
      model: As the request names it; empty as long as it is not known.
      version: As text, likewise.
      request_id: The client's.
      pictures: That it has.
      outcome: What came of it; of the outputs `status` alone.
      ended: "ok", the name of a refusal in small letters, or "cancelled"; empty until the end.
      message: Why it was refused.
      started: When it arrived, in seconds of `time.monotonic`.
      seconds: How long it took; 0 until the end.
    """

    door: str
    method: str
    remote: str = ""
    traceparent: str = ""
    model: str = ""
    version: str = ""
    request_id: str = ""
    pictures: int = 0
    outcome: Outcome | None = None
    ended: str = ""
    message: str = ""
    started: float = dataclasses.field(default_factory=time.monotonic)
    seconds: float = 0.0

    def names(self, model: str, *, version: int | str | None = None, request_id: str = "") -> None:
        """What the request says of itself, as soon as that is read.

        Args:
          model: As the request names it, known or not.
          version: None for any.
          request_id: The client's; empty for none.
        """
        self.model, self.version, self.request_id = model, "" if version is None else str(version), request_id

    async def infer(self, hub: Hub, inference: Inference) -> Outcome:
        """Asks a model for this request.

        Args:
          hub: The models.
          inference: What is asked; where there are traces, it belongs to this request's.

        Returns:
          What came of it.

        Raises:
          RefusedError: If it is refused.
        """
        self.names(inference.model, version=inference.version, request_id=inference.request_id)
        self.pictures = inference.size
        outcome = await hub.infer(dataclasses.replace(inference, trace=self.traceparent))
        self.version = str(outcome.version)
        kept = {name: array for name, array in outcome.outputs.items() if name == contract.STATUS}
        self.outcome = dataclasses.replace(outcome, outputs=kept)  # a client may read for long
        return outcome

    def end(self, error: BaseException | None) -> None:
        """The request has its answer.

        Args:
          error: What it failed with; None if it did not.
        """
        self.seconds = time.monotonic() - self.started
        self.ended = _ended(error)
        self.message = str(error) if isinstance(error, RefusedError) else type(error).__name__ if error else ""


def current() -> AskedRequest | None:
    """The request in whose block the caller runs; None outside."""
    return _current.get()


def make_current(asked: AskedRequest | None) -> contextvars.Token:
    """Has `current` give a request, from here on."""
    return _current.set(asked)


def restore(token: contextvars.Token) -> None:
    """Undoes `make_current`."""
    _current.reset(token)


def _ended(error: BaseException | None) -> str:
    """How a request ended."""
    if error is None:
        return OK
    if isinstance(error, RefusedError):
        return error.refusal.name.lower()
    return CANCELLED if isinstance(error, (asyncio.CancelledError, ConnectionError)) else _INTERNAL
