"""TensorFlow Serving's REST interface: a model's status and metadata, and :predict by rows or by columns.

POST /v1/models/digits:predict  {"signature_name": "encoded", "instances": [{"b64": "/9j/4AAQ..."}]}

As there, rows come back as "predictions" and columns as "outputs". Two things differ: strings that are no UTF-8 come
back as {"b64": ...} whatever the output's name, where TensorFlow Serving does so for names that end with _bytes alone;
and "parameters" may have thresholds and classes for this request.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from collections.abc import Mapping

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tftrt_yolo import contract
from tftrt_yolo.ground.text import listed, quoted
from tftrt_yolo.serving.http.answers import json_pieces
from tftrt_yolo.serving.http.forms.inference_protocol import json_response
from tftrt_yolo.serving.http.service import Service, amount_of, check_names, in_thread, mapping_of, parse_object
from tftrt_yolo.serving.protocol import nested
from tftrt_yolo.serving.protocol import parameters as request_parameters
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.protocol.descriptions import tensorflow_serving_state
from tftrt_yolo.serving.protocol.memory import most_as_json
from tftrt_yolo.serving.protocol.requests import Asked, no_label, signature_named
from tftrt_yolo.serving.scheduling.inference import ModelState, Signature, TensorSpec
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

_TYPES = {"object": "DT_STRING", "float32": "DT_FLOAT", "float16": "DT_HALF", "float64": "DT_DOUBLE", "bool": "DT_BOOL"}
_MODEL = ("/v1/models/{name}", "/v1/models/{name}/versions/{version}")


def routes(service: Service) -> list[Route]:
    """The interface's paths.

    Args:
      service: What answers.

    Returns:
      The routes.
    """
    paths = _Paths(service)
    found = [Route("/v1/models/{name}/labels/{label}", paths.label, methods=["GET", "POST"])]
    for place in _MODEL:
        found += [
            Route(f"{place}:predict", paths.predict, methods=["POST"]),
            Route(f"{place}:{{verb}}", paths.other, methods=["POST"]),
            Route(f"{place}/metadata", paths.metadata),
            Route(place, paths.status),
        ]
    return found


class _Paths:
    """What stands behind each path."""

    def __init__(self, service: Service):
        self._service, self._hub = service, service.hub

    async def status(self, request: Request) -> Response:
        """How the versions of a model stand."""
        states = self._hub.states(*self._service.named(request))
        return json_response({"model_version_status": [_status_of(one) for one in states]})

    async def metadata(self, request: Request) -> Response:
        """The signatures of a model."""
        state, _ = self._service.model_of(request)
        signatures = {key: _signature_def(signature) for key, signature in state.signatures.items()}
        return json_response(
            {
                "model_spec": {"name": state.name, "signature_name": "", "version": str(state.version)},
                "metadata": {"signature_def": {"signature_def": signatures}},
            }
        )

    async def label(self, request: Request) -> Response:
        """Versions have no labels here."""
        raise no_label(request.path_params["label"].partition(":")[0])

    async def other(self, request: Request) -> Response:
        """What only models with other signatures have."""
        raise RefusedError(
            Refusal.NOT_FOUND, f"There is no :{request.path_params['verb'][:80]} here; expected :predict."
        )

    async def predict(self, request: Request) -> Response:
        """Asks a model."""
        async with self._service.intake.body(request) as data:
            document = await in_thread(len(data), parse_object, data)
            state, version = self._service.model_of(request)
            key, signature = _signature(document, state)
            parameters = mapping_of(document, "parameters")
            request_parameters.check_known(parameters)
            is_by_rows, inputs = await in_thread(len(data), _inputs, document, signature)
            outcome = await self._service.infer(request, Asked(state, key, inputs, parameters, version))
        return await self._service.answer(
            request,
            lambda: (json_pieces(_document(outcome.outputs, is_by_rows)), {}),
            num_elements=amount_of(outcome.outputs),
            most_bytes=most_as_json(outcome.outputs),
            media_type="application/json",
        )


def _signature(document: dict, state: ModelState) -> tuple[str, Signature]:
    """The signature that a request names."""
    check_names("The request", document, ("signature_name", "instances", "inputs", "parameters"))
    key = document.get("signature_name", contract.SERVING) or contract.SERVING
    return key, signature_named(state, key)


def _inputs(document: dict, signature: Signature) -> tuple[bool, dict[str, np.ndarray]]:
    """Whether a request is by rows, and its inputs."""
    if ("instances" in document) == ("inputs" in document):
        found = "both" if "inputs" in document else "neither"
        raise invalid(f"The request has {found} of 'instances' and 'inputs'; expected one of them.")
    is_by_rows = "instances" in document
    values = _of_rows(document["instances"], signature) if is_by_rows else _of_columns(document["inputs"], signature)
    return is_by_rows, {
        name: nested.to_array(name, value, signature.inputs[name].dtype) for name, value in values.items()
    }


def _of_rows(rows: object, signature: Signature) -> dict[str, list]:
    """Name to values, from a list of rows: plain values of the one input, or objects with a value of each."""
    if not isinstance(rows, list) or not rows:
        raise invalid(f"'instances' is {quoted(rows)}; expected a list of at least one picture.")
    are_objects = [isinstance(row, dict) and not nested.is_b64(row) for row in rows]
    if not any(are_objects):
        return {_only_input(signature, "instances"): rows}
    if not all(are_objects):
        raise invalid("'instances' has plain values and objects; expected one kind.")
    for row in rows:
        _check_inputs("An instance", row, signature)
    return {name: [row[name] for row in rows] for name in signature.inputs}


def _of_columns(columns: object, signature: Signature) -> dict[str, object]:
    """Name to values, from an object of them, or from the values of the one input."""
    if isinstance(columns, dict) and not nested.is_b64(columns):
        _check_inputs("'inputs'", columns, signature)
        return {name: columns[name] for name in signature.inputs}
    return {_only_input(signature, "inputs"): columns}


def _check_inputs(place: str, given: Mapping[str, object], signature: Signature) -> None:
    """Refuses other inputs than the signature's."""
    if set(given) != set(signature.inputs):
        found = ", ".join(quoted(name, 40) for name in [*given][:8]) or "no input"
        raise invalid(f"{place} has {found}; expected {listed(sorted(signature.inputs))}.")


