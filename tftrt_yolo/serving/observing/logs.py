"""A line for each request and for each change of a model, as JSON or as text, on standard error.

logs = Logs("json")
logs.request(asked)                      # {"time": "2026-01-02T03:04:05.678Z", "door": "http", "status": "ok", ...}
logs.close()

What a client says is escaped and cut. Lines never hold a request up: see `log_writer`.
"""

import json
import logging
import sys
import time

from tftrt_yolo.ground.text import shown
from tftrt_yolo.serving.observing.log_writer import LogWriter
from tftrt_yolo.serving.observing.metrics import refused_pictures
from tftrt_yolo.serving.observing.request import OK, AskedRequest
from tftrt_yolo.serving.scheduling.inference import ModelState
from tftrt_yolo.serving.scheduling.observer import Observer

_MOST_CHARACTERS = {"message": 2_500, "method": 200}
_MOST_OTHERWISE = 100
# Whose lines become JSON, too: this package's and the servers' own.
_LOGGERS = ("absl", "tftrt_yolo", "uvicorn", "grpc")


class Logs(Observer):
    """Writes the lines."""

    def __init__(self, log_format: str, descriptor: int | None = None):
        """Starts to write.

        Args:
          log_format: "text", "json", or "none" for no lines of requests.
          descriptor: Where they go; None for standard error.
        """
        self._format = log_format
        self._writer = LogWriter(sys.stderr.fileno() if descriptor is None else descriptor)
        self._handler = _Handler(self) if log_format == "json" else None
        self._before = _take_over(self._handler) if self._handler else {}

    def close(self) -> None:
        """Writes what is left, and gives the loggers of others back."""
        for name, (handlers, propagates) in self._before.items():
            logger = logging.getLogger(name)
            logger.handlers[:], logger.propagate = handlers, propagates
        self._before = {}
        self._writer.close()

    def request(self, asked: AskedRequest) -> None:
        """A request has its answer.

        Args:
          asked: What is known of it.
        """
        if self._format != "none":
            self.write(_told(asked))

    def state(self, state: ModelState) -> None:
        """As `Observer`."""
        told = {"event": "model", "model": state.name, "version": str(state.version), "status": state.state}
        self._tell(told | ({"message": state.reason} if state.reason else {}))

    def process_ended(self, model: str, version: int, reason: str) -> None:
        """As `Observer`."""
        told = {"event": "process_ended", "level": "error", "model": model, "version": str(version)}
        self._tell(told | {"message": reason})

    def _tell(self, told: dict[str, object]) -> None:
        """Writes what happened outside of requests."""
        if self._format != "none":
            self.write({"level": "info"} | told)

    def write(self, told: dict[str, object]) -> None:
        """Writes a line.

        Args:
          told: What it says, by name; the time is added.
        """
        told = {"time": _now()} | {name: _bounded(name, value) for name, value in told.items()}
        if self._writer.dropped:
            told["dropped_lines"] = self._writer.dropped
        self._writer.write(json.dumps(told, ensure_ascii=False) if self._format == "json" else _as_text(told))


class _Handler(logging.Handler):
    """Turns others' records into lines."""

    def __init__(self, logs: Logs):
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """A line of a record; of an exception its type and place alone."""
        message = record.getMessage()
        if record.exc_info and record.exc_info[0]:
            message = f"{message} {self.format(record).removeprefix(message).strip()[-2_000:]}"
        told = {"event": "log", "level": record.levelname.lower(), "logger": record.name}
        self._logs.write(told | {"message": message})


def _take_over(handler: logging.Handler) -> dict[str, tuple[list, bool]]:
    """Has loggers write through a handler alone; returns how they were."""
    before = {}
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        before[name] = (list(logger.handlers), logger.propagate)
        logger.handlers[:], logger.propagate = [handler], False
    return before


def _told(asked: AskedRequest) -> dict[str, object]:
    """What a line says of a request."""
    told = {
        "event": "request",
        "level": "info" if asked.ended == OK else "error" if asked.ended == "internal" else "warning",
        "door": asked.door,
        "method": asked.method,
        "model": asked.model,
        "version": asked.version,
        "status": asked.ended,
        "pictures": asked.pictures,
        "milliseconds": _milliseconds(asked.seconds),
        "request_id": asked.request_id,
        "remote": asked.remote,
    }
    if asked.outcome is not None:
        told |= {
            "pictures_refused": refused_pictures(asked.outcome),
            "batch": asked.outcome.batch_size,
            "queue_milliseconds": _milliseconds(asked.outcome.queue_seconds),
            "compute_milliseconds": _milliseconds(asked.outcome.compute_seconds),
        }
    if asked.traceparent:
        told["traceparent"] = asked.traceparent
    return told | ({"message": asked.message} if asked.message else {})


def _bounded(name: str, value: object) -> object:
    """A value as a line may have it: texts escaped, on one line, and cut."""
    if not isinstance(value, str):
        return value
    return shown(value, _MOST_CHARACTERS.get(name, _MOST_OTHERWISE))


def _as_text(told: dict[str, object]) -> str:
    """A line for a reader: the time, then name=value of what is not empty; texts with blanks quoted."""
    pairs = {name: value for name, value in told.items() if value != "" and name not in ("time", "level")}
    quotes = {name: json.dumps(value, ensure_ascii=False) for name, value in pairs.items() if _has_blanks(value)}
    return " ".join([str(told["time"]), *(f"{name}={value}" for name, value in (pairs | quotes).items())])


def _has_blanks(value: object) -> bool:
    return isinstance(value, str) and any(character in ' "=' for character in value)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 3)


def _now() -> str:
    """The time, as RFC 3339 has it, in milliseconds."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z"
