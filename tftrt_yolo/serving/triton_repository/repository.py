"""A model repository: NAME/config.pbtxt, labels.txt, warmup/, and the files of each version.

    version = repository.add(place, wanted, files)

A model that is new appears whole or not at all, and so does a version of one that is there. No version is ever
overwritten, and a configuration that is there stays as the operator has it.
"""

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.ground.arguments import argument, check_at_least_one
from tftrt_yolo.ground.errors import SavedModelError, ServingError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import printable, quoted, shown
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.serving.triton_repository import configuration
from tftrt_yolo.serving.triton_repository.configuration import CONFIG_FILE, LABELS_FILE

_MODEL = directories.Contents(CONFIG_FILE)
_VERSION = directories.Contents("model.py")
_MOST_NAME = 128  # characters
_MOST_VERSION = (1 << 31) - 1


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a version of a model goes.

    Attributes:
      model_dir: NAME in the repository.
      version: A whole number of at least 1.
      is_new_model: Whether there is no model of that name yet.
    """

    model_dir: Path
    version: int
    is_new_model: bool


def find_place(model_repository: str | Path, name: str, version: int | None) -> Place:
    """Where a version of a model goes.

    Args:
      model_repository: The repository; it may not be there yet.
      name: Of the model.
      version: A whole number of at least 1; None for one more than the newest.

    Returns:
      The place, where nothing is.

    Raises:
      ValueError: If the name is none of Triton's, or the version no whole number.
      FileExistsError: If the version is there, or something that is no model has its name.
    """
    _check_name(name)
    model_dir = Path(model_repository) / name
    directories.check_parents(model_dir / "1")
    versions = _versions(model_dir)
    if version is None:
        version = max(versions, default=0) + 1
    version = check_at_least_one("version", version)
    if version > _MOST_VERSION:
        raise ValueError(f"{argument('version')} is {version:,}; Triton's versions go to {_MOST_VERSION:,}.")
    is_new_model = not model_dir.exists() and not model_dir.is_symlink()
    if not is_new_model and not (model_dir / CONFIG_FILE).is_file():
        raise FileExistsError(
            f"{shown(model_dir)} exists and has no {CONFIG_FILE}, so it is no model of Triton's. Choose another "
            f"{argument('name')}, or move it elsewhere."
        )
    if (model_dir / str(version)).exists():
        raise FileExistsError(
            f"{shown(model_dir / str(version))} exists already, and a version is never overwritten. Leave "
            f"{argument('version')} out for version {max(versions) + 1}, or name another."
        )
    return Place(model_dir, version, is_new_model)


def check_fits(place: Place, wanted, labels: str) -> None:
    """Refuses a version that its model's configuration is not for.

    Args:
      place: Where it goes.
      wanted: Its configuration, as it would be written.
      labels: Its classes, a line each.

    Raises:
      ServingError: If the configuration that is there is for other tensors, batches or classes.
    """
    if place.is_new_model:
        return
    told = configuration.differences(configuration.read(place.model_dir / CONFIG_FILE), wanted)
    labels_path = place.model_dir / LABELS_FILE
    if not told and labels_path.is_file() and labels_path.read_bytes() != labels.encode():
        told = (f"has other classes in {LABELS_FILE}",)
    if told:
        raise ServingError(
            f"{shown(place.model_dir / CONFIG_FILE)} {told[0]}; expected the same of all versions of a model. Choose "
            f"another {argument('name')}, or edit the configuration first."
        )


@contextlib.contextmanager
def written(place: Place, config_text: str, others: dict[str, bytes]) -> Iterator[Path]:
    """Gives the folder of a version to write into; it and its model appear whole if the block succeeds.

    Args:
      place: Where it goes.
      config_text: For config.pbtxt, of a model that is new.
      others: Its other files: name to content.

    Yields:
      The version's folder, empty.
    """
    if not place.is_new_model:
        with directories.written_whole(place.model_dir / str(place.version), _VERSION, overwrite=False) as version_dir:
            yield version_dir
        return
    with directories.written_whole(place.model_dir, _MODEL, overwrite=False) as model_dir:
        (model_dir / CONFIG_FILE).write_text(config_text, encoding="utf-8")
        for name, content in others.items():
            (model_dir / name).parent.mkdir(exist_ok=True)
            (model_dir / name).write_bytes(content)
        (model_dir / str(place.version)).mkdir()
        yield model_dir / str(place.version)


def copy_saved_model(handle: SavedModelHandle, target: Path) -> None:
    """Copies what belongs to a SavedModel, and nothing else that lies beside it.

    Args:
      handle: The SavedModel, whose files were compared with what they were.
      target: A new folder.

    Raises:
      SavedModelError: If a file cannot be copied.
    """
    foreign = {name.rstrip("/") for name in contract.SAVED_MODEL.foreign(handle.directory)}
    try:
        shutil.copytree(handle.directory, target, ignore=_ignoring(handle.directory, foreign))
    except shutil.Error as error:
        raise SavedModelError(f"{handle.given} cannot be copied: {printable(error.args[0][0][2])}.") from error


def labels_text(names: dict[int, str]) -> str:
    """Classes for labels.txt, a line each in their order."""
    return "".join(f"{' '.join(printable(names[index]).split())}\n" for index in sorted(names))


def _ignoring(root: Path, foreign: set[str]) -> Callable[[str, list[str]], list[str]]:
    """For `shutil.copytree`: what is left out."""

    def ignored(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(folder) / name).relative_to(root).as_posix() in foreign]

    return ignored


def _check_name(name: str) -> None:
    """Refuses a name that is no folder's, or that a URL cannot hold as it is."""
    if not isinstance(name, str) or not re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{_MOST_NAME - 1}}}", name):
        raise ValueError(
            f"{argument('name')} is {quoted(name)}; expected letters, digits, dots, underscores and dashes, at most "
            f"{_MOST_NAME}, beginning with none of the last two."
        )


def _versions(model_dir: Path) -> list[int]:
    """The versions of a model that are there."""
    if not model_dir.is_dir():
        return []
    return [int(path.name) for path in model_dir.iterdir() if re.fullmatch(r"[1-9][0-9]{0,9}", path.name)]
