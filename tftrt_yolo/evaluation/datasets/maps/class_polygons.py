"""Class maps drawn from the polygons of YOLO's labels, where a data set for semantic segmentation has no masks.

    note = check_names(names, model.names, "digits.yaml")    # the model has one class more, the background
    example_of = reader(len(names))
    example = example_of(Path("images/val/a.png"))           # labels/val/a.txt
    example.truth.drawn((480, 640))                          # (480, 640) uint8, class indices

As Ultralytics draws them: corners are whole pixels, their fractions cut off, and an outline is of its polygon. Where
some overlap, the pixels are of the one with the fewest pixels. What none covers is of the class "background" behind
all others; of a single class 1 is what a polygon covers and 0 what is beside it. Nothing is left without a label.

Polygons of as many pixels as each other keep the order of their lines, the last one above the others. Ultralytics
sorts them as NumPy's quickest way happens to, which is not the same on every processor.

Source: ultralytics.data.dataset.PolygonSemanticDataset; add_polygon_background, polygons2masks_overlap and
verify_image_label of ultralytics.data.utils.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tftrt_yolo.evaluation.datasets import class_names, labels, places
from tftrt_yolo.evaluation.datasets.examples import Example
from tftrt_yolo.evaluation.datasets.truth import IGNORED, ClassTruth
from tftrt_yolo.graph.class_values import first_value
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.text import counted

BACKGROUND = "background"  # what Ultralytics calls it


def check_names(names: Mapping[int, str], model_names: Mapping[int, str], place: str) -> str:
    """Refuses a data set of other classes than the model's, which has the background behind them.

    Args:
      names: As of `class_names.check`, like the others.
      model_names: With the background, or without it if there is one class.
      place: For messages.

    Returns:
      As `class_names.check`.

    Raises:
      DatasetError: If the classes are others, or more than a class map of bytes has values for.
    """
    behind = len(names)
    if behind >= IGNORED:
        raise DatasetError(
            f"{place} has no masks and {counted(behind, 'class', 'classes')}. Expected at most {IGNORED - 1}, for a "
            f"class map that is drawn from polygons has a byte a pixel, and one value is of the {BACKGROUND}."
        )
    if behind > 1 and model_names.get(behind) == BACKGROUND and len(model_names) == behind + 1:
        return class_names.check(names, {index: model_names[index] for index in range(behind)}, place)
    own = dict(names) if behind == 1 else {**names, behind: BACKGROUND}
    try:
        return class_names.check(own, model_names, f"{place}, with what its polygons leave as '{BACKGROUND}',")
    except DatasetError as error:
        raise DatasetError(
            f"{error} For want of a masks_dir and of a folder masks its labels are taken for polygons; masks are a "
            "folder of PNG files beside the images, which masks_dir names."
        ) from error


def reader(num_classes: int) -> Callable[[Path], Example]:
    """Prepares to read the polygons of a data set.

    Args:
      num_classes: The data set's, without the background.

    Returns:
      What takes an image's path to an Example, and raises a BadLabelError for a label that is no polygon or does not
      fit; an image without a label is all background.
    """
    return functools.partial(_example, labels.LabelFormat("semantic", num_classes))


def _example(label_format: labels.LabelFormat, image: Path) -> Example:
    """An image with the polygons on it."""
    truth = labels.read(places.label_path(image), label_format)
    polygons = [np.float32(polygon).reshape(-1, 2) for [polygon] in truth.outlines]
    first = first_value(label_format.num_classes)
    background = 0 if first else label_format.num_classes
    draw = functools.partial(_drawn, polygons, (truth.classes + first).tolist(), background)
    classes = ClassTruth(drawn=draw, first=first, num_objects=len(truth), pixel_counts=truth.class_counts())
    return Example(image, classes)


def _drawn(polygons: list[np.ndarray], values: list[int], background: int, size_hw: tuple[int, int]) -> np.ndarray:
    """The classes of an image's pixels.

    Args:
      polygons: Of each object its corners, (corners, 2) float32, x and y as fractions of the image's sides.
      values: Of each object what its pixels are to be.
      background: What the others are to be.
      size_hw: Height and width of the image in pixels.

    Returns:
      (height, width) uint8.
    """
    import cv2  # late: of a data set whose labels are masks or boxes none is needed

    height, width = size_hw
    corners = [(polygon * np.float32([width, height])).astype(np.int32) for polygon in polygons]
    canvas, areas = np.zeros(size_hw, np.uint8), []
    for one in corners:
        cv2.fillPoly(canvas, [one], 1)
        (left, top), (right, bottom) = np.maximum(one.min(axis=0), 0), np.maximum(one.max(axis=0), 0)
        drawn = canvas[top : bottom + 1, left : right + 1]  # what lies beside it was not touched
        areas.append(np.count_nonzero(drawn))
        drawn[:] = 0
    classes = np.full(size_hw, background, np.uint8)
    for index in np.argsort(-np.array(areas, np.int64), kind="stable"):
        cv2.fillPoly(classes, [corners[index]], values[index])
    return classes
