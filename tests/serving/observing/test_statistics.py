from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from tests.serving.observing.told import inference_of, outcome_of
from tftrt_yolo.serving.observing.statistics import Statistics
from tftrt_yolo.serving.scheduling.inference import ModelState
from tftrt_yolo.serving.scheduling.refusals import Refusal

READY = ModelState("digits", 1, "READY")


def test_counts_are_those_of_tritons_message():
    statistics = Statistics()
    statistics.state(READY)
    statistics.batch("digits", 1, 4, 0.25)
    statistics.batch("digits", 1, 1, 0.05)
    statistics.batch("digits", 1, 4, 0.15)
    for _ in range(3):
        statistics.finished(inference_of(3), outcome_of(), None, 0.3)
    statistics.finished(inference_of(3), None, Refusal.UNAVAILABLE, 0.5)
    statistics.finished(inference_of(3, version=1), None, Refusal.INVALID_ARGUMENT, 0.5)
    statistics.finished(inference_of(3, version=9), None, Refusal.NOT_FOUND, 0.5)
    statistics.finished(inference_of(3, model="dog"), None, Refusal.NOT_FOUND, 0.5)
    statistics.finished(inference_of(3), None, None, 0.5)  # its client went away
    found = json_format.ParseDict({"model_stats": statistics.of([READY])}, service_pb2.ModelStatisticsResponse())
    (stats,) = found.model_stats
    assert (stats.name, stats.version, stats.inference_count, stats.execution_count) == ("digits", "1", 9, 3)
    assert stats.last_inference > 1_600_000_000_000
    counts = {field.name: (value.count, value.ns) for field, value in stats.inference_stats.ListFields()}
    assert counts["success"] == (3, 900_000_000)
    assert counts["fail"] == (2, 1_000_000_000)
    assert counts["queue"] == (3, 30_000_000)
    assert counts["compute_infer"] == (3, 750_000_000)
    assert counts["compute_input"] == counts["compute_output"] == (3, 0)
    batches = {one.batch_size: (one.compute_infer.count, one.compute_infer.ns) for one in stats.batch_stats}
    assert batches == {1: (1, 50_000_000), 4: (2, 400_000_000)}


def test_versions_that_are_not_ready_have_none():
    statistics = Statistics()
    other = ModelState("digits", 2, "LOADING")
    statistics.state(READY)
    assert [stats["version"] for stats in statistics.of([READY, other])] == ["1"]
    (stats,) = statistics.of([READY])
    assert stats["inference_stats"]["success"] == {"count": 0, "ns": 0}
    assert stats["batch_stats"] == []
