"""Measures what layers that stay in float cost and gain beside INT8, and writes float_layers.md.

    python benchmarks/float_layers.py                                  # all, an hour on two cores
    python benchmarks/float_layers.py tiny-pose                        # only models whose name begins so
    python benchmarks/float_layers.py digits --pictures=DIR --calibration=DIR

Every model is converted whole to INT8, and with layers in float: the head's last convolutions, those of one branch, the
first eight of all, and the costliest of a sensitivity report; `--variants` names some of these. The quantised graph
is the measure of its own accuracy in TensorFlow on a CPU; layers in float are FP32 there. `--pictures` is a folder with
detect/data.yaml, segment/data.yaml and so on, `--calibration` one with images and classify; without them half of
tests/data calibrates, and all of it is evaluated on.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import tftrt_yolo
from tftrt_yolo.ground.files import image_files

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
RESULTS = Path(__file__).parent / "float_layers.json"
TABLE = Path(__file__).parent / "float_layers.md"
# Name to weights and side of the frame.
MODELS = {
    "digits": (ROOT / "tftrt_yolo" / "assets" / "yolov8n-digits.pt", 640),
    **{f"tiny-{task}": (DATA / f"yolov8n-tiny-{task}.pt", 320) for task in ("detect", "segment", "pose", "obb")},
    "tiny-classify": (DATA / "yolov8n-tiny-classify.pt", 64),
}
REPORT = "sensitivity"
# What stays in float, to the options that say so; REPORT stands for the model's own sensitivity report.
VARIANTS = {
    "none": {},
    "head": {"float_layers": ("head",)},
    "scores": {"float_layers": ("scores",)},
    "boxes": {"float_layers": ("boxes",)},
    "first 8": {"float_layers": ("convolution", *(f"convolution_{number}" for number in range(1, 8)))},
    "3 costliest": {"sensitivity_report": REPORT, "costliest_layers": 3},
    "10 costliest": {"sensitivity_report": REPORT, "costliest_layers": 10},
}
ENDINGS = ("mAP50-95", "top-1")
MOST_SCORED = 100  # pictures whose scores are compared
MINIMUM_IOU = 0.5  # of two detections that are compared by their scores
HEADER = """# INT8 with layers in float

What `python benchmarks/float_layers.py` wrote: models converted to INT8 by explicit quantisation, whole and with layers
in float, run in TensorFlow on a CPU. Shifts of scores are those of detections of the same class that overlap by an IoU
of 0.5 at least; "handed on" is what the tensors between the engines take of an image, in float32, written and read.

