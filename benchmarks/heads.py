"""Measures both branches of YOLO26's and YOLOv10's heads, with Ultralytics' own validator and with ours.

    python benchmarks/digits.py /tmp/digits/training --count=1000 --split=training
    python benchmarks/digits.py /tmp/digits/unseen --count=260
    python benchmarks/heads.py --data=/tmp/digits --folder=/tmp/heads              # half an hour each, one core
    python benchmarks/heads.py --data=/tmp/digits --folder=/tmp/heads yolov10n     # one; the page keeps the others

It writes heads.json and heads.md. Each model is narrow (width 0.125) and trained by Ultralytics for as long as both
branches need to find something, from the small YOLOv8 of tests/data as far as its layers fit; a checkpoint that is in
the folder already is taken. The settings are SETTINGS. Ultralytics imports torchvision; where that is of another build
than torch, its own TorchNMS suppresses.
"""

import argparse
import concurrent.futures
import functools
import itertools
import json
import multiprocessing
import shutil
from pathlib import Path

import yaml
from train_digits import provide_operators

import tftrt_yolo
from tftrt_yolo.contract import ONE_TO_MANY, ONE_TO_ONE

RESULTS, PAGE = (Path(__file__).parent / f"heads.{ending}" for ending in ("json", "md"))
MODELS = {"yolo26n": [0.5, 0.125, 1024], "yolov10n": [0.33, 0.125, 1024]}  # to depth, width and most channels
EPOCHS = {"yolo26n": 14, "yolov10n": 10}
START = Path(__file__).parents[1] / "tests" / "data" / "yolov8n-tiny-detect.pt"
SIZE = 256  # pixels
SETTINGS = {
    "batch": 16,
    "optimizer": "AdamW",
    "lr0": 0.004,
    "lrf": 0.05,
    "warmup_epochs": 1,
    "mosaic": 0.5,
    "close_mosaic": 4,
    "fliplr": 0.0,  # a digit that is flipped is none
    "seed": 0,
}
QUIET = {"device": "cpu", "workers": 0, "plots": False, "verbose": False, "exist_ok": True}
BRANCHES = {ONE_TO_MANY: None, ONE_TO_ONE: False}  # to Ultralytics' nms
CONVERSIONS = {
    "TF-TRT, native segments": ("tensorrt", "FP32"),
    "TF-TRT INT8, in the graph": ("tensorrt", "INT8"),
    "oneDNN": ("onednn", "FP32"),
    "XLA": ("xla", "FP32"),
}
CALIBRATED_ON = 100  # pictures, of those that it was trained on
METRICS = ("box mAP50-95", "box mAP50")
NUM_CLASSES = 10
HEADER = """# Both branches of a head

What `python benchmarks/heads.py` wrote: narrow YOLO26 and YOLOv10 (width 0.125), trained by Ultralytics {ultralytics}
on {training:,} pictures of digits for {epochs} epochs at {size} px, and measured on {images} others. mAP50-95 / mAP50.
"Validator" is Ultralytics' own, with `nms=None` for one-to-many and `nms=False` for one-to-one; it runs the checkpoint
and our directory. `evaluate` is ours; how its method differs is on
[accuracy](../docs/pages/accuracy.md#differences-to-ultralytics-validator).

"""
OF_CONVERSIONS = f"""
Conversions are measured by `evaluate`. INT8 was calibrated on {CALIBRATED_ON} pictures, by its defaults, and is
computed by the quantisations that are in the graph.
"""


def described(data: Path, part: str, folder: Path) -> Path:
    """A data.yaml that lists a part of the pictures: Ultralytics follows the link to them, away from their labels."""
    images = sorted((data / part / "detect" / "images").iterdir())
    listed, path = (folder / f"{part}.{ending}" for ending in ("txt", "yaml"))
    listed.write_text("".join(f"{image}\n" for image in images))
    names = yaml.safe_load((data / part / "detect" / "data.yaml").read_text())["names"]
    path.write_text(yaml.safe_dump({"train": str(listed), "val": str(listed), "names": names}))
    return path


def train(name: str, data: Path, folder: Path) -> Path:
    """Trains a model, unless its checkpoint is there; returns the checkpoint."""
    weights = folder / f"{name}.pt"
    if not weights.exists():
        from ultralytics import YOLO
        from ultralytics.nn.tasks import yaml_model_load

        provide_operators()
        document = yaml_model_load(f"{name}.yaml") | {"nc": NUM_CLASSES, "scales": {"n": MODELS[name]}}
        model_yaml = folder / f"{name}.yaml"
        model_yaml.write_text(yaml.safe_dump(document))
        options = SETTINGS | QUIET | {"epochs": EPOCHS[name], "imgsz": SIZE, "val": False, "amp": False}
        model = YOLO(str(model_yaml), task="detect").load(str(START))
        model.train(data=str(data), project=str(folder), name=name, **options)
        shutil.copyfile(model.trainer.last, weights)
    return weights


def epochs_of(weights: Path) -> list[int]:
    """For how many epochs a checkpoint of ours was trained, and was to be: a training may have been stopped."""
    import torch

    document = torch.load(weights, map_location="cpu", weights_only=False)
    return [len(document["train_results"]["epoch"]), document["train_args"]["epochs"]]


