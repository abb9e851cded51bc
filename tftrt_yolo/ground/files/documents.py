"""Reports as JSON, written from dataclasses and read back by their type hints; and as plain text with tables.

    documents.write(report, Path("runs/benchmark/benchmark.json"))
    documents.read("runs/benchmark", FILE, BenchmarkReport, BenchmarkError, origin="a benchmark", remedy="run it again")

A dataclass may name properties in `DERIVED`: they are written for other readers, and not read back. `FORMAT_VERSION`
is written too, so that a file which does not fit can be told from a damaged one.

JSON has neither NaN nor infinity: they are written as null, which for a number is read back as NaN.

    console = documents.text_console()
    console.print(table)                            # rich's
    documents.text_of(console)
"""

import dataclasses
import io
import json
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TypeVar

from tftrt_yolo.ground.errors import TftrtYoloError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import counted, first_line, printable, quoted

Report = TypeVar("Report")
_VERSION_KEY = "format_version"
_MOST_BYTES = 64 << 20  # of a report
_MOST_WHOLE = 1 << 63  # what is larger is no count of ours, and too large for a float
FORMAT_VERSION = 1  # of a report that names none of its own
_TEXT_WIDTH = 120  # columns
FAULTS = (ValueError, KeyError, TypeError, AttributeError)  # how a document that does not fit shows


def to_json(report: object) -> str:
    """A report as JSON, which any reader of JSON takes.

    Args:
      report: A dataclass. In it may be dataclasses, dictionaries, sequences and sets, paths, NumPy's numbers and
        arrays, and what JSON has.

    Returns:
      An object on several lines, with a line break at its end. Numbers that JSON does not have, NaN and infinity, are
      null; keys are strings; characters that a terminal obeys are escaped.

    Raises:
      TypeError: If something else is in it; the message names its place.
    """
    document = {_VERSION_KEY: _version_of(type(report))} | _plain(report, type(report).__name__)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return printable(text, escape=lambda character: json.dumps(character)[1:-1])


def plain(value: object) -> object:
    """What `to_json` makes of a value before it is text: dictionaries, lists, texts, numbers, true, false and None."""
    return _plain(value, type(value).__name__)


def write(report: object, path: Path) -> None:
    """Writes a report's JSON into a file.

    Args:
      report: A dataclass.
      path: The file.
    """
    path.write_text(to_json(report), encoding="utf-8")


def read(
    path: str | Path, file: str, kind: type[Report], error_class: type[TftrtYoloError], *, origin: str, remedy: str
) -> Report:
    """Reads a report from its JSON.

    Args:
      path: The file, or the directory that holds it.
      file: Name of the file in a directory.
      kind: The report's dataclass.
      error_class: What to raise.
      origin: What the file is of, for the message: "a benchmark".
      remedy: What to do if it cannot be used.

    Returns:
      The report.

    Raises:
      TftrtYoloError: error_class, if the file is missing, damaged, or of another version and does not fit.
    """
    path = Path(path) / file if Path(path).is_dir() else Path(path)
    try:
        document = reading.parse_json(reading.read_text(path, _MOST_BYTES))
    except OSError as error:
        raise error_class(f"{path} cannot be read: {error.strerror}. Expected a {file} of {origin}.") from error
    except reading.UnreadableError as error:
        raise error_class(f"{path} {fault(None, kind, error)}. Expected a {file} of this version; {remedy}.") from error
    try:
        return parse(document, kind)
    except FAULTS as error:
        found = fault(document, kind, error)
        raise error_class(f"{path} {found}. Expected a {file} of this version; {remedy}.") from error


def fault(document: object, kind: type, error: Exception) -> str:
    """What is wrong with a document that could not be parsed.

    Args:
      document: The document; None if it is no JSON.
      kind: The dataclass that was expected.
      error: What was raised.

    Returns:
      Half a sentence: that it is damaged, or of an older or a newer version.
    """
    detail = f"{type(error).__name__}: {first_line(error)}"
    if not isinstance(document, dict):
        return f"is damaged ({detail})"
    if _VERSION_KEY not in document:  # the first reports had none
        return f"is damaged, or was written by an older version of tftrt_yolo ({detail})"
    version = document[_VERSION_KEY]
    if isinstance(version, int) and version != _version_of(kind):
        age = "an older" if version < _version_of(kind) else "a newer"
        return f"was written by {age} version of tftrt_yolo and does not fit this one ({detail})"
    return f"is damaged ({detail})"


