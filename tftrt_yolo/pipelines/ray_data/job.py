"""What a job is, by which its output is told from another's, and the manifest of its files.

job.is_continued_by(other), job.difference(other)
"""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.pipelines.batch_options import FORMS

JOB, LISTING, MANIFEST = "job.json", "listing.jsonl.gz", "manifest.json"
PARTIAL = ".partial"  # behind a file's name while it is written
_FILES = (MANIFEST, *(f"shard-*.{form}" for form in FORMS))
CONTENTS = directories.Contents(JOB, (LISTING, *_FILES, *(f"{name}{PARTIAL}" for name in _FILES)))
_SHOWN = 12  # digits of a digest, in a message
# What must be the same for a job to be continued, and what a message calls it.
_SAME = {
    "source": "the source",
    "model_sha256": "the model",
    "selection": "the selection",
    "form": "form",
    "shard_size": "shard_size",
    "versions": "the versions",
}


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuses a directory that exists and holds no job's output, unless it may be replaced.

    Args:
      path: Where a job is to write.
      overwrite: Whether what is there may be replaced, if it is what this writes.

    Raises:
      FileExistsError: As `directories.check_free`.
    """
    directories.check_parents(path)
    if not (path / JOB).is_file():
        directories.check_free(path, CONTENTS, overwrite=overwrite)


@dataclasses.dataclass(frozen=True)
class Job:
    """What a job is.

    Attributes:
      saved_model_dir: The model's directory, absolute.
      model_sha256: Digest of the model's files and of what its metadata say.
      task: Ultralytics' name of its task.
      source: The fields of `BatchSourceOptions`, paths absolute.
      selection: What was asked for in place of the model's own thresholds, classes as indices.
      form: "parquet" or "jsonl".
      shard_size: Images a shard.
      versions: Package to version, of those that results depend on.
      num_images: Images that were listed.
      num_open: Files that were listed whose images show only when they are read, such as videos.
      num_repeated: Entries that were named more than once, and count once.
    """

    saved_model_dir: str
    model_sha256: str
    task: str
    source: dict[str, str | bool | int | float | None]
    selection: dict[str, tuple[int, ...] | bool | int | float | str]
    form: str
    shard_size: int
    versions: dict[str, str]
    num_images: int = 0
    num_open: int = 0
    num_repeated: int = 0

    def is_continued_by(self, other: "Job") -> bool:
        """Whether another has the very same results."""
        return all(getattr(self, name) == getattr(other, name) for name in _SAME)

    def difference(self, other: "Job") -> str:
        """What differs first between this, which is there, and another, for a message that names both."""
        name = next(name for name in _SAME if getattr(self, name) != getattr(other, name))
        there, asked = (self._told(name, of) for of in (self, other))
        return f"{_SAME[name]} there is {there}, and here {asked}"

    @staticmethod
    def _told(name: str, of: "Job") -> str:
        """A value for a message."""
        if name == "model_sha256":
            return f"{quoted(of.saved_model_dir)} with the SHA-256 {of.model_sha256[:_SHOWN]}"
        value = getattr(of, name)
        if isinstance(value, dict):
            return ", ".join(f"{key} {_value(one)}" for key, one in value.items()) or "the model's own"
        return _value(value)


def _value(value: object) -> str:
    """A value for a message; several as on the command line, with blanks."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else quoted(value)


@dataclasses.dataclass(frozen=True)
class ShardFile:
    """A shard that is there.

    Attributes:
      file: Its name in the directory.
      num_images: Its rows.
      num_bytes: Its size.
      sha256: Digest of its bytes.
    """

    file: str
    num_images: int
    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a job that is done has written.

    Attributes:
      job: What it is.
      num_images: Rows of all shards.
      num_unreadable: Rows of images that could not be read.
      class_counts: Class name to detections; of a classifier to images.
      shards: The files, in the order of the listing.
    """

    job: Job
    num_images: int
    num_unreadable: int
    class_counts: dict[str, int]
    shards: tuple[ShardFile, ...]
