"""Trackers against Ultralytics' own on the same boxes, and by IDF1 against the truth."""

import concurrent.futures
import re

import numpy as np
import pytest

pytest.importorskip("ultralytics")
pytest.importorskip("lap")

import supervision as sv

import tftrt_yolo
from tests.predictor.tracking import crossing
from tests.predictor.tracking.oracle import Oracle

TRACKERS = ("bytetrack", "botsort")
NAMES = np.array([str(index) for index in range(10)])
FRAMES = 60


def _detections(boxes, scores, classes, **others):
    return sv.Detections(xyxy=boxes, confidence=scores, class_id=classes, data={"class_name": NAMES[classes]}, **others)


def _rows(boxes, scores, classes):
    return np.column_stack([boxes, scores, classes])


def _ids(result):
    return result.data.get("tracker_id") if isinstance(result, sv.KeyPoints) else result.tracker_id


def _tracked(tracking, *, shift_px=0):
    """Our results on every frame of the video."""
    frames = crossing.frames(FRAMES, shift_px=shift_px)
    return [
        tracking.update(_detections(*found), image)
        for found, image in zip(crossing.detected(FRAMES), frames, strict=True)
    ]


def _assert_same_boxes(result, expected):
    """To the bit, in order; ids too."""
    assert len(result) == len(expected)
    if expected.id is None:
        assert _ids(result) is None or not len(result)
    else:
        np.testing.assert_array_equal(_ids(result), expected.id)
        np.testing.assert_array_equal(result.class_id, expected.cls)


@pytest.mark.parametrize("shift_px", [0, 7])  # a camera that stands, and one that turns
@pytest.mark.parametrize("tracker", TRACKERS)
def test_boxes_and_ids_are_those_of_ultralytics(tracker, shift_px):
    oracle, seen = Oracle(f"{tracker}.yaml"), set()
    results = _tracked(tftrt_yolo.Tracking(tracker), shift_px=shift_px)
    frames = crossing.frames(FRAMES, shift_px=shift_px)
    for result, found, image in zip(results, crossing.detected(FRAMES), frames, strict=True):
        expected = oracle.update(_rows(*found), image).boxes
        _assert_same_boxes(result, expected)
        np.testing.assert_array_equal(result.xyxy, expected.xyxy)
        np.testing.assert_array_equal(result.confidence, expected.conf)
        np.testing.assert_array_equal(result.data["class_name"], NAMES[result.class_id])
        seen.update(result.tracker_id.tolist())
    assert len(seen) >= len(crossing.classes())


def test_ids_stay_when_objects_cross():
    """Without noise: the five digits are 1 to 5 from the first frame to the last."""
    truth = crossing.true_boxes(FRAMES)
    for tracker in TRACKERS:
        tracking = tftrt_yolo.Tracking(tracker)
        scores = np.full(len(crossing.classes()), 0.9, np.float32)
        for boxes, image in zip(truth, crossing.frames(FRAMES), strict=True):
            result = tracking.update(_detections(boxes, scores, crossing.classes()), image)
            by_id = result[np.argsort(result.tracker_id)]
            assert by_id.tracker_id.tolist() == [1, 2, 3, 4, 5]
            np.testing.assert_array_equal(by_id.class_id, crossing.classes())
            assert sv.box_iou_batch(by_id.xyxy, boxes).diagonal().min() > 0.6


@pytest.mark.parametrize("tracker", TRACKERS)
def test_identities_score_as_ultralytics(tracker):
    """IDF1 by motmetrics, on boxes that are shaken, missed and false."""
    ours = [(result.xyxy, result.tracker_id) for result in _tracked(tftrt_yolo.Tracking(tracker))]
    oracle, theirs = Oracle(f"{tracker}.yaml"), []
    for found, image in zip(crossing.detected(FRAMES), crossing.frames(FRAMES), strict=True):
        boxes = oracle.update(_rows(*found), image).boxes
        theirs.append((boxes.xyxy, boxes.id))
    assert crossing.idf1(ours) == crossing.idf1(theirs)
    assert crossing.idf1(ours) > 0.9
    assert crossing.idf1([(boxes, np.arange(len(boxes)) + 10 * at) for at, (boxes, _) in enumerate(ours)]) < 0.1


