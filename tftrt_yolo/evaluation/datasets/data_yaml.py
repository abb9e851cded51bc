"""Ultralytics' data.yaml: which images, which classes, which key points; and the labels beside the images.

    labelled = read(Path("digits.yaml"), model, DataOptions(split="val"))
    images = find_images(Path("digits.yaml"), ("train", "val"))

Nothing here is ever executed: a data.yaml's `download` is ignored.
"""

from collections.abc import Callable
from pathlib import Path

from tftrt_yolo.contract import DEPTH, SEMANTIC
from tftrt_yolo.evaluation.datasets import class_names, labels, places
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Example, Labelled, LabelSpec
from tftrt_yolo.evaluation.datasets.maps import class_masks, class_polygons, depth_labels
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import first_line, quoted, shown

VALIDATION = ("val", "validation", "valid")  # one split by its names
_SPLITS = ("train", *VALIDATION, "test", "minival")  # what may be a split of a data.yaml
_MOST_BYTES = 4 << 20  # of a data.yaml
_MOST_NUMBER = 10**80  # longer ones Python does not write as text
_MOST_KEYPOINTS = 10_000


def read(path: Path, model: LabelSpec, options: DataOptions) -> Labelled:
    """Reads a data.yaml and the labels of one split.

    Args:
      path: The file.
      model: What is to be measured.
      options: What of it.

    Returns:
      An example for each image, whether it is there or not, in fractions of its sides.

    Raises:
      DatasetError: If the file is damaged, of another task or other classes than the model, or has no such split.
      BadLabelError: If a label does not fit, and such are not to be skipped.
    """
    document, place = _load(path), shown(path)
    names = class_names.of_yaml(document.get("names"), document.get("nc"), place)
    if model.task in (SEMANTIC, DEPTH):
        example_of, note = _of_maps(path, document, names, model)
    else:
        example_of, note = _of_objects(path, document, names, model, options)
    split = _split(path, document, options.split)
    images, found_elsewhere = _split_images(path, document, split)
    examples, skipped = [], []
    for image in images:
        try:
            examples.append(example_of(image))
        except BadLabelError as error:
            if not options.skip_bad_labels:
                raise
            skipped.append(str(error))
    return Labelled(split, tuple(examples), tuple(skipped), tuple(filter(None, (note, *found_elsewhere))))


def _of_objects(
    path: Path, document: dict, names: dict[int, str], model: LabelSpec, options: DataOptions
) -> tuple[Callable[[Path], Example], str]:
    """What makes an Example of an image from the text that belongs to it, and a note on the classes."""
    place = shown(path)
    note = class_names.check(names, model.names, place)
    shape = _keypoint_shape(path, document.get("kpt_shape"))
    if model.task == "pose" and (shape is None or shape[0] != model.num_keypoints):
        found = "no kpt_shape" if shape is None else f"{shape[0]} keypoints (kpt_shape {list(shape)})"
        raise DatasetError(
            f"{place} has {found}, and the model has {model.num_keypoints} keypoints. Give the data set that the "
            "model was trained for."
        )
    label_format = labels.LabelFormat(model.task, len(model.names), shape, options.boxes_only)
    return lambda image: Example(image, labels.read(places.label_path(image), label_format)), note


def _of_maps(
    path: Path, document: dict, names: dict[int, str], model: LabelSpec
) -> tuple[Callable[[Path], Example], str]:
    """As `_of_objects`, of tasks with a value for each pixel."""
    place = shown(path)
    if model.task == DEPTH:  # a depth is of no class
        return depth_labels.reader(document, place), ""
    folder = class_masks.folder_of(document, place, _roots(path, document)[1])
    if folder is None:
        return class_polygons.reader(len(names)), class_polygons.check_names(names, model.names, place)
    note = class_names.check(names, model.names, place)
    return class_masks.reader(document, len(model.names), place, folder), note


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
    document = _load(path)
    for split in splits:
        key = _key(document, split)
        if key:
            return _split_images(path, document, key)[0]
    raise DatasetError(
        f"{shown(path)} has none of the splits {', '.join(splits)}. Expected a folder of images under one."
    )


def _key(document: dict, split: str) -> str | None:
    """The key of a split, whichever of its names the file has; None if it has none."""
    names = (split, *VALIDATION) if split in VALIDATION else (split,)
    return next((name for name in names if name in _SPLITS and document.get(name)), None)


def _split(path: Path, document: dict, split: str) -> str:
    """The key of the split that was asked for."""
    key = _key(document, split)
    if key is None:
        known = ", ".join(name for name in _SPLITS if document.get(name))
        raise DatasetError(
            f"{shown(path)} has no split '{split}'; it has {known or 'none'}. Expected a folder, a list of folders or "
            f"a .txt with an image a line under that key; {argument('split')} names another one."
        )
    return key


def _split_images(path: Path, document: dict, split: str) -> tuple[list[Path], list[str]]:
    """The images of one split of a data.yaml, each once, and what must be known of where they were found."""
    near, roots = _roots(path, document)
    entries, images, notes = document[split], {}, []
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, str):
            raise DatasetError(
                f"{shown(path)}: '{split}' holds {quoted(entry)}. Expected the path of a folder or a .txt."
            )
        place = places.resolve(entry, roots)
        if not place.is_dir() and not place.is_file():
            raise DatasetError(
                f"{shown(path)} names {shown(place)}, which is not there. Expected a folder of images, or a .txt "
                "with the path of an image a line, relative to that file."
            )
        if place != places.resolve(entry, near):
            notes.append(f"'{shown(entry)}' was taken from {shown(place)}, for it is not in {shown(roots[0])}")
        images |= dict.fromkeys(places.images_of(place, (*roots, Path())))
    return list(images), notes


def _roots(path: Path, document: dict) -> tuple[list[Path], list[Path]]:
    """The folders near a data.yaml that its paths count from, and all of them, the likeliest first."""
    base = class_names.text(document.get("path") or "", "path", shown(path))
    # Ultralytics counts `path` from where the program was started; a file from another machine lies beside its images,
    # and one from Windows has its separators.
    spellings = dict.fromkeys((base, base.replace("\\", "/")))
    near = [path.parent / spelling for spelling in spellings]
    return near, [*near, *map(Path, spellings), path.parent] if base else near


def _load(path: Path) -> dict:
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
