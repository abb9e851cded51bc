import concurrent.futures
import http.server
import queue
import threading

import grpc
import pytest
from absl import logging
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.serving.observing.told import inference_of, outcome_of
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.serving.observing.observing import Observing
from tftrt_yolo.serving.observing.tracing import Tracing, open_tracing
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.serving.serving_options import ObservingOptions

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def observing(exporter):
    observing = Observing(ObservingOptions(log_format="none"))
    assert observing.tracing is None
    observing.tracing = Tracing(SimpleSpanProcessor(exporter))
    yield observing
    observing.close()


def test_a_request_has_a_span_with_waiting_and_computing_below(observing, exporter):
    method = "inference.GRPCInferenceService/ModelInfer"
    with observing.request("grpc", method, remote="127.0.0.1:50312", traceparent=PARENT) as asked:
        assert asked.traceparent.startswith(f"00-{'a' * 32}-")
        assert asked.traceparent != PARENT
        asked.names("digits", version=1, request_id="7")
        observing.finished(inference_of(2, trace=asked.traceparent), outcome_of(), None, 0.3)
        asked.outcome, asked.pictures = outcome_of(), 2
    waited, computed, span = exporter.get_finished_spans()
    assert (waited.name, computed.name, span.name) == ("queue", "compute", method)
    assert span.kind is SpanKind.SERVER
    assert span.status.status_code is StatusCode.UNSET
    assert {one.context.trace_id for one in (waited, computed, span)} == {int("a" * 32, 16)}
    assert span.parent.span_id == int("b" * 16, 16)
    assert waited.parent.span_id == computed.parent.span_id == span.context.span_id
    assert computed.end_time - computed.start_time == 250_000_000
    assert waited.end_time - waited.start_time == 10_000_000
    assert waited.end_time == computed.start_time
    assert dict(span.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
        "client.address": "127.0.0.1",
        "yolo.model": "digits",
        "yolo.version": "1",
        "yolo.request_id": "7",
        "yolo.pictures": 2,
        "yolo.batch_size": 4,
    }
    assert span.resource.attributes["service.name"] == "tftrt_yolo"


@pytest.mark.parametrize(
    ("error", "status", "http", "grpc_code"),
    [
        (None, StatusCode.UNSET, 200, 0),
        (RefusedError(Refusal.NOT_FOUND, "no dog"), StatusCode.UNSET, 404, 5),  # the client's fault
        (RefusedError(Refusal.UNAVAILABLE, "full"), StatusCode.ERROR, 503, 14),
        (ValueError("a bug"), StatusCode.ERROR, 500, 13),
        (ConnectionResetError(), StatusCode.UNSET, None, 1),
    ],
)
def test_how_a_request_ended_stands_in_its_span(observing, exporter, error, status, http, grpc_code):
    for door, method in (("http", "POST /predict"), ("grpc", "a.B/C")):
        try:
            with observing.request(door, method):
                if error:
                    raise error
        except type(error):
            pass
    by_http, by_grpc = exporter.get_finished_spans()
    assert by_http.status.status_code is by_grpc.status.status_code is status
    assert by_http.attributes.get("http.response.status_code") == http
    assert (by_http.attributes["http.request.method"], by_http.attributes["http.route"]) == ("POST", "/predict")
    assert by_grpc.attributes["rpc.grpc.status_code"] == grpc_code
    assert ("error.type" in by_http.attributes) == (error is not None)


@pytest.mark.parametrize(
    "traceparent", ["", "x", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", PARENT + "-\x1b", "é" * 55]
)
def test_a_parent_that_is_none_is_none(observing, exporter, traceparent):
    with observing.request("http", "POST /predict", traceparent=traceparent):
        pass
    (span,) = exporter.get_finished_spans()
    assert span.parent is None


def test_what_a_client_says_is_escaped_and_cut(observing, exporter):
    with observing.request("http", "POST /predict") as asked:
        asked.names("\x1b[31m" + "x" * 10_000, version="y" * 10_000, request_id="\n")
    (span,) = exporter.get_finished_spans()
    for name in ("model", "version", "request_id"):
        value = span.attributes[f"yolo.{name}"]
        assert len(value) < 250
        assert value.isprintable()


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What a collector of OpenTelemetry's takes."""

    def __init__(self):
        self.taken = queue.Queue()

    def Export(self, request, context):
        self.taken.put(request)
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    servicer = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)
    servicer.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    server.stop(None)


@pytest.mark.parametrize("place", ["option", "environment"])
def test_spans_reach_a_collector(collector, monkeypatch, place):
    if place == "environment":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "gate 7")
    endpoint = collector.endpoint if place == "option" else None
    observing = Observing(ObservingOptions(log_format="none", trace_endpoint=endpoint))
    with observing.request("http", "POST /predict", traceparent=PARENT):
        pass
    observing.close()
    (resource,) = collector.taken.get(timeout=10).resource_spans
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert attributes["service.name"] == ("gate 7" if place == "environment" else "tftrt_yolo")
    (span,) = resource.scope_spans[0].spans
    assert (span.name, span.trace_id, span.parent_span_id) == ("POST /predict", b"\xaa" * 16, b"\xbb" * 8)


@pytest.fixture
def http_collector():
    """A collector that takes what is posted: path and message, by OpenTelemetry's own proto."""

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/x-protobuf"
            taken.put((self.path, trace_service_pb2.ExportTraceServiceRequest.FromString(data)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Says nothing."""

    taken = queue.Queue()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        server.taken, server.endpoint = taken, f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("place", ["option", "option with its path", "environment"])
def test_spans_reach_a_collector_over_http(http_collector, monkeypatch, place):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    endpoint = http_collector.endpoint + ("/v1/traces" if "path" in place else "")
    if place == "environment":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        endpoint = None
    observing = Observing(ObservingOptions(log_format="none", trace_endpoint=endpoint))
    for _ in range(2):
        with observing.request("http", "POST /predict", traceparent=PARENT) as asked:
            observing.finished(inference_of(2, trace=asked.traceparent), outcome_of(), None, 0.3)
    observing.close()
    path, message = http_collector.taken.get(timeout=10)
    assert path == "/v1/traces"
    spans = [span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert sorted(span.name for span in spans) == ["POST /predict"] * 2 + ["compute"] * 2 + ["queue"] * 2
    assert {span.trace_id for span in spans} == {b"\xaa" * 16}
    assert http_collector.taken.empty()


def test_nobody_asks_for_spans(monkeypatch):
    assert open_tracing(None) is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert open_tracing(None) is None


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:4317", "grpc://x", "\x1b"])
def test_an_endpoint_that_is_none(endpoint):
    with pytest.raises(ServingError, match=r"trace_endpoint is .*; expected a collector's address, such as http://127"):
        open_tracing(endpoint)


def test_a_protocol_that_is_none(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(ServingError, match="OTEL_EXPORTER_OTLP_PROTOCOL is http/json; expected grpc or http/protobuf"):
        open_tracing("http://127.0.0.1:1")


def test_without_the_extra(monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(
        ServingError, match=r"not installed .*pip install 'tftrt_yolo\[tracing\]', or leave trace_endpoi"
    ):
        open_tracing("http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with caplog.at_level("WARNING", logger=logging.get_absl_logger().name):
        assert open_tracing(None) is None
    assert "or unset OTEL_EXPORTER_OTLP_ENDPOINT" in caplog.text
