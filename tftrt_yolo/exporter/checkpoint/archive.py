"""The file of a checkpoint: a ZIP archive of `torch.save` with a pickle and the tensors' bytes, its checksums verified.

archive = read("yolov8n.pt")
archive.pickle, archive.storages["0"]
"""

import dataclasses
import struct
import zipfile
import zlib
from pathlib import Path

from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.text import first_line, quoted

_MOST_PICKLE_BYTES = 32 << 20  # yolov8x has 0.2 MB
_MOST_ENTRIES = 100_000
_MAGIC = b"PK\x03\x04"
_OTHER_FORMATS = {
    b"\x80": "a pickle of PyTorch's format before 1.6; load it there and save it again with today's torch.save",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8": "a JPEG image",
    b"<": "a web page or XML; the download failed",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
}


@dataclasses.dataclass(frozen=True)
class Archive:
    """What is in the file.

    Attributes:
      pickle: The objects, as bytes.
      storages: Key to the bytes of a tensor's storage.
    """

    pickle: bytes
    storages: dict[str, bytes]


def read(path: str | Path) -> Archive:
    """Reads a checkpoint's file whole.

    Args:
      path: A regular file.

    Returns:
      Its parts.

    Raises:
      CheckpointError: If it is missing, damaged, no archive of `torch.save`, or a TorchScript archive.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is no file. Expected a .pt checkpoint of Ultralytics.")
        with open(path, "rb") as file:
            start = file.read(32)
        if not start.startswith(_MAGIC):
            raise CheckpointError(f"{path} is no checkpoint: it {_what_it_is(start)}. Expected {_EXPECTED}.")
        with zipfile.ZipFile(path) as file:
            return _parts(path, file)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or first_line(error)}.") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, RuntimeError,
            KeyError, IndexError, OverflowError, MemoryError) as error:  # fmt: skip
        raise CheckpointError(
            f"{path} is damaged or cut short ({first_line(error)}). Expected {_EXPECTED}; copy or download it again."
        ) from error


_EXPECTED = "a checkpoint that Ultralytics or torch.save wrote"


def _what_it_is(start: bytes) -> str:
    """What a file that is no ZIP archive is, by its first bytes."""
    if not start:
        return "is empty"
    known = next((what for magic, what in _OTHER_FORMATS.items() if start.startswith(magic)), None)
    return f"is {known}" if known else f"starts with {quoted(start[:12])}"


def _parts(path: Path, file: zipfile.ZipFile) -> Archive:
    """Reads every entry, which verifies its checksum."""
    entries = [entry for entry in file.infolist() if not entry.is_dir()]
    names = {entry.filename: entry for entry in entries}
    folders = sorted(name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl"))
    if len(folders) != 1:
        raise CheckpointError(f"{path} is a ZIP archive with {len(folders)} data.pkl. Expected {_EXPECTED}.")
    [folder] = folders
    if any(name.startswith((f"{folder}/code/", f"{folder}/constants.pkl")) for name in names):
        raise CheckpointError(
            f"{path} is a TorchScript archive. Expected the checkpoint that it was exported from, or {_EXPECTED}."
        )
    _check_entries(path, entries)
    data = {name: file.read(entry) for name, entry in names.items()}
    if data.get(f"{folder}/byteorder", b"little").strip() != b"little":
        raise CheckpointError(f"{path} was saved on a big-endian machine. Save it again on a little-endian one.")
    prefix = f"{folder}/data/"
    return Archive(
        data[f"{folder}/data.pkl"],
        {name.removeprefix(prefix): value for name, value in data.items() if name.startswith(prefix)},
    )


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuses what `torch.save` never writes: a small archive that becomes large, or that means two things."""
    size = path.stat().st_size
    pickle_bytes = max((entry.file_size for entry in entries if entry.filename.endswith("/data.pkl")), default=0)
    total = sum(entry.file_size for entry in entries)
    faults = {
        "has two entries of one name": len({entry.filename for entry in entries}) < len(entries),
        "is compressed": any(entry.compress_type != zipfile.ZIP_STORED for entry in entries),
        "is encrypted": any(entry.flag_bits & 1 for entry in entries),
        f"claims to hold {total:,} bytes, of which the file has {size:,}": total > size,
        f"has {len(entries):,} entries": len(entries) > _MOST_ENTRIES,
        f"has a pickle of {pickle_bytes:,} bytes, of which at most {_MOST_PICKLE_BYTES:,} are read": (
            pickle_bytes > _MOST_PICKLE_BYTES
        ),
    }
    found = [fault for fault, is_there in faults.items() if is_there]
    if found:
        raise CheckpointError(f"{path} is a ZIP archive that {found[0]}. Expected {_EXPECTED}.")
