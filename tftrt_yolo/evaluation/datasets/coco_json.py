"""COCO's JSON: instances and person_keypoints.

examples = read(Path("instances_val2017.json"), model, images_dir="val2017")
"""

from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np

from tftrt_yolo.evaluation.datasets.examples import Example, LabelSpec
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.files.image_files import MOST_SIDE
from tftrt_yolo.ground.text import first_line, quoted, shown

_LEAST_POLYGON = 6
_MOST_BYTES = 1 << 30  # of a file; instances_train2017.json has 470 million
_MOST = 1e12  # of a coordinate or an area


def read(path: Path, model: LabelSpec, images_dir: str | Path | None) -> list[Example]:
    """Reads and checks a COCO JSON.

    Args:
      path: The file.
      model: What is to be measured: detect, segment or pose.
      images_dir: Folder of the images.

    Returns:
      An example for each image, whether it is there or not, in pixels.

    Raises:
      DatasetError: If the file is damaged, of another task or of other classes than the model; the message names the
        annotation.
    """
    if model.task not in ("detect", "segment", "pose"):
        raise DatasetError(f"{shown(path)} is a COCO JSON, which has no labels for {model.task}. Give a data.yaml.")
    if images_dir is None or not Path(images_dir).is_dir():
        found = "is missing" if images_dir is None else f"is {images_dir}, which is no folder"
        raise DatasetError(
            f"{argument('images_dir')} {found}. Expected the folder of the images that {shown(path)} names."
        )
    document = _load(path)
    class_of = _classes(path, document["categories"], model)
    sizes_hw, files = {}, {}
    for index, image in enumerate(document["images"]):
        place = f"{shown(path)}, image {index}"
        key = _name(image, "id", place)
        sizes_hw[key] = tuple(_whole(image, side, place) for side in ("height", "width"))
        name = PurePosixPath(str(_name(image, "file_name", place)))
        if name.is_absolute() or ".." in name.parts:
            raise DatasetError(
                f"{place}: file_name {shown(name)} leads out of the folder of images. Expected a path inside."
            )
        if key in files:
            raise DatasetError(f"{place}: the id {quoted(key)} is taken already. Expected an id for each image.")
        files[key] = Path(images_dir) / name
    rows = defaultdict(list)
    for index, annotation in enumerate(document["annotations"]):
        place = f"{shown(path)}, annotation {index}"
        key = _name(annotation, "image_id", place)
        if key not in files:
            raise DatasetError(
                f"{place}: there is no image with the id {quoted(key)}. Expected one of the file's images."
            )
        category = _name(annotation, "category_id", place)
        if category not in class_of:
            raise DatasetError(
                f"{place}: there is no category {quoted(category)}. Expected one of the file's categories."
            )
        rows[key].append(_row(annotation, class_of[category], model, sizes_hw[key], place))
    return [Example(file, _truth(rows[key], model), sizes_hw[key]) for key, file in files.items()]


def _load(path: Path) -> dict:
    """Parses the file."""
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


def _classes(path: Path, categories: list, model: LabelSpec) -> dict[int, int]:
    """Category id to the model's class index, by name."""
    index_of = {name: index for index, name in model.names.items()}
    found = {}
    for position, category in enumerate(categories):
        place = f"{shown(path)}, category {position}"
        name = _name(category, "name", place)
        if name not in index_of:
            known = ", ".join(list(index_of)[:5])
            raise DatasetError(
                f"{place} is {quoted(name)}, which is no class of the model; it knows {shown(known)}"
                f"{', ...' if len(index_of) > 5 else ''}. Give the data set that the model was trained for."
            )
        found[_name(category, "id", place)] = index_of[name]
    return found


def _row(annotation: dict, index: int, model: LabelSpec, size_hw: tuple[int, int], place: str) -> dict:
    """One annotation, checked."""
    x, y, width, height = _finite(_get(annotation, "bbox", place), 4, f"{place}: bbox")
    if width < 0 or height < 0:
        raise DatasetError(f"{place}: its box is {width:g} x {height:g} pixels. Expected x, y, width, height.")
    row = {
        "class": index,
        "box": (x, y, x + width, y + height),
        "is_crowd": bool(annotation.get("iscrowd", 0)),
        "area": _finite([annotation.get("area", width * height)], 1, f"{place}: area")[0],
    }
    if model.task == "segment":
        row["outline"] = _outline(annotation.get("segmentation"), size_hw, place)
    if model.task == "pose":
        row["keypoints"] = _keypoints(annotation.get("keypoints"), model.num_keypoints, place)
    return row


