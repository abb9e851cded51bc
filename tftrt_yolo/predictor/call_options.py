"""What a call of a Predictor can be told beside its images, by name.

call = parse({"score_threshold": 0.5, "vid_stride": 2}, "Predictor")
call.selection, call.source, call.arrays    # SelectionOptions(score_threshold=0.5), {"vid_stride": 2}, None
"""

import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypedDict, get_type_hints

from tftrt_yolo.ground.files.image_arrays import ArrayOptions
from tftrt_yolo.predictor.sources.source_options import SourceOptions
from tftrt_yolo.predictor.spelling import check_known
from tftrt_yolo.predictor.tracking.tracking import SCORE_THRESHOLD, Tracking
from tftrt_yolo.selection import SelectionOptions


class CallOptions(TypedDict, total=False):
    """Keywords of a Predictor's calls, of `stream` and of `with_images`, each for that call alone.

    None is as good as not given.

    Attributes:
      score_threshold: Detections score above this, in [0, 1]. This and the next five are of `SelectionOptions`: not
        given, they are what the model was exported with, and a classifier refuses them.
      iou_threshold: Of two boxes of one class that overlap by more than this, the better one stays, in [0, 1].
      max_detections: At most this many detections an image, 100,000 or fewer.
      classes: The classes that count: indices as numbers, names, or a single one.
      class_agnostic: Whether boxes suppress each other whatever their classes.
      multi_label: Whether a box counts with each of its classes, not with its best alone.
      recursive: Whether a folder's subfolders count, too. This and the next five are of `SourceOptions`.
      vid_stride: Of videos and streams, every n-th frame is taken.
      stream_buffer: Whether every frame of a live stream is dealt with, in order.
      max_retries: How often a live stream that ends, stalls or breaks is opened anew.
      timeout_s: Seconds without anything from a stream or a URL after which it counts as broken.
      tracker: As in `SourceOptions`; or a Tracking, which goes on with the objects that it knows.
      channel_order: Of images that are arrays or tensors: "rgb", or "bgr" as OpenCV has it.
      scale: What the values of arrays and tensors that are not uint8 are multiplied with to be 0 to 255: 255 of floats
        from 0 to 1.
    """

    score_threshold: float | None
    iou_threshold: float | None
    max_detections: int | None
    classes: Iterable[int | str] | int | str | None
    class_agnostic: bool | None
    multi_label: bool | None
    recursive: bool | None
    vid_stride: int | None
    stream_buffer: bool | None
    max_retries: int | None
    timeout_s: float | None
    tracker: str | Path | Tracking | None
    channel_order: str | None
    scale: float | None


@dataclasses.dataclass(frozen=True)
class Call:
    """What a call was told.

    Attributes:
      selection: What is selected in place of the model's own; None for the model's own.
      source: Fields of `SourceOptions` by name.
      arrays: How arrays are read, where it was told.
      tracker: Who tells which objects are those of the image before; None for nobody.
    """

    selection: SelectionOptions | None
    source: dict[str, object]
    arrays: ArrayOptions | None = None
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


def _names(options: type) -> tuple[str, ...]:
    """The fields of a dataclass of options that a call can be told."""
    own = ("source", "skip_unreadable", "devices")  # the images themselves, on_unreadable, and the Predictor's device
    return tuple(field.name for field in dataclasses.fields(options) if field.name not in own)


_SELECTION, _SOURCE, _ARRAYS = _names(SelectionOptions), _names(SourceOptions), _names(ArrayOptions)
_KINDS = (_SELECTION, _SOURCE, _ARRAYS)
NAMES = (*_SELECTION, *_SOURCE, *_ARRAYS)
_TRACKER = "tracker"


def parse(options: Mapping[str, object], function: str) -> Call:
    """Sorts the keywords of a call.

    Args:
      options: Name to value; None is as good as not given.
      function: What was called, for messages.

    Returns:
      What was given.

    Raises:
      TypeError: If there is no such keyword; the message has the one that was perhaps meant.
      ValueError: If a value is out of its range.
    """
    check_known(options, NAMES, f"{function} got an unexpected keyword argument")
    given = {name: value for name, value in options.items() if value is not None}
    selection, source, arrays = ({name: given[name] for name in names if name in given} for names in _KINDS)
    return Call(
        SelectionOptions(**selection) if selection else None,
        source,
        ArrayOptions(**arrays) if arrays else None,
        source.pop(_TRACKER, None),
    )


def spelt_out(function: Callable) -> Callable:
    """Shows each keyword of `CallOptions` in a function's signature and help, in place of `**options`.

    Args:
      function: It ends with `**options: Unpack[CallOptions]`.

    Returns:
      The function itself.
    """
    signature = inspect.signature(function)
    plain = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    kinds = get_type_hints(CallOptions)
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kinds[name]) for name in kinds
    ]
    function.__signature__ = signature.replace(parameters=[*plain, *keywords])
    described = (CallOptions.__doc__ or "").partition("Attributes:\n")[2].rstrip()
    if function.__doc__ and described:
        listed = textwrap.indent(textwrap.dedent(described), " " * 10)
        function.__doc__ = f"{function.__doc__.rstrip()}\n\n        Options:\n{listed}"
    return function
