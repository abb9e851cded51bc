"""Every task's predictor: agreement with Ultralytics' predict, supervision's objects, pictures and files."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest
import supervision as sv

import tftrt_yolo
from tests.conftest import CROPS, IMAGES, OTHER_TASKS, reference
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.ground.placement import letterboxed
from tftrt_yolo.tasks import masks, obb, pose, segment
from tftrt_yolo.tasks.table import TASKS

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module", params=["exported", "converted"])
def make(models, request):
    return getattr(models, request.param)


def _agreement(task, results, is_same):
    """Ultralytics' detections that have a match of the same class and a score within 0.02, and what is left over."""
    expected, matched, total, left = reference(f"yolov8n-tiny-{task}"), 0, 0, []
    for path, result in zip(IMAGES, results, strict=True):
        own, boxes = expected[path.name], TASKS[task].boxes(result)
        free = set(range(len(boxes)))
        for index, (score, cls) in enumerate(zip(own["scores"], own["classes"], strict=True)):
            found = [
                i
                for i in sorted(free)
                if boxes.class_id[i] == cls
                and abs(boxes.confidence[i] - score) <= 0.02
                and is_same(path, own, index, result, i)
            ]
            free -= set(found[:1])
            matched, total = matched + bool(found), total + 1
        left += [float(boxes.confidence[i]) for i in free]
    return matched, total, left


def _same_box(own, index, boxes, i):
    return sv.box_iou_batch(np.float32([own["xyxy"][index]]), boxes.xyxy[i][None])[0, 0] >= 0.97


def _frame_pixels(image_hw, placement):
    """Row and column of the frame that each row and column of the image is seen through."""
    axes = zip(image_hw, placement.gain_xy[::-1], placement.padding_xy[::-1], strict=True)
    return [np.floor((np.arange(length) + 0.5) * gain + padding).astype(int) for length, gain, padding in axes]


def _same_mask(path, own, index, detections, i):
    """The outline that the reference has runs through the pixels of the frame, so it is filled there."""
    image_hw, frame_hw = read_image(path).shape[:2], (320, 320)
    placement = letterboxed(image_hw, frame_hw)
    points = np.array(own["polygons"][index]) * placement.gain_xy + placement.padding_xy
    frame = np.zeros(frame_hw, np.uint8)
    cv2.fillPoly(frame, [np.round(points).astype(np.int32)], 1)
    y, x = _frame_pixels(image_hw, placement)
    expected, got = frame[y][:, x] > 0, detections.mask[i]
    assert got.shape == image_hw
    return _same_box(own, index, detections, i) and (expected & got).sum() / (expected | got).sum() >= 0.95


def _same_keypoints(_, own, index, key_points, i):
    apart = np.abs(np.array(own["keypoints"][index]) - np.dstack([key_points.xy, key_points.keypoint_confidence])[i])
    return _same_box(own, index, pose.boxes(key_points), i) and (apart <= [1, 1, 0.02]).all()


def _same_oriented_box(_, own, index, detections, i):
    boxes = obb.corners(np.float32(own["xywhr"][index])), detections.data["xyxyxyxy"][i].astype(np.float32)
    common = cv2.intersectConvexConvex(*boxes)[0]
    return common / (cv2.contourArea(boxes[0]) + cv2.contourArea(boxes[1]) - common) >= 0.97


@pytest.mark.parametrize(
    ("task", "is_same"), [("segment", _same_mask), ("pose", _same_keypoints), ("obb", _same_oriented_box)]
)
def test_agrees_with_ultralytics_predict(make, task, is_same):
    matched, total, left = _agreement(task, tftrt_yolo.Predictor(make(task))(IMAGES), is_same)
    assert total > 170
    assert matched / total >= 0.99
    assert not [score for score in left if score > 0.3]