def _outline(segmentation: object, size_hw: tuple[int, int], place: str) -> list | dict:
    """A mask: polygons, or a run-length encoding of the image's size."""
    if not segmentation:
        raise DatasetError(
            f"{place}: it has no segmentation. A model for segment needs masks; give labels for segment."
        )
    if isinstance(segmentation, dict):
        return _runs(segmentation, size_hw, place)
    if not isinstance(segmentation, list):
        raise DatasetError(f"{place}: segmentation is a {type(segmentation).__name__}. Expected polygons or runs.")
    polygons = [_finite(polygon, None, f"{place}: segmentation") for polygon in segmentation]
    if any(len(polygon) < _LEAST_POLYGON or len(polygon) % 2 for polygon in polygons):
        raise DatasetError(f"{place}: a polygon needs at least three corners of x and y each.")
    # The library draws every pixel of an outline, and one that is far away would take all memory.
    if any(np.abs(polygon).max() > 2 * max(size_hw) for polygon in polygons):
        raise DatasetError(f"{place}: its polygon lies far outside of the image. Expected pixels of the image.")
    return polygons


def _runs(segmentation: dict, size_hw: tuple[int, int], place: str) -> dict:
    """A run-length encoding, compressed or not, of exactly the image's pixels."""
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if size != list(size_hw) or not isinstance(counts, (list, str)):
        found = size if isinstance(size, list) and len(size) == 2 else quoted(size)
        raise DatasetError(
            f"{place}: its run-length encoding is of size {shown(found, 80)}, the image is of {list(size_hw)}, height "
            "and width. Expected the same, and counts."
        )
    lengths = _uncompressed(counts) if isinstance(counts, str) else counts
    # Python's own whole numbers: a sum of 64 bits may come round to the right one.
    are_lengths = all(type(length) is int and length >= 0 for length in lengths)
    if not lengths or not are_lengths or sum(lengths) != size_hw[0] * size_hw[1]:
        raise DatasetError(f"{place}: the runs of its mask do not add up to the image. Expected every pixel once.")
    return {"size": list(size_hw), "counts": list(lengths)}


def _uncompressed(counts: str) -> list[int]:
    """Runs from COCO's compressed string; nothing, where it is none.

    Five bits a character and a bit for more, the last one's fifth bit is the sign; from the fourth run on the
    difference to the one before the last. Source: rleFrString of COCO's maskApi.c.
    """
    runs, value, shift = [], 0, 0
    for character in counts.encode(errors="replace"):
        bits = character - 48
        if not 0 <= bits < 64 or shift > 30:
            return []
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) and 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _keypoints(values: object, num_keypoints: int, place: str) -> np.ndarray:
    """(K, 3) keypoints of an object."""
    if not isinstance(values, list):
        raise DatasetError(f"{place}: it has no keypoints. A model for pose needs them; give labels for pose.")
    if len(values) != 3 * num_keypoints:
        raise DatasetError(
            f"{place}: it has {len(values) / 3:g} keypoints, and the model has {num_keypoints}. Give the data set that "
            "the model was trained for."
        )
    return np.array(_finite(values, len(values), f"{place}: keypoints")).reshape(-1, 3)


def _truth(rows: list[dict], model: LabelSpec) -> Truth:
    """The arrays of an image's annotations."""
    return Truth(
        classes=np.array([row["class"] for row in rows], np.int64),
        boxes_xyxy=np.array([row["box"] for row in rows], np.float64).reshape(-1, 4),
        outlines=tuple(row["outline"] for row in rows) if model.task == "segment" else None,
        keypoints=np.array([row["keypoints"] for row in rows], np.float64).reshape(-1, model.num_keypoints, 3)
        if model.task == "pose"
        else None,
        areas=np.array([row["area"] for row in rows], np.float64),
        are_crowds=np.array([row["is_crowd"] for row in rows], bool),
    )


def _get(entry: object, key: str, place: str) -> object:
    """A value that must be there."""
    if not isinstance(entry, dict) or key not in entry:
        raise DatasetError(f"{place} has no {key}. Expected COCO's JSON.")
    return entry[key]


def _name(entry: object, key: str, place: str) -> int | str:
    """An id or a name."""
    value = _get(entry, key, place)
    if not isinstance(value, (int, str)):
        raise DatasetError(f"{place}: {key} is {quoted(value)}. Expected a number or a name.")
    return value


def _whole(entry: dict, key: str, place: str) -> int:
    """A length in pixels."""
    value = _get(entry, key, place)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_SIDE:
        raise DatasetError(
            f"{place}: {key} is {quoted(value)}. Expected a whole number of pixels, at most {MOST_SIDE:,}."
        )
    return value


def _finite(values: object, length: int | None, place: str) -> list[float]:
    """Numbers, as many as there must be."""
    is_list = isinstance(values, list) and length in (None, len(values))
    if not is_list or not all(map(_is_number, values)):
        expected = "numbers" if length is None else f"{length} finite numbers"
        few = isinstance(values, list) and len(values) < 5 and all(map(_is_number, values))
        raise DatasetError(f"{place} is {values if few else _first_fault(values)}. Expected {expected}.")
    return values


def _is_number(value: object) -> bool:
    """Whether a value is a number that may be a coordinate or an area; not a number fails every comparison."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_MOST < value < _MOST


def _first_fault(values: object) -> str:
    """What is wrong with values that should be numbers."""
    faults = [value for value in values if not _is_number(value)] if isinstance(values, list) else []
    return quoted(values) + (f" with {quoted(faults[0])} in it" if faults else "")
