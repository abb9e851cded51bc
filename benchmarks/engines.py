"""Exports and converts every task in every size, and models of the wider family, and writes engines.md.

    python benchmarks/engines.py            # all, twenty minutes on two cores
    python benchmarks/engines.py yolov8n    # only the models whose name begins so; the table keeps its other rows

The weights are random, and scaled so that every layer answers to its input: what is looked at is the graph, whether
TF-TRT takes all of it into one engine, and whether the export computes what PyTorch does.
"""

import re
import sys
import tempfile
from pathlib import Path

import tftrt_yolo
from tftrt_yolo.exporter import pytorch_parity

TABLE = Path(__file__).parent / "engines.md"
TASK_SUFFIXES = ("", "-seg", "-pose", "-obb", "-cls")
YOLOV8 = [f"yolov8{size}{suffix}" for suffix in TASK_SUFFIXES for size in "nsmlx"]
FAMILY = [
    "yolov5n",
    "yolov9t",
    "yolov10n",
    "yolo11n",
    "yolo11n-seg",
    "yolo11n-pose",
    "yolo11n-obb",
    "yolo12n",
    "yolo26n",
    "yolo26n-seg",
    "yolo26n-pose",
    "yolo26n-obb",
    "yolo26n-cls",
]
ONCE = " one-to-one"  # behind the name of a model, of whose branches that one is exported
FAMILY += [name + ONCE for name in FAMILY if name.startswith(("yolov10", "yolo26")) and not name.endswith("-cls")]
HEADER = """# One engine

What `python benchmarks/engines.py` wrote: Ultralytics' model YAMLs with random weights, exported (frames of {size} px,
of classifiers 224, dynamic batch) and converted offline by TF-TRT. Parity is to PyTorch. Of YOLOv10 and YOLO26 both
branches of the head are there; the one-to-many one is exported unless the other is asked for.

| model | parameters | engines | nodes inside | left to TensorFlow | parity |
|---|---|---|---|---|---|
"""
SIZE = 320


def make_weights(name: str, path: Path) -> None:
    """Builds a model with random weights whose outputs depend on the picture.

    As Ultralytics builds them, activations fade from layer to layer and the classes' bias drowns what is left. So the
    normalisations are set to what they see, and the bias is dropped.
    """
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    model, size = YOLO(f"{name}.yaml").model, 224 if name.endswith("-cls") else SIZE
    normalisations = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in normalisations:
        module.momentum = 1.0
    frames = torch.from_numpy(pytorch_parity.reference_frames((size, size)).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        model.train()(frames)
        for branch in (
            branch for kind in ("cv3", "one2one_cv3") for branch in getattr(model.model[-1], kind, None) or ()
        ):
            branch[-1].bias.zero_()
            branch[-1].weight.mul_(2.0)
    torch.save({"model": model.eval()}, path)


def row(name: str) -> str:
    """Exports and converts a model; returns its line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        weights, exported, converted = (Path(folder, name) for name in ("random.pt", "a_saved_model", "b_saved_model"))
        try:
            size, model = None if name.endswith("-cls") else SIZE, name.removesuffix(ONCE)
            make_weights(model, weights)
            nms = "auto" if model == name else ONCE.strip()
            export = tftrt_yolo.export(weights, exported, image_size=size, nms=nms)
            options = tftrt_yolo.TensorRTOptions(minimum_coverage=0.0)
            report = tftrt_yolo.convert(exported, converted, tensorrt=options)
        except tftrt_yolo.TftrtYoloError as error:
            return f"| {name} | {type(error).__name__}: {str(error).splitlines()[0]} | | | | |"
    left = ", ".join(f"{part.op} x {part.count}" for part in report.left_to_tensorflow) or "nothing"
    inside = f"{report.nodes_inside} of {report.nodes_inside + report.nodes_outside}"
    parity = str(export).partition("parity, PyTorch")[2].strip()
    return f"| {name} | {export.num_parameters:,} | {report.engines} | {inside} | {left} | {parity} |"


def main(prefix: str = "") -> None:
    """Fills in the rows of the models whose name begins with the prefix."""
    names = [*YOLOV8, *FAMILY]
    rows = {}
    if TABLE.exists():
        rows = {
            line.split("|")[1].strip(): line for line in TABLE.read_text().splitlines() if re.match(r"\| yolo", line)
        }
    for name in names:
        if name.startswith(prefix):
            rows[name] = row(name)
            print(rows[name], flush=True)  # noqa: T201 - a script
            lines = [rows[name] for name in names if name in rows]
            TABLE.write_text(HEADER.format(size=SIZE) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:2])
