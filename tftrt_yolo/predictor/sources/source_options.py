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
      tracker: Who tells which objects are those of the frame before: "bytetrack"; "botsort", which also follows the
        camera's motion; or a YAML file of either, as Ultralytics takes it. Each video has ids of its own, from 1;
        detections then score above 0.1 unless `score_threshold` says otherwise.
    """

    source: str | Path | int
    skip_unreadable: bool = False
    tracker: str | Path | None = None
