"""The application behind the door for HTTP: every path of every form that is spoken.

app = application(service, token=None)
"""

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tftrt_yolo.ground.text import quoted
from tftrt_yolo.serving.http import errors
from tftrt_yolo.serving.http.forms import inference_protocol, predict, tensorflow_serving
from tftrt_yolo.serving.http.guard import Guard
from tftrt_yolo.serving.http.service import Service
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

_PATHS = "/v2, /v1/models/NAME, /predict and /metrics"


def application(service: Service, *, token: str | None = None) -> FastAPI:
    """Builds the application.

    Args:
      service: What answers.
      token: What requests must bear; None for nothing.

    Returns:
      The application, to which others may mount theirs.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    routes = [
        *predict.routes(service),
        *inference_protocol.routes(service),
        *tensorflow_serving.routes(service),
        Route("/metrics", _metrics_of(service)),
    ]
    # A path is compared with one after the other: those of requests for models come first.
    app.router.routes += sorted(routes, key=lambda route: "POST" not in route.methods)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_middleware(Guard, service=service, token=token)
    return app


def _metrics_of(service: Service):
    """What stands behind /metrics."""

    async def metrics(request: Request) -> Response:
        text, media_type = service.observing.metrics.text(request.headers.get("accept", ""))
        return Response(text, media_type=media_type)

    return metrics


async def _no_route(request: Request, error: HTTPException) -> Response:
    """A path that is none, or a method that a path does not have."""
    path = quoted(request.url.path, 200)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return errors.failed(405, f"{request.method} is no method of {path}; expected {allowed}.", error.headers)
    if error.status_code == 404:
        raise RefusedError(Refusal.NOT_FOUND, f"There is nothing at {path}; known are {_PATHS}.")
    return errors.failed(error.status_code, str(error.detail), error.headers)
