"""Folders of classes, for classifiers: a folder for each class, or such folders for each split.

labelled = read(Path("imagenet"), model, "val")        # imagenet/val/n01440764/*.JPEG
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tftrt_yolo.evaluation.datasets import places
from tftrt_yolo.evaluation.datasets.data_yaml import VALIDATION
from tftrt_yolo.evaluation.datasets.examples import Example, Labelled, LabelSpec
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.text import counted, shown

_SPLITS = ("train", *VALIDATION, "test")
_LISTED = 5  # names that a message shows


def read(path: Path, model: LabelSpec, split: str) -> Labelled:
    """Reads class folders.

    Args:
      path: A folder that holds a folder for each class, or such folders for each split.
      model: What is to be measured.
      split: Which split, if there are any.

    Returns:
      An example for each image. Folders are matched by name; where none is named like a class and they are as many as
      the classes, by sorted order, as Ultralytics does it, and a note says so. Those without an image do not count
      where they alone make too many, as nothing was ever trained on them.

    Raises:
      DatasetError: If there is no such split, or the folders are not of the model's classes.
    """
    name, notes = _split(path, model, split)
    root = path / name if name else path
    images_in = {folder: _images(folder) for folder in _folders(root)}
    index_of, found = _class_indices(images_in, model, root)
    examples = []
    for folder, images in images_in.items():
        if images:
            truth = Truth(np.array([index_of[folder.name]]), np.zeros((1, 4)))
            examples += [Example(image, truth) for image in images]
    return Labelled(name, tuple(examples), notes=(*notes, *found))


def _images(folder: Path) -> list[Path]:
    """The images in a folder and its subfolders."""
    return [file for file in places.walk(folder) if file.suffix.lower() in places.IMAGE_SUFFIXES]


def _folders(root: Path) -> list[Path]:
    """The folders in a folder, sorted by name, without those that are hidden or that a system made."""
    return sorted(file for file in root.iterdir() if file.is_dir() and places.is_of_the_data(file.name))


def _split(path: Path, model: LabelSpec, split: str) -> tuple[str, list[str]]:
    """The folder of a split, empty where the classes lie in `path` itself, and what must be known of it.

    Source: ultralytics.data.utils.check_cls_dataset, for the folders and for test and val in each other's place.
    """
    there = {folder.name for folder in _folders(path)}
    classes = there & set(model.names.values())
    wanted = (split, *VALIDATION) if split in VALIDATION else (split,)
    others = {"test": VALIDATION} | dict.fromkeys(VALIDATION, ("test",))
    name = next((name for name in wanted if name in there), None)
    if name is not None:
        return name, []
    name = next((name for name in others.get(split, ()) if name in there - classes), None)
    if name is not None:
        return name, [f"there is no folder '{split}'; '{name}' was taken, as Ultralytics does"]
    known = [name for name in _SPLITS if name in there - classes]
    if known:
        raise DatasetError(
            f"{shown(path)} has no split '{split}'; it has {', '.join(known)}. Expected a folder of this name with a "
            f"folder for each class, such as {shown(path / split)}."
        )
    return "", []


def _class_indices(
    images_in: Mapping[Path, list[Path]], model: LabelSpec, root: Path
) -> tuple[dict[str, int], list[str]]:
    """Folder name to the model's class index, and what must be known of the match."""
    index_of = {}
    for index, name in model.names.items():
        index_of.setdefault(name, index)
    folders = list(images_in)
    others = [folder for folder in folders if folder.name not in index_of]
    if not others:
        return index_of, []
    if len(others) == len(folders) == len(model.names):
        return _by_order(folders, model)
    full = [folder for folder in folders if images_in[folder]]
    if len(full) == len(model.names) and not {folder.name for folder in full} & set(index_of):
        empty = [folder.name for folder in folders if not images_in[folder]]
        found, notes = _by_order(full, model)
        passed = counted(len(empty), "folder without an image was", "folders without an image were")
        return found, [*notes, shown(f"{passed} passed over, {empty[0]} first")]
    known = ", ".join(list(index_of)[:_LISTED])
    matched = counted(len(folders) - len(others), "other folder is", "other folders are")
    raise DatasetError(
        f"{shown(others[0])} is no class of the model, which knows {shown(known)}"
        f"{', ...' if len(index_of) > _LISTED else ''}. Expected folders named like the classes in {shown(root)}, as "
        f"{matched}, or {len(model.names)} folders of other names alone, which are matched by sorted order."
    )


def _by_order(folders: list[Path], model: LabelSpec) -> tuple[dict[str, int], list[str]]:
    """As `_class_indices`, for folders that are named otherwise than the classes."""
    note = (
        f"the folders are named otherwise than the classes and were matched by sorted order, {folders[0].name} as "
        f"{model.names[min(model.names)]} first"
    )
    return dict(zip((folder.name for folder in folders), sorted(model.names), strict=True)), [shown(note)]
