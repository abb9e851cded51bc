"""What both gRPC services share: the models, the limits, and one way to answer, to refuse and to give up.

class Service:
    @answered
    async def ModelInfer(self, request, context):
        return written(await self.calls.infer(context, asked))

A call is counted, logged and traced as HTTP's requests are; what it is refused for becomes gRPC's status.
"""

import asyncio
import dataclasses
import functools
import logging
import math
import time
import urllib.parse
from collections.abc import Awaitable, Callable

import grpc

from tftrt_yolo.ground.text import printable
from tftrt_yolo.serving.observing import request as observed_request
from tftrt_yolo.serving.observing.observing import Observing
from tftrt_yolo.serving.protocol import parameters as request_parameters
from tftrt_yolo.serving.protocol.memory import AnswerMemory, Held, Memory, bytes_of
from tftrt_yolo.serving.protocol.requests import Asked
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.scheduling.inference import Outcome
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

_INTERNAL = "The server failed at this call; its log says why."
_MOST_DETAILS = 2_000  # bytes, each of which may take three on the wire; a client takes 8 KiB of metadata
_COPIES = 4  # of outputs: a message, its bytes, and what gRPC makes of these; 3.2 to 4 times the arrays were measured
_log = logging.getLogger("tftrt_yolo.serving")


@dataclasses.dataclass(frozen=True, eq=False)
class Calls:
    """What the services need.

    Attributes:
      hub: The models.
      observing: Is told of each call.
      request_timeout_s: How long a call may take where its client does not say.
      max_body_bytes: Of a message, and of what is made of it.
      memory: What messages take together.
      answers: What answers take together.
      check_open: Raises RefusedError while the server takes no requests.
    """

    hub: Hub
    observing: Observing
    request_timeout_s: float
    max_body_bytes: int
    memory: Memory
    answers: AnswerMemory
    check_open: Callable[[], None]

    async def answer(
        self, context: grpc.aio.ServicerContext, method: str, ask: Callable[[], Awaitable], *, num_bytes: int = 0
    ) -> object:
        """Answers a call, or refuses it.

        Args:
          context: The call's.
          method: Its service and name.
          ask: Gives the answer; `observing.request.current` is the call meanwhile.
          num_bytes: Of the call's message.

        Returns:
          The answer.
        """
        try:
            return await self.observed(context, method, ask, num_bytes=num_bytes)
        except RefusedError as error:
            await _abort(context, error)
        except Exception:  # noqa: BLE001 - the client gets an answer, whatever it is
            _log.exception("A call failed.")
            await context.abort(grpc.StatusCode.INTERNAL, _INTERNAL)

    async def observed(
        self, context: grpc.aio.ServicerContext, method: str, ask: Callable[[], Awaitable], *, num_bytes: int = 0
    ) -> object:
        """The same, but a refusal is raised: for the parts of a stream."""
        end = _end_of(context)
        metadata = dict(context.invocation_metadata() or ())
        remote, traceparent = _remote(context), str(metadata.get("traceparent", ""))
        try:
            with self.observing.request("grpc", method, remote=remote, traceparent=traceparent):
                try:
                    with self.memory.hold() as held:
                        held.take(num_bytes)
                        return await ask()
                except asyncio.CancelledError:
                    if time.monotonic() >= end:  # gRPC gives up a call whose time is over
                        raise _LateError from None
                    raise
        except _LateError:
            raise asyncio.CancelledError from None

    async def infer(self, context: grpc.aio.ServicerContext, asked: Asked, held: Held | None = None) -> Outcome:
        """Asks a model; a client that goes away, or whose time is over, takes its call back.

        Args:
          context: The call's.
          asked: What it asks.
          held: What its answer holds, which the caller releases; None for until the call ends.

        Returns:
          What came of it.

        Raises:
          RefusedError: If it is refused.
        """
        deadline = request_parameters.deadline_of(asked.parameters, self.request_timeout_s)
        inference = asked.inference(min(deadline, _end_of(context)), asked.request_id)
        outcome = await observed_request.current().infer(self.hub, inference)
        if held is None:
            held = self.answers.held()
            context.add_done_callback(lambda _: held.release())
        held.take(_COPIES * bytes_of(outcome.outputs))
        return outcome

    async def is_ready(self, name: str | None = None, version: int | None = None) -> bool:
        """Whether a model, or every one, answers; not while the server takes no requests."""
        try:
            self.check_open()
        except RefusedError:
            return False
        return await self.hub.is_ready(name, version)


def answered(method: Callable) -> Callable:
    """A method of a service that has `calls`, answered by `Calls.answer`.

    Args:
      method: Takes a request and the call's context, and gives the answer.

    Returns:
      What gRPC calls.
    """

    @functools.wraps(method)
    async def answer(self, request, context):
        ask = functools.partial(method, self, request, context)
        return await self.calls.answer(context, f"{self.NAME}/{method.__name__}", ask, num_bytes=request.ByteSize())

    return answer


def unimplemented(words: str) -> Callable:
    """A method that answers that it is none.

    Args:
      words: Why, and what to do.

    Returns:
      What gRPC calls.
    """

    async def answer(self, request, context):
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, words)

    return answer


class _LateError(RefusedError):
    """A call's time is over."""

    def __init__(self):
        super().__init__(Refusal.DEADLINE_EXCEEDED, "The client's time is over.")


async def _abort(context: grpc.aio.ServicerContext, error: RefusedError) -> None:
    """Ends a call with what it is refused for."""
    metadata = ()
    if error.retry_after_seconds is not None:
        metadata = (("retry-after", str(max(1, math.ceil(error.retry_after_seconds)))),)
    details = printable(error).encode(errors="replace")[:_MOST_DETAILS].decode(errors="ignore")
    await context.abort(grpc.StatusCode[error.refusal.grpc_name], details, metadata)


def _end_of(context: grpc.aio.ServicerContext) -> float:
    """When a client gives a call up, in seconds of `time.monotonic`."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else time.monotonic() + remaining


def _remote(context: grpc.aio.ServicerContext) -> str:
    """The client's address: "127.0.0.1:50312"."""
    return urllib.parse.unquote(context.peer()).partition(":")[2]
