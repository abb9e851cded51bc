"""COCO's JSON: instances and person_keypoints.

    labelled = read(Path("instances_val2017.json"), model, DataOptions(images_dir="val2017"))

What pycocotools takes is taken, with its figures; what it would pass over without a word is said or refused.
"""

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from tftrt_yolo.evaluation.datasets import class_names
from tftrt_yolo.evaluation.datasets.coco import coco_masks, coco_values
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Example, Labelled, LabelSpec
from tftrt_yolo.evaluation.datasets.truth import AREA_OF_BOX, Truth
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import counted, first_line, quoted, shown

_MOST_BYTES = 1 << 30  # of a file; instances_train2017.json has 470 million


def read(path: Path, model: LabelSpec, options: DataOptions) -> Labelled:
    """Reads and checks a COCO JSON.

    Args:
      path: The file.
      model: What is to be measured: detect, segment or pose.
      options: Where the images are, and whether bad labels are skipped.

    Returns:
      An example for each image, whether it is there or not, in pixels.

    Raises:
      DatasetError: If the file is damaged, of another task or of other classes than the model; the message names the
        annotation.
      BadLabelError: If a label does not fit, and such are not to be skipped.
    """
    images_dir = _images_dir(path, model, options)
    document = load(path)
    images = images_of(path, document["images"], images_dir)
    rows, orphans = _annotations_by_image(path, document["annotations"], images)
    class_of, notes = classes_of(path, document, model)
    if orphans:
        passed = counted(orphans, "annotation was", "annotations were")
        notes.append(f"{passed} passed over, of images that the file does not list")
    examples, skipped = [], []
    for key, (file, size_hw) in images.items():
        try:
            truth = _truth([_row(entry, class_of, model, size_hw, place) for entry, place in rows[key]], model)
        except DatasetError as error:
            if not options.skip_bad_labels:
                raise BadLabelError(str(error)) from error
            skipped.append(str(error))
        else:
            examples.append(Example(file, truth, size_hw, is_in_pixels=True))
    return Labelled("", tuple(examples), tuple(skipped), tuple(notes))


def _images_dir(path: Path, model: LabelSpec, options: DataOptions) -> Path:
    """The folder of the images, checked with the task."""
    if model.task not in ("detect", "segment", "pose"):
        raise DatasetError(f"{shown(path)} is a COCO JSON, which has no labels for {model.task}. Give a data.yaml.")
    images_dir = options.images_dir
    if images_dir is None or not Path(images_dir).is_dir():
        found = "is missing" if images_dir is None else f"is {images_dir}, which is no folder"
        raise DatasetError(
            f"{argument('images_dir')} {found}. Expected the folder of the images that {shown(path)} names."
        )
    return Path(images_dir)


def load(path: Path) -> dict:
    """Parses a COCO JSON.

    Args:
      path: The file.

    Returns:
      The document, which has the lists images, annotations and categories.

    Raises:
      DatasetError: If it cannot be read or has not.
    """
    try:
        document = reading.parse_json(reading.read_text(path, _MOST_BYTES), checks_depth=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"it {first_line(error)}"
        raise DatasetError(f"{shown(path)} cannot be read: {reason}. Expected COCO's JSON.") from error
    parts = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(part), list) for part in parts):
        raise DatasetError(
            f"{shown(path)} lacks one of the lists {', '.join(parts)}. Expected COCO's instances or keypoints."
        )
    return document


def images_of(path: Path, entries: list, images_dir: Path) -> dict[object, tuple[Path, tuple[int, int] | None]]:
    """Finds the images of a COCO JSON.

    Args:
      path: The COCO JSON, for messages.
      entries: Its images.
      images_dir: The folder that the files are in.

    Returns:
      Image id to its file and its height and width; None where the COCO JSON does not say them.

    Raises:
      DatasetError: If an entry is damaged or leads out of the folder.
    """
    images = {}
    for index, entry in enumerate(entries):
        place = f"{shown(path)}, image {index}"
        key = coco_values.identity(entry, "id", place)
        height, width = (coco_values.length(entry, side, place) for side in ("height", "width"))
        if key in images:
            raise DatasetError(f"{place}: the id {quoted(key)} is taken already. Expected an id for each image.")
        file = _file(coco_values.name(entry, "file_name", place), images_dir, place)
        images[key] = file, None if None in (height, width) else (height, width)
    return images


def _file(written: str, images_dir: Path, place: str) -> Path:
    """The file of an image; Windows' separators are taken where there is no file of such a name."""
    name, windows_name = PurePosixPath(written), PureWindowsPath(written)
    is_inside = not (name.is_absolute() or windows_name.is_absolute() or ".." in windows_name.parts)
    if not is_inside:
        raise DatasetError(
            f"{place}: file_name {shown(written)} leads out of the folder of images. Expected a path inside."
        )
    if "\\" in written and not (images_dir / name).exists():
        return images_dir / windows_name.as_posix()
    return images_dir / name


def _annotations_by_image(path: Path, entries: list, images: Mapping) -> tuple[dict, int]:
    """Image id to its annotations, each with its place, and how many are of images that the file does not list.

    Raises:
      DatasetError: If all are, for then the ids are wrong.
    """
    rows, orphans, first = defaultdict(list), 0, ""
    for index, entry in enumerate(entries):
        place = f"{shown(path)}, annotation {index}"
        key = coco_values.identity(entry, "image_id", place)
        if key in images:
            rows[key].append((entry, place))
            continue
        first = first or f"{place}: there is no image with the id {quoted(key)}. Expected one of the file's images."
        orphans += 1
    if entries and orphans == len(entries):
        raise DatasetError(first)
    return rows, orphans


