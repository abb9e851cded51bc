"""Trains YOLO on the digits of digits.py with Ultralytics, for measurements that need a model which has learnt.

    python benchmarks/train_digits.py yolov8s --device=0          # 6,000 pictures, 30 epochs, 640 px; a GPU
    python benchmarks/train_digits.py yolov8m --device=0
    python benchmarks/train_digits.py runs/digits/runs/yolov8s-digits/weights/best.pt --qat --name=yolov8s-qat-digits \
        --epochs=5 --device=0                                     # goes on with fake quantisation: nvidia-modelopt
    python benchmarks/train_digits.py tests/data/yolov8n-tiny-detect.pt --count=32 --epochs=1 --image_size=160

From random weights where the model is a name of Ultralytics' (its YAML is taken), further from a checkpoint's. The task
is the model's. Everything that decides the result is below or on the command line, and is written into settings.json
beside best.pt, with the figures of Ultralytics' validator.

Training draws on the scans of split `training` of digits.py, and epochs are compared on those of `calibration`. The
scans of `evaluation`, other writers', are left for `python benchmarks/digits.py --split=evaluation`.
"""

import argparse
import json
import subprocess
import sys
import types
from pathlib import Path

import digits

# What Ultralytics' default is not. Mirrored digits are no digits, nor is a 6 upside down; mosaics off at the end.
SETTINGS = {
    "epochs": 30,
    "batch": 32,
    "imgsz": 640,
    "seed": 0,
    "deterministic": False,  # which a GPU would not be from one machine to another
    "fliplr": 0.0,
    "close_mosaic": 5,
    "cos_lr": True,
    "plots": False,
}
# Beside these, of training with fake quantisation, whose ranges are found once and then stay: small steps, no mosaics.
QAT_SETTINGS = {"quantize": 8, "optimizer": "SGD", "lr0": 1e-3, "warmup_epochs": 0.0, "mosaic": 0.0}
COUNT, VALIDATION_SHARE = 6_000, 0.1


def lay_out(folder: Path, task: str, *, count: int, seed: int) -> Path:
    """Writes the pictures of both splits, and what Ultralytics reads of a task.

    Args:
      folder: Where to write; pictures that are there are taken.
      task: The task.
      count: How many pictures to train on.
      seed: Of the pictures.

    Returns:
      What Ultralytics takes as data.
    """
    for name, split, number in (
        ("train", "training", count),
        ("val", "calibration", max(round(VALIDATION_SHARE * count), 8)),
    ):
        if not (folder / name).exists():
            digits.generate(folder / name, count=number, split=split, seed=seed)
    for name in ("train", "val"):
        if task == "classify":
            (folder / "classify").mkdir(exist_ok=True)
            _link(folder / "classify" / name, Path("..", name, "classify"))
        elif task != "depth":  # Ultralytics follows links of pictures, and looks for labels beside what they lead to
            labels = "masks" if task == "semantic" else "labels"
            _link(folder / name / labels, Path(task, labels))
    if task == "classify":
        return folder / "classify"
    described = (folder / "train" / task / "data.yaml").read_text(encoding="utf-8")
    paths = f"path: {folder.resolve()}\ntrain: train/images\nval: val/images\n"
    data = folder / f"{task}.yaml"
    data.write_text(paths + described.partition("val: images\n")[2], encoding="utf-8")
    return data


def _link(link: Path, target: Path) -> None:
    """Makes a link, or has it lead elsewhere."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def provide_operators() -> None:
    """Puts Ultralytics' own suppression in the place of torchvision's, where that is of another build than torch."""
    if subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, check=False).returncode:
        from ultralytics.utils.nms import TorchNMS

        torchvision = types.ModuleType("torchvision")
        torchvision.ops = types.SimpleNamespace(nms=TorchNMS.nms)  # all that detection takes of it
        sys.modules["torchvision"] = torchvision


def train(model: str, folder: Path, *, name: str, count: int, settings: dict) -> dict:
    """Trains a model.

    Args:
      model: A name of Ultralytics', such as "yolov8s" or "yolov8s-seg", or a checkpoint.
      folder: Where to write; `runs` holds what Ultralytics writes.
      name: Of the run.
      count: How many pictures.
      settings: Keyword arguments of Ultralytics' `train`.

    Returns:
      What was trained, how, and the figures of Ultralytics' validator.
    """
    provide_operators()
    import ultralytics

    weights = model if Path(model).suffix else f"{model}.yaml"
    network = ultralytics.YOLO(weights)
    data = lay_out(folder, network.task, count=count, seed=settings["seed"])
    network.train(data=str(data), project=str((folder / "runs").resolve()), name=name, exist_ok=True, **settings)
    best = Path(network.trainer.best)
    figures = {key: round(float(value), 5) for key, value in network.trainer.metrics.items()}
    found = {
        "model": Path(weights).name,
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
    parser.add_argument("--workers", type=int, default=8, help="processes that read pictures")
    parser.add_argument("--name", help="of the run; the model's with -digits behind, if it is not given")
    parser.add_argument("--qat", action="store_true", help="with fake quantisation of 8 bits")
    asked = parser.parse_args()
    if min(asked.count, asked.epochs, asked.batch, asked.image_size) < 1:
        parser.error("--count, --epochs, --batch and --image_size must be 1 or more")
    chosen = {"epochs": asked.epochs, "batch": asked.batch, "imgsz": asked.image_size, "seed": asked.seed}
    settings = {**SETTINGS, **(QAT_SETTINGS if asked.qat else {}), **chosen}
    train(
        asked.model,
        asked.folder,
        name=asked.name or f"{Path(asked.model).stem}-digits",
        count=asked.count,
        settings=settings | {"device": asked.device, "workers": asked.workers},
    )


if __name__ == "__main__":
    main()