def parse(document: object, kind: type[Report]) -> Report:
    """Turns JSON's dictionaries and lists into a dataclass, field by field.

    Args:
      document: What JSON holds.
      kind: The dataclass.

    Returns:
      One of its kind.

    Raises:
      TypeError: If a value has another type than its field; the message names the field.
      ValueError: If there is a field too many or too few, or the dataclass itself refuses a value.
    """
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if key != _VERSION_KEY}
    return _parsed(document, kind, kind.__name__)


def text_console():
    """A console of rich's that gathers plain text, without colours, 120 columns wide."""
    from rich.console import Console  # a tenth of a second, which a command's help need not wait for

    return Console(file=io.StringIO(), width=_TEXT_WIDTH, color_system=None, highlight=False, markup=False)


def text_of(console) -> str:
    """What a `text_console` gathered, without blanks at the ends of lines and empty lines around it."""
    return "\n".join(line.rstrip() for line in console.file.getvalue().strip().splitlines())


def _version_of(kind: type) -> int:
    return getattr(kind, "FORMAT_VERSION", FORMAT_VERSION)


def _plain(value: object, place: str) -> object:
    """What JSON can hold, of dataclasses and all that is in them; `place` is for messages."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)] + list(getattr(value, "DERIVED", ()))
        return {name: _plain(getattr(value, name), f"{place}.{name}") for name in names}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{place}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, f"{place}[{at}]") for at, item in enumerate(value)]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's, which is not imported for this
        return _plain(value.tolist(), place)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"{place} is a {type(value).__name__}, which JSON does not have.")


def _parsed(value: object, annotation: object, place: str) -> object:
    """A value of JSON as its annotation wants it; `place` is for messages."""
    origin, of = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _parsed_union(value, of, place)
    if dataclasses.is_dataclass(annotation):
        return _parsed_dataclass(_checked(value, dict, place), annotation, place)
    if origin is tuple:
        items = _checked(value, list, place)
        kinds = [of[0]] * len(items) if len(of) == 2 and of[1] is Ellipsis else of
        if len(kinds) != len(items):
            raise TypeError(f"{place} has {counted(len(items), 'value')}; expected {len(kinds)}")
        pairs = enumerate(zip(items, kinds, strict=True))
        return tuple(_parsed(item, kind, f"{place}[{at}]") for at, (item, kind) in pairs)
    if origin is dict:
        key_kind, value_kind = of
        items = _checked(value, dict, place).items()
        return {_key(key, key_kind, place): _parsed(item, value_kind, f"{place}[{quoted(key)}]") for key, item in items}
    if annotation is float and value is None:
        return math.nan
    if annotation is Path:
        return Path(_checked(value, str, place))
    return _checked(value, annotation, place)


def _key(key: str, kind: type, place: str) -> object:
    """A dictionary's key, which JSON holds as a string."""
    try:
        return kind(key)
    except ValueError as error:
        raise TypeError(f"{place} has the key {quoted(key)}; expected {kind.__name__}") from error


def _parsed_union(value: object, kinds: tuple, place: str) -> object:
    """The first member that a value fits; None fits None alone."""
    others = [kind for kind in kinds if kind is not types.NoneType]
    if value is None and len(others) < len(kinds):
        return None
    for kind in others[:-1]:
        try:
            return _parsed(value, kind, place)
        except (TypeError, ValueError):
            continue
    return _parsed(value, others[-1], place)


def _parsed_dataclass(document: dict, kind: type, place: str) -> object:
    """A dataclass from its fields; what is derived is left out."""
    fields, hints = dataclasses.fields(kind), typing.get_type_hints(kind)
    unknown = set(document) - {field.name for field in fields} - set(getattr(kind, "DERIVED", ()))
    if unknown:
        raise ValueError(f"{place} has {quoted(sorted(unknown)[0])}, which is none of its fields")
    missing = [f for f in fields if f.name not in document and f.default is f.default_factory is dataclasses.MISSING]
    if missing:
        raise ValueError(f"{place} lacks {missing[0].name!r}")
    given = [field.name for field in fields if field.name in document]
    return kind(**{name: _parsed(document[name], hints[name], f"{place}.{name}") for name in given})


def _checked(value: object, kind: type, place: str) -> object:
    """The value, if it is of its kind; whole numbers are numbers, and true and false are none."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{place} is {quoted(value)}; expected {kind.__name__}")
    if isinstance(value, int) and not -_MOST_WHOLE < value < _MOST_WHOLE:
        raise TypeError(f"{place} is {quoted(value)}; expected a number of at most 64 bits")
    return value
