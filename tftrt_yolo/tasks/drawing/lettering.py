"""How the names of classes are written into pictures: in which font, and what stands for a name that no font can show.

    letters = lettering.of(("dog", "пёс", "犬"))
    letters.texts[1], letters.font(20)

OpenCV's strokes know ASCII alone. Other names are drawn with DejaVu Sans, which comes with matplotlib and knows the
alphabets of Europe and Arabic; those that it lacks with a font of the machine, if there is one.
"""

import dataclasses
import functools
import unicodedata
from pathlib import Path

import numpy as np
import PIL.features
import PIL.ImageFont
from absl import logging

from tftrt_yolo.ground.text import shown

_MOST_LETTERS = 100  # of a name; the middle of a longer one is left out
_MOST_FONTS = 2_000  # of the machine are looked into
_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "~/.config/Ultralytics",  # to where Ultralytics downloads Arial.Unicode.ttf
)
# Letters that change with their neighbours, which takes Pillow's Raqm: the scripts of India, Tibet, Burma and Cambodia,
# and all that are written from right to left.
_SHAPED = ((0x0900, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x17FF))


@dataclasses.dataclass(frozen=True)
class Lettering:
    """How the names of a model are drawn.

    Attributes:
      font_path: A TrueType font; None where all names are ASCII and OpenCV's strokes do.
      texts: What is drawn for each class. A name that the font cannot show is its index with "#" before it, and what of
        the name it can show.
    """

    font_path: str | None
    texts: tuple[str, ...]

    @functools.cached_property
    def _is_shaped(self) -> bool:
        """Whether a text needs its letters fitted to their neighbours."""
        return any(_is_shaped(letter) for text in self.texts for letter in text) and PIL.features.check("raqm")

    def font(self, size_px: int) -> PIL.ImageFont.FreeTypeFont:
        """The font, or DejaVu Sans, in a size."""
        return _font(self.font_path or _dejavu_path(), size_px, self._is_shaped)


def of(names: np.ndarray | tuple[str, ...]) -> Lettering:
    """Chooses a font for the names of a model, once.

    Args:
      names: (C,) str.

    Returns:
      The lettering; the log has a warning, once, if there are names that no font of this machine can show.
    """
    return _of(tuple(str(name) for name in names))


@functools.lru_cache(maxsize=8)
def _of(names: tuple[str, ...]) -> Lettering:
    """As `of`."""
    texts = tuple(shown(unicodedata.normalize("NFC", name), _MOST_LETTERS) for name in names)
    if all(text.isascii() for text in texts):
        return Lettering(None, texts)
    font_path, letters = _best_font(texts)
    unknown = [index for index, text in enumerate(texts) if not _shows(letters, text)]
    if unknown:
        logging.warning(
            "%d of %d class names cannot be drawn with a font of this machine (%s); pictures show %s instead. Install "
            "a font that has these letters, such as Noto's (apt install fonts-noto-cjk).",
            len(unknown),
            len(names),
            ", ".join(texts[index] for index in unknown[:3]),
            ", ".join(f"#{index}" for index in unknown[:3]),
        )
    hidden = set(unknown)
    return Lettering(
        font_path,
        tuple(_in_its_place(letters, index, text) if index in hidden else text for index, text in enumerate(texts)),
    )


def _in_its_place(letters: frozenset[int], index: int, text: str) -> str:
    """The index, and the words of a name that the font can show."""
    return " ".join([f"#{index}", *(word for word in text.split() if _shows(letters, word))])


def _dejavu_path() -> str:
    """DejaVu Sans, which matplotlib ships; its font manager, which searches the machine, is not needed for it."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


@functools.lru_cache(maxsize=32)
def _font(path: str, size_px: int, is_shaped: bool) -> PIL.ImageFont.FreeTypeFont:
    """A font of a size. Raqm, which shapes, takes several times as long as Pillow's own layout."""
    layout = PIL.ImageFont.Layout
    return PIL.ImageFont.truetype(path, size_px, layout_engine=layout.RAQM if is_shaped else layout.BASIC)


def _best_font(texts: tuple[str, ...]) -> tuple[str, frozenset[int]]:
    """The first font that shows all texts, or the one that shows most; and its letters."""
    best, most = None, -1
    for path in [_dejavu_path(), *_machine_fonts()]:
        letters = _letters(path)
        count = sum(_shows(letters, text) for text in texts)
        if count > most:
            best, most = (path, letters), count
        if count == len(texts):
            break
    return best


def _shows(letters: frozenset[int], text: str) -> bool:
    """Whether a font with these letters shows a text as it is to be read."""
    if not PIL.features.check("raqm") and any(map(_is_shaped, text)):
        return False
    return all(character.isspace() or ord(character) in letters for character in text)


def _is_shaped(character: str) -> bool:
    """Whether a letter changes with its neighbours, or is written from right to left."""
    is_of_the_scripts = any(first <= ord(character) <= last for first, last in _SHAPED)
    return is_of_the_scripts or unicodedata.bidirectional(character) in ("R", "AL")


def _letters(path: str) -> frozenset[int]:
    """The letters of a font; none if Pillow cannot draw it, as fonts of coloured bitmaps."""
    from matplotlib.ft2font import FT2Font

    try:
        _font(path, 12, False).getmask("0")
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def _machine_fonts() -> list[str]:
    """The fonts of the machine, upright ones without serifs first."""
    found = []
    for folder in _FOLDERS:
        for kind in ("*.ttf", "*.otf", "*.ttc"):
            found += map(str, Path(folder).expanduser().rglob(kind))
    preferred = ("regular", "unicode", "sans")
    return sorted(found, key=lambda path: ([word not in path.lower() for word in preferred], path))[:_MOST_FONTS]