@pytest.mark.parametrize("tracker", TRACKERS)
def test_masks_follow_their_objects(tracker):
    tracking, oracle = tftrt_yolo.Tracking(tracker), Oracle(f"{tracker}.yaml", "segment")
    for found, image in zip(crossing.detected(20), crossing.frames(20), strict=True):
        masks = np.zeros((len(found[0]), *image.shape[:2]), bool)
        for index in range(len(masks)):
            masks[index, index : index + 3, : 10 * index + 5] = True  # of each detection its own
        expected = oracle.update(_rows(*found), image, masks=masks)
        result = tracking.update(_detections(*found, mask=masks), image)
        _assert_same_boxes(result, expected.boxes)
        np.testing.assert_array_equal(np.asarray(result.mask), expected.masks.data.astype(bool))


@pytest.mark.parametrize("tracker", TRACKERS)
def test_key_points_follow_their_objects(tracker):
    tracking, oracle = tftrt_yolo.Tracking(tracker), Oracle(f"{tracker}.yaml", "pose")
    for found, image in zip(crossing.detected(20), crossing.frames(20), strict=True):
        boxes, scores, classes = found
        points = np.random.default_rng(len(boxes)).uniform(1, 300, (len(boxes), 4, 3)).astype(np.float32)
        points[..., 2] = 0.9
        expected = oracle.update(_rows(*found), image, keypoints=points)
        key_points = sv.KeyPoints(
            xy=points[..., :2],
            keypoint_confidence=points[..., 2],
            detection_confidence=scores,
            class_id=classes,
            data={"class_name": NAMES[classes], "xyxy": boxes},
        )
        result = tracking.update(key_points, image)
        _assert_same_boxes(result, expected.boxes)
        np.testing.assert_array_equal(result.data["xyxy"], expected.boxes.xyxy)
        np.testing.assert_array_equal(result.detection_confidence, expected.boxes.conf)
        np.testing.assert_array_equal(result.xy, expected.keypoints.xy)
        assert "tracker_id" not in key_points.data  # what was given is as it was


@pytest.mark.parametrize("tracker", TRACKERS)
def test_oriented_boxes_are_tracked_as_such(tracker):
    tracking, oracle = tftrt_yolo.Tracking(tracker), Oracle(f"{tracker}.yaml", "obb")
    for at, (found, image) in enumerate(zip(crossing.detected(30), crossing.frames(30), strict=True)):
        boxes, scores, classes = found
        center, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * [0.9, 0.5]
        xywhr = np.column_stack([center, size, 0.1 + 0.05 * at + classes / 10]).astype(np.float32)
        expected = oracle.update(_rows(xywhr, scores, classes), image).obb
        detections = _detections(boxes, scores, classes)
        detections.data |= {"xywhr": xywhr, "xyxyxyxy": np.zeros((len(boxes), 4, 2), np.float32)}
        result = tracking.update(detections, image)
        _assert_same_boxes(result, expected)
        if expected.id is not None:
            np.testing.assert_array_equal(result.data["xywhr"], expected.xywhr)
            np.testing.assert_array_equal(result.data["xyxyxyxy"], expected.xyxyxyxy)
            np.testing.assert_array_equal(result.xyxy, expected.xyxy)


def test_frames_without_tracks_are_those_of_ultralytics():
    """Nothing; what is too unsure for a track; what waits for a second frame; nothing again."""
    tracking, oracle = tftrt_yolo.Tracking(), Oracle("bytetrack.yaml")
    image = next(crossing.frames(1))
    box = np.float32([[10, 20, 60, 90]])
    for score in (None, 0.2, 0.2, 0.9, 0.9, None, 0.9, 0.15):
        found = [values[: score is not None] for values in (box, np.float32([score or 0]), np.array([3]))]
        expected = oracle.update(_rows(*found), image).boxes
        _assert_same_boxes(tracking.update(_detections(*found), image), expected)


def test_each_video_begins_at_one():
    tracking = tftrt_yolo.Tracking("botsort")
    first = [result.tracker_id.tolist() for result in _tracked(tracking)]
    assert first[0][0] == 1
    tracking.reset()
    assert [result.tracker_id.tolist() for result in _tracked(tracking)] == first


@pytest.mark.parametrize("tracker", TRACKERS)
def test_trackers_do_not_share_ids(tracker):
    """Frame by frame in turn, and in threads: each counts for itself."""
    [alone, one, other] = [tftrt_yolo.Tracking(tracker) for _ in range(3)]
    expected = [result.tracker_id.tolist() for result in _tracked(alone)]
    for at, (found, image) in enumerate(zip(crossing.detected(FRAMES), crossing.frames(FRAMES), strict=True)):
        for tracking in (one, other):
            assert tracking.update(_detections(*found), image).tracker_id.tolist() == expected[at]
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for results in threads.map(_tracked, [tftrt_yolo.Tracking(tracker) for _ in range(4)]):
            assert [result.tracker_id.tolist() for result in results] == expected


