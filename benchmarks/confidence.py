"""Converts the models of digits to INT8 and measures what becomes of their scores; writes confidence.md.

    python benchmarks/confidence.py /tmp/digits100 /tmp/digits260                    # all, twenty minutes on two cores
    python benchmarks/confidence.py /tmp/digits100 /tmp/digits260 --model=tiny-pose    # the table keeps its other rows

Beside int8.py, whose models, pictures and exports these are: calibrated on the pictures of the first folder, measured
on those of the second.
"""

import argparse
import json
import tempfile
from pathlib import Path

import int8

import tftrt_yolo

RESULTS = Path(__file__).with_suffix(".json")
TABLE = Path(__file__).with_suffix(".md")
HEADER = """# INT8 and confidence

What `python benchmarks/confidence.py` wrote: models of digits in INT8, calibrated on pictures without their labels and
measured in TensorFlow on others. Intervals are of 95 %, over {resamples:,} draws of the pictures, both
models on the same draws: what holds 0 is no difference that so few pictures can show. Scores are of pairs of detections
of one class with an IoU of 0.5 or more; lost and new are those above 0.25.

"""
HEAD = """| model | figure | FP32 | INT8 | difference | 95 % |
|---|---|---:|---:|---:|---|
"""
_COLUMNS = ("model", "pictures", "pairs", "mean shift", "95 %", "5th to 95th percentile", "lost", "new")
SCORES = f"""| {" | ".join(_COLUMNS)} | best F1 above | INT8 | 95 % |
|---|---:|---:|---:|---|---|---:|---:|---:|---:|---|
"""


def measure(name: str, *, exports: Path, calibration: Path, evaluation: Path) -> dict:
    """Converts a model and returns what its report says of certainty.

    Args:
      name: The model's, of int8.MODELS.
      exports: A folder with exports.
      calibration: A folder of pictures from digits.py.
      evaluation: Another.
    """
    source, task = int8.exported(name, exports), int8.MODELS[name][2]
    options = int8.options(
        int8.ways_of(name)[0],
        calibration / ("classify" if task == "classify" else "images"),
        exports / "cache",
        evaluation_data=evaluation / ("classify" if task == "classify" else f"{task}/data.yaml"),
    )
    with tempfile.TemporaryDirectory() as folder:
        report = tftrt_yolo.convert(source, Path(folder, "b_saved_model"), precision_mode="INT8", int8=options)
    found = report.quantization
    shift, best = found.score_shift, found.best_f1
    interval = best.interval if best else None
    return {
        "model": name,
        "resamples": found.resamples,
        "images": found.evaluation_images,
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
        cells = [row["model"], row["images"], row["pairs"], f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}"]
        cells += [f"{p5:+.3f} to {p95:+.3f}", f"{lost} of {count}", new]
        if row["best_f1"]:
            ends = row["best_f1_interval"]
            cells += [*(f"{value:.3f}" for value in row["best_f1"]), f"{ends[0]:+.3f} to {ends[1]:+.3f}"]
        else:
            cells += ["-", "-", "-"]
        scores.append(f"| {' | '.join(map(str, cells))} |\n")
    header = HEADER.format(resamples=rows[0]["resamples"])
    TABLE.write_text(header + HEAD + "".join(lines) + "\n" + SCORES + "".join(scores), encoding="utf-8")


def main() -> None:
    """Measures the models whose name begins as asked, of those that were trained."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("calibration", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--exports", type=Path, help="folder in which exports are kept; a temporary one without")
    parser.add_argument("--model", default="", help="only models whose name begins so")
    parser.add_argument("--trained", type=Path, help="the folder of train_digits.py, for yolov8s and yolov8m")
    given = parser.parse_args()
    if given.trained:
        int8.take_trained(given.trained)
    names = [name for name, (weights, *_) in int8.MODELS.items() if weights is not None]
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        exports = given.exports or Path(folder)
        for name in filter(lambda name: name.startswith(given.model), names):
            row = measure(name, exports=exports, calibration=given.calibration, evaluation=given.evaluation)
            rows = [row, *(other for other in rows if other["model"] != name)]
            rows.sort(key=lambda row: list(int8.MODELS).index(row["model"]))
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            write(rows)
            print(f"{name} is measured", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
