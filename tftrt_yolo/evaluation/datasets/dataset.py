"""Data sets: from a data.yaml, a COCO JSON or a folder of class folders to images with what is on them.

    dataset = open_dataset("digits.yaml", model, DataOptions(split="val"))
    dataset.examples[0].path, dataset.examples[0].truth

Everything is read and checked before the first image runs. Nothing here is ever executed: a data.yaml's `download` is
ignored.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tftrt_yolo.evaluation.datasets import coco_json, labels
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import Dataset, Example, LabelSpec
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.ground.arguments import argument, setting
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.files.image_files import SUFFIXES
from tftrt_yolo.ground.text import counted, first_line, quoted, shown

_MOST_BYTES = 4 << 20  # of a data.yaml
_MOST_LIST_BYTES = 256 << 20  # of a list of images, two million or more
_MOST_NUMBER = 10**80  # longer ones Python does not write as text
_MOST_KEYPOINTS = 10_000
_LISTED = 5  # missing images that a message names


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
        image is missing and that is not allowed.
    """
    path = Path(data)
    with _named(path):
        examples = _examples(path, model, options)
        there, missing = [], []
        for example in examples:
            (there if _is_file(example.path) else missing).append(example)
    if missing and not options.skip_missing_images:
        named = "".join(f"\n  {shown(example.path)}" for example in missing[:_LISTED])
        more = f"\n  and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise DatasetError(
            f"{len(missing):,} of the {counted(len(examples), 'image')} of {shown(data)} are "
            f"missing:{named}{more}\nCopy them "
            f"there, or pass {setting('skip_missing_images')} to measure on the others."
        )
    if not there:
        raise DatasetError(f"{shown(data)} has no image in '{options.split}'. Expected at least one.")
    split = "" if path.suffix.lower() == ".json" else options.split
    return Dataset(str(data), split, tuple(there), tuple(str(example.path) for example in missing))


def _examples(path: Path, model: LabelSpec, options: DataOptions) -> list[Example]:
    """All that a data set names, whatever it is made of."""
    if not path.exists():
        raise DatasetError(
            f"{shown(path)} does not exist. Expected a data.yaml, a COCO JSON or a folder of class folders."
        )
    is_json = path.suffix.lower() == ".json"
    if path.is_dir() != (model.task == "classify"):
        kind = "a folder" if path.is_dir() else "a file"
        expected = "a folder of class folders" if model.task == "classify" else "a data.yaml or a COCO JSON"
        raise DatasetError(f"{shown(path)} is {kind}, and the model's task is {model.task}. Expected {expected}.")
    if options.images_dir is not None and not is_json:
        raise DatasetError(
            f"{argument('images_dir')} is {options.images_dir}, but {shown(path)} is no COCO JSON. Leave it out."
        )
    if model.task == "classify":
        return _read_class_folders(path, model, options.split)
    return coco_json.read(path, model, options.images_dir) if is_json else _read_yaml(path, model, options)


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


def _is_file(path: Path) -> bool:
    """Whether there is a file; none is there of a name that is too long, or holds a null byte."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def find_images(path: Path, splits: tuple[str, ...]) -> list[Path]:
    """Lists the images of a data.yaml without reading labels.

    Args:
      path: An Ultralytics data.yaml.
      splits: The splits to look for; the first that it has is taken.

    Returns:
      Paths; not all need be there.

    Raises:
      DatasetError: If the file is damaged, has none of the splits, or names a folder that is not there.
    """
    with _named(path):
        document = _load_yaml(path)
        for split in splits:
            if document.get(split):
                return _split_images(path, document, split)
    raise DatasetError(
        f"{shown(path)} has none of the splits {', '.join(splits)}. Expected a folder of images under one."
    )


def _read_yaml(path: Path, model: LabelSpec, options: DataOptions) -> list[Example]:
    """Reads an Ultralytics data.yaml."""
    document = _load_yaml(path)
    _check_names(path, document.get("names"), model)
    shape = _keypoint_shape(path, document.get("kpt_shape"))
    if model.task == "pose" and (shape is None or shape[0] != model.num_keypoints):
        found = "no kpt_shape" if shape is None else f"{counted(shape[0], 'keypoint')} (kpt_shape {list(shape)})"
        raise DatasetError(
            f"{shown(path)} has {found}, and the model has {counted(model.num_keypoints, 'keypoint')}. Give the "
            "data set that the "
            "model was trained for."
        )
    splits = [key for key in ("train", "val", "test") if document.get(key)]
    if options.split not in splits:
        raise DatasetError(
            f"{shown(path)} has no split '{options.split}'; it has {', '.join(splits) or 'none'}. Expected a folder, a "
            "list of folders or a .txt with an image a line under that key."
        )
    images = _split_images(path, document, options.split)
    label_format = labels.LabelFormat(model.task, len(model.names), shape, options.boxes_only)
    return [Example(image, labels.read(label_path(image), label_format)) for image in images]


def _split_images(path: Path, document: dict, split: str) -> list[Path]:
    """The images of one split of a data.yaml, each once."""
    root = path.parent / _text(document.get("path") or "", "path", path)
    entries, images = document[split], {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, str):
            raise DatasetError(
                f"{shown(path)}: '{split}' holds {quoted(entry)}. Expected the path of a folder or a .txt."
            )
        images |= dict.fromkeys(_images_of(root / entry, path))
    return list(images)


def _text(value: object, what: str, path: Path) -> str:
    """A name or a path of a data.yaml, which YAML may take for a number."""
    if isinstance(value, (list, dict, bytes)) or (isinstance(value, int) and abs(value) > _MOST_NUMBER):
        raise DatasetError(f"{shown(path)}: {what} is {quoted(value)}. Expected text.")
    return str(value)


def _load_yaml(path: Path) -> dict:
    """Parses a YAML file into a dictionary, with plain values only."""
    try:
        document = reading.parse_yaml(reading.read_text(path, _MOST_BYTES))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"it {first_line(error)}"
        raise DatasetError(f"{shown(path)} cannot be read: {reason}. Expected Ultralytics' data.yaml.") from error
    if not isinstance(document, dict):
        raise DatasetError(
            f"{shown(path)} holds a {type(document).__name__}. Expected Ultralytics' keys: path, val, names."
        )
    return document


def _check_names(path: Path, names: object, model: LabelSpec) -> None:
    """Refuses a data set of other classes than the model's."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DatasetError(f"{shown(path)} has no names. Expected a list of class names, or class index to name.")
    names = {
        _text(index, "an index of names", path): _text(name, "one of names", path) for index, name in names.items()
    }
    expected = {str(index): name for index, name in model.names.items()}
    if names == expected:
        return
    if len(names) != len(expected):
        difference = f"has {counted(len(names), 'class', 'classes')}, and the model has {len(expected)}"
    else:
        index = next(index for index in expected if names.get(index) != expected[index])
        difference = f"calls class {index} {quoted(names.get(index))}, and the model calls it {quoted(expected[index])}"
    raise DatasetError(f"{shown(path)} {difference}. Give the data set that the model was trained for.")


