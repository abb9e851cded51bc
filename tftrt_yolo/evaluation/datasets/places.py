"""Where a data set's images and labels lie: folders, lists, and paths that were written on another machine.

    place, note = resolve("../valid/images", roots)     # what Roboflow writes means valid/images beside the data.yaml
    paths = list(images_of(place, roots))               # of a folder with its subfolders, or of a list
    label_path(paths[0])                                # labels/... for images/...

Hidden files are left out, as macOS puts one beside each image, and folders that systems make. Links to folders are
followed.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tftrt_yolo.ground.errors import DatasetError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.files.image_files import SUFFIXES
from tftrt_yolo.ground.text import clause, quoted, shown

# How the names of images end that may not be read here; what Ultralytics takes is among them.
IMAGE_SUFFIXES = SUFFIXES | {
    *(".avif", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl", ".mpo"),
    *(".pbm", ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".ras", ".sr", ".tga"),
}
# Folders that systems make beside the data: macOS in a ZIP file, Synology's thumbnails, Windows and Linux on a drive.
_SYSTEM_FOLDERS = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
_MOST_LIST_BYTES = 256 << 20  # of a list of images, two million or more
_MOST_LABEL_BYTES = 16 << 20  # of a text that may be a label without its image
_LEAST_WORDS = 5  # of a label's line: a class and a box
# Texts that lie beside labels; an empty file of another name is the label of a background.
_NO_LABELS = frozenset({"classes", "labels", "license", "names", "notes", "readme", "test", "train", "val", "valid"})


def resolve(entry: str, roots: Sequence[Path]) -> Path:
    """Finds what a path of a data.yaml means.

    Args:
      entry: The path: absolute, or relative to one of the roots.
      roots: Folders that it may count from, the likeliest first.

    Returns:
      The first that is there, of each root with the path as it is written, without a leading "../", as Ultralytics
      takes what Roboflow writes, and with "/" for Windows' separators; the first of all where none is.
    """
    spellings = dict.fromkeys(
        form for written in (entry, entry.replace("\\", "/")) for form in (written, written.removeprefix("../"))
    )
    candidates = [root / spelling for root in roots for spelling in spellings]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def images_of(place: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """The images of a folder and its subfolders, or of a list; a label without its image counts as a missing one.

    Args:
      place: A folder, or a text with the path of an image a line.
      roots: Folders that a list's paths may count from, beside its own.

    Yields:
      Paths; not all need be there or be of a format that is read.

    Raises:
      DatasetError: If a list cannot be read.
    """
    if not place.is_dir():
        yield from _listed(place, roots)
        return
    found = [file for file in walk(place) if file.suffix.lower() in IMAGE_SUFFIXES]
    yield from found
    labels_dir = label_path(place / "any").parent
    labelled = {label_path(image) for image in found}
    for label in walk(labels_dir):
        if label.suffix == ".txt" and label not in labelled and _is_label(label):
            yield place / _image_name(label.relative_to(labels_dir), is_beside=labels_dir == place)


def is_of_the_data(name: str) -> bool:
    """Whether a file or folder of this name belongs to a data set, and is not hidden or made by a system."""
    return not name.startswith(".") and name not in _SYSTEM_FOLDERS


def walk(folder: Path) -> list[Path]:
    """All files of a folder and its subfolders, sorted, without hidden ones; none if there is no folder."""
    found, seen = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = [] if real in seen else list(filter(is_of_the_data, folders))
        if real not in seen:
            found += [Path(parent, name) for name in files if is_of_the_data(name)]
        seen.add(real)
    return sorted(found)


def label_path(image: Path, folder: str = "labels", ending: str = ".txt") -> Path:
    """Where an image's labels are: under labels, or another folder, instead of the last images."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = folder
            break
    return Path(*parts).with_suffix(ending)


def _image_name(label: Path, *, is_beside: bool) -> Path:
    """Where a label's image would be, both from the same folder: the reverse of `label_path`."""
    *folders, name = label.parts
    if is_beside and "labels" in folders:
        folders[len(folders) - 1 - folders[::-1].index("labels")] = "images"
    return Path(*folders, name).with_suffix(".jpg")


def _is_label(path: Path) -> bool:
    """Whether a text without an image is a label, and not one of the lists and notes that lie beside labels."""
    try:
        lines = reading.read_text(path, _MOST_LABEL_BYTES, "utf-8-sig").splitlines()
    except (OSError, ValueError):
        return False
    rows = [line.split() for line in lines if line.strip()]
    if not rows:
        return path.stem.lower() not in _NO_LABELS
    return all(len(row) >= _LEAST_WORDS and all(map(_is_number, row)) for row in rows)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _listed(place: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """The images of a list, each relative to it, or where that is not there to one of the roots."""
    try:
        lines = reading.read_text(place, _MOST_LIST_BYTES, "utf-8-sig").splitlines()
    except ValueError as error:
        raise DatasetError(
            f"{shown(place)} cannot be read: it {clause(error)}. Expected the path of an image a line."
        ) from error
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line:
            continue
        image = place.parent / line
        if not image.name or image.name == ".." or "\0" in line:
            raise DatasetError(f"{shown(place)}, line {number} is {quoted(line)}. Expected the path of an image.")
        yield image if image.exists() else resolve(line, (place.parent, *roots))
