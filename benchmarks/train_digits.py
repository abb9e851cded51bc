"""Trains YOLOv8 on the digits of digits.py with Ultralytics, for measurements that need a model which has learnt.

    python benchmarks/train_digits.py yolov8s --device=0          # 6,000 pictures, 30 epochs, 640 px; a GPU
    python benchmarks/train_digits.py yolov8m --device=0
    python benchmarks/train_digits.py tests/data/yolov8n-tiny-detect.pt --count=32 --epochs=1 --image_size=160

From random weights where the model is a name of Ultralytics' (its YAML is taken), further from a checkpoint's. The task
is the model's. Everything that decides the result is below or on the command line, and is written into settings.json
beside best.pt, with the figures of Ultralytics' validator.

Training draws on the scans of split `training` of digits.py, and epochs are compared on those of `calibration`. The
scans of `evaluation`, other writers', are left for `python benchmarks/digits.py --split=evaluation`.
"""

import argparse
import json
from pathlib import Path

import digits

# What Ultralytics' default is not. Mirrored digits are no digits, nor is a 6 upside down; mosaics off at the end.
SETTINGS = {
    "epochs": 30,
    "batch": 32,
    "imgsz": 640,
    "seed": 0,
    "deterministic": True,
    "fliplr": 0.0,
    "close_mosaic": 5,
    "cos_lr": True,
    "plots": False,
}
COUNT, VALIDATION_SHARE = 6_000, 0.1


def lay_out(folder: Path, *, count: int, seed: int) -> None:
    """Writes the pictures of both splits, and what Ultralytics reads of each task.

    Args:
      folder: Where to write; pictures that are there are taken.
      count: How many pictures to train on.
      seed: Of the pictures.
    """
    for name, split, number in (
        ("train", "training", count),
        ("val", "calibration", max(round(VALIDATION_SHARE * count), 8)),
    ):
        if not (folder / name).exists():
            digits.generate(folder / name, count=number, split=split, seed=seed)
    for task in digits.TASKS:
        described = (folder / "train" / task / "data.yaml").read_text(encoding="utf-8")
        rest = described.partition("val: images\n")[2]
        paths = f"path: {folder.resolve()}\ntrain: train/{task}/images\nval: val/{task}/images\n"
        (folder / f"{task}.yaml").write_text(paths + rest, encoding="utf-8")
    (folder / "classify").mkdir(exist_ok=True)
    for name in ("train", "val"):
        link = folder / "classify" / name
        if not link.is_symlink():
            link.symlink_to(Path("..", name, "classify"))


def train(model: str, folder: Path, *, count: int, settings: dict) -> dict:
    """Trains a model.

    Args:
      model: A name of Ultralytics', such as "yolov8s" or "yolov8s-seg", or a checkpoint.
      folder: Where to write; `runs` holds what Ultralytics writes.
      count: How many pictures.
      settings: Keyword arguments of Ultralytics' `train`.

    Returns:
      What was trained, how, and the figures of Ultralytics' validator.
    """
    import ultralytics

    lay_out(folder, count=count, seed=settings["seed"])
    name = model if Path(model).suffix else f"{model}.yaml"
    network = ultralytics.YOLO(name)
    data = folder / ("classify" if network.task == "classify" else f"{network.task}.yaml")
    run = f"{Path(model).stem}-digits"
    network.train(data=str(data), project=str((folder / "runs").resolve()), name=run, exist_ok=True, **settings)
    best = Path(network.trainer.best)
    figures = {key: round(float(value), 5) for key, value in network.trainer.metrics.items()}
    found = {
        "model": name,
        "task": network.task,
        "pictures": count,
        "ultralytics": ultralytics.__version__,
        "settings": settings,
        "figures": figures,
    }
    (best.parent / "settings.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{best}: {figures}")  # noqa: T201 - a script
    return found


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="yolov8s, yolov8m-seg ..., or a checkpoint to go on from")
    parser.add_argument("--folder", type=Path, default=Path("runs", "digits"), help="where to write")
    parser.add_argument("--count", type=int, default=COUNT, help="pictures to train on")
    parser.add_argument("--epochs", type=int, default=SETTINGS["epochs"])
    parser.add_argument("--batch", type=int, default=SETTINGS["batch"])
    parser.add_argument("--image_size", type=int, default=SETTINGS["imgsz"], help="side of the frame in pixels")
    parser.add_argument("--seed", type=int, default=SETTINGS["seed"])
    parser.add_argument("--device", default="cpu", help='"cpu", or a GPU\'s number')
    asked = parser.parse_args()
    if min(asked.count, asked.epochs, asked.batch, asked.image_size) < 1:
        parser.error("--count, --epochs, --batch and --image_size must be 1 or more")
    chosen = {"epochs": asked.epochs, "batch": asked.batch, "imgsz": asked.image_size, "seed": asked.seed}
    train(asked.model, asked.folder, count=asked.count, settings={**SETTINGS, **chosen, "device": asked.device})


if __name__ == "__main__":
    main()
