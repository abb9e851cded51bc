"""Where models lie: one directory, or a repository of models and their versions.

for (name, version), place in look(ModelOptions(model_repository="models")).items():
    place.saved_model_dir, place.print       # models/digits/3/model.savedmodel, and what changes while it is copied

A repository of Triton's, as `triton` writes it, is one, too: config.pbtxt and what else it has beside the versions is
Triton's and of no account here, and an engine for Triton's TensorRT backend is passed over.
"""

import dataclasses
import functools
import os
import re
from pathlib import Path

from absl import logging

from tftrt_yolo.contract import SAVED_MODEL
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import shown
from tftrt_yolo.serving.serving_options import ModelOptions

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")  # fits into the int64 of the protocols
_INNER, _PLAN, _CONFIG = "model.savedmodel", "model.plan", "config.pbtxt"  # as Triton names them
_LAYOUT = (
    "Expected folders as NAME/VERSION/saved_model.pb or NAME/VERSION/model.savedmodel/saved_model.pb, VERSION a whole "
    "number of at least 1, such as digits/1"
)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a version of a model lies.

    Attributes:
      saved_model_dir: Its directory, absolute.
      is_whole: Whether it may be a SavedModel already, and not one whose copy has just begun.
      print: Something that is another while its files change.
    """

    saved_model_dir: Path
    is_whole: bool
    print: int


def look(models: ModelOptions) -> dict[tuple[str, int], Place]:
    """Looks for models.

    Args:
      models: Where.

    Returns:
      Name and version to place.

    Raises:
      ServingError: If the repository cannot be read.
    """
    if models.model_repository is None:
        path = Path(os.path.abspath(models.saved_model_dir))  # the name is that which was given, also of a link
        return {(path.name.removesuffix("_saved_model") or "model", 1): Place(path, is_whole=True, print=0)}
    repository = Path(models.model_repository).absolute()
    found = {}
    try:
        folders = _folders(repository, _NAME, "its name is not the name of a model")
    except OSError as error:
        raise ServingError(
            f"The model repository {shown(models.model_repository)} cannot be read: {error.strerror}. {_LAYOUT}."
        ) from error
    for folder in folders:
        try:
            is_tritons = (folder / _CONFIG).is_file()  # which has folders of its own beside the versions
            versions = _folders(folder, _VERSION, None if is_tritons else "its name is not a version")
        except OSError:  # it went meanwhile
            continue
        for version in versions:
            if (version / _PLAN).exists():
                _say_passed_over(str(version), f"{_PLAN} is an engine for Triton's TensorRT backend, and no SavedModel")
            else:
                found[folder.name, int(version.name)] = _place(version)
    return found


def empty(models: ModelOptions) -> ServingError:
    """The error of a repository without a model."""
    plan = next(Path(models.model_repository).glob(f"*/*/{_PLAN}"), None)
    but = "" if plan is None else f", but {shown(plan)}, an engine that Triton's TensorRT backend alone runs"
    return ServingError(f"The model repository {shown(models.model_repository)} holds no model{but}. {_LAYOUT}.")


def _folders(folder: Path, pattern: re.Pattern, why_not: str | None) -> list[Path]:
    """Folders whose name is of a pattern; of others it is said once why they are none, unless nobody needs to know."""
    found = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if not entry.is_dir():
                continue
            if pattern.fullmatch(entry.name):
                found.append(Path(entry.path))
            elif why_not:
                _say_passed_over(entry.path, why_not)
    return found


@functools.lru_cache(1_024)
def _say_passed_over(path: str, why: str) -> None:
    """Says it once."""
    logging.warning("%s is passed over: %s. %s.", shown(path), why, _LAYOUT)


def _place(version: Path) -> Place:
    """Where a version's SavedModel is, or is to be."""
    inner = version / _INNER
    directory = inner if inner.is_dir() else version
    return Place(directory, (directory / SAVED_MODEL.marker).exists(), _print(directory))


def _print(directory: Path) -> int:
    """A number of the files, their sizes and times."""
    seen = []
    for folder in (directory, directory / "variables", directory / "assets"):
        try:
            with os.scandir(folder) as entries:
                seen += sorted((entry.path, _stamp(entry)) for entry in entries)
        except OSError:
            continue
    return hash(tuple(seen))


def _stamp(entry: os.DirEntry) -> tuple[int, int]:
    """Size and time of a file; of one that went meanwhile, none."""
    try:
        status = entry.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
