"""Converts models to INT8 by every method, measures what that costs, and writes int8.md and the site's table.

    python benchmarks/digits.py /tmp/digits100 --count=100 --split=calibration      # needs scikit-learn, scikit-image
    python benchmarks/digits.py /tmp/digits260 --count=260
    python benchmarks/int8.py /tmp/digits100 /tmp/digits260 --exports=/tmp/exports  # all, two hours on two cores
    python benchmarks/int8.py /tmp/digits100 /tmp/digits260 --model=tiny-pose       # the tables keep their other rows
    python benchmarks/int8.py /tmp/digits100 /tmp/digits260 --model=yolov8s --trained=runs/digits   # of train_digits.py

The models of digits are calibrated on the pictures of the first folder, without their labels, and evaluated on those of
the second, of which no picture and no scan was in the first. yolov8s and yolov8m are what train_digits.py made of them,
at the size that they were trained at; without that they have random weights (as engines.py makes them), of which the
dense outputs are compared. Those whose names end in -qat were trained with fake quantisation: they have ranges of their
own, the head's last convolutions stay in float as in the training, and FP32 is what the training began with.
"""

import argparse
import json
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
# How ranges are chosen, and how filters are rounded; the default first.
WAYS = (("max", "calibrated"), ("max", "nearest"), ("mse", "calibrated"), ("percentile", "calibrated"))
OF_TRAINING = ("trained", "trained")  # ranges and filters of a checkpoint whose name ends in QAT
QAT = "-qat"
# Name to weights (None for random ones), side of the frame, and task.
MODELS = {
    **{f"tiny-{task}": (DATA / f"yolov8n-tiny-{task}.pt", 320, task) for task in ("detect", "segment", "pose", "obb")},
    "tiny-classify": (DATA / "yolov8n-tiny-classify.pt", 64, "classify"),
    "digits": (ROOT / "tftrt_yolo" / "assets" / "yolov8n-digits.pt", 640, "detect"),
    "yolov8s": (None, 640, "detect"),
    "yolov8m": (None, 640, "detect"),
    **{f"{name}{QAT}": (None, 640, "detect") for name in ("yolov8s", "yolov8m")},
}
HEADER = """# INT8

What `python benchmarks/int8.py` wrote: models converted to INT8 by explicit quantisation, run in TensorFlow on a CPU.
Ranges and filters are from pictures of digits (of the classifier crops) without their labels, figures from others, of
which no scan was in the first: both made by `benchmarks/digits.py`. `digits` is yolov8n at 640 px, `tiny` are narrow
networks at 320 px (the classifier at 64){others}.
*Worst class* is the largest loss of a single class. Every row is one engine with nothing left over{two}.

"""


def take_trained(folder: Path) -> None:
    """Takes the checkpoints that train_digits.py left in its folder for the models of these names."""
    for name, (weights, _, task) in MODELS.items():
        best = folder / "runs" / f"{name}-digits" / "weights" / "best.pt"
        if weights is None and best.exists():
            MODELS[name] = best, _settings(best)["settings"]["imgsz"], task


def _settings(weights: Path) -> dict:
    """What train_digits.py wrote beside a checkpoint."""
    return json.loads((weights.parent / "settings.json").read_text(encoding="utf-8"))


def _origin(name: str) -> str:
    """Where a model's weights are from, if not from this repository."""
    weights = MODELS[name][0]
    if weights is None:
        return "random weights, of which only the dense outputs say something"
    if not (weights.parent / "settings.json").exists():
        return ""
    found = _settings(weights)
    settings = found["settings"]
    epochs = f"{settings['epochs']} epochs{' more with fake quantisation' if name.endswith(QAT) else ''}"
    return (
        f"trained by `train_digits.py` on {found['pictures']:,} pictures for {epochs} at {settings['imgsz']} px, its "
        f"mAP50-95 there {found['figures']['metrics/mAP50-95(B)']:.4f}"
    )


def ways_of(name: str) -> tuple[tuple[str, str], ...]:
    """How a model's ranges and filters are found."""
    return (OF_TRAINING,) if name.endswith(QAT) else WAYS


