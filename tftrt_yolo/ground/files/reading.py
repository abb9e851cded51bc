"""Reading files that come from strangers: never more than expected, never a device, never for ever.

    data = reading.read_bytes(path, most_bytes=1 << 20)
    document = reading.parse_yaml(data.decode())
    document = reading.parse_json(text)

A fifo waits for ever, /dev/zero has no end, ten lines of YAML with aliases mean gigabytes, and a hundred thousand
brackets overflow the stack of a parser. All of these raise `UnreadableError`, a ValueError, which a caller turns into
an error of its own that says what the file should have been.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tftrt_yolo.ground.text import first_line, quoted, shown

_MOST_DEPTH = 32  # levels of lists and dictionaries
# A string without an end reaches to the document's, or each quotation mark in it would be tried as a beginning.
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[\]{}]', re.DOTALL)
_MOST_UNTOLD = 64 << 20  # bytes of a file that does not tell its size
_MOST_SCALAR = 4_096  # characters of one value; longer numbers in base 60 take minutes
# What PyYAML's constructors raise of values that are none of their tag: of "!!int ''" an IndexError.
_OF_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class UnreadableError(ValueError):
    """A file is none, is too large, or holds what is never read; the message is half a sentence."""


def read_bytes(path: str | Path, most_bytes: int) -> bytes:
    """Reads a regular file whole.

    Args:
      path: The file; links are followed.
      most_bytes: Refuse a larger one.

    Returns:
      Its bytes.

    Raises:
      OSError: If it is missing or cannot be opened.
      UnreadableError: If it is a folder, a fifo or a device, or larger.
    """
    # Few calls of the system: at each of them a thread gives Python's lock away, and with many threads waits for it.
    descriptor = _open(path)
    try:
        # Memory for what is there and not for the most that may be; but files of /proc say that they are empty.
        expected = _checked_size(descriptor, most_bytes) or min(most_bytes, _MOST_UNTOLD)
        data = os.read(descriptor, expected + 1)
        while 0 < len(data) < expected and (more := os.read(descriptor, expected + 1 - len(data))):
            data += more
    finally:
        os.close(descriptor)
    if len(data) > expected:  # it grew meanwhile, or its size was not told
        raise UnreadableError(f"has more than {expected:,} bytes; at most {most_bytes:,} are read")
    return data


def opened(path: str | Path, most_bytes: int) -> BinaryIO:
    """Opens a regular file, if it is not too large; arguments and errors are those of `read_bytes`."""
    descriptor = _open(path)
    try:
        _checked_size(descriptor, most_bytes)
    except UnreadableError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _open(path: str | Path) -> int:
    """A descriptor; not to wait for the writer of a fifo, which changes nothing for files."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _checked_size(descriptor: int, most_bytes: int) -> int:
    """A file's bytes as it tells them."""
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError("is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError("is a device, a pipe or a socket and no file")
    if status.st_size > most_bytes:
        raise UnreadableError(f"has {status.st_size:,} bytes; at most {most_bytes:,} are read")
    return status.st_size


def sha256(path: str | Path, most_bytes: int) -> str:
    """Hashes a regular file, 64 hexadecimal digits; arguments and errors are those of `read_bytes`."""
    digest = hashlib.sha256()
    with opened(path, most_bytes) as file:
        feed(digest, file)
    return digest.hexdigest()


def feed(digest, file: BinaryIO) -> None:
    """Adds what is left of a file to one of hashlib's digests, a piece at a time."""
    while chunk := file.read(1 << 20):
        digest.update(chunk)


def read_text(path: str | Path, most_bytes: int, encoding: str = "utf-8") -> str:
    """As `read_bytes`, decoded; what is no text in this encoding is an UnreadableError."""
    try:
        return read_bytes(path, most_bytes).decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"is no text in {encoding} ({error.reason} at byte {error.start:,})") from error


def parse_json(text: str, *, checks_depth: bool = True, is_strict: bool = False) -> object:
    """Parses JSON of at most 32 levels.

    Args:
      text: The document.
      checks_depth: Whether more than 32 levels are refused, which takes as long as parsing; a thousand always are.
      is_strict: Whether what Python takes beside JSON is refused, too: NaN, infinity, and a name twice in one object.

    Returns:
      What it holds.

    Raises:
      UnreadableError: If it is no JSON, or nested deeper.
    """
    depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text) if checks_depth else ():
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found.group()[:2], 0)
        if depth > _MOST_DEPTH:
            raise _too_deep()
    try:
        return json.loads(text, **(_STRICT if is_strict else {}))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"is no JSON ({first_line(error)})") from error


def _too_deep() -> UnreadableError:
    """The error for what is nested too deep, said at once: counting fifty million brackets takes half a minute."""
    return UnreadableError(f"is nested more than {_MOST_DEPTH} levels deep")


def _refuse_constant(name: str) -> None:
    """Refuses a number that JSON does not have."""
    raise ValueError(f"it has {name}, which is no number of JSON")


def _unique(pairs: list[tuple[str, object]]) -> dict:
    """An object of JSON, whose names must differ."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"it has the name {quoted(twice)} twice in one object")
    return found


_STRICT = {"parse_constant": _refuse_constant, "object_pairs_hook": _unique}


def parse_yaml(text: str) -> object:
    """Parses plain YAML: one document of at most 32 levels, without aliases and without values of other kinds.

    Args:
      text: The document.

    Returns:
      What it holds.

    Raises:
      UnreadableError: If it is no YAML, or holds an alias or a value of more than 4,096 characters.
    """
    import yaml  # a tenth of a second, which a command's help need not wait for

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml.parse(text, Loader=loader), yaml)
        return yaml.load(text, Loader=loader)  # noqa: S506 - a SafeLoader, in C where there is one
    except UnreadableError:
        raise
    except (yaml.YAMLError, *_OF_VALUES) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f" in line {mark.line + 1:,}" if mark else ""
        raise UnreadableError(f"is no YAML ({shown(problem) if problem else first_line(error)}{line})") from error


def _check_events(events: Iterator, yaml) -> None:
    """Refuses what makes a small YAML large, or a parser overflow, before anything is built from it."""
    level = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise UnreadableError(f"refers to an anchor in line {event.start_mark.line + 1:,}; write the value itself")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _MOST_SCALAR:
            raise UnreadableError(
                f"holds a value of {len(event.value):,} characters; at most {_MOST_SCALAR:,} are read"
            )
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > _MOST_DEPTH:
            raise _too_deep()
