"""Data sets: from a data.yaml, a COCO JSON or a folder of class folders to images with what is on them.

    dataset = open_dataset("digits.yaml", model, DataOptions(split="val"))
    dataset.examples[0].path, dataset.examples[0].truth

Everything is read and checked before the first image runs, and nothing of a data set is ever executed.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo.evaluation.datasets import class_folders, data_yaml, headers, places
from tftrt_yolo.evaluation.datasets.coco import coco_json
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import (
    BadLabelError,
    Dataset,
    Example,
    Labelled,
    LabelSpec,
    UnusableImagesError,
)
from tftrt_yolo.ground.arguments import argument, setting
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files.image_files import SUFFIXES
from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.tasks.table import TASKS

_LISTED = 5  # images that a message names


def open_dataset(data: str | Path, model: LabelSpec, options: DataOptions) -> Dataset:
    """Reads and checks a data set's labels and looks for its images.

    Args:
      data: An Ultralytics data.yaml, a COCO JSON, or for classify a folder of class folders.
      model: What is to be measured.
      options: What of it.

    Returns:
      The images that are there, with what is on them.

    Raises:
      DatasetError: If the data set is missing, damaged, empty, of another task or other classes than the model, or an
        image is missing or a label bad, that of an image of another size among them, and that is not allowed.
      ImageError: If one of its files begins as no image does, and that is not allowed.
    """
    path = Path(data)
    with _named(path):
        labelled = _labelled(path, model, options)
        there, missing, unread = _sorted_out(labelled.examples)
    for left_out, fault, remedy in (
        (missing, "missing", "Copy them there"),
        (unread, "in a format that is not read", f"Convert them to one of {', '.join(sorted(SUFFIXES))}"),
    ):
        if left_out and not options.skip_missing_images:
            named = "".join(f"\n  {shown(example.path)}" for example in left_out[:_LISTED])
            more = f"\n  and {len(left_out) - _LISTED:,} more" if len(left_out) > _LISTED else ""
            unusable = UnusableImagesError(
                f"{len(left_out):,} of the {counted(len(labelled.examples), 'image')} of {shown(data)} are "
                f"{fault}:{named}{more}\n{remedy}"
            )
            raise DatasetError(
                f"{unusable}, or pass {setting('skip_missing_images')} to measure on the others."
            ) from unusable
    there, of_other_size = headers.sorted_out(there, options)
    skipped = (*labelled.skipped_labels, *of_other_size)
    if not there:
        left = f" {counted(len(skipped), 'image')} with bad labels left out: {skipped[0]}" if skipped else ""
        raise DatasetError(f"{shown(data)} has no image in '{options.split}'. Expected at least one.{left}")
    return Dataset(
        name=str(data),
        split=labelled.split,
        examples=tuple(there),
        missing=tuple(str(example.path) for example in (*missing, *unread)),
        skipped_labels=skipped,
        notes=labelled.notes,
    )


def find_images(path: Path, splits: tuple[str, ...]) -> list[Path]:
    """As `data_yaml.find_images`; what the file system refuses is a DatasetError as well."""
    with _named(path):
        return data_yaml.find_images(path, splits)


def _labelled(path: Path, model: LabelSpec, options: DataOptions) -> Labelled:
    """All that a data set names, whatever it is made of."""
    if not path.exists():
        raise DatasetError(
            f"{shown(path)} does not exist. Expected a data.yaml, a COCO JSON or a folder of class folders."
        )
    is_json = path.suffix.lower() == ".json"
    task = TASKS[model.task]
    if path.is_dir() != task.classifies:
        kind = "a folder" if path.is_dir() else "a file"
        expected = "a folder of class folders" if task.classifies else "a data.yaml or a COCO JSON"
        raise DatasetError(f"{shown(path)} is {kind}, and the model's task is {model.task}. Expected {expected}.")
    if options.images_dir is not None and not is_json:
        raise DatasetError(
            f"{argument('images_dir')} is {options.images_dir}, but {shown(path)} is no COCO JSON. Leave it out."
        )
    if task.gives_map and is_json:
        raise DatasetError(
            f"{shown(path)} is a COCO JSON, which has no value for each pixel of an image, and the model's task is "
            f"{model.task}. Expected a data.yaml whose images have such files beside them."
        )
    if task.classifies:
        return class_folders.read(path, model, options.split)
    try:
        return (coco_json if is_json else data_yaml).read(path, model, options)
    except BadLabelError as error:
        raise DatasetError(
            f"{error} {setting('skip_bad_labels')} leaves such images out, as Ultralytics does."
        ) from error


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns what the file system refuses, names that are too long among them, into a DatasetError."""
    try:
        yield
    except OSError as error:
        name = path if error.filename is None else os.fsdecode(error.filename)
        raise DatasetError(
            f"{shown(path)} cannot be used: {shown(name)} cannot be read ({error.strerror}). Expected a data set whose "
            "files are there and may be read."
        ) from error


def _sorted_out(examples: tuple[Example, ...]) -> tuple[list[Example], list[Example], list[Example]]:
    """Examples whose image is there, is missing, and is there in a format that is not read."""
    there, missing, unread = [], [], []
    for example in examples:
        is_read = example.path.suffix.lower() not in places.IMAGE_SUFFIXES - SUFFIXES
        found = _is_file(example.path)
        (there if found and is_read else unread if found else missing).append(example)
    return there, missing, unread


def _is_file(path: Path) -> bool:
    """Whether there is a file; none is there of a name that is too long, or holds a null byte."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
