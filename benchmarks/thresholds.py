"""Measures what thresholds that are given with a call cost, beside the model's own, and writes thresholds.md.

    python benchmarks/thresholds.py ~/exports       # exports are kept there, and taken from there the next time

A call's time is from arrays on the host to supervision's objects. The kinds of calls take turns in one process, so that
what else the machine does meets all of them alike.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np

import tftrt_yolo
from tftrt_yolo.ground.files.image_files import read_image

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).parent / "thresholds.md"
MODELS = {  # name to weights and side of the frame
    "digits": (ROOT / "tftrt_yolo" / "assets" / "yolov8n-digits.pt", 640),
    "tiny": (ROOT / "tests" / "data" / "yolov8n-tiny-detect.pt", 320),
}
CALLS = {
    "nothing given": {},
    "the model's own, given": {"score_threshold": 0.25, "iou_threshold": 0.7, "max_detections": 300},
    "score_threshold=0.01": {"score_threshold": 0.01},
    "classes=[1, 2]": {"classes": [1, 2]},
    "class_agnostic=True": {"class_agnostic": True},
}
ROUNDS = {1: 60, 8: 20}
HEADER = """# Thresholds with a call

What `python benchmarks/thresholds.py` wrote, on two cores without a GPU, beside other work: medians of {rounds} calls
of a batch of 1 and of 8, with the quarter and the three-quarter mark, in ms; the kinds of calls took turns. `digits` is
yolov8n at 640 px, `tiny` a narrow network at 320 px; the pictures are of digits. *first* is the first call with
anything given, which traces; of `nothing given` the first call of the predictor.

"""
COLUMNS = ("model", "batch", "call", "median", "quarters", "to nothing given", "first")


def measure(exported: Path, batch_size: int) -> list[dict]:
    """Times every kind of call in turn."""
    paths = sorted((ROOT / "tests" / "data" / "images").glob("*.jpg"))[:batch_size]
    images = [np.ascontiguousarray(read_image(path)) for path in paths]
    predictor = tftrt_yolo.Predictor(exported)
    times, first = {name: [] for name in CALLS}, {}
    for number in range(ROUNDS[batch_size] + 2):
        for name, asked in CALLS.items():
            start = time.perf_counter()
            predictor(images, batch_size=batch_size, **asked)
            elapsed_ms = 1e3 * (time.perf_counter() - start)
            first.setdefault(name, elapsed_ms)
            if number >= 2:
                times[name].append(elapsed_ms)
    own = statistics.median(times["nothing given"])
    rows = []
    for name, values in times.items():
        low, median, high = statistics.quantiles(values, n=4)
        is_first = name in list(CALLS)[:2]
        rows.append(
            {
                "batch": str(batch_size),
                "call": f"`{name}`" if "=" in name else name,
                "median": f"{median:.1f}",
                "quarters": f"{low:.1f} to {high:.1f}",
                "to nothing given": f"{median / own:.2f}",
                "first": f"{first[name]:.0f}" if is_first else "",
            }
        )
    return rows


def main(exports_dir: Path) -> None:
    """Measures every model and writes the table."""
    rows = []
    for name, (weights, side) in MODELS.items():
        exported = exports_dir / f"{name}_saved_model"
        if not exported.exists():
            tftrt_yolo.export(weights, exported, image_size=side)
        for batch_size in ROUNDS:
            rows += [{"model": name, **row} for row in measure(exported, batch_size)]
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(row[column] for column in COLUMNS)} |" for row in rows]
    rounds = " and ".join(map(str, ROUNDS.values()))
    TABLE.write_text(HEADER.format(rounds=rounds) + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/thresholds"))