def exported(name: str, folder: Path) -> Path:
    """The model's export in a folder; made if it is not there."""
    weights, size, _ = MODELS[name]
    directory = folder / f"{name}_saved_model"
    if not directory.exists():
        if weights is None:
            weights = folder / f"{name}.pt"
            engines.make_weights(name, weights)
        tftrt_yolo.export(weights, directory, image_size=size)
    return directory


def figures(saved_model: Path, folder: Path, task: str) -> dict[str, tuple[float, dict]]:
    """Name of each figure that counts to its value, and to that of each class."""
    data = folder / "classify" if task == "classify" else folder / task / "data.yaml"
    metrics = tftrt_yolo.evaluate(saved_model, data).models[0].metrics
    return {
        metric.name: (metric.value, metric.per_class)
        for metric in metrics
        if metric.name.endswith(("mAP50-95", "top-1"))
    }


def measure(name: str, way: tuple[str, str], *, exports: Path, calibration: Path, evaluation: Path, before) -> dict:
    """Converts a model in one way and measures it.

    Args:
      name: The model's.
      way: Of WAYS.
      exports: A folder with exports.
      calibration: A folder of pictures from digits.py.
      evaluation: Another.
      before: What `figures` gives of the export; None for random weights.
    """
    source, task = exported(name, exports), MODELS[name][2]
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "a_saved_model")
        report = tftrt_yolo.convert(
            source,
            converted,
            precision_mode="INT8",
            int8=options(way, calibration / ("classify" if task == "classify" else "images"), exports / "cache"),
        )
        if (report.engines, report.nodes_outside) != (1, 0) and way != OF_TRAINING:
            raise SystemExit(f"Expected one engine and nothing left over, got\n{report}")
        after = figures(converted, evaluation, task) if before else {}
    found = report.quantization
    losses = [value - before[figure][1][index] for figure, (_, each) in after.items() for index, value in each.items()]
    return {
        "model": name,
        "origin": _origin(name),
        "method": way[0],
        "rounding": way[1],
        "layers": found.layers,
        "images": found.images,
        "pictures": sum(1 for _ in (evaluation / "images").iterdir()),
        "accuracy": {figure: (before[figure][0], value) for figure, (value, _) in after.items()},
        "worst class": min(losses, default=None),
        "matched": f"{found.parity.matched} of {found.parity.detections}, {found.parity.extra} extra",
        "dense": {label: str(difference) for label, difference in found.dense.items()},
    }


def options(way: tuple[str, str], images: Path, cache: Path, **others) -> tftrt_yolo.Int8Options:
    """What `convert` is told of a way.

    Args:
      way: One of a model's.
      images: To calibrate on.
      cache: A folder for what is calibrated.
      **others: More that it is told.
    """
    if way == OF_TRAINING:
        return tftrt_yolo.Int8Options(calibration="trained", float_layers="head", **others)
    ranges, rounding = way
    return tftrt_yolo.Int8Options(
        calibration_data=images, calibration=ranges, rounding=rounding, calibration_cache_dir=cache, **others
    )


def _line(*cells) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _accuracy_lines(rows: list[dict]) -> list[str]:
    """A line for each figure."""
    lines = []
    for row in rows:
        for place, (figure, (before, after)) in enumerate(row["accuracy"].items()):
            worst = "" if place else f"{row['worst class']:+.4f}"
            ways = row["pictures"], row["method"], row["rounding"]
            lines.append(
                _line(row["model"], *ways, figure, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}", worst)
            )
    return lines


def _summary_lines(rows: list[dict]) -> list[str]:
    """A line for each way: mean and worst difference of the figures of all models that were measured in each way."""
    complete = {
        name for name in MODELS if {(row["method"], row["rounding"]) for row in rows if row["model"] == name} >= {*WAYS}
    }
    lines = []
    for way in WAYS if complete else ():
        chosen = [row for row in rows if (row["method"], row["rounding"]) == way and row["model"] in complete]
        differences = [after - before for row in chosen for before, after in row["accuracy"].values()]
        if differences:
            worst = min(row["worst class"] for row in chosen if row["accuracy"])
            mean = sum(differences) / len(differences)
            lines.append(_line(*way, len(differences), f"{mean:+.4f}", f"{min(differences):+.4f}", f"{worst:+.4f}"))
    return lines


