"""Values of a document that a stranger wrote, each of the type and in the range that it must have.

    section = fields.mapping(document, "tftrt_yolo")
    fields.no_others(section, {"weights", "selection"})
    stride = fields.whole(document, "stride", least=1, most=16_384)

What does not fit is an `UnreadableError` whose message is half a sentence: what was found, and what was expected.
Nothing is converted: "640" is no number, 32.0 is no whole number, and true is neither.
"""

import re
from collections.abc import Collection, Mapping

from tftrt_yolo.ground.files.reading import UnreadableError
from tftrt_yolo.ground.text import quoted

_NOTHING = object()
_SHA256 = re.compile("[0-9a-f]{64}")


def value(document: Mapping, key: object, expected: str) -> object:
    """The value of a key; without it an UnreadableError says what was expected."""
    found = document.get(key, _NOTHING)
    if found is _NOTHING:
        raise UnreadableError(f"lacks {quoted(key)}; expected {expected}")
    return found


def text(document: Mapping, key: object) -> str:
    """A text."""
    found = value(document, key, "a text")
    return found if isinstance(found, str) else _refuse(key, found, "a text")


def flag(document: Mapping, key: object) -> bool:
    """True or false."""
    found = value(document, key, "true or false")
    return found if isinstance(found, bool) else _refuse(key, found, "true or false")


def whole(document: Mapping, key: object, *, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    expected = f"a whole number from {least:,} to {most:,}"
    found = value(document, key, expected)
    return found if is_whole(found, least, most) else _refuse(key, found, expected)


def wholes(document: Mapping, key: object, *, count: int, least: int, most: int) -> tuple[int, ...]:
    """So many whole numbers from `least` to `most`."""
    expected = f"{count} whole numbers from {least:,} to {most:,}"
    found = value(document, key, expected)
    if not isinstance(found, list) or len(found) != count or not all(is_whole(one, least, most) for one in found):
        is_short = isinstance(found, list) and len(found) <= count + 2
        shown = f"[{', '.join(map(quoted, found))}]" if is_short else quoted(found)
        raise UnreadableError(f"has {quoted(key)}: {shown}; expected {expected}")
    return tuple(found)


def share(document: Mapping, key: object) -> float:
    """A number from 0 to 1."""
    found = value(document, key, "a number from 0 to 1")
    is_number = isinstance(found, (int, float)) and not isinstance(found, bool)
    is_share = is_number and 0 <= found <= 1  # neither NaN nor what is too large for a float
    return float(found) if is_share else _refuse(key, found, "a number from 0 to 1")


def sha256(document: Mapping, key: object) -> str:
    """A SHA-256 in 64 hexadecimal digits."""
    found, expected = value(document, key, "a SHA-256"), "a SHA-256, 64 hexadecimal digits"
    return found if isinstance(found, str) and _SHA256.fullmatch(found) else _refuse(key, found, expected)


def one_of(document: Mapping, key: object, known: Collection[str]) -> str:
    """A text that is known."""
    found = text(document, key)
    return found if found in known else _refuse(key, found, f"one of {', '.join(known)}")


def mapping(document: Mapping, key: object) -> dict:
    """A mapping."""
    found = value(document, key, "a mapping")
    return found if isinstance(found, dict) else _refuse(key, found, "a mapping")


def no_others(document: Mapping, known: Collection[str], place: str) -> None:
    """Refuses keys that are not known.

    Raises:
      UnreadableError: If there is one; it may be of a newer version.
    """
    others = [key for key in document if key not in known]
    if others:
        raise UnreadableError(
            f"has {quoted(others[0])} in {place}, which this version of tftrt_yolo does not know; if a newer version "
            f"wrote it, use that. Known are {', '.join(known)}"
        )


def is_whole(found: object, least: int, most: int) -> bool:
    """Whether it is a whole number in a range, and not true or false."""
    return isinstance(found, int) and not isinstance(found, bool) and least <= found <= most


def _refuse(key: object, found: object, expected: str):
    raise UnreadableError(f"has {quoted(key)}: {quoted(found)}; expected {expected}")
