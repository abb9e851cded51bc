"""What a data set is made of, whatever it was read from."""

import dataclasses
from pathlib import Path

from tftrt_yolo.evaluation.datasets.truth import Truth


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


@dataclasses.dataclass(frozen=True)
class Example:
    """An image and what is on it.

    Attributes:
      path: The image file.
      truth: What is on it; for classify, one object without a place.
      size_hw: Height and width that the labels say, in pixels, and then truth is in pixels; None where the labels do
        not say, and then truth is in fractions of the image's sides.
    """

    path: Path
    truth: Truth
    size_hw: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images with labels.

    Attributes:
      name: What it was read from.
      split: Which part of it; empty where there is one only.
      examples: The images that are there.
      missing: Paths of the images that are not.
      skipped_labels: Bad labels that were left out, each with its place and fault.
      notes: How it was taken where it does not say all, for the report.
    """

    name: str
    split: str
    examples: tuple[Example, ...]
    missing: tuple[str, ...]
    skipped_labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line for a reader."""
        objects = sum(example.truth.num_objects for example in self.examples)
        backgrounds = sum(not len(example.truth) for example in self.examples)
        split = f" ({self.split})" if self.split else ""
        return f"{self.name}{split}: {len(self.examples):,} images, {objects:,} objects, {backgrounds:,} backgrounds"
