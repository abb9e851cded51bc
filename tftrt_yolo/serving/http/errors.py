"""Refusals as HTTP has them: a status, and JSON with the reason, whatever was asked and whichever form was spoken.

raise RefusedError(Refusal.NOT_FOUND, "There is no model 'dog'; known are digits.")
refused(error)                           # 404, {"error": "There is no model 'dog'; known are digits."}
"""

import json
import math

from starlette.responses import Response

from tftrt_yolo.ground.text import printable
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

INTERNAL = "The server failed at this request; its log says why."


class DisconnectedError(ConnectionError):
    """The client is gone; nobody waits for an answer."""


def refused(error: RefusedError) -> Response:
    """The answer of a request that is refused.

    Args:
      error: Why.

    Returns:
      The response; with Retry-After where the client may try again.
    """
    headers = {}
    if error.retry_after_seconds is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_seconds)))
    if error.refusal is Refusal.UNAUTHENTICATED:
        headers["www-authenticate"] = "Bearer"
    return failed(error.refusal.http_status, str(error), headers)


def failed(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """An answer with a status and a reason."""
    return Response(as_json({"error": printable(message)}), status, headers, media_type="application/json")


def as_json(document: object) -> bytes:
    """A document as JSON; numbers that JSON does not have are null."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="replace")


def _finite(value: object) -> object:
    """The same with None for NaN and infinity."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
