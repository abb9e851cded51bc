"""Preflights every task in every size, models of the wider family and the digits, and writes preflight.md.

    python benchmarks/preflight.py                      # all, about an hour on two cores
    python benchmarks/preflight.py yolov8n              # only the models whose name begins so; the rest stays
    python benchmarks/preflight.py yolov8n ~/exports    # exports are kept there, and taken from there the next time

Every engine's network is recorded, computed in NumPy beside TensorFlow on a picture of digits, and built by
TensorRT-RTX on the CPU. The weights are random, as Ultralytics initialises them, but for the models of digits. INT8 is
calibrated on twenty pictures.
"""

import json
import resource
import sys
import tempfile
from pathlib import Path

import engines

import tftrt_yolo

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
RESULTS = Path(__file__).parent / "preflight.json"
TABLE = Path(__file__).parent / "preflight.md"
TASKS = ("detect", "segment", "pose", "obb", "classify")
FAMILY = ("yolov5n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n")
ONCE = ("yolov10n", "yolo26n")  # the branch of these that gives each object once
# Name to weights and side of the frame; None for the task's own.
MODELS = {
    **{name: (f"{name}.yaml", None) for name in (*engines.YOLOV8, *FAMILY)},
    "digits": (ROOT / "tftrt_yolo" / "assets" / "yolov8n-digits.pt", None),
    **{f"tiny-{task}": (DATA / f"yolov8n-tiny-{task}.pt", 64 if task == "classify" else 320) for task in TASKS},
}
IN_INT8 = (
    "yolov8n",
    "yolov8n-seg",
    "yolov8n-pose",
    "yolov8n-obb",
    "yolov8n-cls",
    "digits",
    *(f"tiny-{t}" for t in TASKS),
)
IMAGES = DATA / "images" / "*[02468].jpg"
HEADER = """# Preflight

What `python benchmarks/preflight.py` wrote, on two cores without a GPU: TF-TRT's network of every model, recorded by
the stand-in for TensorRT 8.6.1, computed layer by layer in NumPy and compared with TensorFlow on a picture of digits,
and built by TensorRT-RTX {version} for compute capability 8.9 with one profile over the batch sizes 1, 8 and 32.
**TensorRT 8.6.1 itself was not asked**, and nothing was run on a GPU. `yolo...` have random weights, at 640 px
(classifiers 224), whose activations fade, so that their outputs say little and their convolutions alone say all,
yolov10n and yolo26n with their one-to-one branches; `digits` is yolov8n at 640 px, trained; `tiny` are narrow trained
networks at 320 px (the classifier at 64). INT8's rows of `yolo...` are older than those of `digits` and `tiny`: of
graphs before filters were fitted to the images and convolutions read a Pad, which is 4 to 6 % more layers.

- *layers*: of the engine, and of these the convolutions and the shuffles that must copy.
- *equal alone*: convolutions whose filter and, fed TensorFlow's input, output are TensorFlow's.
- *outputs*: the most by which the whole network's outputs lie from TensorFlow's; INT8's with its ties of rounding.
- *tensors*: compared with TensorRT-RTX's own inference, and how many had another shape or type.
- *plan*: the engine of TensorRT-RTX, in the types that it was built in: FP16, or INT8 and FP32.
- *s*: beside other work on the same two cores.
- *memory*: of the largest of its processes; of yolov8x 5.8 GB, when all of them together held 7.1.

"""
COLUMNS = (
    "model", "precision", "layers", "convolutions", "copies", "GFLOP", "weights, MB", "equal alone", "outputs",
    "tensors", "plan, MB", "digest", "s", "memory, GB", "faults",
)  # fmt: skip


def measure(name: str, precision_mode: str, exported: Path) -> dict:
    """Runs one preflight; returns its row."""
    calibration_data = IMAGES if precision_mode == "INT8" else None
    report = tftrt_yolo.preflight(exported, precision_mode=precision_mode, calibration_data=calibration_data)
    [engine] = report.engines
    summary, alone, built = engine.summary, report.numbers.convolutions, engine.builder
    return {
        "model": name,
        "precision": precision_mode,
        "layers": summary.layers,
        "convolutions": sum(row.count for row in summary.convolutions),
        "copies": sum(shuffle.verdict == "copy" for shuffle in summary.shuffles),
        "GFLOP": round(summary.flops / 1e9, 2),
        "weights, MB": round(summary.weights_bytes / 1e6, 1),
        "equal alone": f"{sum(one.is_within for one in alone)} of {len(alone)}",
        "outputs": "; ".join(f"{row.label} {row.largest:.2g} {row.unit}".rstrip() for row in report.numbers.outputs),
        "tensors": f"{built.tensors_compared:,}, {len(built.differences)} differ" if built else engine.refusal,
        "plan, MB": round(built.plan_bytes / 1e6, 1) if built else None,
        "digest": engine.digest[:12],
        "s": round(report.seconds, 1),
        "memory, GB": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 1),
        "faults": len(report.faults),
        "version": built.version if built else "",
    }


def write(rows: list[dict]) -> None:
    """Writes preflight.md."""
    version = next((row["version"] for row in rows if row["version"]), "")
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(str(row[column]) for column in COLUMNS)} |" for row in rows]
    TABLE.write_text(HEADER.format(version=version) + "\n".join(lines) + "\n", encoding="utf-8")


def exported(name: str, folder: Path) -> Path:
    """The export of a model, made unless it is there."""
    weights, size = MODELS[name]
    path = folder / f"{name}_saved_model"
    if not path.exists():
        tftrt_yolo.export(weights, path, image_size=size, nms="one-to-one" if name in ONCE else "auto")
    return path


def main(prefix: str = "", exports: str | None = None) -> None:
    """Measures the models whose name begins with the prefix, each in a process of its own for its memory."""
    import multiprocessing

    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    order = [(name, precision) for name in MODELS for precision in ("FP16", "INT8")]
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(exports or scratch).expanduser().resolve()
        for name, precision in order:
            if not name.startswith(prefix) or (precision == "INT8" and name not in IN_INT8):
                continue
            with context.Pool(1) as pool:
                row = pool.apply(measure, (name, precision, exported(name, folder)))
            rows = [old for old in rows if (old["model"], old["precision"]) != (name, precision)] + [row]
            rows.sort(key=lambda row: order.index((row["model"], row["precision"])))
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            write(rows)
            print({key: row[key] for key in COLUMNS}, flush=True)  # noqa: T201 - a script


if __name__ == "__main__":
    main(*sys.argv[1:3])
