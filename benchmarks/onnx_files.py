"""Writes the trained models and the wider family as ONNX in every precision, and writes onnx_files.md.

    python benchmarks/onnx_files.py                      # all, about an hour on two cores
    python benchmarks/onnx_files.py tiny                 # only the models whose name begins so; the rest stays
    python benchmarks/onnx_files.py yolo11n ~/exports    # exports are kept there, and taken from there the next time

Every file is checked by ONNX's checker, run by ONNX Runtime beside TensorFlow, and built by TensorRT-RTX on the CPU for
batches of 1 to 8. `tiny` and `digits` are trained; the others have random weights, scaled so that every layer answers
to its input (`engines.make_weights`). INT8 is calibrated on twenty pictures of digits.
"""

import json
import sys
import tempfile
from pathlib import Path

import engines
import preflight

import tftrt_yolo

FOLDER = Path(__file__).parent
RESULTS, TABLE = FOLDER / "onnx_files.json", FOLDER / "onnx_files.md"
TRAINED = (*(f"tiny-{task}" for task in preflight.TASKS), "digits")
RANDOM = (
    *(f"yolov8n{suffix}" for suffix in engines.TASK_SUFFIXES),
    *("yolov5n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n"),
)
# Column to precision mode and type of the floats between.
PRECISIONS = {"FP32": ("FP32", None), "FP16": ("FP16", None), "INT8": ("INT8", "FP32"), "INT8, FP16": ("INT8", "FP16")}
HEADER = """# ONNX files

What `python benchmarks/onnx_files.py` wrote, on two cores without a GPU: every model as an ONNX file of opset {opset},
checked by ONNX's checker, run by ONNX Runtime {onnxruntime} beside TensorFlow, and parsed and built by TensorRT-RTX
{builder} for compute capability 8.9 and batches of 1 to 8. **Nothing was run on a GPU.** `tiny` and `digits` are
trained; the others have random weights. Frames have 320 px, those of digits 640, those of the classifiers 64 (tiny)
and 224.

- *nodes*: of the file; *inner*: transposes that are neither at an input nor at an output.
- *quantised*: tensors and filters.
- *parity*: the most by which outputs lie from TensorFlow's, over every anchor. Of INT8 with TensorFlow's integers in
  the places of the file's own; of INT8 with FP16 between there is only the next column.
- *free*: of INT8 with its own integers: a few ties of rounding fall elsewhere, and spread.
- *integers*: quantised numbers of one picture, and how many of them are another integer than TensorFlow's, of
  TensorFlow's floats.
- *ties*: how many become another integer of floats that were summed up in another order.
- *layers*, *plan*: what TensorRT-RTX made of it.
- *s*: beside other work on the same two cores.

"""
COLUMNS = (
    "model", "precision", "file, MB", "nodes", "inner", "quantised", "parity", "free", "integers", "ties", "layers",
    "plan, MB", "s", "faults",
)  # fmt: skip


def measure(name: str, precision: str, exported: Path, folder: Path) -> dict:
    """Writes one file; returns its row."""
    mode, floats = PRECISIONS[precision]
    options = tftrt_yolo.OnnxOptions(float_type=floats, build=True)
    report = tftrt_yolo.write_onnx(
        exported,
        folder / f"{name}.onnx",
        precision_mode=mode,
        calibration_data=preflight.IMAGES if mode == "INT8" else None,
        options=options,
        overwrite=True,
    )
    integers, is_compared = report.integers, bool(report.integers and report.integers.numbers)
    return {
        "model": name,
        "precision": precision,
        "file, MB": round(report.file_bytes / 1e6, 1),
        "nodes": sum(report.operators.values()),
        "inner": report.inner_transposes,
        "quantised": f"{integers.tensors} and {integers.filters}" if integers else "",
        "parity": _line(report.parity) if not integers or is_compared else "",
        "free": _line(report.free_parity or report.parity) if integers else "",
        "integers": f"{integers.numbers:,}, {integers.different} others" if is_compared else "",
        "ties": integers.ties if is_compared else "",
        "layers": report.built.layers,
        "plan, MB": round(report.built.plan_bytes / 1e6, 1),
        "s": round(report.seconds, 1),
        "faults": len(report.faults),
        "operators": report.operators,
        "opset": report.opset,
        "onnxruntime": report.versions["onnxruntime"],
        "builder": report.built.version,
    }


def exported(name: str, folder: Path) -> Path:
    """The export of a model, made unless it is there."""
    if name in TRAINED:
        return preflight.exported(name, folder)
    path = folder / f"{name}-random_saved_model"
    if not path.exists():
        engines.make_weights(name, folder / f"{name}.pt")
        tftrt_yolo.export(folder / f"{name}.pt", path, image_size=None if name.endswith("-cls") else engines.SIZE)
    return path


def write(rows: list[dict]) -> None:
    """Writes onnx_files.md."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join(str(row[column]) for column in COLUMNS)} |" for row in rows]
    TABLE.write_text(HEADER.format(**rows[0]) + "\n".join(lines) + "\n", encoding="utf-8")


def main(prefix: str = "", exports: str | None = None) -> None:
    """Fills in the rows of the models whose name begins with the prefix."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    order = [(name, precision) for name in (*TRAINED, *RANDOM) for precision in PRECISIONS]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(exports or scratch).expanduser().resolve()
        for name, precision in order:
            if not name.startswith(prefix):
                continue
            row = measure(name, precision, exported(name, folder), Path(scratch))
            rows = [one for one in rows if (one["model"], one["precision"]) != (name, precision)] + [row]
            rows.sort(key=lambda one: order.index((one["model"], one["precision"])))
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
            write(rows)
            print(name, precision, row["parity"], row["free"], flush=True)  # noqa: T201 - a script


def _line(largest: dict[str, float]) -> str:
    """Differences in a cell."""
    return "; ".join(f"{label} {value:.2g}" for label, value in largest.items())


if __name__ == "__main__":
    main(*sys.argv[1:3])
