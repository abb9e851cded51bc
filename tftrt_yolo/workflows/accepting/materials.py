"""What an acceptance works on: for each task a small model, and labelled pictures of digits that it has never seen.

    material = lay_out("detect", Path("work/data"), most=6)
    material.weights, material.images, material.data

All of it comes with the package (assets/README.md).
"""

import dataclasses
import shutil
from pathlib import Path

from tftrt_yolo.contract import CLASSIFY, OBJECT_TASKS
from tftrt_yolo.ground.assets import ACCEPTANCE

TASK_NAMES = (*OBJECT_TASKS, CLASSIFY)  # that the package has a small model and labelled pictures of


@dataclasses.dataclass(frozen=True)
class Material:
    """What a task is tried on.

    Attributes:
      task: Ultralytics' name of the task.
      weights: The checkpoint.
      image_size: Side of its frames in pixels.
      images: Folder of the pictures, of a classifier of folders with crops.
      data: What `evaluate` takes: a data.yaml, of a classifier the same folder.
    """

    task: str
    weights: Path
    image_size: int
    images: Path
    data: Path


def lay_out(task: str, folder: Path, *, most: int) -> Material:
    """Makes a task's data set of links to the packaged pictures.

    Args:
      task: Ultralytics' name of the task.
      folder: Where to; it is made.
      most: At most this many pictures; of a classifier that many crops a class, a tenth of it and at least one.

    Returns:
      The material.
    """
    place = folder / task
    place.mkdir(parents=True)
    weights = ACCEPTANCE / f"yolov8n-tiny-{task}.pt"
    if task == CLASSIFY:
        for crops in sorted((ACCEPTANCE / task).iterdir()):
            _link(sorted(crops.iterdir())[: max(1, most // 10)], place / crops.name)
        return Material(task, weights, 64, place, place)
    images = sorted((ACCEPTANCE / "images").iterdir())[:most]
    _link(images, place / "images")
    _link([ACCEPTANCE / task / "labels" / f"{image.stem}.txt" for image in images], place / "labels")
    shutil.copyfile(ACCEPTANCE / task / "data.yaml", place / "data.yaml")  # its paths count from its own folder
    return Material(task, weights, 320, place / "images", place / "data.yaml")


def _link(files: list[Path], folder: Path) -> None:
    """Fills a new folder with links."""
    folder.mkdir()
    for file in files:
        (folder / file.name).symlink_to(file)
