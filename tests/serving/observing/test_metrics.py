import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.serving.observing.told import Values, inference_of, outcome_of
from tftrt_yolo.serving.observing.metrics import Metrics
from tftrt_yolo.serving.scheduling.inference import ModelState
from tftrt_yolo.serving.scheduling.refusals import Refusal


@pytest.fixture
def metrics():
    metrics = Metrics()
    metrics.state(ModelState("digits", 1, "READY"))
    return metrics


def test_what_is_told_is_counted(metrics):
    of = {"model": "digits", "version": "1"}
    metrics.queued("digits", 1, 5)
    metrics.batch("digits", 1, 3, 0.25)
    metrics.finished(inference_of(3), outcome_of(status=[b"", b"no image", b""]), None, 0.3)
    metrics.finished(inference_of(2), None, Refusal.UNAVAILABLE, 0.1)
    metrics.process_ended("digits", 1, "killed")
    metrics.gpu_memory("digits", 1, 4_096)
    found = Values(metrics.text()[0])
    assert found("queue_pictures", **of) == 5
    assert found("batch_pictures_count", **of) == 1
    assert found("batch_pictures_bucket", le="2.0", **of) == 0
    assert found("batch_pictures_bucket", le="4.0", **of) == 1
    assert found("compute_seconds_sum", **of) == pytest.approx(0.25)
    assert found("pictures_total", **of) == 3
    assert found("pictures_refused_total", **of) == 1
    assert found("queue_seconds_sum", **of) == pytest.approx(0.01)
    assert found("process_restarts_total", **of) == 1
    assert found("gpu_memory_bytes", **of) == 4_096
    assert found("model_ready", **of) == 1


def test_requests_are_counted_by_door_and_outcome(metrics):
    for door, model, version, outcome, seconds in (
        ("http", "digits", "1", "ok", 0.012),
        ("grpc", "digits", "1", "ok", 0.012),
        ("http", "digits", "", "cancelled", 40.0),
        ("http", "dog", "7", "not_found", 0.0001),
        ("http", "cat", "8", "not_found", 0.0001),
    ):
        metrics.started(door)
        metrics.count(door, model, version, outcome, seconds)
    metrics.started("grpc")
    found = Values(metrics.text()[0])
    assert found("requests_total", door="http", model="digits", version="1", outcome="ok") == 1
    assert found("requests_total", door="grpc", model="digits", version="1", outcome="ok") == 1
    assert found("requests_total", door="http", model="digits", version="", outcome="cancelled") == 1
    assert found("requests_total", door="http", model="(unknown)", version="", outcome="not_found") == 2
    assert found("request_seconds_bucket", door="http", model="digits", version="1", le="0.01") == 0
    assert found("request_seconds_bucket", door="http", model="digits", version="1", le="0.02") == 1
    assert found("request_seconds_bucket", door="http", model="digits", version="", le="30.0") == 0
    assert found("request_seconds_count", door="http", model="digits", version="") == 1
    assert found("requests_in_progress", door="grpc") == 1
    assert found("requests_in_progress", door="http") == 0
    assert metrics.outcomes() == {"ok": 2, "cancelled": 1, "not_found": 2}


def test_series_do_not_grow_with_what_clients_say_or_with_reloads(metrics):
    def size():
        return sum(len(family.samples) for family in parse(metrics.text()[0].decode()))

    metrics.started("http")
    metrics.count("http", "dog", "1", "not_found", 0.1)
    before = size()
    for index in range(200):
        metrics.started("http")
        metrics.count("http", f"dog{index}", str(index), "not_found", 0.1)
    assert size() == before

    sizes = []
    for number in range(2, 60):
        metrics.state(ModelState("digits", number, "READY"))
        metrics.finished(inference_of(1), outcome_of(version=number), None, 0.1)
        metrics.batch("digits", number, 1, 0.1)
        metrics.queued("digits", number, 1)
        metrics.started("http")
        metrics.count("http", "digits", str(number), "ok", 0.1)
        metrics.state(ModelState("digits", number - 1, "UNAVAILABLE", "unloaded"))
        sizes += [size()] if number in (30, 59) else []
    assert sizes[0] == sizes[1]


def test_a_version_that_is_gone_holds_nothing(metrics):
    metrics.queued("digits", 1, 5)
    metrics.gpu_memory("digits", 1, 5)
    metrics.state(ModelState("digits", 1, "UNAVAILABLE", "unloaded"))
    found = Values(metrics.text()[0])
    for name in ("queue_pictures", "gpu_memory_bytes", "model_ready"):
        assert found(name, model="digits", version="1") == 0


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/plain;version=abc, application/openmetrics;version=1", "text/plain; version=0.0.4"),
        (
            "application/openmetrics-text; version=1.0.0, text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0",
        ),
        ("Application/OpenMetrics-Text;version=x.y", "application/openmetrics-text; version=1.0.0"),
        ("\xff" * 5_000, "text/plain; version=0.0.4"),
    ],
)
def test_the_form_of_the_text(metrics, accept, kind):
    text, media_type = metrics.text(accept)
    assert media_type.startswith(kind)
    families = list((parse_openmetrics if "openmetrics" in kind else parse)(text.decode()))
    assert "tftrt_yolo_model_ready" in {family.name for family in families}
    assert "process_resident_memory_bytes" in {family.name for family in families}
    assert text.endswith(b"# EOF\n") == ("openmetrics" in kind)


def test_pictures_of_a_model_without_status_are_all_read(metrics):
    outcome = outcome_of()
    assert "status" not in outcome.outputs
    assert isinstance(outcome.outputs["scores"], np.ndarray)
    metrics.finished(inference_of(1), outcome, None, 0.1)
    assert Values(metrics.text()[0])("pictures_refused_total", model="digits", version="1") == 0
