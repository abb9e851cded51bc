"""What a call of a Predictor can be told beside its images, by name.

call = parse({"score_threshold": 0.5, "vid_stride": 2}, "Predictor.stream")
call.selection, call.source             # SelectionOptions(score_threshold=0.5), {"vid_stride": 2}
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.tracking.tracking import SCORE_THRESHOLD, Tracking
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
      tracker: As in `SourceOptions`; or a Tracking, which goes on with the objects that it knows.
    """

    score_threshold: float | None
    iou_threshold: float | None
    max_detections: int | None
    classes: Iterable[int | str] | int | str | None
    class_agnostic: bool | None
    multi_label: bool | None
    tracker: str | Path | Tracking | None


@dataclasses.dataclass(frozen=True)
class Call:
    """What a call was told.

    Attributes:
      selection: What is selected in place of the model's own; None for the model's own.
      source: Fields of `SourceOptions` by name.
      tracker: Who tells which objects are those of the image before; None for nobody.
    """

    selection: SelectionOptions | None
    source: dict[str, object]
    tracker: str | Path | Tracking | None = None

    def with_tracker_of(self, images: object) -> "Call":
        """The call with the tracker that a source's options ask for, and what its model must select for it.

        Args:
          images: What the call is given; SourceOptions may name a tracker.

        Returns:
          A call; with a tracker, detections score above `SCORE_THRESHOLD` unless it says otherwise.
        """
        tracker = self.tracker
        if tracker is None and isinstance(images, SourceOptions):
            tracker = images.tracker
        if tracker is None:
            return self
        asked = self.selection.asked() if self.selection else {}
        return dataclasses.replace(
            self, tracker=tracker, selection=SelectionOptions(**{"score_threshold": SCORE_THRESHOLD} | asked)
        )


_SELECTION = tuple(field.name for field in dataclasses.fields(SelectionOptions))
_SOURCE = tuple(
    field.name for field in dataclasses.fields(SourceOptions) if field.name not in ("source", "skip_unreadable")
)
_TRACKER = "tracker"


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
    tracker = source.pop(_TRACKER, None)
    return Call(SelectionOptions(**selection) if selection else None, source, tracker)