"""


def score_shifts(task: str, expected, found) -> np.ndarray:
    """The scores of what both find, found minus expected; of a classifier those of the best class.

    Args:
      task: The models'.
      expected: Results of the export, a result an image.
      found: Those of the conversion.

    Returns:
      (matches,) float64.
    """
    from tftrt_yolo.converter.comparison import match  # with TensorFlow, which the table needs not wait for
    from tftrt_yolo.tasks.table import TASKS

    shifts, boxes = [], TASKS[task].boxes
    for one, other in zip(expected, found, strict=True):
        if boxes:
            one, other = boxes(one), boxes(other)
            pairs = match(one, other, minimum_iou=MINIMUM_IOU)
            shifts += [float(other.confidence[at]) - float(one.confidence[of]) for of, at in pairs]
        else:
            best = int(one.class_id[one.confidence.argmax()])
            shifts += [
                float(other.confidence[other.class_id == best][0]) - float(one.confidence[one.class_id == best][0])
            ]
    return np.array(shifts)


def measure(name: str, pictures: Path, calibration: Path | None, variants: list[str]) -> Iterator[dict]:
    """Exports a model and converts it in every way; yields a row for each."""
    weights, size = MODELS[name]
    task = name.removeprefix("tiny-").replace("digits", "detect")
    data = pictures / task if task == "classify" else pictures / task / "data.yaml"
    kind = "classify" if task == "classify" else "images"
    halves = {"classify": DATA / "classify" / "*" / "*_[0-4].jpg", "images": DATA / "images" / "*[02468].jpg"}
    images = str(calibration / kind if calibration else halves[kind])
    with tempfile.TemporaryDirectory() as folder:
        exported, report_dir = Path(folder, "a_saved_model"), Path(folder, REPORT)
        tftrt_yolo.export(weights, exported, image_size=size)
        if any(REPORT in VARIANTS[variant].values() for variant in variants):
            tftrt_yolo.sensitivity(exported, images, images=16, output_dir=report_dir)
        paths = image_files.spread(image_files.find_images(_pictures_of(data, task)), MOST_SCORED)
        before = tftrt_yolo.evaluate(exported, data)
        expected = list(tftrt_yolo.Predictor(exported).stream(paths))
        for variant in variants:
            if task == "classify" and variant in ("scores", "boxes"):
                continue
            options = {key: report_dir if value == REPORT else value for key, value in VARIANTS[variant].items()}
            converted = Path(folder, f"{variant.replace(' ', '_')}_saved_model")
            report = tftrt_yolo.convert(
                exported,
                converted,
                precision_mode="INT8",
                int8=tftrt_yolo.Int8Options(calibration_data=images, **options),
            )
            after = tftrt_yolo.evaluate(converted, data)
            shifts = score_shifts(task, expected, tftrt_yolo.Predictor(converted).stream(paths))
            row = _row(name, variant, report, (before, after), shifts, len(paths))
            print(f"{name}, {variant}: {row['accuracy']}", flush=True)  # noqa: T201 - a script
            yield row


def _pictures_of(data: Path, task: str) -> str:
    """The pictures that are evaluated on, as a glob."""
    return str(data / "*" / "*.*") if task == "classify" else str(data.parent / "images" / "*.*")


def _row(name: str, variant: str, report, evaluations: tuple, shifts: np.ndarray, count: int) -> dict:
    """What was found of a conversion."""
    before, after = evaluations
    names = [one.name for one in before.models[0].metrics if one.name.endswith(ENDINGS)]
    found = report.quantization
    return {
        "model": name,
        "float_layers": variant,
        "names": found.float_layers,
        "int8_layers": found.layers,
        "engines": [part.precision_mode for part in report.parts] or [report.precision_mode],
        "nodes_outside": report.nodes_outside,
        "handed_bytes": sum(part.input_bytes for part in report.parts),
        "images": count,
        "accuracy": {metric: (before.value(metric), after.value(metric)) for metric in names},
        "matched": len(shifts),
        "shift": {
            "mean": float(shifts.mean()),
            "mean_absolute": float(np.abs(shifts).mean()),
            "p5": float(np.percentile(shifts, 5)),
            "p95": float(np.percentile(shifts, 95)),
        },
        "dense": {label: difference.mean for label, difference in found.dense.items()},
    }


def _line(*cells) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def write(rows: list[dict]) -> None:
    """Writes float_layers.md."""
    head = ("model", "in float", "in INT8", "engines", "handed on", "figure", "FP32", "INT8", "difference")
    lines = [_line(*head), "|---|---|---:|---|---:|---|---:|---:|---:|"]
    for row in rows:
        engines = " > ".join(row["engines"])
        handed = f"{row['handed_bytes'] / 1e6:.3g} MB" if row["handed_bytes"] else "-"
        for figure, (before, after) in row["accuracy"].items():
            facts = (row["model"], row["float_layers"], row["int8_layers"], engines, handed)
            lines.append(_line(*facts, figure, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"))
    lines += ["", "Scores of detections that both find, and the dense outputs on up to 16 calibration pictures:", ""]
    lines += [
        _line("model", "in float", "pictures", "matched", "mean", "mean, absolute", "p5", "p95", "dense, mean"),
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        shift = [f"{row['shift'][key]:+.4f}" for key in ("mean", "mean_absolute", "p5", "p95")]
        dense = "; ".join(f"{label} {mean:.2g}" for label, mean in row["dense"].items())
        lines.append(_line(row["model"], row["float_layers"], row["images"], row["matched"], *shift, dense))
    TABLE.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


def keep(row: dict) -> None:
    """Puts a row into float_layers.json in the place of an earlier one, and writes the table."""
    key = row["model"], row["float_layers"]
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    rows = [one for one in rows if (one["model"], one["float_layers"]) != key] + [row]
    rows.sort(key=lambda one: (list(MODELS).index(one["model"]), list(VARIANTS).index(one["float_layers"])))
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    write(rows)


def main() -> None:
    """Measures the models whose name begins with what is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix", nargs="?", default="")
    parser.add_argument("--pictures", type=Path, default=DATA)
    parser.add_argument("--calibration", type=Path, default=None)
    parser.add_argument("--variants", type=lambda text: text.split(","), default=list(VARIANTS))
    given = parser.parse_args()
    for name in MODELS:
        if name.startswith(given.prefix):
            for row in measure(name, given.pictures, given.calibration, given.variants):
                keep(row)


if __name__ == "__main__":
    main()
