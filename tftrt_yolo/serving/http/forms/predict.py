"""POST /predict: pictures as they are, and answers that a person can read.

curl --data-binary @bus.jpg "http://127.0.0.1:8000/predict?score_threshold=0.5&classes=person,bus"
curl -F file=@bus.jpg -F file=@zidane.jpg http://127.0.0.1:8000/predict
"""

import asyncio
import base64
import dataclasses
import functools
import time

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tftrt_yolo import contract
from tftrt_yolo.ground.files.image_files import upright_size
from tftrt_yolo.ground.text import listed, quoted
from tftrt_yolo.serving.http.forms.inference_protocol import json_response
from tftrt_yolo.serving.http.forms.multipart import File, read_form
from tftrt_yolo.serving.http.service import Service
from tftrt_yolo.serving.protocol import parameters as request_parameters
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.protocol.readable import objects_of, status_of
from tftrt_yolo.serving.protocol.requests import Asked, version_of
from tftrt_yolo.serving.scheduling.inference import ModelState, Outcome
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.tasks.table import TASKS

_FORM = "multipart/form-data"
# curl says this of --data-binary where nobody says anything else.
_TAKEN = ("application/octet-stream", "application/x-www-form-urlencoded")
_OWN = ("model", "version", "masks", "maps")
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def routes(service: Service) -> list[Route]:
    """The path.

    Args:
      service: What answers.

    Returns:
      The route.
    """

    async def predict(request: Request) -> Response:
        return await _predicted(service, request)

    return [Route("/predict", predict, methods=["POST"])]


@dataclasses.dataclass(frozen=True)
class _Pictures:
    """What a request has.

    Attributes:
      files: The pictures.
      parameters: From the query, and from the form's other fields.
      are_several: Whether the answer is a list.
    """

    files: list[File]
    parameters: dict[str, str]
    are_several: bool


async def _predicted(service: Service, request: Request) -> Response:
    """Answers a request."""
    parameters = _query(request)
    async with service.intake.body(request) as data:
        start = time.perf_counter()
        pictures = _pictures(request, data, parameters)
        request_parameters.check_known(pictures.parameters, also=_OWN)
        version = version_of(pictures.parameters.get("version"))
        state = service.hub.model(_model_name(service, pictures.parameters.get("model")), version)
        with_masks, with_map = (_wants(name, pictures.parameters.get(name), state) for name in ("masks", "maps"))
        images = np.empty(len(pictures.files), object)
        images[:] = [file.data for file in pictures.files]
        asked = Asked(state, contract.ENCODED, {"image_bytes": images}, pictures.parameters, version)
        outcome = await service.infer(request, asked)
        with_map = with_map or with_masks
        entry = functools.partial(_entry, outcome=outcome, state=state, with_masks=with_masks, with_map=with_map)
        if TASKS[state.task].gives_map:  # it is unpacked, counted and packed again
            entries = await asyncio.to_thread(lambda: [*map(entry, pictures.files, range(len(pictures.files)))])
        else:
            entries = [*map(entry, pictures.files, range(len(pictures.files)))]
        milliseconds = round((time.perf_counter() - start) * 1e3, 3)
    if not pictures.are_several:
        if "error" in entries[0]:
            raise RefusedError(Refusal.UNREADABLE, entries[0]["error"])
        return json_response({**entries[0], "milliseconds": milliseconds})
    named = zip(pictures.files, entries, strict=True)
    return json_response([{"file": file.name, **entry, "milliseconds": milliseconds} for file, entry in named])


def _query(request: Request) -> dict[str, str]:
    """The query's parameters; classes may be there several times."""
    found = {}
    for name, value in request.query_params.multi_items():
        if name in found and name != "classes":
            raise invalid(f"The parameter {quoted(name)} is there twice; expected it once.")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _pictures(request: Request, data: bytes, query: dict[str, str]) -> _Pictures:
    """The pictures of a request."""
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _FORM:
        form = read_form(data, content_type)
        if not form.files:
            raise invalid("The form has no file; expected pictures: -F file=@PICTURE.")
        twice = sorted(set(form.texts) & set(query))
        if twice:
            raise invalid(f"The parameter {quoted(twice[0])} is in the query and in the form; expected it once.")
        return _Pictures(form.files, query | form.texts, len(form.files) > 1)
    if kind and kind not in _TAKEN and not kind.startswith("image/"):
        raise invalid(
            f"Content-Type is {quoted(kind)}; expected the bytes of a picture as image/jpeg or the like, or as "
            f"{_TAKEN[0]}, or {_FORM} with files."
        )
    if not data:
        raise invalid("The body is empty; expected the bytes of a picture: curl --data-binary @PICTURE.")
    return _Pictures([File("", data)], query, are_several=False)


def _model_name(service: Service, given: str | None) -> str:
    """The model that is asked for; it may be left out where there is one."""
    names = sorted({state.name for state in service.hub.models()})
    if given:
        return given
    if len(names) != 1:
        raise invalid(f"The parameter 'model' is missing; known are {', '.join(names) or 'none'}.")
    return names[0]


def _wants(name: str, text: str | None, state: ModelState) -> bool:
    """Whether masks, or maps, are asked for; `masks` gives class maps too."""
    if text is None:
        return False
    wants = _TRUTHS.get(text.lower())
    if wants is None:
        raise invalid(f"{name} is {quoted(text)}; expected true or false.")
    having = [task.name for task in TASKS.values() if (task.packing if name == "masks" else task.gives_map)]
    if wants and state.task not in having:
        remedy = " Ask for its map with maps=true." if TASKS[state.task].gives_map else ""
        raise invalid(
            f"{name} are for models for {listed(having)}; model {quoted(state.name)} is for {state.task}.{remedy}"
        )
    return wants


def _entry(file: File, index: int, outcome: Outcome, state: ModelState, *, with_masks: bool, with_map: bool) -> dict:
    """The answer for one picture."""
    entry = {"model": outcome.model, "version": outcome.version}
    status = status_of(outcome.outputs, index)
    if status:
        return {**entry, "status": Refusal.UNREADABLE.http_status, "error": f"The picture was not read: {status}."}
    size = upright_size(file.data)
    entry |= {"image": {"width": size[0], "height": size[1]}} if size else {}
    rows = objects_of(outcome.outputs, index, state, with_masks=with_masks)
    task = TASKS[state.task]
    entry |= {"objects" if task.finds_objects else "classes" if task.classifies else task.row_label: rows}
    if with_map and task.gives_map:
        png, known = task.encoded_map(task.of_image(outcome.outputs, index))
        entry["map"] = {"png": base64.b64encode(png).decode(), **known}
    return entry
