r"""Text that comes from a file, for a message: it may hold anything, and a terminal obeys what it holds.

raise CheckpointError(f"{weights} ends in the head {quoted(head)}.")     # 'Dete\x1b[31mct', at most 80 characters
print(printable(report))                                                 # escapes what moves a terminal's cursor
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

_MOST = 80  # characters of a quotation
_UNCOMMON = re.compile(r"[^ -~\n]")  # what must be looked at
_KEPT = frozenset("\n\t\u200c\u200d")  # breaks of lines and tabs, and the joiners of scripts and emoji
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # Unicode's categories of what is not seen but obeyed


def _escape(character: str) -> str:
    r"""A character as Python writes it in ASCII: "\x1b"."""
    return character.encode("unicode_escape").decode()


def printable(text: object, *, escape: Callable[[str], str] = _escape) -> str:
    r"""Escapes control characters, and what changes the direction of writing.

    Args:
      text: Anything; its `str` is taken.
      escape: Spells a character out.

    Returns:
      The text with "\x1b" and the like spelt out; line breaks, tabs and letters of every script stay.
    """
    return _UNCOMMON.sub(lambda match: escape(match[0]) if _is_obeyed(match[0]) else match[0], str(text))


def _is_obeyed(character: str) -> bool:
    return character not in _KEPT and unicodedata.category(character) in _ESCAPED


def quoted(value: object, most: int = _MOST) -> str:
    r"""A value of a file as a message may show it: on one line, escaped and cut.

    Args:
      value: A string, a number, None, or a container of these; of anything else only its type is told.
      most: At most this many characters of it.

    Returns:
      As `repr`, with "..." in place of what is cut.
    """
    value = unwrapped(value)
    if isinstance(value, (str, bytes)):
        shown = repr(value[: most + 1])
        return printable(shown) if len(value) <= most else printable(repr(value[:most])) + " ..."
    if isinstance(value, int) and abs(value) >= 10**most:
        return f"a whole number of {value.bit_length():,} bits"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (list, tuple, set, dict)):
        return f"{with_article(type(value).__name__)} of {len(value):,}"
    return with_article(type(value).__name__)


def unwrapped(value: object) -> object:
    """A number, text or truth of NumPy's, also as an array without axes, as Python's own; anything else as it is."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () else value


def with_article(name: str) -> str:
    """A name with "a" or "an" before it: "an int", "a Conv2d"."""
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def counted(count: int, one: str, several: str | None = None) -> str:
    """A count with its word.

    Args:
      count: How many.
      one: The word for one.
      several: The word for any other number; None for the first with an "s".

    Returns:
      "1 image", "0 images", "1,024 images".
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def listed(names: Iterable[str]) -> str:
    """Several names in a sentence: "a", "a and b", "a, b and c"; empty for none."""
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def rounded(value: float, form: str) -> str:
    """A number for a reader: "+0.0000" of what rounds to nothing, and not "-0.0000".

    Args:
      value: The number.
      form: Its format, with a fixed number of places, such as "+.4f".
    """
    text = f"{value:{form}}"
    return f"{0.0:{form}}" if float(text) == 0 else text


def shown(path: object, most: int = 300) -> str:
    """A path or a name as a message may show it: on one line, escaped, without quotation marks, its middle cut."""
    line = printable(path).replace("\n", "\\n").replace("\t", "\\t")
    return line if len(line) <= most else f"{line[: most // 3]} ... {line[-most // 3 :]}"


def sides(size_hw: tuple[int, int]) -> str:
    """A size of images for a reader: "640" of a square, otherwise "640 x 480", width and height."""
    height, width = size_hw
    return f"{width}" if width == height else f"{width} x {height}"


def in_picture(name: object, most: int = 30) -> str:
    r"""A name as matplotlib may draw it: as `shown`, and what stands between two "$" is not taken for a formula."""
    return shown(name, most).replace("$", r"\$")


def first_line(error: BaseException, most: int = 300) -> str:
    """What an exception of a library says: the first line, escaped and cut; its type if it says nothing."""
    lines = str(error).strip().splitlines()
    line = printable(lines[0]) if lines else type(error).__name__
    return line if len(line) <= most else line[:most] + " ..."


def clause(error: BaseException) -> str:
    """The same as a part of our sentence: without the full stop that the library set."""
    line = first_line(error)
    return line if line.endswith("..") else line.removesuffix(".")