def write(rows: list[dict]) -> None:
    """Writes int8.md, and the short table between the markers of the documentation's page."""
    columns = ("model", "pictures", "ranges by", "filters", "figure", "FP32", "INT8", "difference", "worst class")
    head = [_line(*columns), "|---|---:|---|---|---|---:|---:|---:|---:|"]
    summary = _summary_lines(rows)
    lines = []
    if summary:
        titles = _line("ranges by", "filters", "figures", "mean", "worst figure", "worst class")
        lines += ["Of the models that were measured in every way:", "", titles, "|---|---|---:|---:|---:|---:|"]
        lines += [*summary, ""]
    lines += [*head, *_accuracy_lines(rows), "", "Against the export, on up to 16 of the calibration pictures:", ""]
    titles = _line("model", "ranges by", "filters", "layers", "images", "detections matched", "dense outputs")
    lines += [titles, "|---|---|---|---:|---:|---|---|"]
    for row in rows:
        dense = "; ".join(f"{label} {text}" for label, text in row["dense"].items())
        cells = (row[key] for key in ("model", "method", "rounding", "layers", "images", "matched"))
        lines.append(_line(*cells, dense))
    origins = {row["model"]: row["origin"] for row in rows if row.get("origin")}
    others = "".join(
        f"; {name} has {text}" if "random" in text else f"; {name} was {text}" for name, text in origins.items()
    )
    has_two = any(row["method"] == OF_TRAINING[0] for row in rows)
    two = ", but where the training left the head's last convolutions in float: two engines" if has_two else ""
    TABLE.write_text(HEADER.format(others=others, two=two) + "\n".join(lines) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    if any(text.count(marker) != 1 for marker in MARKERS):
        raise SystemExit(f"{PAGE} must have the lines {' and '.join(MARKERS)} once each. Put them back.")
    before, _, rest = text.partition(MARKERS[0])
    after = rest.partition(MARKERS[1])[2]
    chosen = [row for row in rows if (row["method"], row["rounding"]) in (WAYS[0], OF_TRAINING)]
    table = "\n".join([*head, *_accuracy_lines(chosen)])
    PAGE.write_text(f"{before}{MARKERS[0]}\n{table}\n{MARKERS[1]}{after}", encoding="utf-8")


def _place(row: dict) -> tuple[int, int]:
    """Where a row stands in the tables."""
    return list(MODELS).index(row["model"]), ways_of(row["model"]).index((row["method"], row["rounding"]))


def main() -> None:
    """Measures what the command line asks for; the tables are written after each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calibration", type=Path, help="pictures from digits.py to calibrate on")
    parser.add_argument("evaluation", type=Path, help="pictures from digits.py to evaluate on")
    parser.add_argument("--exports", type=Path, help="a folder where exports are kept, and taken from the next time")
    parser.add_argument("--model", default="", help="only the models whose name begins so")
    parser.add_argument("--ranges", default="", help="only ranges of this kind, such as max")
    parser.add_argument("--trained", type=Path, help="the folder of train_digits.py, for yolov8s and yolov8m")
    asked = parser.parse_args()
    if asked.trained:
        take_trained(asked.trained)
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    with tempfile.TemporaryDirectory() as temporary:
        exports, known = asked.exports or Path(temporary), {}
        exports.mkdir(parents=True, exist_ok=True)
        for way in (OF_TRAINING, *WAYS):
            for name in (name for name in MODELS if name.startswith(asked.model) and way in ways_of(name)):
                if asked.ranges not in ("", way[0]):
                    continue
                if MODELS[name][0] is None and name.endswith(QAT):
                    continue  # random weights have no ranges
                base = name.removesuffix(QAT)
                weights, _, task = MODELS[base]
                if base not in known:
                    known[base] = weights and figures(exported(base, exports), asked.evaluation, task)
                row = measure(
                    name,
                    way,
                    exports=exports,
                    calibration=asked.calibration,
                    evaluation=asked.evaluation,
                    before=known[base],
                )
                rows = [other for other in rows if _place(other) != _place(row)] + [row]
                rows.sort(key=_place)
                RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
                write(rows)
                print(f"{name} is measured with {' and '.join(way)}", flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
