"""What the routes share: the models, the limits, and one way to ask a model and to give up where the client is gone.

async with service.intake.body(request) as data:
    outcome = await service.infer(request, asked)
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import numpy as np
from starlette.requests import Request

from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.serving.http.answers import Answer
from tftrt_yolo.serving.http.bodies import Intake
from tftrt_yolo.serving.http.errors import DisconnectedError
from tftrt_yolo.serving.http.gate import Gate
from tftrt_yolo.serving.observing import request as observed_request
from tftrt_yolo.serving.observing.observing import Observing
from tftrt_yolo.serving.protocol import parameters as request_parameters
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.protocol.memory import AnswerMemory, bytes_of
from tftrt_yolo.serving.protocol.requests import Asked, version_of
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.scheduling.inference import ModelState, Outcome

TIMEOUT_HEADER = "x-request-timeout-ms"
HELD = "answer held"  # in a request's scope: what its answer holds of `Service.answers`
_AT_ONCE = 64 << 10  # bytes that are read, or elements that are written, in the loop itself
Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True, eq=False)
class Service:
    """What the routes need.

    Attributes:
      hub: The models.
      gate: Whether requests are taken.
      intake: Takes bodies in.
      answers: What answers take together.
      request_timeout_s: How long a request may take where its client does not say.
      observing: Is told of requests, and has what was counted.
    """

    hub: Hub
    gate: Gate
    intake: Intake
    answers: AnswerMemory
    request_timeout_s: float
    observing: Observing

    async def infer(self, request: Request, asked: Asked) -> Outcome:
        """Asks a model; a client that goes away meanwhile takes its request back.

        Args:
          request: Whose body was read.
          asked: What it asks.

        Returns:
          What came of it.

        Raises:
          RefusedError: If it is refused.
          DisconnectedError: If the client went away.
        """
        deadline = request_parameters.deadline_of(asked.parameters, self.request_timeout_s)
        header = request.headers.get(TIMEOUT_HEADER)
        if header is not None:
            seconds = request_parameters.seconds_of(TIMEOUT_HEADER, header, "milliseconds", 1e-3)
            given = request_parameters.TIMEOUT in asked.parameters
            own = request_parameters.deadline_of({}, seconds or self.request_timeout_s)
            deadline = min(deadline, own) if given else own
        inference = asked.inference(deadline, asked.request_id or request.headers.get("x-request-id", ""))
        observed = observed_request.current()
        outcome = await _unless_gone(request, observed.infer(self.hub, inference))
        request.scope[HELD].take(bytes_of(outcome.outputs))
        return outcome

    async def answer(
        self,
        request: Request,
        write: Callable[[], tuple[list[bytes], dict[str, str]]],
        *,
        num_elements: int,
        most_bytes: int,
        media_type: str,
    ) -> Answer:
        """An answer of arrays.

        Args:
          request: Whose answer it is.
          write: Gives the pieces of its body, and headers.
          num_elements: That it writes.
          most_bytes: That they take, written.
          media_type: Of the body.

        Raises:
          RefusedError: If all answers together take too much.
        """
        held = request.scope[HELD]
        held.take(most_bytes)
        pieces, headers = await in_thread(num_elements, write)
        held.settle(sum(map(len, pieces)))
        return Answer(pieces, headers, media_type=media_type, seconds=self.intake.seconds)

    def model_of(self, request: Request) -> tuple[ModelState, int | None]:
        """The model that a path names, and the version that it names; None for the newest."""
        name, version = self.named(request)
        return self.hub.model(name, version), version

    def named(self, request: Request) -> tuple[str, int | None]:
        """The name of a model in a path, and the version that it names; None for the newest."""
        name, version = request.path_params["name"], version_of(request.path_params.get("version"))
        observed_request.current().names(name, version=version)
        return name, version


async def in_thread(amount: int, function: Callable[..., Found], *arguments) -> Found:
    """Calls a function that reads or writes much where others are served meanwhile; of little at once.

    Args:
      amount: Bytes that it reads, or elements that it writes.
      function: What is called.
      *arguments: What with.

    Returns:
      What it returns.
    """
    if amount <= _AT_ONCE:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def amount_of(outputs: Mapping[str, np.ndarray]) -> int:
    """How many elements an answer has."""
    return sum(array.size for array in outputs.values())


def parse_object(data: bytes) -> dict:
    """A body that is an object of JSON.

    Args:
      data: The body.

    Returns:
      The object.

    Raises:
      RefusedError: If it is no JSON, nested deeper than 32 levels, has NaN or a name twice, or is no object.
    """
    try:
        document = reading.parse_json(data.decode("utf-8-sig"), is_strict=True)
    except UnicodeDecodeError as error:
        raise invalid(f"The body is no UTF-8 ({error.reason} at byte {error.start:,}); expected JSON.") from error
    except reading.UnreadableError as error:
        raise invalid(f"The body {error}; expected a JSON object.") from error
    if not isinstance(document, dict):
        raise invalid(f"The body is {quoted(document)}; expected a JSON object.")
    return document


def check_names(place: str, document: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Refuses a member of an object that nobody would read."""
    unknown = [name for name in document if name not in known]
    if unknown:
        raise invalid(f"{place} has {quoted(unknown[0])}; known are {', '.join(known)}.")


def mapping_of(document: Mapping[str, object], name: str) -> dict:
    """A member that is an object; empty where there is none."""
    value = document.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(f"{name!r} is {quoted(value)}; expected an object.")
    return value


async def _unless_gone(request: Request, asking: Awaitable[Found]) -> Found:
    """Waits for an answer, and for its client to go away."""
    asked, gone = asyncio.ensure_future(asking), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            return asked.result()
        raise DisconnectedError
    finally:
        gone.cancel()
        asked.cancel()
