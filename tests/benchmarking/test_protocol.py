import itertools

import numpy as np
import pytest

from tftrt_yolo.benchmarking import protocol, session
from tftrt_yolo.benchmarking.contestants import CONTESTANTS
from tftrt_yolo.benchmarking.machine import GpuWatch


def _measure(**options):
    """Measures a callable that counts; returns the events and what was launched and waited for."""
    launched, waited = itertools.count(), []
    events = list(protocol.measure("dense", 4, lambda: next(launched), waited.append, **{"seconds": 0.02, **options}))
    return events, next(launched), waited


def test_every_call_is_counted_and_waited_for():
    events, launches, waited = _measure()
    assert [event["event"] for event in events] == ["begin", "timing", "measured"]
    result = events[-1]
    assert (result["mode"], result["batch_size"]) == ("dense", 4)
    assert result["num_calls"] >= protocol.MIN_LATENCY_CALLS
    assert 0 < result["p50_ms"] <= result["p90_ms"] <= result["p99_ms"]
    assert len(result["windows_images_per_second"]) == 3
    assert result["peak_host_bytes"] > 1 << 20
    # Never more than ten calls in flight, and none at the end.
    assert max(b - a for a, b in itertools.pairwise([-1, *waited])) <= protocol.MAX_IN_FLIGHT
    assert waited[-1] == launches - 1


def test_a_slow_call_is_still_made_often_enough():
    """Windows of one call each: 1 first, 3 to warm up, 10 for latency, 3 windows."""
    _, launches, _ = _measure(seconds=1e-9)
    assert launches == 1 + protocol.MIN_WARM_UP_CALLS + protocol.MIN_LATENCY_CALLS + protocol.NUM_WINDOWS


def test_images_and_not_calls_are_counted():
    windows = iter([(40, 2.0), (60, 2.0), (50, 2.0)])
    events, _, _ = _measure(window=lambda seconds: next(windows))
    assert events[-1]["windows_images_per_second"] == [20.0, 30.0, 25.0]


def test_the_first_call_may_be_another():
    calls = []
    _, launches, waited = _measure(first=lambda: calls.append("warm") or "warm", seconds=1e-9)
    assert calls == ["warm"]
    assert waited[0] == "warm"
    assert launches == protocol.MIN_WARM_UP_CALLS + protocol.MIN_LATENCY_CALLS + protocol.NUM_WINDOWS


def test_percentiles_are_milliseconds():
    summary = protocol.latency_summary([index / 1000 for index in range(101)])
    assert summary == {"p50_ms": 50.0, "p90_ms": 90.0, "p99_ms": 99.0, "num_calls": 101}


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ((100.0, 105.0, 110.0), 10 / 105),  # stable
        ((100.0, 100.0, 112.0), 0.12),  # unstable
        ((50.0, 100.0, 100.0), 0.5),
    ],
)
def test_spread(windows, expected):
    assert protocol.spread(windows) == pytest.approx(expected)


def test_a_batch_repeats_the_images():
    images = np.arange(2, dtype=np.uint8).reshape(2, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
    assert protocol.batch_of(images, 5)[:, 0, 0, 0].tolist() == [0, 1, 0, 1, 0]
    assert protocol.batch_of(images, 1).shape == (1, 4, 4, 3)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (ModuleNotFoundError("No module named 'x'\nmore"), "ModuleNotFoundError: No module named 'x'"),
        (RuntimeError(), "RuntimeError"),
        ("exported for batch 1", "exported for batch 1"),
    ],
)
def test_reasons_are_one_line(reason, text):
    assert protocol.absent(reason)["reason"] == text


@pytest.mark.parametrize(("note", "name"), [("stand-in", "tensorrt-fp16 (stand-in)"), ("", "tensorrt-fp16")])
def test_a_note_stands_beside_every_number(note, name):
    """A rehearsal's numbers are never taken for TensorRT's."""
    gathered = session._Gathered("tensorrt-fp16")
    gathered.take(protocol.about({}, backend="TensorRT stand-in on GPU", note=note))
    step = {"mode": "dense", "batch_size": 1}
    gathered.take(
        {
            "event": "measured",
            **step,
            **dict.fromkeys(("first_call_seconds", "p50_ms", "p90_ms", "p99_ms"), 1.0),
            "num_calls": 2,
            "windows_images_per_second": [1.0],
        }
    )
    gathered.take(protocol.absent("no memory", mode="dense", batch_size=8))
    with GpuWatch() as watch:
        outcome = gathered.outcome(CONTESTANTS["tensorrt-fp16"], 1.0, watch)
    assert {outcome.run.name, *(row.contestant for row in (*outcome.measurements, *outcome.absent))} == {name}
