"""What every form of output is and is given."""

import dataclasses
from pathlib import Path
from typing import Protocol

import numpy as np

from tftrt_yolo.predictor.output.forms.shot import Shot
from tftrt_yolo.predictor.output.output_options import OutputOptions
from tftrt_yolo.tasks.task import Task


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """What a run is of.

    Attributes:
      folder: Where it writes.
      task: The model's task.
      names: (C,) str, the classes.
      options: What is asked for.
      keypoint_shape: Key points of an object and numbers of a key point, 3 with a confidence; None without key points.
    """

    folder: Path
    task: Task
    names: np.ndarray
    options: OutputOptions
    keypoint_shape: tuple[int, int] | None = None


class Form(Protocol):
    """A form of output: files that are written as the run goes."""

    def add(self, shot: Shot) -> dict[str, object]:
        """Writes what belongs to an image, and gives the names of its own files for the image's line of JSON."""

    def close(self) -> None:
        """Completes the files."""

    def notes(self) -> list[str]:
        """What a reader of the report must know of what was written."""
