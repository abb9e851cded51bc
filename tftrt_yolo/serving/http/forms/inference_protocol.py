"""The Open Inference Protocol, version 2, over HTTP, as Triton's clients speak it.

routes = inference_protocol.routes(service)
"""

import zlib

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tftrt_yolo.serving.http import errors
from tftrt_yolo.serving.http.forms.infer_body import HEADER_LENGTH, InferRequest, read_request, written
from tftrt_yolo.serving.http.service import Service, amount_of, in_thread, parse_object
from tftrt_yolo.serving.protocol import descriptions
from tftrt_yolo.serving.protocol.memory import bytes_of, most_as_json
from tftrt_yolo.serving.protocol.requests import Asked, check_outputs, signature_of
from tftrt_yolo.serving.scheduling.inference import Outcome
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

_LEAST_PACKED = 1 << 10  # bytes of an answer that is worth packing
_MODEL = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


def json_response(document: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(errors.as_json(document), status, media_type="application/json")


def routes(service: Service) -> list[Route]:
    """The protocol's paths.

    Args:
      service: What answers.

    Returns:
      The routes.
    """
    paths = _Paths(service)
    found = [
        Route("/v2", paths.server),
        Route("/v2/", paths.server),
        Route("/v2/health/live", paths.live),
        Route("/v2/health/ready", paths.ready),
        Route("/v2/models/stats", paths.statistics),
        Route("/v2/repository/index", paths.index, methods=["POST"]),
    ]
    for place in _MODEL:
        found += [
            Route(place, paths.model),
            Route(f"{place}/ready", paths.model_ready),
            Route(f"{place}/config", paths.config),
            Route(f"{place}/stats", paths.statistics),
            Route(f"{place}/infer", paths.infer, methods=["POST"]),
        ]
    return found


class _Paths:
    """What stands behind each path."""

    def __init__(self, service: Service):
        self._service, self._hub = service, service.hub

    async def server(self, request: Request) -> Response:
        """GET /v2."""
        return json_response(descriptions.server_metadata())

    async def live(self, request: Request) -> Response:
        """Whether the process answers at all."""
        return json_response({"live": True})

    async def ready(self, request: Request) -> Response:
        """Whether every model answers."""
        self._service.gate.check()
        return _ready(await self._hub.is_ready(), "A model is not ready.")

    async def model(self, request: Request) -> Response:
        """What a model takes and gives."""
        state, _ = self._service.model_of(request)
        return json_response(descriptions.model_metadata(state, self._hub.models()))

    async def model_ready(self, request: Request) -> Response:
        """Whether a model answers."""
        self._service.gate.check()
        state, version = self._service.model_of(request)
        is_ready = state.is_ready and await self._hub.is_ready(state.name, version)
        return _ready(is_ready, f"Model {state.name!r} is {state.state}. {state.reason}".rstrip())

    async def config(self, request: Request) -> Response:
        """A model's configuration, in Triton's fields."""
        state, _ = self._service.model_of(request)
        return json_response(descriptions.model_config(state))

    async def statistics(self, request: Request) -> Response:
        """What was counted of a model, or of all."""
        states = self._hub.models()
        if "name" in request.path_params:
            state, version = self._service.model_of(request)
            states = tuple(one for one in states if one.name == state.name and version in (None, one.version))
        return json_response({"model_stats": self._service.observing.statistics.of(states)})

    async def index(self, request: Request) -> Response:
        """Every version of every model."""
        async with self._service.intake.body(request) as data:
            document = parse_object(data) if data.strip() else {}
        return json_response(descriptions.repository_index(self._hub.models(), ready=document.get("ready") is True))

    async def infer(self, request: Request) -> Response:
        """Asks a model."""
        async with self._service.intake.body(request) as data:
            asked = await in_thread(len(data), read_request, data, request.headers.get(HEADER_LENGTH))
            state, version = self._service.model_of(request)
            key = signature_of(state, asked.inputs)
            check_outputs(state.signatures[key], asked.outputs or ())
            outcome = await self._service.infer(
                request, Asked(state, key, asked.inputs, asked.parameters, version, asked.request_id)
            )
        wanted = {name: outcome.outputs[name] for name in asked.outputs or sorted(outcome.outputs)}
        in_json = {name: array for name, array in wanted.items() if not asked.is_binary(name)}
        return await self._service.answer(
            request,
            lambda: _answered(asked, outcome, wanted, request.headers.get("accept-encoding", "")),
            num_elements=amount_of(in_json),
            most_bytes=bytes_of(wanted) + most_as_json(in_json),
            media_type="application/octet-stream" if len(in_json) < len(wanted) else "application/json",
        )


def _ready(is_ready: bool, reason: str) -> Response:
    """Whether something is ready, as a status."""
    if not is_ready:
        raise RefusedError(Refusal.UNAVAILABLE, reason, retry_after_seconds=1)
    return json_response({"ready": True})


def _answered(
    asked: InferRequest, outcome: Outcome, wanted: dict[str, np.ndarray], accepted: str
) -> tuple[list[bytes], dict[str, str]]:
    """The pieces of the answer to a request for a model, and its headers."""
    answer = {"model_name": outcome.model, "model_version": str(outcome.version)}
    answer |= {"id": asked.request_id} if asked.request_id else {}
    pieces, header_length = written(answer, wanted, asked)
    headers = {} if header_length is None else {HEADER_LENGTH: str(header_length)}
    form = _form(accepted) if sum(map(len, pieces)) >= _LEAST_PACKED else None
    if form is not None:
        packer = zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS if form == "gzip" else zlib.MAX_WBITS)
        pieces = [*map(packer.compress, pieces), packer.flush()]
        headers["content-encoding"] = form
    return pieces, headers


def _form(accepted: str) -> str | None:
    """How an answer is packed: the first form that the client names and we know; None for not."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "deflate") and weight.replace(" ", "") not in ("q=0", "q=0.0"):
            return name.strip()
    return None
