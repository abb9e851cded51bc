"""The shape of a package as a table, or as JSON.

    python -m tests.house.shape                      # of this checkout, as `make shape` does
    python -m tests.house.shape ../old/tftrt_yolo    # of another
    python -m tests.house.shape --json

`measure` counts. Nothing of the package is imported, so that it need not be installed.
"""

import argparse
import dataclasses
import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.house.measure import (
    MAX_FILES_A_ROOM,
    MAX_LINES_A_BODY,
    MAX_LINES_A_FILE,
    MAX_PARAMETERS,
    Functions,
    Names,
    Shape,
    measure,
)

PACKAGE_DIR = Path(__file__).parents[2] / "tftrt_yolo"
_WIDTH = 120
_SHOWN = 6  # names a row of the table; --json has all
Row = tuple[str, str, Sequence[str]]  # what, how much, which ones


def render(shape: Shape) -> str:
    """A shape for a reader.

    Args:
      shape: What `measure` gave.

    Returns:
      A table of the rooms and one of everything else: what, how much, and the first names of which.
    """
    lines = [f"{'room':<32} {'files':>8} {'lines':>7} {'code':>7}"]
    for name, room in [*shape.files.rooms.items(), ("total", shape.files.total)]:
        short = name.removeprefix(f"{shape.package}.")
        lines.append(f"{short:<32} {room.num_files:>8,} {room.num_lines:>7,} {room.num_code_lines:>7,}")
    lines.append("")
    for row in [*_file_rows(shape), *_function_rows(shape.functions), *_import_rows(shape), *_name_rows(shape)]:
        lines += _lines(row, prefix=f"{shape.package}.")
    return "\n".join(lines) + "\n"


def _file_rows(shape: Shape) -> list[Row]:
    """Rooms and files."""
    files = shape.files
    name, lines = files.longest
    return [
        _row("rooms", len(files.rooms), []),
        _row(f"rooms above {MAX_FILES_A_ROOM} files", len(files.crowded), _counted(files.crowded)),
        _row(f"files above {MAX_LINES_A_FILE} lines", len(files.long), _counted(files.long)),
        _row("longest file, lines", lines, [name]),
        _row("code in __init__.py files", f"{files.init_code_share:.1%}", []),
        _row("statements there beyond names", len(files.init_code), files.init_code),
    ]


def _function_rows(functions: Functions) -> list[Row]:
    """Bodies and parameters."""
    at = functions.body_lines_percentiles
    rows = [
        _row("functions", functions.count, []),
        _row("body lines, median", f"{at[50]:g}", []),
        _row("body lines, 90th percentile", f"{at[90]:g}", []),
        _row("body lines, 97th percentile", f"{at[97]:g}", []),
        _row("body lines, longest", f"{at[100]:g}", [functions.longest]),
        _row(f"bodies above {MAX_LINES_A_BODY} lines", len(functions.long), _counted(functions.long)),
    ]
    for group, parameters in (("__all__", functions.parameters), ("public", functions.public_parameters)):
        above = {name: count for name, count in parameters.items() if count > MAX_PARAMETERS}
        most = max(parameters.values(), default=0)
        rows.append(_row(f"parameters, most, {group}", most, [n for n, c in parameters.items() if c == most]))
        rows.append(_row(f"parameters above {MAX_PARAMETERS}, {group}", len(above), _counted(above)))
    return rows


def _import_rows(shape: Shape) -> list[Row]:
    """Late imports and circles."""
    found = shape.imports
    return [
        _row("late imports of its own", len(found.late), _counted(_modules(found.late))),
        _circles("circles, early imports", found.early_circles),
        _circles("circles, and late imports", found.circles),
        _circles("circles, and strings", found.circles_with_strings),
    ]


def _name_rows(shape: Shape) -> list[Row]:
    """Names and repeated blocks."""
    names: Names = shape.names
    return [
        _row("file names in several rooms", len(shape.files.same_names), _placed(shape.files.same_names)),
        _row("class names defined twice", len(names.same_classes), _placed(names.same_classes)),
        _row("public names documented", f"{names.documented_share:.1%}", names.undocumented),
        _row("repeated blocks, pairs", len(shape.repeated.pairs), shape.repeated.pairs),
        _row("repeated blocks, lines", shape.repeated.num_lines, []),
    ]


def _row(what: str, how_much: int | str, which: Iterable[str]) -> Row:
    """A row of the table."""
    return what, f"{how_much:,}" if isinstance(how_much, int) else how_much, list(which)


def _circles(what: str, circles: Sequence[Sequence[str]]) -> Row:
    """A row about circles: how many, and how many modules each has."""
    return _row(what, len(circles), [f"{len(c)} modules: {' '.join(c[:_SHOWN])}{_dots(c)}" for c in circles])


def _counted(counts: Mapping[str, int]) -> list[str]:
    """Names with their counts."""
    return [f"{name} {count:,}" for name, count in counts.items()]


def _placed(places: Mapping[str, Sequence[str]]) -> list[str]:
    """Names with where they stand."""
    return [f"{name} ({', '.join(rooms)})" for name, rooms in places.items()]


def _modules(places: Iterable[str]) -> dict[str, int]:
    """How many of the places "module:line" a module has, the most first."""
    names = [place.rpartition(":")[0] for place in places]
    return {name: names.count(name) for name in sorted(set(names), key=lambda name: (-names.count(name), name))}


def _dots(names: Sequence[str]) -> str:
    """How many are not shown."""
    return f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""


def _lines(row: Row, *, prefix: str) -> list[str]:
    """A row, broken at the table's width; the names lose the package's."""
    what, how_much, which = row
    margin = f"{what:<32} {how_much:>8}  "
    text = ("; ".join(which[:_SHOWN]) + _dots(which)).replace(prefix, "")
    wrapped = textwrap.wrap(text, _WIDTH - len(margin), break_on_hyphens=False, break_long_words=False) or [""]
    return [f"{margin if not number else ' ' * len(margin)}{part}".rstrip() for number, part in enumerate(wrapped)]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the shape of a package.

    Args:
      argv: The command line's words; None for those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.house.shape", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=PACKAGE_DIR, help="the package's; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print everything that was counted as JSON")
    arguments = parser.parse_args(argv)
    try:
        shape = measure(arguments.folder)
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.write(f"{json.dumps(dataclasses.asdict(shape), indent=1)}\n" if arguments.json else render(shape))


if __name__ == "__main__":
    main()