def classes_of(path: Path, document: dict, model: LabelSpec) -> tuple[dict, list[str]]:
    """Matches the categories of a COCO JSON with the classes of a model; those without an object do not count.

    Where several categories have a name, they are one class, or one after the other the model's classes of this name.

    Args:
      path: The COCO JSON, for messages.
      document: What it holds.
      model: The model.

    Returns:
      Category id to the model's class index, and what must be known of it.

    Raises:
      DatasetError: If a category that has an object is no class of the model.
    """
    used, names = _used(document["annotations"]), {}
    for position, category in enumerate(document["categories"]):
        place = f"{shown(path)}, category {position}"
        key = coco_values.identity(category, "id", place)
        if key in names:
            raise DatasetError(f"{place}: the id {quoted(key)} is taken already. Expected an id for each category.")
        if key in used or isinstance(category.get("name"), str):
            names[key] = coco_values.name(category, "name", place), place
    indices, found, taken = defaultdict(list), {}, defaultdict(int)
    for index, name in sorted(model.names.items()):
        indices[name].append(index)
    for key, (name, _) in names.items():
        if name in indices:
            found[key] = indices[name][min(taken[name], len(indices[name]) - 1)]
            taken[name] += 1
    missing = [key for key in names if key in used and key not in found]
    if missing:
        return _by_count(path, names, used, model, missing[0])
    merged = len(used & set(found)) - len({found[key] for key in used & set(found)})
    note = f"{counted(merged, 'category counts', 'categories count')} as the class of an earlier one of the same name"
    return found, [note] if merged else []


def _used(annotations: list) -> set:
    """The ids of the categories that have an object; what is none, a row's own check refuses."""
    used = set()
    for annotation in annotations:
        with contextlib.suppress(DatasetError):
            used.add(coco_values.identity(annotation, "category_id", ""))
    return used


def _by_count(path: Path, names: dict, used: set, model: LabelSpec, missing: object) -> tuple[dict, list[str]]:
    """As `_classes`, where either side has only numbers for names: in the order of the ids."""
    for keys in (list(names), [key for key in names if key in used]):
        if len(keys) != len(model.names) or not all(isinstance(key, (int, float)) for key in keys):
            continue
        ordered = dict(enumerate(names[key][0] for key in sorted(keys)))
        nameless = class_names.who_has_numbers(ordered, model.names)
        if nameless:
            matched = dict(zip(sorted(keys), sorted(model.names), strict=True))
            return matched, [f"{class_names.by_count(nameless, len(keys))}, in the order of the categories' ids"]
    name, place = names[missing]
    known = ", ".join(list(model.names.values())[:5])
    raise DatasetError(
        f"{place} is {quoted(name)}, which is no class of the model; it knows {shown(known)}"
        f"{', ...' if len(model.names) > 5 else ''}. Give the data set that the model was trained for."
    )


def _row(annotation: dict, class_of: Mapping, model: LabelSpec, size_hw: tuple[int, int] | None, place: str) -> dict:
    """One annotation, checked."""
    category = coco_values.identity(annotation, "category_id", place)
    if category not in class_of:
        raise DatasetError(f"{place}: there is no category {quoted(category)}. Expected one of the file's categories.")
    x, y, width, height = coco_values.numbers(coco_values.get(annotation, "bbox", place), 4, f"{place}: bbox")
    if width < 0 or height < 0:
        raise DatasetError(f"{place}: its box is {width:g} x {height:g} pixels. Expected x, y, width, height.")
    area = annotation.get("area")
    row = {
        "class": class_of[category],
        "box": (x, y, x + width, y + height),
        "is_crowd": bool(coco_values.count(annotation.get("iscrowd") or 0, f"{place}: iscrowd")),
        "area": AREA_OF_BOX * width * height if area is None else coco_values.numbers([area], 1, f"{place}: area")[0],
    }
    if model.task == "segment":
        if size_hw is None:
            raise DatasetError(f"{place}: its image has no height or width, which a mask needs. Add them to the file.")
        row["outline"] = coco_masks.checked(annotation.get("segmentation"), size_hw, place)
    if model.task == "pose":
        row["keypoints"] = _keypoints(annotation.get("keypoints"), model.num_keypoints, place)
        visible = int(np.count_nonzero(row["keypoints"][:, 2] > 0))
        own = annotation.get("num_keypoints")
        row["num_keypoints"] = visible if own is None else coco_values.count(own, f"{place}: num_keypoints")
    return row


def _keypoints(values: object, num_keypoints: int, place: str) -> np.ndarray:
    """(K, 3) keypoints of an object."""
    if not isinstance(values, list):
        raise DatasetError(f"{place}: it has no keypoints. A model for pose needs them; give labels for pose.")
    if len(values) != 3 * num_keypoints:
        raise DatasetError(
            f"{place}: it has {len(values) / 3:g} keypoints, and the model has {num_keypoints}. Give the data set that "
            "the model was trained for."
        )
    return np.array(coco_values.numbers(values, len(values), f"{place}: keypoints")).reshape(-1, 3)


def _truth(rows: list[dict], model: LabelSpec) -> Truth:
    """The arrays of an image's annotations."""
    is_pose = model.task == "pose"
    return Truth(
        classes=np.array([row["class"] for row in rows], np.int64),
        boxes_xyxy=np.array([row["box"] for row in rows], np.float64).reshape(-1, 4),
        outlines=tuple(row["outline"] for row in rows) if model.task == "segment" else None,
        keypoints=np.array([row["keypoints"] for row in rows], np.float64).reshape(-1, model.num_keypoints, 3)
        if is_pose
        else None,
        areas=np.array([row["area"] for row in rows], np.float64),
        are_crowds=np.array([row["is_crowd"] for row in rows], bool),
        num_keypoints=np.array([row["num_keypoints"] for row in rows], np.int64) if is_pose else None,
    )