def test_a_classifier_agrees_with_ultralytics_predict(make):
    expected = reference("yolov8n-tiny-classify")
    for path, found in zip(CROPS, tftrt_yolo.Predictor(make("classify"))(CROPS), strict=True):
        assert isinstance(found, sv.Classifications)
        own = expected[f"{path.parent.name}/{path.name}"]
        np.testing.assert_allclose(found.confidence, own, atol=1e-4)
        assert found.get_top_k(1)[0] == [np.argmax(own)]


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_mixed_sizes_and_batches_give_the_same(models, task):
    """Alone and padded beside others: what belongs to an image stays with it."""
    predictor = tftrt_yolo.Predictor(models.exported(task))
    pictures = CROPS[:6] if task == "classify" else IMAGES[:6]
    alone = predictor(pictures, batch_size=1)
    for expected, got in zip(alone, predictor(pictures, batch_size=4), strict=True):
        if task == "classify":
            np.testing.assert_allclose(got.confidence, expected.confidence, atol=1e-5)
            continue
        boxes, expected_boxes = TASKS[task].boxes(got), TASKS[task].boxes(expected)
        np.testing.assert_array_equal(boxes.class_id, expected_boxes.class_id)
        for one in range(len(boxes)):
            for label, value in TASKS[task].differences(expected, got, one, one).items():
                assert value < 0.02, label


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_nothing_found(models, task):
    """A grey picture: empty objects with everything that full ones have, and they can be drawn."""
    predictor = tftrt_yolo.Predictor(models.exported(task))
    grey = np.full((50, 400, 3), 114, np.uint8)
    [result] = predictor(grey)
    assert predictor([]) == []
    if task == "classify":
        return
    assert len(TASKS[task].boxes(result)) == 0
    assert TASKS[task].rows(result, predictor.names) == []
    assert TASKS[task].draw(grey, result, predictor.names).shape == grey.shape
    if task == "segment":
        assert np.asarray(result.mask).shape == (0, 50, 400)
    if task == "obb":
        assert result.data["xyxyxyxy"].shape == (0, 4, 2)


@pytest.mark.parametrize("image_hw", [(333, 500), (64, 48), (320, 320), (700, 90)])
def test_masks_equal_ultralytics_process_mask(image_hw):
    """At the frame's resolution, where Ultralytics has them; an image of any size shows the frame's pixels."""
    torch = pytest.importorskip("torch")
    from ultralytics.utils.ops import process_mask, scale_boxes

    rng, frame_hw = np.random.default_rng(0), (96, 128)
    prototypes = cv2.resize(rng.normal(0, 1, (6, 8, 32)).astype(np.float32), (32, 24))
    coefficients = rng.normal(0, 1, (9, 32)).astype(np.float32)
    corner, size = rng.uniform(0, 80, (9, 2)), rng.uniform(2, 60, (9, 2))
    frame_boxes = np.concatenate([corner, corner + size], -1).astype(np.float32)
    frame_boxes[8] = frame_boxes[8, [0, 1, 0, 1]]  # empty
    expected = process_mask(
        torch.from_numpy(prototypes.transpose(2, 0, 1)),
        torch.from_numpy(coefficients),
        torch.from_numpy(frame_boxes),
        frame_hw,
        upsample=True,
    ).numpy()
    boxes = scale_boxes(frame_hw, frame_boxes.copy(), image_hw)
    kept, got = masks.compute(coefficients, prototypes, boxes, image_size_hw=image_hw, frame_size_hw=frame_hw)
    y, x = _frame_pixels(image_hw, letterboxed(image_hw, frame_hw))
    seen = expected[:, y][:, :, x].astype(bool)
    assert not kept[8]
    assert kept.sum() >= 3
    for mask, own in zip(got, seen[kept], strict=True):
        assert np.count_nonzero(mask ^ own) <= 0.01 * own.size  # an edge on a pixel's border may round either way
    assert not seen[~kept].any()


def test_memory_of_masks_does_not_grow_with_the_image(models):
    [detections] = tftrt_yolo.Predictor(models.exported("segment"))(np.asarray(_enlarged(IMAGES[5], 6)))
    assert len(detections) > 0
    stored = sum(runs.nbytes for runs in detections.mask._rles)
    assert stored * 20 < np.prod(detections.mask.shape)
    filtered = detections[detections.confidence > 0.5]
    assert len(filtered.mask) == len(filtered)