def validate(model: Path, data: Path, folder: Path, nms: bool | None) -> list[float]:
    """What Ultralytics' validator finds of a checkpoint or of our directory, as METRICS."""
    from ultralytics import YOLO
    from ultralytics.utils import nms as suppression

    provide_operators()
    patient = functools.partial(
        suppression.non_max_suppression, max_time_img=60
    )  # or images are left out on slow cores
    suppression.non_max_suppression = patient
    options = QUIET | {"imgsz": SIZE, "rect": False, "nms": nms, "project": str(folder), "name": "val"}
    box = YOLO(str(model), task="detect").val(data=str(data), batch=16, **options).box
    return [float(box.map), float(box.map50)]


def measure(name: str, data: Path, folder: Path, *, with_conversions: bool) -> list[dict]:
    """Trains a model and measures both branches; a row each."""
    training, unseen = (described(data, part, folder) for part in ("training", "unseen"))
    context, rows = multiprocessing.get_context("spawn"), []
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as trainer:
        weights = trainer.submit(train, name, training, folder).result()
        epochs = trainer.submit(epochs_of, weights).result()
    for nms, of_ultralytics in BRANCHES.items():
        exported = folder / f"{name}_{nms}_saved_model"
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as validators:  # beside TensorFlow
            of_weights = validators.submit(validate, weights, unseen, folder, of_ultralytics)
            tftrt_yolo.export(weights, exported, image_size=SIZE, nms=nms, overwrite=True)
            of_export = validators.submit(validate, exported, unseen, folder, of_ultralytics)
            report = tftrt_yolo.evaluate(exported, unseen, compare_to=weights)
            found = {
                "validator: checkpoint": of_weights.result(),
                "validator: our export": of_export.result(),
                "`evaluate`: checkpoint": [report.value(metric, model=1) for metric in METRICS],
                "`evaluate`: our export": [report.value(metric) for metric in METRICS],
            }
        for label, (accelerator, precision_mode) in CONVERSIONS.items() if with_conversions else ():
            converted, options = folder / f"{name}_{nms}_{accelerator}_{precision_mode}_saved_model", {}
            if precision_mode == "INT8":
                options["int8"] = tftrt_yolo.Int8Options(calibration_data=_calibration(training, folder))
            options |= {"accelerator": accelerator, "precision_mode": precision_mode}
            tftrt_yolo.convert(exported, converted, overwrite=True, **options)
            of_conversion = tftrt_yolo.evaluate(converted, unseen)
            found[label] = [of_conversion.value(metric) for metric in METRICS]
        rows.append({"model": name, "branch": nms, "epochs": epochs, "images": report.num_images, "found": found})
        print(rows[-1], flush=True)  # noqa: T201 - a script
    return rows


def _calibration(training: Path, folder: Path) -> Path:
    """A data.yaml of the first pictures of the training."""
    document, listed = yaml.safe_load(training.read_text()), folder / "calibration.txt"
    images = Path(document["train"]).read_text().splitlines(keepends=True)
    listed.write_text("".join(images[:CALIBRATED_ON]))
    path = folder / "calibration.yaml"
    path.write_text(yaml.safe_dump(document | {"train": str(listed), "val": str(listed)}))
    return path


def write(results: dict) -> None:
    """Writes both files; a column a figure that was measured of some model."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    columns = list(dict.fromkeys(label for row in results["rows"] for label in row["found"]))
    head = ["model", "branch", *columns]
    lines = [head, ["---"] * len(head)]
    lines += [
        [
            row["model"],
            row["branch"],
            *(_pair(row["found"][label]) if label in row["found"] else "" for label in columns),
        ]
        for row in results["rows"]
    ]
    epochs = {row["model"]: row["epochs"] for row in results["rows"]}
    trained = " and ".join(f"{done}" if done == asked else f"{done} (of {asked})" for done, asked in epochs.values())
    page = HEADER.format(**results, epochs=trained) + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    PAGE.write_text(page + (OF_CONVERSIONS if set(columns) & set(CONVERSIONS) else ""))


def _pair(values: list[float]) -> str:
    return " / ".join(f"{value:.4f}".removeprefix("0") for value in values)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="which; all unless some are named")
    parser.add_argument("--data", type=Path, required=True, help="the folder of training and unseen pictures")
    parser.add_argument("--folder", type=Path, required=True, help="where checkpoints and SavedModels go")
    parser.add_argument("--conversions", action="store_true", help="measure conversions too")
    asked = parser.parse_args()
    unknown = sorted(set(asked.models) - set(MODELS))
    if unknown:
        parser.error(f"{unknown[0]} is no model of this script; known are {', '.join(MODELS)}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    if RESULTS.exists():
        rows = {(row["model"], row["branch"]): row for row in json.loads(RESULTS.read_text())["rows"]}
    data, folder = asked.data.absolute(), asked.folder.absolute()
    for name in asked.models or MODELS:
        measured = measure(name, data, folder, with_conversions=asked.conversions)
        rows |= {(row["model"], row["branch"]): row for row in measured}
        versions = tftrt_yolo.ExportReport.read(folder / f"{name}_{ONE_TO_ONE}_saved_model").versions
        write(
            {
                "ultralytics": versions["ultralytics"],
                "training": len([*(data / "training" / "images").iterdir()]),
                "images": measured[0]["images"],
                "size": SIZE,
                "settings": SETTINGS,
                "rows": [rows[key] for key in itertools.product(MODELS, BRANCHES) if key in rows],
            }
        )


if __name__ == "__main__":
    main()
