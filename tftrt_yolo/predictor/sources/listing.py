"""From what a user calls a source on this machine's disk to its entries: files, and what a list of them names.

found = listing.found("photos", recursive=True)
found.entries                               # Path("photos/a.jpg"), Path("photos/b/c.mp4"), ...
found.missing                               # lines of a list that name nothing
"""

import csv
import dataclasses
import io
import re
from collections.abc import Iterable
from pathlib import Path

from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files, image_formats, reading
from tftrt_yolo.ground.text import clause, counted, first_line, shown
from tftrt_yolo.predictor.sources import heads

LIST_SUFFIXES = (".txt", ".csv")
STREAMS_SUFFIX = ".streams"
_OF_TYPESCRIPT = (".ts", ".mts")
_MOST_LIST_BYTES = 64 << 20
_MOST_NAMED = 5  # missing entries in a message
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
EXPECTED = (
    "Expected an image, a video, a folder or a glob of these such as 'photos/*.jpg', a list (.txt, .csv), a URL,"
    " streams (.streams), the number of a webcam, or - for standard input."
)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a source on disk is made of.

    Attributes:
      entries: Files as paths, URLs as strings, in order.
      missing: Entries of a list that name nothing, each with the reason.
      left_out: What of a folder looks like pictures and is not taken, a line for each ending, and why.
    """

    entries: tuple[Path | str, ...]
    missing: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()


def is_url(text: str) -> bool:
    """Whether a text is a URL, of whatever scheme."""
    return _URL.match(text) is not None


def found(source: str, *, recursive: bool, expected: str = EXPECTED) -> Found:
    """Lists the files that a path, a folder, a glob or a list means.

    Args:
      source: What the user called it.
      recursive: Whether a folder's subfolders count, too.
      expected: What could have been given, for messages.

    Returns:
      Its entries.

    Raises:
      ImageError: If there is none.
    """
    try:
        path = Path(source)
        if path.suffix.lower() in LIST_SUFFIXES and path.is_file() and not heads.is_image(path):
            return _of_list(path, recursive)
        return _of_path(source, recursive, expected)
    except (OSError, ValueError, re.error) as error:  # no right to look, or what no path can hold
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ImageError(f"{shown(source)} cannot be read: {reason}. {expected}") from error


def _of_path(source: str, recursive: bool, expected: str = EXPECTED) -> Found:
    """The entries of a file, a folder or a glob."""
    path = Path(source)
    if path.is_file():
        return Found((path,))
    if path.is_dir():
        return _of_folder(path, recursive)
    return Found(tuple(image_files.matching(source, f"{_hint(source)}{expected}")))


def _hint(source: str) -> str:
    """What a path that is not there was perhaps meant to be."""
    if re.match(r"(https?|rt[sm]ps?):/[^/]", source):
        return "A Path has one slash of a URL's two; give the URL as a string. "
    return ""


def _of_folder(folder: Path, recursive: bool) -> Found:
    """The images and videos of a folder."""
    taken = image_formats.SUFFIXES | image_formats.VIDEO_SUFFIXES
    files = folder.rglob("*") if recursive else folder.iterdir()
    files = tuple(sorted(file for file in files if file.suffix.lower() in taken and not _is_other(file)))
    left_out = image_formats.left_out(folder, is_deep=recursive, takes_videos=True)
    if not files:
        others = f" Left out: {'; '.join(left_out)}." if left_out else ""
        deeper = (
            ""
            if recursive or not any(file.is_dir() for file in folder.iterdir())
            else (" It has subfolders, which count with recursive.")
        )
        raise ImageError(
            f"The folder {shown(folder)} holds no image and no video. Expected files that end in "
            f"{', '.join(sorted(taken))}.{deeper}{others}"
        )
    return Found(files, left_out=left_out)


def _is_other(file: Path) -> bool:
    """Whether a file is something else in spite of its ending: a folder, or a program in TypeScript."""
    return file.is_dir() or (file.suffix.lower() in _OF_TYPESCRIPT and not heads.is_video(file, trusts_name=False))


def lines(path: Path) -> list[str]:
    """The entries of a list: its lines, of a .csv its fields as well; without comments (#) and what is blank."""
    try:
        text = reading.read_text(path, _MOST_LIST_BYTES, "utf-8-sig")
    except ValueError as error:
        raise ImageError(
            f"{shown(path)} cannot be read: it {clause(error)}. Expected a list of paths and URLs, one a line."
        ) from error
    if path.suffix.lower() == ".csv":
        fields = (field for row in csv.reader(io.StringIO(text), skipinitialspace=True) for field in row)
    else:
        fields = text.splitlines()
    stripped = [field.strip() for field in fields]
    return [field for field in stripped if field and not field.startswith("#")]


def _of_list(path: Path, recursive: bool) -> Found:
    """The entries of a list of files, folders, globs and URLs."""
    named = lines(path)
    if not named:
        raise ImageError(f"{shown(path)} lists nothing. Expected a path or a URL a line.")
    entries, missing, left_out = [], [], []
    for name in named:
        if is_url(name):
            entries.append(name)
            continue
        try:
            of_entry = _of_entry(name, path.parent, recursive)
        except (ImageError, OSError, ValueError, re.error) as error:
            missing.append((name, f"{shown(name)} of {shown(path)} is not there: {first_line(error)}"))
            continue
        entries += of_entry.entries
        left_out += of_entry.left_out
    return Found(tuple(entries), tuple(missing), tuple(left_out))


def _of_entry(name: str, folder: Path, recursive: bool) -> Found:
    """What an entry of a list means: beside the list, or else in the working directory, as Ultralytics has it."""
    candidates: Iterable[str] = dict.fromkeys((str(folder / Path(name).expanduser()), name))
    failure = None
    for candidate in candidates:
        if Path(candidate).suffix.lower() in (*LIST_SUFFIXES, STREAMS_SUFFIX) and Path(candidate).is_file():
            raise ImageError(f"{shown(name)} is a list itself. Expected an image, a video, a folder, a glob or a URL.")
        try:
            return _of_path(candidate, recursive)
        except ImageError as error:
            failure = failure or error
    raise failure


def refusal(path: str, missing: Iterable[tuple[str, str]], num_entries: int) -> ImageError:
    """The error that names entries of a list that are not there.

    Args:
      path: The list.
      missing: Entries and reasons.
      num_entries: How many entries are there.

    Returns:
      The error.
    """
    missing = list(missing)
    named = ", ".join(shown(name, 100) for name, _ in missing[:_MOST_NAMED]) + (
        ", ..." if missing[_MOST_NAMED:] else ""
    )
    verb = "is" if len(missing) == 1 else "are"
    return ImageError(
        f"{counted(len(missing), 'entry', 'entries')} of {shown(path)} {verb} not there: {named}. Expected paths "
        f"beside the list or in the working directory, or URLs; found: {counted(num_entries, 'file')}."
    )
