"""What of a data set is measured on."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options, setting
from tftrt_yolo.ground.errors import DatasetError, ImageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """What of a data set is measured on.

    Attributes:
      split: Which part of the data: a key of data.yaml, or a folder of class folders. "val", "valid" and "validation"
        are the same; where there is a key or a folder of just this name, that one is taken.
      images_dir: Folder of the images that a COCO JSON names.
      boxes_only: Whether a detect model may be measured on the boxes around polygons, oriented boxes or pose labels;
        otherwise these are refused as labels of another task.
      skip_missing_images: Whether to go on without images that are missing, or in a format that is not read; the report
        lists them.
      skip_bad_labels: Whether to go on without images of which a label is bad: not readable, out of bounds, of another
        number of columns, of an unknown class. The whole image is left out, as Ultralytics does it, for an object
        without its label would make the detection that finds it a wrong one. So is one of another size than its COCO
        JSON says. The report lists them.
      skip_unreadable: Whether to go on without images that are there and cannot be read, such as damaged ones, as
        Ultralytics does; the report lists them.
    """

    split: str = "val"
    images_dir: str | Path | None = None
    boxes_only: bool = False
    skip_missing_images: bool = False
    skip_bad_labels: bool = False
    skip_unreadable: bool = False

    def leave_out(self, error: ImageError | DatasetError) -> str:
        """Why an image is left out.

        Args:
          error: Of an image that cannot be read, or of a bad label.

        Returns:
          The reason.

        Raises:
          ImageError: If such an image is not to be left out.
          DatasetError: If a bad label is not to be left out.
        """
        is_unreadable = isinstance(error, ImageError)
        option = "skip_unreadable" if is_unreadable else "skip_bad_labels"
        if not getattr(self, option):
            kind = ImageError if is_unreadable else DatasetError
            raise kind(f"{error} {setting(option)} leaves such images out.") from error
        return str(error)