def _enlarged(path, factor):
    image = PIL.Image.open(path)
    return image.resize((image.width * factor, image.height * factor))


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_writes_pictures_and_lines(models, tmp_path, task):
    folder = tmp_path / "in"
    folder.mkdir()
    pictures = CROPS[:3] if task == "classify" else IMAGES[:3]
    for path in pictures:
        shutil.copy(path, folder)
    report = tftrt_yolo.predict(models.exported(task), folder, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert report.task == task
    rows = [row for line in lines for row in line["classifications" if task == "classify" else "detections"]]
    assert ("Classified 3 images" if task == "classify" else f"Found {len(rows)} objects on 3 images") in str(report)
    for line in lines:
        picture, image = (np.asarray(PIL.Image.open(tmp_path / name / line["picture"])) for name in ("out", "in"))
        assert (line["height"], line["width"]) == image.shape[:2]
        assert picture.shape == image.shape
        if task == "classify":
            assert len(line["classifications"]) == 5
            assert np.abs(picture.astype(int) - image)[:12, :40].max() > 100
            assert np.abs(picture.astype(int) - image)[image.shape[0] // 2 + 20 :].max() < 60  # JPEG's
        else:
            assert (np.abs(picture.astype(int) - image).max() > 100) == bool(line["detections"])
    assert rows
    for row in rows:
        assert row["name"] == str(row["class"])
        match task:
            case "segment":
                points = np.concatenate([np.array(polygon) for polygon in row["polygons"]])
                left, top, right, bottom = row["xyxy"]
                assert (points >= np.array([left, top]) - 3).all()
                assert (points <= np.array([right, bottom]) + 3).all()
            case "pose":
                assert np.array(row["keypoints"]).shape == (3, 3)
            case "obb":
                np.testing.assert_allclose(obb.corners(np.array(row["xywhr"])), row["corners"], atol=0.02)
            case "classify":
                assert 0 <= row["probability"] <= 1
    if task == "classify":
        assert sum(report.class_counts.values()) == report.num_detections == 3


def test_a_person_gets_limbs():
    """COCO's 17 key points are joined; a point that is not sure enough is left out, with its limbs."""
    rng = np.random.default_rng(0)
    key_points = sv.KeyPoints(
        xy=rng.uniform(20, 280, (1, 17, 2)).astype(np.float32),
        keypoint_confidence=np.ones((1, 17), np.float32),
        detection_confidence=np.float32([0.9]),
        class_id=np.array([0]),
        data={"class_name": np.array(["person"]), "xyxy": np.float32([[10, 10, 290, 290]])},
    )
    image, names = np.zeros((300, 300, 3), np.uint8), np.array(["person"])
    whole = pose.draw(image, key_points, names)
    key_points.keypoint_confidence[:, 1:] = 0.1
    single = pose.draw(image, key_points, names)
    assert np.count_nonzero(whole) > np.count_nonzero(single) + 500
    assert key_points.visible is None  # drawing changes nothing of what it draws


def test_detections_without_a_mask_are_left_out():
    """The object's parts stay in step when detections without a mask are left out."""
    rng = np.random.default_rng(0)
    outputs = {
        "boxes": np.float32([[5, 5, 40, 40], [10, 10, 60, 50], [0, 0, 20, 20]]),
        "scores": np.float32([0.9, 0.8, 0.7]),
        "classes": np.int32([1, 0, 1]),
        "mask_coefficients": rng.normal(0, 1, (3, 32)).astype(np.float32),
        "prototypes": np.abs(rng.normal(0, 1, (16, 16, 32))).astype(np.float32),
    }
    outputs["mask_coefficients"][:] = np.abs(outputs["mask_coefficients"])
    outputs["mask_coefficients"][1] *= -1  # below zero everywhere
    from tftrt_yolo.tasks.task import Scene

    detections = segment.to_supervision(outputs, Scene(np.array(["a", "b"]), (64, 64), (64, 64)))
    assert detections.class_id.tolist() == [1, 1]
    assert detections.data["class_name"].tolist() == ["b", "b"]
    assert np.asarray(detections.mask).sum(axis=(1, 2)).tolist() == [35 * 35, 20 * 20]