def _only_input(signature: Signature, place: str) -> str:
    """The name of the one input."""
    if len(signature.inputs) != 1:
        raise invalid(f"{place!r} has plain values; expected objects with {listed(sorted(signature.inputs))}.")
    return next(iter(signature.inputs))


def _document(outputs: Mapping[str, np.ndarray], is_by_rows: bool) -> dict:
    """The answer, with arrays for lists; one output stands alone, several by their names."""
    key, columns = "predictions" if is_by_rows else "outputs", dict(sorted(outputs.items()))
    if len(columns) == 1:
        return {key: next(iter(columns.values()))}
    if not is_by_rows:
        return {key: columns}
    count = len(next(iter(columns.values())))
    return {key: [{name: array[index, ...] for name, array in columns.items()} for index in range(count)]}


def _status_of(state: ModelState) -> dict:
    """How a version stands, in the interface's words."""
    is_broken = state.is_broken
    return {
        "version": str(state.version),
        "state": tensorflow_serving_state(state),
        "status": {"error_code": "UNKNOWN" if is_broken else "OK", "error_message": state.reason if is_broken else ""},
    }


def _signature_def(signature: Signature) -> dict:
    """A SignatureDef, as JSON writes the message."""
    return {
        "inputs": {name: _tensor_info(name, spec) for name, spec in signature.inputs.items()},
        "outputs": {name: _tensor_info(name, spec) for name, spec in signature.outputs.items()},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }


def _tensor_info(name: str, spec: TensorSpec) -> dict:
    """A TensorInfo, as JSON writes the message."""
    axes = [{"size": "-1" if side is None else str(side), "name": ""} for side in spec.shape]
    return {
        "dtype": _TYPES.get(spec.dtype, f"DT_{spec.dtype.upper()}"),
        "tensor_shape": {"dim": axes, "unknown_rank": False},
        "name": name,
    }
