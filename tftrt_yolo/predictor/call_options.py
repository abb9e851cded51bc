"""What a call of a Predictor can be told beside its images, by name.

call = parse({"score_threshold": 0.5, "vid_stride": 2}, "Predictor.stream")
call.selection, call.source             # SelectionOptions(score_threshold=0.5), {"vid_stride": 2}
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TypedDict

from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.selection import SelectionOptions


class CallOptions(TypedDict, total=False):
    """Keywords of `Predictor.__call__`, `stream` and `with_images`.

    Attributes:
      score_threshold: As in `SelectionOptions`, as the next five.
      iou_threshold: Of boxes of one class.
      max_detections: Of an image.
      classes: Those that count.
      class_agnostic: Whether boxes suppress each other whatever their classes.
      multi_label: Whether a box counts with each of its classes.
    """

    score_threshold: float | None
    iou_threshold: float | None
    max_detections: int | None
    classes: Iterable[int | str] | int | str | None
    class_agnostic: bool | None
    multi_label: bool | None


@dataclasses.dataclass(frozen=True)
class Call:
    """What a call was told.

    Attributes:
      selection: What is selected in place of the model's own; None for the model's own.
      source: Fields of `SourceOptions` by name.
    """

    selection: SelectionOptions | None
    source: dict[str, object]


_SELECTION = tuple(field.name for field in dataclasses.fields(SelectionOptions))
_SOURCE = tuple(
    field.name for field in dataclasses.fields(SourceOptions) if field.name not in ("source", "skip_unreadable")
)


def parse(options: Mapping[str, object], function: str) -> Call:
    """Sorts the keywords of a call.

    Args:
      options: Name to value; None is as good as not given.
      function: The call's name, for messages.

    Returns:
      What was given.

    Raises:
      TypeError: If there is no such keyword.
      ValueError: If a value is out of its range.
    """
    unknown = [name for name in options if name not in (*_SELECTION, *_SOURCE)]
    if unknown:
        known = ", ".join((*_SELECTION, *_SOURCE))
        raise TypeError(f"{function}() got an unexpected keyword argument '{unknown[0]}'; expected one of {known}.")
    given = {name: value for name, value in options.items() if value is not None}
    selection = {name: value for name, value in given.items() if name in _SELECTION}
    source = {name: value for name, value in given.items() if name in _SOURCE}
    return Call(SelectionOptions(**selection) if selection else None, source)
