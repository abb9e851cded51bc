"""Names of the files and folders that `predict` writes, whatever sources and classes are called.

Stems().stem_for("photos/bus.jpg"), Stems().stem_for("rtsp://user:secret@camera/stream")    # "bus", "stream"
folder_names(np.array(["person", "../../x", "con"]))                                        # "person", ".._x", ...
"""

import itertools
import re
import unicodedata
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

import numpy as np

from tftrt_yolo.predictor.pictures import cut

_MOST_STEM_BYTES = 200  # of a name, behind which numbers and endings stand; most file systems take 255
_MOST_FOLDER_BYTES = 120
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # of Windows, for files and folders
_FORBIDDEN = frozenset('<>:"/\\|?*%')  # some by Windows; a percent sign is a pattern to many tools
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # Unicode's categories


class Stems:
    """Names of files for images and videos, without endings, each given once."""

    def __init__(self):
        """Starts without names."""
        self._given: dict[str, int] = {}  # name to the last number behind it

    def stem_for(self, source: str) -> str:
        """A name that was not given before.

        Args:
          source: A path, a URL or the number of a camera.

        Returns:
          The end of the path without its ending; with a number where it was given before.
        """
        stem = cut(stem_of(source), _MOST_STEM_BYTES)
        name = stem
        if stem in self._given:
            numbers = itertools.count(self._given[stem] + 1)
            number = next(number for number in numbers if f"{stem}_{number}" not in self._given)
            self._given[stem], name = number, f"{stem}_{number}"
        self._given[name] = 1
        return name


def stem_of(source: str) -> str:
    """What a source is called, without an ending: bus of photos/bus.jpg, camera_0 of 0, a URL's end or its host."""
    if source == "-":
        return "stdin"
    if source.isdecimal() and source.isascii() and not Path(source).exists():
        return f"camera_{source}"
    if "://" in source:
        parts = urlsplit(source)
        end = PurePath(unquote(parts.path).rstrip("/").rpartition("/")[2]).stem
        return safe_name(end) or safe_name(parts.netloc.rpartition("@")[2]) or "stream"
    return PurePath(source).stem


def safe_name(name: str, most_bytes: int = _MOST_FOLDER_BYTES) -> str:
    """A name that every system takes for a file or a folder, and that leads nowhere.

    Args:
      name: Any text.
      most_bytes: What its beginning is cut to.

    Returns:
      The name with "_" for separators, for what Windows forbids and for what cannot be seen; empty if nothing is left.
    """
    text = "".join(
        "_" if letter in _FORBIDDEN or unicodedata.category(letter) in _UNSEEN else letter
        for letter in unicodedata.normalize("NFC", name)
    )
    text = cut(text.strip().strip("."), most_bytes).strip().strip(".")
    return f"_{text}" if _RESERVED.fullmatch(text) else text


def folder_names(names: np.ndarray) -> list[str]:
    """A folder's name for each class, all of them different, in letters of either case.

    Args:
      names: (C,) str.

    Returns:
      The names as `safe_name` gives them; with the class's index where one is empty or like an earlier one.
    """
    found, taken = [], set()
    for index, name in enumerate(names):
        folder = safe_name(str(name)) or f"class_{index}"
        if folder.casefold() in taken:
            folder = f"{folder}_{index}"
        while folder.casefold() in taken:
            folder += "_"
        taken.add(folder.casefold())
        found.append(folder)
    return found


def free_path(folder: Path, stem: str, ending: str) -> Path:
    """A path in a folder at which there is nothing yet.

    Args:
      folder: The folder.
      stem: The name without its ending.
      ending: The ending, with its dot.

    Returns:
      The path; with a number behind the stem where there is something of that name.
    """
    path, number = folder / (stem + ending), 1
    while path.exists():
        number += 1
        path = folder / f"{stem}_{number}{ending}"
    return path
