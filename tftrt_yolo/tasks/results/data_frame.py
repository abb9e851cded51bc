"""Results as a table of pandas.

frame = tftrt_yolo.to_dataframe(predictor.stream(paths))
frame[frame.score > 0.5].groupby("name").size()
"""

import itertools
from collections.abc import Iterable, Iterator

import supervision as sv

from tftrt_yolo.ground.text import quoted
from tftrt_yolo.tasks.results import kinds, rows
from tftrt_yolo.tasks.results.pixel_map import PixelMap

_OF_BOXES = ("class", "name", "score", "x1", "y1", "x2", "y2")
_OF_XYWHR = ("center_x", "center_y", "width", "height", "angle")
# Of each task, without where a row is from, and without tracks.
COLUMNS = {
    "detect": _OF_BOXES,
    "segment": (*_OF_BOXES, "polygons"),
    "obb": (*_OF_BOXES, *_OF_XYWHR, "corners"),
    "pose": (*_OF_BOXES, "keypoints"),
    "classify": ("class", "name", "probability"),
    "semantic": ("class", "name", "pixels", "share"),
    "depth": ("minimum", "median", "maximum"),
}
_INTEGERS, _TEXTS = ("image", "frame", "class", "track", "pixels"), ("name", "polygons", "corners", "keypoints")


def to_dataframe(results):
    """Puts results into one pandas.DataFrame, a row a detection.

    Args:
      results: One result of any task; or several, as a list or as they come from `Predictor.stream`; or what
        `Predictor.with_images` gives, of which the images' paths are taken.

    Returns:
      A DataFrame with the columns of detections.jsonl: "image", the path where it is known and else the number of the
      result, from 0; of a video's pictures also "frame" and "seconds"; "class", "name", "score"; "x1", "y1", "x2",
      "y2" in pixels; "track" where they are tracked; and of the tasks that have them "polygons", "center_x",
      "center_y", "width", "height", "angle" in radians and "corners", or "keypoints". Of a classifier the five best
      classes of each image, with their "probability". An image on which nothing was found has no row.

    Raises:
      ImportError: If pandas is not installed.
      TypeError: If something in it is no result.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            f"to_dataframe needs pandas, which cannot be imported ({error}). Install it: "
            "pip install 'tftrt_yolo[dataframe]'."
        ) from error
    found, columns, heads = [], {}, {}
    for head, result in _each(results):
        own = [flat(row) for row in rows.of(result)]
        found += [{**head, **row} for row in own]
        heads |= dict.fromkeys(head)
        # The order of `COLUMNS` where a column is in it; what only some rows have follows.
        columns |= dict.fromkeys([*COLUMNS[kinds.of(result)], *itertools.chain.from_iterable(own)])
        if getattr(result, "tracker_id", None) is not None:
            columns["track"] = None
    frame = pd.DataFrame(found, columns=[*(heads or {"image": None}), *columns])
    return frame.astype({name: _dtype(name, frame) for name in frame.columns})


def _each(results) -> Iterator[tuple[dict, object]]:
    """Where each result is from, and the result."""
    if isinstance(results, (sv.Detections, sv.KeyPoints, sv.Classifications, PixelMap)):
        results = [results]
    if isinstance(results, (str, bytes, dict)) or not isinstance(results, Iterable):
        raise TypeError(
            f"The results are {quoted(results)}; expected one result of a Predictor, or several, such as "
            "predictor.stream(paths)."
        )
    for number, item in enumerate(results):
        given, _, result = item if isinstance(item, tuple) and len(item) == 3 else (None, None, item)
        kinds.of(result)
        yield {"image": number, **_origin(given)}, result


def _origin(given: object) -> dict:
    """What is known of where an image is from, by what was given as the image."""
    if hasattr(given, "source") and hasattr(given, "seconds"):  # a picture of a video
        return {"image": str(given.source), "frame": given.index, "seconds": given.seconds}
    return {"image": str(given)} if hasattr(given, "__fspath__") or isinstance(given, str) else {}


def flat(row: dict) -> dict:
    """A row of a result with a column for each of a box's numbers."""
    columns = {name: value for name, value in row.items() if name not in ("xyxy", "xywhr")}
    columns |= dict(zip(("x1", "y1", "x2", "y2"), row.get("xyxy", ()), strict=False))
    return columns | dict(zip(_OF_XYWHR, row.get("xywhr", ()), strict=False))


def _dtype(name: str, frame) -> str:
    """A column's type, the same with rows as without; where a value is missing, pandas' own choice."""
    values = frame[name]
    if name in _TEXTS or values.map(lambda value: isinstance(value, str)).any():
        return "object"
    if name in _INTEGERS:
        return "Int64" if values.isna().any() else "int64"
    return "float64"
