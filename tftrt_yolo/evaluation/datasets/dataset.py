"""Data sets: from a data.yaml, a COCO JSON or a folder of class folders to images with what is on them.

    dataset = open_dataset("digits.yaml", model, DataOptions(split="val"))
    dataset.examples[0].path, dataset.examples[0].truth

Everything is read and checked before the first image runs. Nothing here is ever executed: a data.yaml's `download` is
ignored.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tftrt_yolo.evaluation.datasets import coco_json, labels
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import Dataset, Example, LabelSpec
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.ground.arguments import argument, setting
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files.image_files import SUFFIXES

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
    if not path.exists():
        raise DatasetError(f"{data} does not exist. Expected a data.yaml, a COCO JSON or a folder of class folders.")
    is_json = path.suffix.lower() == ".json"
    if path.is_dir() != (model.task == "classify"):
        kind = "a folder" if path.is_dir() else "a file"
        expected = "a folder of class folders" if model.task == "classify" else "a data.yaml or a COCO JSON"
        raise DatasetError(f"{data} is {kind}, and the model's task is {model.task}. Expected {expected}.")
    if options.images_dir is not None and not is_json:
        raise DatasetError(
            f"{argument('images_dir')} is {options.images_dir}, but {data} is no COCO JSON. Leave it out."
        )
    if model.task == "classify":
        examples = _read_class_folders(path, model, options.split)
    elif is_json:
        examples = coco_json.read(path, model, options.images_dir)
    else:
        examples = _read_yaml(path, model, options)
    there, missing = [], []
    for example in examples:
        (there if example.path.is_file() else missing).append(example)
    if missing and not options.skip_missing_images:
        named = "".join(f"\n  {example.path}" for example in missing[:_LISTED])
        more = f"\n  and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise DatasetError(
            f"{len(missing)} of the {len(examples)} images of {data} are missing:{named}{more}\nCopy them there, or "
            f"pass {setting('skip_missing_images')} to measure on the others."
        )
    if not there:
        raise DatasetError(f"{data} has no image in '{options.split}'. Expected at least one.")
    split = "" if is_json else options.split
    return Dataset(str(data), split, tuple(there), tuple(str(example.path) for example in missing))


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
    document = _load_yaml(path)
    for split in splits:
        if document.get(split):
            return _split_images(path, document, split)
    raise DatasetError(f"{path} has none of the splits {', '.join(splits)}. Expected a folder of images under one.")


def _read_yaml(path: Path, model: LabelSpec, options: DataOptions) -> list[Example]:
    """Reads an Ultralytics data.yaml."""
    document = _load_yaml(path)
    _check_names(path, document.get("names"), model)
    shape = _keypoint_shape(path, document.get("kpt_shape"))
    if model.task == "pose" and (shape is None or shape[0] != model.num_keypoints):
        found = "no kpt_shape" if shape is None else f"{shape[0]} keypoints (kpt_shape {list(shape)})"
        raise DatasetError(
            f"{path} has {found}, and the model has {model.num_keypoints} keypoints. Give the data set that the model "
            "was trained for."
        )
    splits = [key for key in ("train", "val", "test") if document.get(key)]
    if options.split not in splits:
        raise DatasetError(
            f"{path} has no split '{options.split}'; it has {', '.join(splits) or 'none'}. Expected a folder, a list "
            "of folders or a .txt with an image a line under that key."
        )
    images = _split_images(path, document, options.split)
    label_format = labels.LabelFormat(model.task, len(model.names), shape, options.boxes_only)
    return [Example(image, labels.read(label_path(image), label_format)) for image in images]


def _split_images(path: Path, document: dict, split: str) -> list[Path]:
    """The images of one split of a data.yaml, each once."""
    root = path.parent / str(document.get("path") or "")
    entries, images = document[split], {}
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, str):
            raise DatasetError(f"{path}: '{split}' holds {entry!r}. Expected the path of a folder or a .txt.")
        images |= dict.fromkeys(_images_of(root / entry, path))
    return list(images)


def _load_yaml(path: Path) -> dict:
    """Parses a YAML file into a dictionary, with plain values only."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        place = getattr(error, "problem_mark", None)
        line = f", line {place.line + 1}" if place else ""
        reason = getattr(error, "problem", None) or error
        raise DatasetError(f"{path}{line} cannot be read: {reason}. Expected Ultralytics' data.yaml.") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{path} holds a {type(document).__name__}. Expected Ultralytics' keys: path, val, names.")
    return document


def _check_names(path: Path, names: object, model: LabelSpec) -> None:
    """Refuses a data set of other classes than the model's."""
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise DatasetError(f"{path} has no names. Expected a list of class names, or class index to name.")
    names = {str(index): str(name) for index, name in names.items()}
    expected = {str(index): name for index, name in model.names.items()}
    if names == expected:
        return
    if len(names) != len(expected):
        difference = f"has {len(names)} classes, and the model has {len(expected)}"
    else:
        index = next(index for index in expected if names.get(index) != expected[index])
        difference = f"calls class {index} {names.get(index)!r}, and the model calls it {expected[index]!r}"
    raise DatasetError(f"{path} {difference}. Give the data set that the model was trained for.")


def _keypoint_shape(path: Path, shape: object) -> tuple[int, int] | None:
    """kpt_shape, checked."""
    if shape is None:
        return None
    if (
        not isinstance(shape, (list, tuple))
        or len(shape) != 2
        or not all(isinstance(value, int) for value in shape)
        or shape[0] < 1
        or shape[1] not in (2, 3)
    ):
        raise DatasetError(f"{path} has kpt_shape {shape!r}. Expected [keypoints, 2 or 3].")
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
            lines = place.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DatasetError(f"{place} cannot be read ({error}). Expected the path of an image a line.") from error
        yield from (place.parent / line.strip() for line in lines if line.strip())
    else:
        raise DatasetError(
            f"{yaml_path} names {place}, which is not there. Expected a folder of images, or a .txt with the path of "
            "an image a line, relative to that file."
        )


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
                f"{folder} is no class of the model, which knows {known}{', ...' if len(index_of) > _LISTED else ''}. "
                f"Expected folders named like the classes, in {path} or in {path / split}."
            )
        truth = Truth(np.array([index_of[folder.name]]), np.zeros((1, 4)))
        images = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
        examples += [Example(image, truth) for image in images]
    return examples
