"""From what a user calls a source to its images, one by one.

source = open_source(SourceOptions(source="photos"))
for image in source.images:
    ...                             # what `image_files.read_image` takes, or a Frame
"""

import dataclasses
from collections.abc import Iterable

from tftrt_yolo.ground.files import image_files, image_formats
from tftrt_yolo.predictor.sources.source_options import SourceOptions


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """An opened source.

    Attributes:
      images: What gives its images, once: paths, bytes of image files, or Frames.
      count: How many there are; None if that shows only at the end.
      is_live: Whether images come in their own time, so that each is to be dealt with at once.
      left_out: What of a folder looks like pictures and is not taken, a line for each ending, and why.
    """

    images: Iterable
    count: int | None
    is_live: bool = False
    left_out: tuple[str, ...] = ()


def open_source(options: SourceOptions) -> Source:
    """Opens a source.

    Args:
      options: What it is, and how it is read.

    Returns:
      Its images.

    Raises:
      ImageError: If there is none.
    """
    paths = image_files.find_images(options.source, warns=False)
    return Source(paths, len(paths), left_out=image_formats.left_out(options.source))
