"""What a request says beside its tensors: thresholds, classes, and how long its client waits.

selection_of({"score_threshold": 0.5, "classes": "person,car"})           # SelectionOptions
deadline_of({"timeout": 250_000}, default_seconds=30.0)                   # microseconds, as Triton's clients say it
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping

from tftrt_yolo.ground.arguments import number
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.predictor.spelling import meant
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.protocol.datatypes import invalid

SELECTION = tuple(field.name for field in dataclasses.fields(SelectionOptions))
TIMEOUT = "timeout"  # microseconds
# Of Triton's clients: how the answer is written, and hints that need not be taken.
_OF_CLIENTS = ("binary_data_output", "priority")
_MOST_SECONDS = 86_400.0
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def selection_of(parameters: Mapping[str, object]) -> SelectionOptions | None:
    """The thresholds and classes of a request.

    Args:
      parameters: Name to value; values may be texts, as those of a query are. Classes are a list, or a text with commas
        between them.

    Returns:
      The options; None if there are none among the parameters.

    Raises:
      RefusedError: If a value is out of its range. Whether the model has the classes is seen by the hub.
    """
    given = {name: _value(name, parameters[name]) for name in SELECTION if parameters.get(name) is not None}
    if not given:
        return None
    try:
        return SelectionOptions(**given)
    except ValueError as error:
        raise invalid(str(error)) from error


def check_known(parameters: Mapping[str, object], also: tuple[str, ...] = ()) -> None:
    """Refuses a parameter that means nothing here.

    Args:
      parameters: Name to value.
      also: Names that the caller knows beside those for every request.

    Raises:
      RefusedError: If one is unknown.
    """
    known = (*SELECTION, TIMEOUT, *_OF_CLIENTS, *also)
    unknown = [name for name in parameters if name not in known and not name.startswith("triton_")]
    if unknown:
        raise invalid(
            f"The parameter {quoted(unknown[0])} is unknown; known are {', '.join(known)}.{meant(unknown[0], known)}"
        )


def deadline_of(parameters: Mapping[str, object], default_seconds: float) -> float:
    """When a request is given up.

    Args:
      parameters: Name to value; `timeout`, in microseconds, is how long the client waits.
      default_seconds: For a client that does not say it, or says 0.

    Returns:
      Seconds of `time.monotonic`.

    Raises:
      RefusedError: If it is no number of at least 0.
    """
    timeout = parameters.get(TIMEOUT)
    if timeout is None:
        return time.monotonic() + default_seconds
    return time.monotonic() + (seconds_of(TIMEOUT, timeout, "microseconds", 1e-6) or default_seconds)


def seconds_of(name: str, value: object, unit: str, factor: float) -> float:
    """A time that a client waits, in seconds, a day at most.

    Args:
      name: What it is called, for the message.
      value: A number, or a text of one.
      unit: Its unit, for the message.
      factor: Seconds of one.

    Returns:
      Seconds.

    Raises:
      RefusedError: If it is no number of at least 0.
    """
    found = _number(value) if isinstance(value, str) else number(value)
    if found is None or not math.isfinite(found) or found < 0:
        raise invalid(f"{name} is {quoted(value)}; expected {unit}, a number of at least 0.")
    return min(found * factor, _MOST_SECONDS)


def _value(name: str, value: object) -> object:
    """A parameter as `SelectionOptions` takes it."""
    if name == "classes":
        items = value.split(",") if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
        return tuple(int(item) if _is_whole(item) else item for item in items)
    if not isinstance(value, str):
        return value
    if name in ("class_agnostic", "multi_label"):
        return _TRUTHS.get(value.lower(), value)
    if name == "max_detections":
        return int(value) if _is_whole(value) else value
    return value if (found := _number(value)) is None else found


def _is_whole(text: object) -> bool:
    """Whether a text is a whole number, of at most 18 digits."""
    return isinstance(text, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", text) is not None


def _number(text: str) -> float | None:
    """A text as a number; None if it is none."""
    try:
        return float(text) if len(text) <= 40 and text.isascii() and "_" not in text else None
    except ValueError:
        return None