def test_images_of_other_sizes_do_not_end_the_cameras_motion(capfd):
    """A stream that changes its size, as some do: objects go on, and its motion is known again from the next frame."""
    tracking = tftrt_yolo.Tracking("botsort")
    found = next(crossing.detected(1))
    image = next(crossing.frames(1))
    for shown in (image, image[:300], image[:300], image[:300, :500].transpose(1, 0, 2)):
        assert len(tracking.update(_detections(*found), shown)) > 0
    oracle = Oracle("botsort.yaml")
    for at in range(4):  # as if the video had begun with this size
        boxes = found[0] + np.float32([9 * at, 0, 9 * at, 0])
        view = np.roll(image, 9 * at, axis=1)
        result = tracking.update(_detections(boxes, *found[1:]), view)
        expected = oracle.update(_rows(boxes, *found[1:]), view).boxes
    assert len(result) == len(expected)
    assert "GMC" not in "".join(capfd.readouterr())


def test_what_the_library_logs_stays_away(capfd):
    """An image without a corner, at which BoT-SORT warns on standard output."""
    tracking = tftrt_yolo.Tracking("botsort")
    for _ in range(3):
        tracking.update(_detections(*next(crossing.detected(1))), np.zeros((200, 300, 3), np.uint8))
    assert capfd.readouterr().out == ""


def test_images_may_be_views():
    """Not contiguous, and of one pixel's height."""
    tracking = tftrt_yolo.Tracking("botsort")
    image = next(crossing.frames(1))
    found = next(crossing.detected(1))
    tracking.update(_detections(*found), image[::2, ::-1])
    tracking.update(_detections(*found), image[:1])
    assert len(tracking.update(_detections(*found), image[:1])) > 0


_IMAGE = np.zeros((40, 50, 3), np.uint8)
_FOUND = _detections(np.float32([[1, 2, 20, 30]]), np.float32([0.9]), np.array([1]))


def _key_points(**data):
    return sv.KeyPoints(
        xy=np.ones((1, 2, 2), np.float32), class_id=np.array([1]), detection_confidence=np.float32([0.9]), data=data
    )


@pytest.mark.parametrize(
    ("result", "image", "error", "message"),
    [
        (sv.Classifications(class_id=np.arange(3)), _IMAGE, ValueError, "got Classifications, in which there are none"),
        (None, _IMAGE, TypeError, "A tracker got a NoneType; expected supervision's Detections or KeyPoints"),
        ([_FOUND], _IMAGE, TypeError, "got a list; expected"),
        (sv.Detections(xyxy=_FOUND.xyxy), _IMAGE, ValueError, "got Detections without boxes, scores or classes"),
        (_key_points(), _IMAGE, ValueError, "got KeyPoints without boxes, scores or classes"),
        (_key_points(xyxy=np.float32([[0, 0, np.nan, 9]])), _IMAGE, ValueError, "boxes or scores that are NaN or infi"),
        (_FOUND, None, ValueError, "got the image None; expected (height, width, 3) uint8, RGB"),
        (_FOUND, _IMAGE[..., 0], ValueError, "got the image uint8 of shape (40, 50); expected"),
        (_FOUND, _IMAGE.astype(np.float32), ValueError, "got the image float32 of shape (40, 50, 3); expected"),
        (_FOUND, _IMAGE[:0], ValueError, "got the image uint8 of shape (0, 50, 3); expected"),
    ],
)
def test_what_cannot_be_tracked(result, image, error, message):
    for tracker in TRACKERS:
        tracking = tftrt_yolo.Tracking(tracker)
        with pytest.raises(error, match=re.escape(message)):
            tracking.update(result, image)
        assert tracking.update(_FOUND, _IMAGE).tracker_id.tolist() == [1]  # nothing of it stayed


def test_large_boxes_do_not_upset_it():
    """Boxes far outside, without height, and upside down: as in Ultralytics the last two have no track."""
    tracking, oracle = tftrt_yolo.Tracking(), Oracle("bytetrack.yaml")
    boxes = np.float32([[-1e9, -1e9, 1e9, 1e9], [5, 5, 9, 5], [9, 9, 5, 5], [1, 2, 20, 30]])
    for _ in range(3):
        found = (boxes, np.float32([0.9, 0.8, 0.7, 0.6]), np.arange(4))
        result = tracking.update(_detections(*found), _IMAGE)
        expected = oracle.update(_rows(*found), _IMAGE).boxes
        _assert_same_boxes(result, expected)
        np.testing.assert_array_equal(result.xyxy, expected.xyxy)
