"""Masks with a class for each pixel, as Ultralytics' data sets for semantic segmentation have them.

    example_of = reader(document, 19, "cityscapes8.yaml")
    example = example_of(Path("images/val/a.png"))      # masks/val/a.png, its classes counted
    example.truth.drawn((480, 640))                     # (480, 640) uint8: class indices, and 255 for no label

`masks_dir` names the folder that stands in place of the last `images`; without it that is `masks`, if the data set has
such a folder, and where it has none its labels are polygons (class_polygons). `label_mapping` has the class of each
value of a mask where these are others, with "ignore_label" for none.

Source: ultralytics.data.dataset.SemanticDataset; check_det_dataset, verify_image_mask and read_mask of
ultralytics.data.utils.
"""

import functools
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.evaluation.datasets import class_names, places
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Example
from tftrt_yolo.evaluation.datasets.truth import IGNORED, ClassTruth
from tftrt_yolo.graph.class_values import first_value
from tftrt_yolo.ground.errors import DatasetError, ImageError
from tftrt_yolo.ground.files import image_files, image_formats, image_structure, reading
from tftrt_yolo.ground.text import clause, quoted, shown

_WORD, _FOLDER = "ignore_label", "masks"
_NUM_VALUES = 256
_NO_CLASS = -1
_MOST_BYTES = 512 << 20  # of a file
_MOST_MAPPED = 100_000
_ENDINGS = (".png", ".bmp", ".tif", ".tiff")  # in this order; those of formats that lose nothing
_FORMATS = ("PNG", "BMP", "TIFF")
_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's, of a single number a pixel
_COLOURED = ("LA", "RGB", "RGBA")  # a grey that was written as a colour, where all channels before alpha are the same
_BIT_DEPTH = 24  # the byte of a PNG that says how many bits a channel has
_LISTED = 12  # values that a message names
_WHOLE = re.compile(r"\s*[+-]?\d{1,9}\s*", re.ASCII)
_EXPECTED = "Expected a grey PNG of the image's size with a class index for each pixel, 255 where there is none."


def folder_of(document: dict, place: str, roots: Sequence[Path] = ()) -> str | None:
    """Which folder a data set's masks lie in.

    Args:
      document: Its data.yaml.
      place: The file, for messages.
      roots: Folders that its paths may count from, where a folder `masks` may lie that it does not name.

    Returns:
      What stands in place of the last `images` of a path; None where there are no masks, and labels are polygons.

    Raises:
      DatasetError: If it cannot be a folder's name.
    """
    folder = document.get("masks_dir")
    if folder in (None, ""):
        return _FOLDER if any((root / _FOLDER).is_dir() for root in roots) else None
    folder = class_names.text(folder, "masks_dir", place).replace("\\", "/").strip("/")
    if not folder or "\0" in folder or {"", ".", ".."} & set(folder.split("/")):
        raise DatasetError(
            f"{place} has masks_dir {quoted(folder)}. Expected the name of the folder that stands in place of images."
        )
    return folder


def reader(document: dict, num_classes: int, place: str, folder: str = _FOLDER) -> Callable[[Path], Example]:
    """Prepares to read the masks of a data set.

    Args:
      document: Its data.yaml.
      num_classes: The model's; of one class masks have 1 where it is and 0 elsewhere.
      place: The file, for messages.
      folder: As `folder_of` gives it.

    Returns:
      What takes an image's path to an Example, and raises a BadLabelError for a mask that is not there or does not fit.

    Raises:
      DatasetError: If the data set has a mapping that does not fit.
    """
    first = first_value(num_classes)
    table = _table(document.get("label_mapping"), first + num_classes - 1, place)
    return functools.partial(_example, folder, first, table)


def _example(folder: str, first: int, table: np.ndarray, image: Path) -> Example:
    """An image with the classes of its pixels."""
    paths = [places.label_path(image, folder, ending) for ending in _ENDINGS]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise BadLabelError(f"{shown(image)} has no mask: {shown(paths[0])} is not there. {_EXPECTED}")
    mask = _read(path, table)
    truth = ClassTruth(drawn=functools.partial(_drawn, path, table), first=first).counted(mask)
    return Example(image, truth, mask.shape, is_in_pixels=True)


