"""Converts models to INT8 by every method, measures what that costs, and writes int8.md and the site's table.

    python benchmarks/int8.py            # all, about forty minutes on two cores
    python benchmarks/int8.py tiny-pose  # only the models whose name begins so; the tables keep their other rows

The models of digits are calibrated on half of the pictures, without their labels, and evaluated on all. yolov8s and
yolov8m have random weights (as engines.py makes them), so of these the dense outputs are compared.
"""

import json
import sys
import tempfile
from pathlib import Path

import engines

import tftrt_yolo

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
RESULTS = Path(__file__).parent / "int8.json"
TABLE = Path(__file__).parent / "int8.md"
PAGE = ROOT / "docs" / "pages" / "int8.md"
MARKERS = "<!-- INT8 table: begin -->", "<!-- INT8 table: end -->"
METHODS = ("max", "percentile", "mse")
IMAGES = str(DATA / "images" / "*[02468].jpg")
CROPS = str(DATA / "classify" / "*" / "*_[0-4].jpg")
# Name to weights (None for random ones), side of the frame, calibration images and labelled images.
MODELS = {
    "digits": (ROOT / "tftrt_yolo" / "assets" / "yolov8n-digits.pt", 640, IMAGES, DATA / "detect" / "data.yaml"),
    **{
        f"tiny-{task}": (DATA / f"yolov8n-tiny-{task}.pt", 320, IMAGES, DATA / task / "data.yaml")
        for task in ("detect", "segment", "pose", "obb")
    },
    "tiny-classify": (DATA / "yolov8n-tiny-classify.pt", 64, CROPS, DATA / "classify"),
    "yolov8s": (None, 640, IMAGES, None),
    "yolov8m": (None, 640, IMAGES, None),
}
HEADER = """# INT8

What `python benchmarks/int8.py` wrote: models converted to INT8 by explicit quantisation, run in TensorFlow on a CPU.
Ranges are from {images} pictures of digits (of the classifier {crops} crops), without their labels; figures are on
twice as many, among them these. `digits` is yolov8n at 640 px, `tiny` are narrow networks at 320 px (the classifier at
64); yolov8s and yolov8m have random weights, and of them only the dense outputs say something. Every row is one engine
with nothing left over.

"""


def measure(name: str) -> list[dict]:
    """Exports a model and converts it by every method; returns a row for each."""
    weights, size, calibration_data, evaluation_data = MODELS[name]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        exported, cache_dir = Path(folder, "a_saved_model"), Path(folder, "cache")
        if weights is None:
            weights = Path(folder, f"{name}.pt")
            engines.make_weights(name, weights)
        tftrt_yolo.export(weights, exported, image_size=size)
        for method in METHODS:
            report = tftrt_yolo.convert(
                exported,
                Path(folder, f"{method}_saved_model"),
                precision_mode="INT8",
                int8=tftrt_yolo.Int8Options(
                    calibration_data=calibration_data,
                    calibration=method,
                    calibration_cache_dir=cache_dir,
                    evaluation_data=evaluation_data,
                ),
            )
            if (report.engines, report.nodes_outside) != (1, 0):
                raise SystemExit(f"Expected one engine and nothing left over, got\n{report}")
            found = report.quantization
            rows.append(
                {
                    "model": name,
                    "method": method,
                    "layers": found.layers,
                    "images": found.images,
                    "accuracy": found.accuracy,
                    "matched": f"{found.parity.matched} of {found.parity.detections}, {found.parity.extra} extra",
                    "dense": {label: str(difference) for label, difference in found.dense.items()},
                }
            )
    return rows


def _line(*cells) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _accuracy_lines(rows: list[dict]) -> list[str]:
    """A line for each figure."""
    return [
        _line(row["model"], row["method"], figure, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}")
        for row in rows
        for figure, (before, after) in row["accuracy"].items()
    ]


def write(rows: list[dict]) -> None:
    """Writes int8.md, and the short table between the markers of the documentation's page."""
    head = [_line("model", "ranges by", "figure", "FP32", "INT8", "difference"), "|---|---|---|---:|---:|---:|"]
    counts = {row["model"]: row["images"] for row in rows}
    lines = [*head, *_accuracy_lines(rows), "", "Against the export, on up to 16 of the calibration pictures:", ""]
    lines += [_line("model", "ranges by", "layers", "detections matched", "dense outputs"), "|---|---|---:|---|---|"]
    for row in rows:
        dense = "; ".join(f"{label} {text}" for label, text in row["dense"].items())
        lines.append(_line(row["model"], row["method"], row["layers"], row["matched"], dense))
    header = HEADER.format(images=counts.get("digits", "?"), crops=counts.get("tiny-classify", "?"))
    TABLE.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    if any(text.count(marker) != 1 for marker in MARKERS):
        raise SystemExit(f"{PAGE} must have the lines {' and '.join(MARKERS)} once each. Put them back.")
    before, _, rest = text.partition(MARKERS[0])
    after = rest.partition(MARKERS[1])[2]
    table = "\n".join([*head, *_accuracy_lines([row for row in rows if row["method"] == "max"])])
    PAGE.write_text(f"{before}{MARKERS[0]}\n{table}\n{MARKERS[1]}{after}", encoding="utf-8")


def main(prefix: str = "") -> None:
    """Measures the models whose name begins with the prefix."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for name in MODELS:
        if name.startswith(prefix):
            rows = [row for row in rows if row["model"] != name] + measure(name)
            rows.sort(key=lambda row: list(MODELS).index(row["model"]))
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            write(rows)
            print(f"{name} is measured", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main(*sys.argv[1:2])
