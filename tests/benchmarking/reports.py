"""A report that no machine gave: numbers that can be checked by hand."""

from tftrt_yolo.benchmarking.floor.cost import Ceilings, Cost
from tftrt_yolo.benchmarking.machine import Clock, Machine
from tftrt_yolo.benchmarking.results.benchmark_report import BenchmarkReport
from tftrt_yolo.benchmarking.results.measurements import (
    Absence,
    BenchmarkedModel,
    Budget,
    ContestantRun,
    Crash,
    Measurement,
)


def measured(contestant, mode, batch_size, rate, *, spread=0.02, p50_ms=2.0):
    """Three windows around a rate."""
    windows = (rate * (1 - spread / 2), rate, rate * (1 + spread / 2))
    return Measurement(contestant, mode, batch_size, 1.5, p50_ms, 2.5, 3.0, 50, windows)


def ran(name, precision, *, is_ours, clock=None):
    return ContestantRun(
        name, precision, is_ours, f"backend of {name}", {"python": "3.11.2"}, 4.0, 10**9, 2 * 10**9, clock
    )


def made_report(**changes):
    """A GPU on which ours is twice as fast as the best peer at batch 1, and unstable at batch 8."""
    fields = {
        "machine": Machine(
            "CPU | model", 16, ("avx2",), 1 << 34, "GPU model", "580.1", 0.1, "2026-01-31T10:00:00+00:00"
        ),
        "model": BenchmarkedModel("yolov8n", "detect", (640, 640), 80, False),
        "batch_sizes": (1, 8),
        "seconds": 2.0,
        "num_images": 3,
        "contestants": (
            ran("xla-fp16", "FP16", is_ours=True, clock=Clock(1200, 1900, ("power cap",))),
            ran("pytorch-compile-fp16", "FP16", is_ours=False, clock=Clock(900, 1700, ("power brake",))),
            ran("ultralytics-predict-fp16", "FP16", is_ours=False),
        ),
        "measurements": (
            measured("xla-fp16", "dense", 1, 1000.0),
            measured("xla-fp16", "selected", 1, 800.0),
            measured("xla-fp16", "end_to_end", 1, 400.0),
            measured("xla-fp16", "from_jpeg", 1, 300.0),
            measured("xla-fp16", "dense", 8, 4000.0, spread=0.2),
            measured("pytorch-compile-fp16", "dense", 1, 500.0),
            measured("ultralytics-predict-fp16", "end_to_end", 1, 160.0),
        ),
        "absent": (
            Absence("onnxruntime-cuda-fp16", None, None, "ModuleNotFoundError: No module named 'onnxruntime'"),
            Absence("ultralytics-savedmodel", "dense", 8, "exported for batch 1"),
        ),
        "crashed": (
            Crash("pytorch-compile-fp16", "dense, batch 8", "ended with status 1. Its last words:\n  OutOfMemory"),
        ),
        "costs": (Cost(1, 10**9, 10**6, 10**6, 10**6), Cost(8, 8 * 10**9, 10**6, 8 * 10**6, 8 * 10**6)),
        "ceilings": Ceilings({"FP16": 10e12, "FP32": 1e12}, 100e9),
        "why_no_floor": "",
        "decoding_limit": 1200.0,
        "budgets": (
            Budget(
                "xla-fp16", 3, 3.5, 2.0, {"decode": 1.5, "up": 0.1, "network": 1.0, "selection": 0.5, "back": -0.01}
            ),
        ),
    }
    return BenchmarkReport(**fields | changes)
