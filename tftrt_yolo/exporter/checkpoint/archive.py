"""The file of a checkpoint: a ZIP archive of `torch.save` with a pickle and the tensors' bytes, its checksums verified.

data = read_pickle("yolov8n.pt")
storages = read_storages("yolov8n.pt", {"0", "1"})         # key to bytes; the others are verified too
"""

import contextlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.text import clause, first_line, quoted

_MOST_PICKLE_BYTES = 32 << 20  # yolov8x has 0.2 MB
_MOST_ENTRIES = 100_000
_MOST_TABLE_BYTES = 16 << 20
_MOST_STORAGE_BYTES = 2 << 30  # yolov8x has 0.14 GB
_PIECE_BYTES = 1 << 20
_END_BYTES = 1 << 17  # in which the end of an archive's table is looked for; a comment has 65,535 bytes at most
_IN_THE_OTHER = 0xFFFFFFFF  # in place of a size that stands in the record for large archives
_SCRIPT = ("code/", "constants.pkl")
_MAGIC = b"PK\x03\x04"
_OTHER_FORMATS = {
    b"\x80": "a pickle of PyTorch's format before 1.6; load it there and save it again with today's torch.save",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8": "a JPEG image",
    b"<": "a web page or XML; the download failed",
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself with `git lfs pull`",
}


def read_pickle(path: str | Path) -> bytes:
    """Reads the pickle of a checkpoint.

    Args:
      path: A regular file.

    Returns:
      The objects, as bytes.

    Raises:
      CheckpointError: If the file is missing, damaged, no archive of `torch.save`, or a TorchScript archive.
    """
    with _opened(Path(path)) as (file, folder, entries):
        order = f"{folder}/byteorder"
        if order in entries and file.read(order).strip() != b"little":
            raise CheckpointError(f"{path} was saved on a big-endian machine. Save it again on a little-endian one.")
        return file.read(f"{folder}/data.pkl")


def read_storages(path: str | Path, keys: set[str]) -> dict[str, bytes]:
    """Reads the bytes of tensors, and verifies the checksums of everything.

    Args:
      path: As `read_pickle`.
      keys: Those that are wanted; what an optimiser keeps is not.

    Returns:
      Key to bytes, of those that are there.

    Raises:
      CheckpointError: As `read_pickle`, or if they are more than any network has.
    """
    found = {}
    with _opened(Path(path)) as (file, folder, entries):
        prefix = f"{folder}/data/"
        wanted = {name: name.removeprefix(prefix) for name in entries if name.startswith(prefix)}
        wanted = {name: key for name, key in wanted.items() if key in keys}
        size = sum(entries[name].file_size for name in wanted)
        if size > _MOST_STORAGE_BYTES:
            raise CheckpointError(
                f"{path} holds a network of {size:,} bytes; at most {_MOST_STORAGE_BYTES:,} are read."
            )
        for name, entry in entries.items():
            if name in wanted:
                found[wanted[name]] = file.read(entry)
                continue
            with file.open(entry) as data:
                while data.read(_PIECE_BYTES):
                    pass
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, str, dict[str, zipfile.ZipInfo]]]:
    """The archive, its folder and its entries by name; turns every error of reading it into a CheckpointError."""
    try:
        _check_start(path)
        with zipfile.ZipFile(path) as file:
            entries = [entry for entry in file.infolist() if not entry.is_dir()]
            folder = _folder(path, entries)
            _check_entries(path, entries)
            yield file, folder, {entry.filename: entry for entry in entries}
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or clause(error)}.") from error
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError, RuntimeError,
            KeyError, IndexError, OverflowError, MemoryError) as error:  # fmt: skip
        raise CheckpointError(
            f"{path} is damaged or cut short ({first_line(error)}). Expected {_EXPECTED}; copy or download it again."
        ) from error


def _check_start(path: Path) -> None:
    """Refuses what is no archive, and one whose table alone would fill the memory."""
    if not path.is_file():
        raise CheckpointError(f"{path} is no file. Expected a .pt checkpoint of Ultralytics.")
    with open(path, "rb") as file:
        start = file.read(32)
        if not start.startswith(_MAGIC):
            raise CheckpointError(f"{path} is no checkpoint: it {_what_it_is(start)}. Expected {_EXPECTED}.")
        file.seek(-min(path.stat().st_size, _END_BYTES), 2)
        end = file.read()
    # The table's size, of every record that might be its end, in the old form and in the one for large archives.
    sizes = [struct.unpack_from("<I", end, at.start() + 12) for at in re.finditer(rb"PK\x05\x06", end[:-18])]
    sizes += [struct.unpack_from("<Q", end, at.start() + 40) for at in re.finditer(rb"PK\x06\x06", end[:-52])]
    largest = max((size for (size,) in sizes if size != _IN_THE_OTHER), default=0)
    if largest > _MOST_TABLE_BYTES:
        raise CheckpointError(f"{path} has a table of {largest:,} bytes; at most {_MOST_TABLE_BYTES:,} are read.")


_EXPECTED = "a checkpoint that Ultralytics or torch.save wrote"


def _what_it_is(start: bytes) -> str:
    """What a file that is no ZIP archive is, by its first bytes."""
    if not start:
        return "is empty"
    known = next((what for magic, what in _OTHER_FORMATS.items() if start.startswith(magic)), None)
    return f"is {known}" if known else f"starts with {quoted(start[:12])}"


def _folder(path: Path, entries: list[zipfile.ZipInfo]) -> str:
    """The folder that all entries of `torch.save` are in."""
    names = [entry.filename for entry in entries]
    folders = sorted(name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl"))
    if any(name.startswith(f"{folder}/{script}") for folder in folders for script in _SCRIPT for name in names):
        raise CheckpointError(
            f"{path} is a TorchScript archive. Expected the checkpoint that it was exported from, or {_EXPECTED}."
        )
    if len(folders) != 1:
        raise CheckpointError(f"{path} is a ZIP archive with {len(folders)} data.pkl. Expected {_EXPECTED}.")
    return folders[0]


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
