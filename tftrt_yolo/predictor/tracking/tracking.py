"""Which object of a frame is which of the frames before: Ultralytics' trackers on supervision's objects.

    tracking = tftrt_yolo.Tracking("bytetrack")
    for frame in frames:
        [detections] = predictor(frame, score_threshold=SCORE_THRESHOLD)
        detections = tracking.update(detections, frame)
        print(detections.tracker_id)            # [1 2 3]

`Predictor.stream(..., tracker="bytetrack")` does the same.
"""

import threading
import types
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.text import quoted, with_article
from tftrt_yolo.predictor.tracking import library
from tftrt_yolo.predictor.tracking.parameters import parameters

# What a model must select for a tracker, which has a use for detections that are not sure. Source:
# ultralytics.engine.model.Model.track.
SCORE_THRESHOLD = 0.1
TRACK_ID = "tracker_id"  # in `data` of supervision.KeyPoints, which has no field for it


class Tracking:
    """The tracker of one video: it remembers the objects of the frames that it was shown.

    Attributes:
      parameters: What the tracker is told, by Ultralytics' names.
    """

    def __init__(self, tracker: str | Path = "bytetrack"):
        """Makes a tracker; the first one of a process imports PyTorch and Ultralytics, which takes seconds.

        Args:
          tracker: "bytetrack"; "botsort", which also follows the camera's motion; or the path of a YAML file of either,
            as Ultralytics takes it, without `with_reid`.

        Raises:
          ValueError: If there is no such tracker, or the file is none of a tracker's.
          TrackingError: If Ultralytics or lap is missing; `pip install 'tftrt_yolo[track]'` brings them.
        """
        self.parameters = parameters(tracker)
        self._library = library.load()
        name = self.parameters["tracker_type"]
        self._tracker = self._library.trackers[name](args=types.SimpleNamespace(**self.parameters))
        self._sees = name == "botsort" and self.parameters["gmc_method"] != "none"
        self._size_hw: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """The tracker and its parameters."""
        return f"<{type(self).__name__} {', '.join(f'{name} {value}' for name, value in self.parameters.items())}>"

    def reset(self) -> None:
        """Forgets all objects, for another video: ids begin at 1 again."""
        with self._lock:
            self._tracker.reset()
            self._size_hw = None

    def update(self, result, image: np.ndarray):
        """Tells which objects of the next frame are known.

        Args:
          result: What a Predictor found on the frame: supervision's Detections, with `xywhr` in `data` where boxes are
            oriented, or KeyPoints with `xyxy` in `data`. Detections need scores and classes.
          image: The frame, (height, width, 3) uint8, RGB.

        Returns:
          A new object of the same kind with the objects that have a track, in the tracker's order, with the boxes that
          the tracker estimates, within the image, and their ids, from 1, in `tracker_id`, of KeyPoints in
          `data["tracker_id"]`. Masks and key points are those of the frame. As in Ultralytics, detections without a
          track are left out; but those of a frame in which there is no track at all, and none that waits for a second
          frame, come as they are, without ids.

        Raises:
          ValueError: If the result is a classifier's, or has no scores or classes, or such as are no numbers; or the
            image is none.
          TypeError: If the result is something else.

        Source: ultralytics.trackers.track.on_predict_postprocess_end.
        """
        rows, is_oriented = _rows(result)
        _check_image(image)
        size_hw = image.shape[:2]
        make = self._library.oriented_boxes if is_oriented else self._library.boxes
        with self._lock, self._library.silence():
            tracks = self._tracker.update(make(rows, size_hw), self._view(image))
            waits = any(not track.is_activated for track in self._tracker.tracked_stracks)
        if len(tracks) == 0:
            return _with_ids(result[:0], np.zeros(0, int)) if waits or not len(result) else result
        found = make(tracks[:, :-1], size_hw)
        boxes_xyxy = found.xyxy if is_oriented else self._library.clip_boxes(found.xyxy, size_hw)
        return _with_tracks(result[tracks[:, -1].astype(int)], found, boxes_xyxy)

    def _view(self, image: np.ndarray) -> np.ndarray | None:
        """What the tracker sees of a frame: brightness alone, (height, width, 1), for the camera's motion."""
        import cv2

        if not self._sees:
            return None
        if self._size_hw not in (None, image.shape[:2]):  # no motion is known between frames of two sizes
            self._tracker.gmc.reset_params()
        self._size_hw = image.shape[:2]
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., np.newaxis]


def _rows(result) -> tuple[np.ndarray, bool]:
    """What Ultralytics' boxes are made of, (n, 6) or (n, 7) float32, and whether they are oriented."""
    import supervision as sv

    if isinstance(result, sv.Classifications):
        raise ValueError(
            "A tracker follows objects, and got Classifications, in which there are none; expected Detections or "
            "KeyPoints, of a model for detect, segment, pose or obb."
        )
    if isinstance(result, sv.KeyPoints):
        boxes, scores = result.data.get("xyxy"), result.detection_confidence
    elif isinstance(result, sv.Detections):
        boxes, scores = result.data.get("xywhr", result.xyxy), result.confidence
    else:
        found = with_article(type(result).__name__)
        raise TypeError(f"A tracker got {found}; expected supervision's Detections or KeyPoints, as a Predictor gives.")
    if len(result) == 0:
        return np.zeros((0, 6), np.float32), False
    if boxes is None or scores is None or result.class_id is None:
        raise ValueError(
            f"A tracker got {type(result).__name__} without boxes, scores or classes; expected what a Predictor gives, "
            "with all of them."
        )
    rows = np.column_stack([boxes, scores, result.class_id]).astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("A tracker got boxes or scores that are NaN or infinite; expected numbers. Leave them out.")
    return rows, boxes.shape[1] == 5


def _check_image(image: object) -> None:
    """Refuses what is no image."""
    shape, dtype = getattr(image, "shape", ()), getattr(image, "dtype", None)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        found = f"{dtype} of shape {tuple(shape)}" if dtype else quoted(image)
        raise ValueError(f"A tracker got the image {found}; expected (height, width, 3) uint8, RGB.")


def _with_tracks(picked, found, boxes_xyxy: np.ndarray):
    """Gives objects the boxes, scores, classes and ids of tracks; `found` is what Ultralytics' boxes make of them."""
    picked.class_id = found.cls.astype(int)
    if hasattr(picked, "detection_confidence"):
        picked.detection_confidence = found.conf
        picked.data["xyxy"] = boxes_xyxy
    else:
        picked.xyxy, picked.confidence = boxes_xyxy, found.conf
    if hasattr(found, "xywhr"):
        from supervision.config import ORIENTED_BOX_COORDINATES

        picked.data |= {"xywhr": found.xywhr, ORIENTED_BOX_COORDINATES: found.xyxyxyxy}
    return _with_ids(picked, found.id.astype(int))


def _with_ids(picked, ids: np.ndarray):
    """Gives objects their ids, (n,) int."""
    if hasattr(picked, "detection_confidence"):
        picked.data[TRACK_ID] = ids
    else:
        picked.tracker_id = ids
    return picked
