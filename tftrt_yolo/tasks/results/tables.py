"""Results as tables for a reader: in a terminal, and in a notebook.

print(tables.text(detections))          # 3 objects: 2 person, 1 dog, and a line for each
"""

import html
from collections import Counter

from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.tasks.results import kinds, rows
from tftrt_yolo.tasks.results.pixel_map import PixelMap

_MOST_ROWS = {"text": 20, "html": 100}
_MOST_CLASSES = 10  # in the summary
_MOST_LETTERS = 40  # of a name
_COLUMNS = ("score", "probability", "angle")
_SIDES = ("x1", "y1", "x2", "y2")


def summary(result) -> str:
    """A result in a few words.

    Args:
      result: What a Predictor gives, or supervision's own objects.

    Returns:
      "3 objects: 2 person, 1 dog"; of a classifier "person 0.91, dog 0.05, ..."; of a map what it says itself.
    """
    if isinstance(result, PixelMap):
        return result.summary()
    if kinds.of(result) == "classify":
        best = [
            f"{_name(row)} {row['probability']:.2f}" if "probability" in row else _name(row) for row in rows.of(result)
        ]
        more = ", ..." if len(result) > len(best) else ""
        return f"{', '.join(best)}{more}" or "no classes"
    found = _brief(result)
    counts = Counter(_name(row) for row in found).most_common()
    listed = [f"{count:,} {name}" for name, count in counts if name][:_MOST_CLASSES]
    more = (
        f", {counted(len(counts) - len(listed), 'other class', 'other classes')}" if len(counts) > _MOST_CLASSES else ""
    )
    classes = f": {', '.join(listed)}{more}" if listed else ""
    return f"{counted(len(found), 'object') if found else 'no objects'}{classes}"


def text(result) -> str:
    """A result for a terminal: the summary, and a line for each of its parts, the first of many."""
    header, lines, left = _table(result, "text")
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    aligned = [
        "  ".join(_aligned(*cell) for cell in zip(line, widths, header, strict=True)) for line in (header, *lines)
    ]
    more = [f"... and {left:,} more"] if left else []
    table = [f"  {line}".rstrip() for line in [*aligned, *more]] if lines else []
    return "\n".join([summary(result), *table])


def page(result) -> str:
    """A result for a notebook: the same as a table of HTML, escaped."""
    header, lines, left = _table(result, "html")
    more = f"<p>... and {left:,} more</p>" if left else ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if lines else ""
    return f"<div><p><b>{html.escape(summary(result))}</b></p>{table}{more}</div>"


def _table(result, medium: str) -> tuple[list[str], list[list[str]], int]:
    """Header, cells, and how many rows are left out."""
    is_map = isinstance(result, PixelMap)
    found = rows.of(result) if is_map or kinds.of(result) == "classify" else _brief(result)
    taken = found[: _MOST_ROWS[medium]]
    first = taken[0] if taken else {}
    label = "name" if "name" in first else "class"
    columns = [name for name in first if name not in ("class", "name")] if is_map else _COLUMNS
    header = [name for name in ("track", label, *columns) if name in first]
    header += _SIDES if "xyxy" in first else ()
    return header, [[_cell(row, name) for name in header] for row in taken], len(found) - len(taken)


def _brief(result) -> list[dict]:
    """Rows without outlines and points, which fill pages."""
    kind = kinds.of(result)
    found = rows.boxes(kinds.boxes_of(result) if kind == "pose" else result, None)
    angles = result.data.get("xywhr") if kind == "obb" else None
    return (
        found if angles is None else [{**row, "angle": float(own[4])} for row, own in zip(found, angles, strict=True)]
    )


def _cell(row: dict, name: str) -> str:
    """A row's value for a reader."""
    if name in _SIDES:
        return f"{row['xyxy'][_SIDES.index(name)]:.1f}"
    if name == "name":
        return _name(row)
    if name == "share":
        return f"{row[name]:.2%}"
    return f"{row[name]:.2f}" if isinstance(row[name], float) else str(row[name])


def _name(row: dict) -> str:
    """A row's class for a reader; empty if it has none."""
    return shown(row.get("name", row.get("class", "")), _MOST_LETTERS)


def _aligned(cell: str, width: int, column: str) -> str:
    """Names to the left, numbers to the right."""
    return cell.ljust(width) if column == "name" else cell.rjust(width)
