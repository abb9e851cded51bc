"""A span for each request, with how long it waited and was computed below it, for a collector of OpenTelemetry's.

tracing = open_tracing("http://127.0.0.1:4317")    # None where nobody asks for spans; then nothing is imported
span = tracing.start(asked)
tracing.end(span, asked)
tracing.close()

OpenTelemetry's own variables count as everywhere: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL,
OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED and so on.
Source of names: https://opentelemetry.io/docs/specs/semconv/ (http, rpc); ours begin with `yolo.`.
"""

import os
import threading
import time

from absl import logging

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import listed, shown
from tftrt_yolo.ground.version import __version__
from tftrt_yolo.serving.observing.request import OK, AskedRequest
from tftrt_yolo.serving.scheduling.inference import Inference, Outcome
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.scheduling.refusals import Refusal

EXTRA = "pip install 'tftrt_yolo[tracing]'"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_CLOSE_SECONDS = 3.0  # for a collector that does not answer
_MOST_CHARACTERS = 200
_NS = 1_000_000_000


def open_tracing(endpoint: str | None) -> "Tracing | None":
    """Traces, where somebody asks for them.

    Args:
      endpoint: A collector's address, "http://127.0.0.1:4317"; None for OpenTelemetry's variables.

    Returns:
      None where neither the endpoint nor a variable names a collector, or OTEL_SDK_DISABLED is true.

    Raises:
      ServingError: If the endpoint is none, or OpenTelemetry is not installed and the endpoint was given. Of a variable
        that is set for everything on the machine a warning says so.
    """
    is_asked = endpoint is not None or any(os.environ.get(name) for name in _ENDPOINTS)
    if not is_asked or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ServingError(
            f"{argument('trace_endpoint')} is {shown(endpoint)}; expected a collector's address, such as "
            "http://127.0.0.1:4317."
        )
    try:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter(endpoint)
    except ModuleNotFoundError as error:
        message = f"Traces need OpenTelemetry, which is not installed ({error.name}). Install it with {EXTRA}"
        if endpoint is None:
            logging.warning("%s, or unset %s.", message, listed(filter(os.environ.get, _ENDPOINTS)))
            return None
        raise ServingError(f"{message}, or leave {argument('trace_endpoint')} out.") from error
    return Tracing(BatchSpanProcessor(exporter))


def _exporter(endpoint: str | None):
    """What sends spans to a collector, in the protocol that OpenTelemetry's variables name."""
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "grpc")
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        path = "/v1/traces"
        return OTLPSpanExporter(endpoint=endpoint and endpoint.rstrip("/").removesuffix(path) + path)
    if protocol != "grpc":
        raise ServingError(f"{_PROTOCOLS[1]} is {shown(protocol)}; expected grpc or http/protobuf.")
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)


class Tracing(Observer):
    """Makes the spans."""

    def __init__(self, processor):
        """Starts to trace.

        Args:
          processor: An `opentelemetry.sdk.trace.SpanProcessor`: what becomes of spans.
        """
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "tftrt_yolo"}
        resource = Resource.create({"service.version": __version__} | named)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("tftrt_yolo.serving", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def start(self, asked: AskedRequest):
        """Begins a request's span, below what its client named; the request then names the span itself.

        Args:
          asked: What is known of it.

        Returns:
          The span, for `end`.
        """
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent = self._context_of(asked.traceparent)
        span = self._tracer.start_span(asked.method, parent, SpanKind.SERVER)
        carrier = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        asked.traceparent = carrier.get("traceparent", "")
        return span

    def end(self, span, asked: AskedRequest) -> None:
        """Ends a request's span.

        Args:
          span: As `start` gave it.
          asked: The request, with its end.
        """
        span.update_name(asked.method)
        attributes = {name: value for name, value in _attributes(asked).items() if value not in ("", None)}
        span.set_attributes({name: _bounded(value) for name, value in attributes.items()})
        if _is_servers_fault(asked.ended):
            from opentelemetry.trace import Status, StatusCode

            span.set_status(Status(StatusCode.ERROR, _bounded(asked.message)))
        span.end()

    def finished(self, inference: Inference, outcome: Outcome | None, refusal: Refusal | None, seconds: float) -> None:
        """As `Observer`: the spans of waiting and of computing, below the request's own."""
        if outcome is None or not inference.trace:
            return
        context = self._context_of(inference.trace)
        computed = time.time_ns()
        began = computed - int(outcome.compute_seconds * _NS)
        waited = began - int(outcome.queue_seconds * _NS)
        attributes = {"yolo.batch_size": outcome.batch_size, "yolo.pictures": inference.size}
        for name, start, end in (("queue", waited, began), ("compute", began, computed)):
            span = self._tracer.start_span(name, context, attributes=attributes, start_time=start)
            span.end(end)

    def close(self) -> None:
        """Sends what is left, unless the collector takes too long."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _context_of(self, traceparent: str):
        """What spans stand below; an empty one for text that is none."""
        from opentelemetry.context import Context

        return self._propagator.extract({"traceparent": traceparent}, Context())


def _attributes(asked: AskedRequest) -> dict[str, object]:
    """A request's attributes, in the words of the semantic conventions and, behind `yolo.`, our own."""
    outcome = asked.outcome
    return {
        **_of_door(asked),
        "client.address": asked.remote.rpartition(":")[0] or asked.remote,
        "error.type": "" if asked.ended == OK else asked.ended,
        "yolo.model": asked.model,
        "yolo.version": asked.version,
        "yolo.request_id": asked.request_id,
        "yolo.pictures": asked.pictures or None,
        "yolo.batch_size": outcome and outcome.batch_size,
    }


def _of_door(asked: AskedRequest) -> dict[str, object]:
    """What the conventions for HTTP, or for remote calls, ask for."""
    refusal = _refusal(asked.ended)
    if asked.door == "grpc":
        import grpc

        service, _, method = asked.method.partition("/")
        name = refusal.grpc_name if refusal else "OK" if asked.ended == OK else "CANCELLED"
        code = grpc.StatusCode[name].value[0]
        return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method, "rpc.grpc.status_code": code}
    verb, _, route = asked.method.partition(" ")
    status = refusal.http_status if refusal else 200 if asked.ended == OK else None
    return {"http.request.method": verb, "http.route": route, "http.response.status_code": status}


def _is_servers_fault(ended: str) -> bool:
    """Whether a request failed, and not by what its client sent."""
    refusal = _refusal(ended)
    return refusal is not None and refusal.http_status >= 500


def _refusal(ended: str) -> Refusal | None:
    """The refusal that a request ended with."""
    return Refusal.__members__.get(ended.upper())


def _bounded(value: object) -> object:
    """A value as a span may have it: texts escaped and cut."""
    return shown(value, _MOST_CHARACTERS) if isinstance(value, str) else value
