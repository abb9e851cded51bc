"""What of a data set is measured on."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """What of a data set is measured on.

    Attributes:
      split: Which part of the data: a key of data.yaml, or a folder of class folders.
      images_dir: Folder of the images that a COCO JSON names.
      boxes_only: Whether a detect model may be measured on the boxes around polygons, oriented boxes or pose labels;
        otherwise these are refused as labels of another task.
      skip_missing_images: Whether to go on without images that are missing; the report lists them.
    """

    split: str = "val"
    images_dir: str | Path | None = None
    boxes_only: bool = False
    skip_missing_images: bool = False