def _drawn(path: Path, table: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """A mask's classes at a size, of each pixel the nearest."""
    import cv2  # late: of a data set whose labels are polygons or boxes none is needed

    mask = _read(path, table)
    return mask if mask.shape == size_hw else cv2.resize(mask, size_hw[::-1], interpolation=cv2.INTER_NEAREST)


def _table(mapping: object, last: int, place: str) -> np.ndarray:
    """(256,) int16, the class, up to the last, of each value of a mask; 255 for no label, `_NO_CLASS` for no class."""
    table = np.arange(_NUM_VALUES, dtype=np.int16)
    if mapping is not None and (not isinstance(mapping, dict) or len(mapping) > _MOST_MAPPED):
        raise DatasetError(f"{place} has label_mapping {quoted(mapping)}. Expected the values of a mask to classes.")
    for value, index in (mapping or {}).items():
        source, target = _whole(value), IGNORED if index is None or _is_word(index) else _whole(index)
        if source is None or target is None:
            raise DatasetError(
                f"{place}: label_mapping takes {quoted(value)} to {quoted(index)}. Expected a whole number to a whole "
                f"number, or to {_WORD}."
            )
        if 0 <= source < _NUM_VALUES:  # Cityscapes maps -1, which no picture holds
            table[source] = target if 0 <= target < _NUM_VALUES else _NO_CLASS
    return np.where((table > last) & (table != IGNORED), np.int16(_NO_CLASS), table)


def _is_word(value: object) -> bool:
    """Whether a mapping's target says that there is no label."""
    return isinstance(value, str) and value.strip() == _WORD


def _whole(value: object) -> int | None:
    """A whole number, also as text; None for anything else."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and abs(value) <= _MOST_MAPPED else None


def _read(path: Path, table: np.ndarray) -> np.ndarray:
    """A mask's classes, (height, width) uint8."""
    values = _values(path)
    strange = values[(values < 0) | (values >= _NUM_VALUES)]
    if not strange.size:
        classes = table[values]
        strange = values[classes == _NO_CLASS]
    if strange.size:
        known = np.flatnonzero((table != _NO_CLASS) & (table != IGNORED))
        listed = ", ".join(map(str, known[:_LISTED])) + (" and so on" if len(known) > _LISTED else "")
        raise BadLabelError(
            f"{shown(path)} has the value {int(strange[0])} at {strange.size:,} of {values.size:,} pixels, which is no "
            f"class. Expected {listed or 'no value'}, as the data set's names and label_mapping say, and {IGNORED} "
            "where there is no label."
        )
    return classes.astype(np.uint8)


def _values(path: Path) -> np.ndarray:
    """A mask's numbers, (height, width), of any integer type."""
    name = shown(path)
    try:
        data = reading.read_bytes(path, _MOST_BYTES)
        if not data:
            raise reading.UnreadableError("is empty")
        file_format = image_formats.of(data)
        if file_format not in _FORMATS:
            raise reading.UnreadableError(f"is a {file_format}, whose values are not those that were written")
        with image_files.damages_named(name):
            return _decoded(data, file_format, name)
    except OSError as error:
        raise BadLabelError(f"{name} cannot be read: {error.strerror or clause(error)}. {_EXPECTED}") from error
    except reading.UnreadableError as error:
        raise BadLabelError(f"{name} cannot be read: it {str(error).removesuffix('.')}. {_EXPECTED}") from error
    except ImageError as error:
        raise BadLabelError(str(error)) from error


def _decoded(data: bytes, file_format: str, name: str) -> np.ndarray:
    """The numbers of a file's bytes; what is whole and no mask is a BadLabelError, which is no damage."""
    image_structure.check(data, file_format)
    with PIL.Image.OPEN[file_format][0](io.BytesIO(data), "") as image:  # as image_files
        width, height = image.size
        if width * height > image_files.MOST_PIXELS:
            raise BadLabelError(f"{name} has {width:,} x {height:,} pixels, too many to be safe. {_EXPECTED}")
        # Of 16 bits a channel Pillow would keep the upper 8, which of class indices are all 0.
        is_coloured = image.mode in _COLOURED and file_format == "PNG" and data[_BIT_DEPTH] == 8
        if image.mode not in _MODES and not is_coloured:
            raise BadLabelError(f"{name} is a picture of {image.mode}, and no class for each pixel. {_EXPECTED}")
        image.load()
        if image.mode == "P":  # indices, unless the colours are greys: then those are what is meant
            palette = np.array(image.getpalette(), np.int64).reshape(-1, 3)
            is_grey = (palette == palette[:, :1]).all()
            return np.asarray(image.convert("L") if is_grey else image)
        values = np.asarray(image)
    if is_coloured:
        return _grey(values, name)
    return values.astype(np.uint8) if values.dtype == bool else values


def _grey(values: np.ndarray, name: str) -> np.ndarray:
    """The grey (height, width) that all channels of a picture but its alpha have, (height, width, 2 to 4) uint8.

    Ultralytics makes a grey of any colours, whose brightness is no class.
    """
    grey, others = values[..., 0], values[..., 1:3] if values.shape[-1] > 2 else values[..., :0]
    if (others != grey[..., np.newaxis]).any():
        raise BadLabelError(f"{name} is a picture in colours, and no class for each pixel. {_EXPECTED}")
    return grey
