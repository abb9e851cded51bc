"""Trackers for the results of a Predictor: one for each video or stream.

results = track(results, Trackers("bytetrack"))
"""

import collections
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.predictor.tracking.tracking import Tracking
from tftrt_yolo.tasks.task import Task

_MOST_SOURCES = 256  # at once; of more, those that gave no frame for the longest time are forgotten


class Trackers:
    """Gives each frame the tracker of its source.

    Images of their own, such as files, arrays and pictures on standard input, are taken for the frames of one video.
    """

    def __init__(self, tracker: str | Path | Tracking):
        """Makes the first tracker, so that a wrong name shows at once.

        Args:
          tracker: As `Tracking` takes it; or a Tracking, which goes on with what it knows, whatever the source.

        Raises:
          ValueError: As `Tracking`.
          TrackingError: As `Tracking`.
        """
        self._tracker = tracker
        self._one = tracker if isinstance(tracker, Tracking) else None
        self._spare = self._one or Tracking(tracker)
        self._of: collections.OrderedDict[str | None, tuple[Tracking, int]] = collections.OrderedDict()

    def of(self, given: object) -> Tracking:
        """The tracker of what was given as an image.

        Args:
          given: A Frame, or anything else.

        Returns:
          The source's, reset if the source begins anew.
        """
        if self._one is not None:
            return self._one
        is_of_video = isinstance(given, Frame) and given.video is not None
        source, index = (given.source, given.index) if is_of_video else (None, None)
        tracking, last = self._of.pop(source, (None, None))
        if tracking is None:
            tracking, self._spare = self._spare or Tracking(self._tracker), None
        elif index is not None and index <= last:  # the same video once more
            tracking.reset()
        self._of[source] = (tracking, index)
        if len(self._of) > _MOST_SOURCES:
            self._of.popitem(last=False)
        return tracking


def name_of(tracker: str | Path | Tracking | None) -> str | None:
    """What a tracker is called in a report.

    Args:
      tracker: As `Trackers` takes it; None for none.

    Returns:
      The name or the file that was given; of a Tracking the name of its kind; None for none.
    """
    if isinstance(tracker, Tracking):
        return tracker.parameters["tracker_type"]
    return None if tracker is None else str(tracker)


def opened(tracker: str | Path | Tracking | None, task: Task) -> Trackers | None:
    """Makes trackers, if they are asked for.

    Args:
      tracker: As `Trackers` takes it; None for none.
      task: The model's.

    Returns:
      The trackers, or None.

    Raises:
      ValueError: If the task finds no objects, or as `Tracking`.
      TrackingError: As `Tracking`.
    """
    if tracker is None:
        return None
    if not task.finds_objects:
        raise ValueError(
            f"{argument('tracker')} is for models that find objects, and this is {task.kind}; expected detect, "
            "segment, pose or obb. Leave it out."
        )
    return Trackers(tracker)


def track(
    results: Iterator[tuple[object, np.ndarray, object]], trackers: Trackers | None
) -> Iterator[tuple[object, np.ndarray, object]]:
    """Tells which objects of results are known.

    Args:
      results: What was given, the image and supervision's object, as `Predictor.with_images` gives them.
      trackers: Of their sources; None for the results as they are.

    Returns:
      The same with the objects that have a track; see `Tracking.update`.
    """
    if trackers is None:
        return results
    return ((given, image, trackers.of(given).update(result, image)) for given, image, result in results)
