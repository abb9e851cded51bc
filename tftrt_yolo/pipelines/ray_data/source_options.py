"""Which images a job is about."""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options, argument, check_at_least_one, check_bool
from tftrt_yolo.ground.text import quoted


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSourceOptions(Options):
    """Which images a job is about, and how they are found.

    Attributes:
      source: Images and videos: a file, a folder, a glob such as 'photos/**/*.jpg', or a list of these in a file .txt
        or .csv; on this machine's disk, which every node must see, or as a URL that fsspec knows, such as
        s3://bucket/photos, gs://, hdfs:// or zip://*.jpg::s3://bucket/photos.zip. With `image_column` Parquet tables.
      recursive: Whether a folder's subfolders count, too.
      image_column: The column of images in Parquet files: bytes, or structs of bytes and path as Hugging Face's
        datasets write them.
      vid_stride: Of videos, every n-th frame is taken.
    """

    source: str | Path
    recursive: bool = False
    image_column: str | None = None
    vid_stride: int = 1

    def __post_init__(self):
        """Refuses what is out of range."""
        object.__setattr__(self, "recursive", check_bool("recursive", self.recursive))  # the dataclass is frozen
        object.__setattr__(self, "vid_stride", check_at_least_one("vid_stride", self.vid_stride))
        if self.image_column is not None and not (isinstance(self.image_column, str) and self.image_column):
            raise ValueError(
                f"{argument('image_column')} is {quoted(self.image_column)}; it must be the name of a column."
            )
