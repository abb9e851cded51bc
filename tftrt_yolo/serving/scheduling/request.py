"""A request on its way through the server: what waits, what it shares a batch with, and what becomes of it."""

import asyncio
import time

import numpy as np

from tftrt_yolo.serving.scheduling.inference import Inference


class Request:
    """An inference that was accepted.

    Attributes:
      inference: What is asked.
      size: Pictures in it.
      num_bytes: Of its inputs.
      key: Requests of one key share a batch.
      answer: Where its Outcome, or its RefusedError, arrives; of the event loop.
      accepted: When, in seconds of `time.monotonic`.
      started: When its batch was taken; None while it waits.
      deaths: Processes that ended while it was in them.
      is_alone: Whether it shares its batch with none.
      is_over: Whether nobody waits for it any more; then it is not computed.
    """

    def __init__(self, inference: Inference, answer: asyncio.Future, *, is_alone: bool = False):
        """Begins at this moment."""
        self.inference, self.answer, self.is_alone = inference, answer, is_alone
        self.size = inference.size
        self.num_bytes = sum(map(_bytes_of, inference.inputs.values()))
        self.key = _key(inference)
        self.accepted, self.started, self.deaths, self.is_over = time.monotonic(), None, 0, False

    def is_wanted(self, now: float) -> bool:
        """Whether it is still to be computed."""
        return not self.is_over and self.inference.deadline > now

    def parts(self) -> dict[str, np.ndarray | list]:
        """Its inputs as a model's process takes them."""
        return {
            name: value.tolist() if value.dtype == object else value for name, value in self.inference.inputs.items()
        }


def _key(inference: Inference) -> tuple:
    """What requests of one batch have in common."""
    shapes = tuple(sorted((name, str(value.dtype), value.shape[1:]) for name, value in inference.inputs.items()))
    return inference.signature, shapes, inference.selection, inference.size == 0


def _bytes_of(value: np.ndarray) -> int:
    """Memory that an input takes."""
    return sum(map(len, value.ravel().tolist())) if value.dtype == object else value.nbytes
