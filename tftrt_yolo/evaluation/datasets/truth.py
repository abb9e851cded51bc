"""What is on an image, and what a model says is on it: the two sides that metrics compare.

    truth = labels.in_pixels((480, 640))        # labels of a text file are fractions of the image
    [detection] = ...                           # what `scoring` selects of a network's outputs

Both are arrays with an object a row, in pixels of the image as it was read.
"""

import collections
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np

# Of a box's area, what a person covers on average. Source: xtcocotools/cocoeval.py, for labels without an area.
AREA_OF_BOX = 0.53
IGNORED = 255  # of a class map, a pixel without a label


@dataclasses.dataclass(frozen=True)
class Truth:
    """The labelled objects of one image, n of them.

    Attributes:
      classes: (n,) int64, class indices of the model.
      boxes_xyxy: (n, 4) float64.
      outlines: For each object its mask in COCO's words: a list of polygons x, y, x, y, ..., or a run-length encoding;
        None where the labels have no masks.
      keypoints: (n, K, 3) float64, x, y, visibility (0 is not labelled); None where the labels have none.
      corners: (n, 4, 2) float64, x and y of the corners of oriented boxes; None where the labels have none.
      areas: (n,) float64, by which distances of keypoints are judged; None for 0.53 of the box's, as Ultralytics.
      are_crowds: (n,) bool, COCO's iscrowd: a region of many objects, where detections are neither right nor wrong.
      num_keypoints: (n,) int64, COCO's own count of labelled keypoints: an object with 0 is ignored; None to count
        those that are visible.
    """

    classes: np.ndarray
    boxes_xyxy: np.ndarray
    outlines: tuple[list | dict, ...] | None = None
    keypoints: np.ndarray | None = None
    corners: np.ndarray | None = None
    areas: np.ndarray | None = None
    are_crowds: np.ndarray | None = None
    num_keypoints: np.ndarray | None = None

    def __len__(self) -> int:
        """How many objects."""
        return len(self.classes)

    def keypoint_counts(self) -> np.ndarray:
        """(n,) int64, how many key points of each object are labelled."""
        if self.num_keypoints is not None:
            return self.num_keypoints
        return np.count_nonzero(self.keypoints[..., 2] > 0, axis=1)

    @property
    def num_objects(self) -> int:
        """How many of them are single objects, and no crowds."""
        return len(self) if self.are_crowds is None else int(np.count_nonzero(~self.are_crowds))

    @property
    def num_crowds(self) -> int:
        """How many of them are crowds."""
        return len(self) - self.num_objects

    def class_counts(self) -> dict[int, int]:
        """Class index to how many single objects of it there are, of the classes that are there."""
        classes = self.classes if self.are_crowds is None else self.classes[~self.are_crowds]
        return dict(collections.Counter(classes.tolist()))

    def in_pixels(self, size_hw: tuple[int, int]) -> "Truth":
        """Scales labels that are fractions of an image's sides to its pixels.

        Args:
          size_hw: Height and width of the image in pixels.

        Returns:
          The truth in pixels.
        """
        height, width = size_hw
        scale = np.array([width, height], np.float64)
        keypoints = None if self.keypoints is None else self.keypoints * [width, height, 1]
        outlines = None
        if self.outlines is not None:
            outlines = tuple([(polygon.reshape(-1, 2) * scale).ravel() for polygon in one] for one in self.outlines)
        return dataclasses.replace(
            self,
            boxes_xyxy=self.boxes_xyxy * np.tile(scale, 2),
            outlines=outlines,
            keypoints=keypoints,
            corners=None if self.corners is None else self.corners * scale,
        )

    def object_areas(self) -> np.ndarray:
        """(n,) float64, the areas by which distances of keypoints are judged."""
        if self.areas is not None:
            return self.areas
        width, height = (self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2]).T
        return AREA_OF_BOX * width * height


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapTruth:
    """A labelled value for each pixel of one image, which stays in its file until it is compared.

    Attributes:
      num_objects: How many pixels have one; of polygons, until the image's size is known, how many there are.
      pixel_counts: Class index to its pixels, of the classes that are there; empty where values are no classes. Of
        polygons as `num_objects`.
    """

    num_objects: int = 0
    pixel_counts: dict[int, int] = dataclasses.field(default_factory=dict)
    num_crowds: ClassVar[int] = 0
    says_shape: ClassVar[bool] = False  # whether `check_size` refuses anything

    def __len__(self) -> int:
        """How many pixels have a value."""
        return self.num_objects

    def class_counts(self) -> dict[int, int]:
        """As `Truth.class_counts`, of pixels."""
        return self.pixel_counts

    def check_size(self, size_hw: tuple[int, int]) -> None:
        """Refuses an image that the label cannot be of, by height and width in pixels: a BadLabelError."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassTruth(MapTruth):
    """The class of each pixel.

    Attributes:
      drawn: Gives it at a height and a width in pixels: (height, width) uint8, 255 for no label.
      first: The value of class 0; see `graph.class_values`.
    """

    drawn: Callable[[tuple[int, int]], np.ndarray]
    first: int = 0

    def in_pixels(self, size_hw: tuple[int, int]) -> "ClassTruth":
        """Counts the pixels of an image's size.

        Args:
          size_hw: Height and width of the image in pixels.

        Returns:
          The truth with its counts.
        """
        return self.counted(self.drawn(size_hw))

    def counted(self, class_map: np.ndarray) -> "ClassTruth":
        """The truth with the counts of a map, (height, width) uint8, that was drawn of it."""
        values = np.bincount(class_map.ravel(), minlength=IGNORED)[:IGNORED]
        of_classes = values[self.first :]
        counts = {int(index): int(of_classes[index]) for index in np.flatnonzero(of_classes)}
        return dataclasses.replace(self, num_objects=int(values.sum()), pixel_counts=counts)


@dataclasses.dataclass(frozen=True)
class Detections:
    """What a model found on one image, n detections, best first.

    Attributes:
      classes: (n,) int64.
      scores: (n,) float32 in [0, 1].
      boxes_xyxy: (n, 4) float32.
      masks: A compressed run-length encoding for each; None where the task has none.
      keypoints: (n, K, 3) float32, x, y, confidence; None where the task has none.
      boxes_xywhr: (n, 5) float32, center, width, height and angle in radians; None where the task has none.
    """

    classes: np.ndarray
    scores: np.ndarray
    boxes_xyxy: np.ndarray
    masks: list[dict] | None = None
    keypoints: np.ndarray | None = None
    boxes_xywhr: np.ndarray | None = None

    def __len__(self) -> int:
        """How many detections."""
        return len(self.classes)
