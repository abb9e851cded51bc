"""What a data set is made of, whatever it was read from."""

import dataclasses
from pathlib import Path

from tftrt_yolo.contract import branch_of
from tftrt_yolo.evaluation.datasets.truth import MapTruth, Truth
from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.text import counted, shown


@dataclasses.dataclass(frozen=True)
class LabelSpec:
    """What a data set must fit.

    Attributes:
      task: Ultralytics' name of the task.
      names: Class index to class name.
      num_keypoints: Keypoints of an object; 0 for a task without.
      is_end_to_end: Whether the head gives each object once, so that nothing is suppressed.
    """

    task: str
    names: dict[int, str]
    num_keypoints: int = 0
    is_end_to_end: bool = False

    @property
    def nms(self) -> str:
        """The branch of the head that is measured; empty for a classifier, whose head has none."""
        return branch_of(self.task, is_end_to_end=self.is_end_to_end)


@dataclasses.dataclass(frozen=True)
class Example:
    """An image and what is on it.

    Attributes:
      path: The image file.
      truth: What is on it; for classify, one object without a place; of a map its pixels.
      size_hw: Height and width in pixels that the labels say; None where they do not.
      is_in_pixels: Whether truth is in pixels; otherwise it is in fractions of the image's sides.
    """

    path: Path
    truth: Truth | MapTruth
    size_hw: tuple[int, int] | None = None
    is_in_pixels: bool = False

    @property
    def says_size(self) -> bool:
        """Whether the labels say of what size or shape the image is."""
        return self.size_hw is not None or (isinstance(self.truth, MapTruth) and self.truth.says_shape)

    def check_size(self, size_hw: tuple[int, int]) -> None:
        """Compares the image to what its labels say of it.

        Args:
          size_hw: Height and width of the image in pixels.

        Raises:
          BadLabelError: If they are of an image of another size.
        """
        if self.size_hw is not None and tuple(self.size_hw) != size_hw:
            raise BadLabelError(
                f"{shown(self.path)} is of {list(size_hw)}, height and width, and its labels say {list(self.size_hw)}. "
                "Give the images that were labelled."
            )
        if isinstance(self.truth, MapTruth):
            self.truth.check_size(size_hw)

    def in_pixels(self, size_hw: tuple[int, int]) -> Truth | MapTruth:
        """What is on the image, in its pixels.

        Args:
          size_hw: Height and width of the image in pixels.

        Returns:
          The truth.

        Raises:
          BadLabelError: As `check_size`, or if a label's file is no longer what it was.
        """
        self.check_size(size_hw)
        return self.truth if self.is_in_pixels else self.truth.in_pixels(size_hw)


class BadLabelError(DatasetError):
    """A label that does not fit, so that what is on its image is not known; the message names its place."""


class UnusableImagesError(DatasetError):
    """Images that labels name and that are missing or not read; the message names them, and how to mend it."""


@dataclasses.dataclass(frozen=True)
class Labelled:
    """What was read of labels, before anybody looks for the images.

    Attributes:
      split: Which part of the data set; empty where there is one only.
      examples: Images with what is on them, whether they are there or not.
      skipped_labels: As `Dataset`'s.
      notes: As `Dataset`'s.
    """

    split: str
    examples: tuple[Example, ...]
    skipped_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images with labels.

    Attributes:
      name: What it was read from.
      split: Which part of it; empty where there is one only.
      examples: The images that are there.
      missing: Paths of the images that are not, or are in a format that is not read.
      skipped_labels: The bad labels for which images were left out, the first of each, with place and fault.
      notes: How it was taken where it does not say all, for the report.
      unreadable: Why images were left out that are there and cannot be read; known once they were measured on.
    """

    name: str
    split: str
    examples: tuple[Example, ...]
    missing: tuple[str, ...]
    skipped_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for a reader."""
        objects = sum(example.truth.num_objects for example in self.examples)
        backgrounds = sum(not len(example.truth) for example in self.examples)
        split = f" ({self.split})" if self.split else ""
        return (
            f"{self.name}{split}: {counted(len(self.examples), 'image')}, {counted(objects, 'object')}, "
            f"{counted(backgrounds, 'background')}"
        )
