"""The labelled digits as data sets that tests can change."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np

from tests.conftest import DATA, IMAGES
from tftrt_yolo.evaluation.datasets.examples import LabelSpec

NAMES = {index: str(index) for index in range(10)}
TASKS = ("detect", "segment", "pose", "obb")


def model(task):
    names = NAMES | {len(NAMES): "background"} if task == "semantic" else NAMES  # of polygons
    return LabelSpec(task, names, 3 if task == "pose" else 0)


def data_yaml(folder: Path, task: str, *, num_images: int = 40, **changes) -> Path:
    """A data set of the first pictures, its images linked and its labels copied; None drops a key of data.yaml."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for image in IMAGES[:num_images]:
        (folder / "images" / image.name).symlink_to(image)
        labels = DATA / ("segment" if task == "semantic" else task) / "labels"
        shutil.copy(labels / f"{image.stem}.txt", folder / "labels")
    document = {"path": ".", "val": "images", "names": list(NAMES.values())}
    if task == "pose":
        document |= {"kpt_shape": [3, 3], "flip_idx": [0, 1, 2]}
    document |= changes
    path = folder / "data.yaml"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))  # JSON is YAML
    return path


@functools.cache
def metrics():
    """What Ultralytics' validator gives on all 40 pictures."""
    return json.loads((DATA / "reference" / "metrics.json").read_text())


def detections(classes, scores, boxes, **extras):
    from tftrt_yolo.evaluation.datasets.truth import Detections

    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(np.array(classes, np.int64), np.array(scores, np.float32), boxes, **extras)
