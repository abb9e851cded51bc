"""The files of a SavedModel as they were written: SHA-256 in metadata.yaml, compared before TensorFlow reads them.

    digests.seal(partial_dir, metadata)            # last, when all else is written
    digests.check(open_saved_model("yolov8n_saved_model"))

It finds damage: a bit that flipped on a disk, a copy that was cut short, files of two exports in one directory.
TensorFlow may end the process over such a file. It proves nothing about who wrote them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.files.reading import UnreadableError
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.saved_model.handle import SavedModelHandle

_MOST_BYTES = 4 << 30  # of one file; the variables of yolov8x take 273 MB
_MOST_MESSAGE_BYTES = (2 << 30) - 1  # of one protobuf message, and no more can be read
_FOLDERS = ("variables", "assets")  # what TensorFlow reads beside the files at the top
_OTHER_GRAPHS = ("saved_model.pbtxt", "saved_model.cpb")  # the same in other forms, which some loaders prefer
_REMEDY = "Copy the whole directory again, or export or convert again"
_SHOWN = 12  # digits of a digest, in a message


def seal(saved_model_dir: Path, metadata: contract.Metadata) -> None:
    """Writes metadata.yaml, with the SHA-256 of all other files that belong to the SavedModel.

    Args:
      saved_model_dir: A SavedModel that is complete but for metadata.yaml.
      metadata: What to write.
    """
    files = {
        name: reading.sha256(saved_model_dir / name, _most_bytes(name)) for name in sorted(_own_files(saved_model_dir))
    }
    contract.write_metadata(saved_model_dir, metadata, files)


def check(handle: SavedModelHandle) -> None:
    """Refuses what is no file or too large, and what is not as it was written if metadata.yaml says how that was.

    Args:
      handle: A SavedModel.

    Raises:
      SavedModelError: If a file is missing, changed, added, no regular file, or too large.
    """
    try:
        found = set(_own_files(handle.directory))
    except OSError as error:
        raise SavedModelError(f"{handle.given} cannot be read: {error.strerror}. {_REMEDY}.") from error
    except UnreadableError as error:
        raise SavedModelError(f"{handle.given}/{error}. {_REMEDY}.") from error
    if handle.files is None:
        for name in found:
            _digest(handle, name, is_hashed=False)
        return
    missing, added = sorted(set(handle.files) - found), sorted(found - set(handle.files))
    if missing:
        raise SavedModelError(f"{handle.given} lacks {missing[0]}, which its metadata.yaml lists. {_REMEDY}.")
    if added:
        raise SavedModelError(
            f"{handle.given} holds {quoted(added[0])}, which its metadata.yaml does not list: it is of another model. "
            f"{_REMEDY}."
        )
    for name, expected in handle.files.items():
        digest = _digest(handle, name, is_hashed=True)
        if digest != expected:
            raise SavedModelError(
                f"{handle.given}/{name} is not as it was written: its SHA-256 is {digest[:_SHOWN]}..., and "
                f"metadata.yaml has {expected[:_SHOWN]}... {_REMEDY}."
            )


def _own_files(directory: Path) -> Iterator[str]:
    """Names of what belongs to a SavedModel, whatever lies there under these names; metadata.yaml left out.

    Raises:
      UnreadableError: If a folder is none, or a second graph is there.
    """
    for name in os.listdir(directory):
        if name in _OTHER_GRAPHS:
            raise UnreadableError(f"{name} is a second graph beside {contract.SAVED_MODEL.marker}")
        if contract.is_own(name):
            yield name
    for folder in _FOLDERS:
        if not os.path.lexists(directory / folder):
            continue
        if not os.path.isdir(directory / folder):
            raise UnreadableError(f"{folder} is no folder")
        yield from (
            f"{folder}/{name}" for name in os.listdir(directory / folder) if contract.is_own(f"{folder}/{name}")
        )


def _most_bytes(name: str) -> int:
    return _MOST_MESSAGE_BYTES if name.endswith(".pb") else _MOST_BYTES


def _digest(handle: SavedModelHandle, name: str, *, is_hashed: bool) -> str:
    """SHA-256 of a file that must be a regular one; "" where only that is of interest."""
    try:
        if is_hashed:
            return reading.sha256(handle.directory / name, _most_bytes(name))
        reading.opened(handle.directory / name, _most_bytes(name)).close()
    except OSError as error:
        raise SavedModelError(f"{handle.given}/{name} cannot be read: {error.strerror}. {_REMEDY}.") from error
    except UnreadableError as error:
        raise SavedModelError(f"{handle.given}/{name} {error}. {_REMEDY}.") from error
    return ""
