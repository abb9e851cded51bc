"""Converts the models of digits to INT8 and measures what becomes of their scores; writes confidence.md.

    python benchmarks/confidence.py            # all, about ten minutes on two cores
    python benchmarks/confidence.py tiny-pose  # only the models whose name begins so; the table keeps its other rows

Beside int8.py, whose models and pictures these are: calibrated on half of the pictures by the largest value, measured
on all of them.
"""

import json
import sys
import tempfile
from pathlib import Path

import int8

import tftrt_yolo

RESULTS = Path(__file__).with_suffix(".json")
TABLE = Path(__file__).with_suffix(".md")
HEADER = """# INT8 and confidence

What `python benchmarks/confidence.py` wrote: models of digits in INT8, ranges by the largest value over half of the
pictures, measured in TensorFlow on all of them. Intervals are of 95 %, over {resamples:,} draws of the pictures, both
models on the same draws: what holds 0 is no difference that so few pictures can show. Scores are of pairs of detections
of one class with an IoU of 0.5 or more; lost and new are those above 0.25.

"""
HEAD = """| model | figure | FP32 | INT8 | difference | 95 % |
|---|---|---:|---:|---:|---|
"""
SCORES = """| model | pairs | mean shift | 95 % | 5th to 95th percentile | lost | new | best F1 above | INT8 | 95 % |
|---|---:|---:|---|---|---:|---:|---:|---:|---|
"""


def measure(name: str) -> dict:
    """Exports a model, converts it and returns what its report says of certainty."""
    weights, size, calibration_data, evaluation_data = int8.MODELS[name]
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "a_saved_model")
        tftrt_yolo.export(weights, exported, image_size=size)
        options = tftrt_yolo.Int8Options(
            calibration_data=calibration_data,
            calibration_cache_dir=Path(folder, "cache"),
            evaluation_data=evaluation_data,
        )
        report = tftrt_yolo.convert(exported, Path(folder, "b_saved_model"), precision_mode="INT8", int8=options)
    found = report.quantization
    shift, best = found.score_shift, found.best_f1
    interval = best.interval if best else None
    return {
        "model": name,
        "resamples": found.resamples,
        "figures": [
            [figure, before, after, found.intervals[figure].low, found.intervals[figure].high]
            for figure, (before, after) in found.accuracy.items()
        ],
        "pairs": shift.pairs,
        "shift": [shift.mean, shift.interval.low, shift.interval.high, shift.p5, shift.p95],
        "detections": [shift.detections, shift.lost, shift.new],
        "best_f1": [best.before.score_threshold, best.after.score_threshold] if best else None,
        "best_f1_interval": [interval.low, interval.high] if interval else None,
    }


def write(rows: list[dict]) -> None:
    """Writes confidence.md."""
    lines = []
    for row in rows:
        for figure, before, after, low, high in row["figures"]:
            cells = row["model"], figure, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"
            lines.append(f"| {' | '.join(cells)} | {low:+.4f} to {high:+.4f} |\n")
    scores = []
    for row in rows:
        mean, low, high, p5, p95 = row["shift"]
        count, lost, new = row["detections"]
        cells = [row["model"], row["pairs"], f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{p5:+.3f} to {p95:+.3f}"]
        cells += [f"{lost} of {count}", new]
        if row["best_f1"]:
            ends = row["best_f1_interval"]
            cells += [*(f"{value:.3f}" for value in row["best_f1"]), f"{ends[0]:+.3f} to {ends[1]:+.3f}"]
        else:
            cells += ["-", "-", "-"]
        scores.append(f"| {' | '.join(map(str, cells))} |\n")
    header = HEADER.format(resamples=rows[0]["resamples"])
    TABLE.write_text(header + HEAD + "".join(lines) + "\n" + SCORES + "".join(scores), encoding="utf-8")


def main(prefix: str = "") -> None:
    """Measures the models whose name begins with the prefix, of those that have labels."""
    names = [name for name, (*_, evaluation_data) in int8.MODELS.items() if evaluation_data is not None]
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for name in names:
        if name.startswith(prefix):
            rows = [row for row in rows if row["model"] != name] + [measure(name)]
            rows.sort(key=lambda row: names.index(row["model"]))
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            write(rows)
            print(f"{name} is measured", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main(*sys.argv[1:2])