def _keypoint_shape(path: Path, shape: object) -> tuple[int, int] | None:
    """kpt_shape, checked."""
    if shape is None:
        return None
    if (
        not isinstance(shape, (list, tuple))
        or len(shape) != 2
        or not all(isinstance(value, int) and not isinstance(value, bool) for value in shape)
        or not 1 <= shape[0] <= _MOST_KEYPOINTS
        or shape[1] not in (2, 3)
    ):
        is_short = isinstance(shape, list) and len(shape) < 4
        are_numbers = is_short and all(isinstance(one, (int, float)) and abs(one) < _MOST_NUMBER for one in shape)
        found = shape if are_numbers else quoted(shape)
        raise DatasetError(f"{shown(path)} has kpt_shape {found}. Expected [keypoints, 2 or 3].")
    return tuple(shape)


def _images_of(place: Path, yaml_path: Path) -> Iterator[Path]:
    """The images of a folder and its subfolders, or of a list; a label without its image counts as a missing one."""
    if place.is_dir():
        found = sorted(file for file in place.rglob("*") if file.suffix.lower() in SUFFIXES)
        yield from found
        labels_dir = label_path(place / "any").parent
        if labels_dir != place and labels_dir.is_dir():
            labelled = {label_path(image) for image in found}
            for label in sorted(labels_dir.rglob("*.txt")):
                if label not in labelled and label.name != "classes.txt":
                    yield (place / label.relative_to(labels_dir)).with_suffix(".jpg")
    elif place.suffix == ".txt" and place.is_file():
        try:
            lines = reading.read_text(place, _MOST_LIST_BYTES, "utf-8-sig").splitlines()
        except ValueError as error:
            raise DatasetError(
                f"{shown(place)} cannot be read: it {first_line(error)}. Expected the path of an image a line."
            ) from error
        yield from (_listed(line.strip(), number, place) for number, line in enumerate(lines, start=1) if line.strip())
    else:
        raise DatasetError(
            f"{shown(yaml_path)} names {shown(place)}, which is not there. Expected a folder of images, or a .txt "
            "with the path of an image a line, relative to that file."
        )


def _listed(line: str, number: int, place: Path) -> Path:
    """The image that a line of a list names."""
    image = place.parent / line
    if not image.name or image.name == ".." or "\0" in line:
        raise DatasetError(f"{shown(place)}, line {number} is {quoted(line)}. Expected the path of an image.")
    return image


def label_path(image: Path) -> Path:
    """Where an image's labels are: under labels instead of the last images, with the ending .txt."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _read_class_folders(path: Path, model: LabelSpec, split: str) -> list[Example]:
    """Reads a folder that holds a folder for each class, or such folders for each split."""
    root = path / split if (path / split).is_dir() else path
    index_of = {name: index for index, name in model.names.items()}
    examples = []
    for folder in sorted(file for file in root.iterdir() if file.is_dir()):
        if folder.name not in index_of:
            known = ", ".join(list(index_of)[:_LISTED])
            raise DatasetError(
                f"{shown(folder)} is no class of the model, which knows {shown(known)}"
                f"{', ...' if len(index_of) > _LISTED else ''}. Expected folders named like the classes, in "
                f"{shown(path)} or in {shown(path / split)}."
            )
        truth = Truth(np.array([index_of[folder.name]]), np.zeros((1, 4)))
        images = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
        examples += [Example(image, truth) for image in images]
    return examples
