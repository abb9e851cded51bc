"""Which images are predicted on, and what is done about those that cannot be read."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Which images are predicted on, and how they are read.

    Attributes:
      source: An image, a folder of images, or a glob.
      skip_unreadable: Whether to go on without an image that cannot be read; it is listed in the report.
    """

    source: str | Path | int
    skip_unreadable: bool = False
