"""Which images a job is about."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options, check_bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSourceOptions(Options):
    """Which images a job is about, and how they are found.

    Attributes:
      source: An image, a folder of images, a glob such as 'photos/**/*.jpg', or a list of these in a file .txt or .csv.
      recursive: Whether a folder's subfolders count, too.
    """

    source: str | Path
    recursive: bool = False

    def __post_init__(self):
        """Refuses what is out of range."""
        object.__setattr__(self, "recursive", check_bool("recursive", self.recursive))  # the dataclass is frozen
