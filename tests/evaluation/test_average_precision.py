"""Cases whose average precision is known, and the library run whole."""

import numpy as np
import pytest

from tests.evaluation.digits import detections
from tftrt_yolo.evaluation import average_precision as ap
from tftrt_yolo.evaluation.datasets.truth import Truth
from tftrt_yolo.tasks import obb

BOX = [10, 10, 30, 30]
FAR = [60, 60, 90, 90]
SIZE = (100, 100)


def _truth(classes, boxes, **extras):
    return Truth(np.array(classes, np.int64), np.array(boxes, np.float64).reshape(-1, 4), **extras)


def _run(kind, images, num_classes=2, **arguments):
    precision = ap.AveragePrecision(kind, num_classes, **arguments)
    for truth, found in images:
        precision.add([(truth, found)], [SIZE])
    return precision.result()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (([0], [0.9], [BOX]), 1.0),
        (([0], [0.0011], [BOX]), 1.0),  # low scores count
        (([1], [0.9], [BOX]), 0.0),  # another class
        (([0], [0.9], [FAR]), 0.0),
        (([0, 0], [0.9, 0.8], [FAR, BOX]), 0.5),  # a wrong one before the right one
        (([0, 0], [0.9, 0.8], [BOX, FAR]), 1.0),
        (([0, 0], [0.9, 0.8], [[90, 60, 60, 90], BOX]), 0.5),  # inside out, its area below 0, and wrong all the same
        (([0, 0], [0.9, 0.8], [BOX, BOX]), 1.0),  # a double comes too late to hurt
        (([0], [0.9], [[10, 10, 30, 22.1]]), 0.2 / 2),  # IoU 0.605: right at 0.5, 0.55 and 0.6 of ten
        (([], [], []), 0.0),
    ],
)
def test_one_object(found, expected):
    curves = _run(ap.BOXES, [(_truth([0], [BOX]), detections(*found))])
    if found[2] == [[10, 10, 30, 22.1]]:
        assert curves.ap50[0] == 1
        expected = 0.3
    np.testing.assert_array_equal(curves.classes, [0])
    assert curves.ap50_95[0] == pytest.approx(expected, abs=1e-6)


def test_what_is_found_on_background_is_wrong():
    """The same detection on an image without objects, before or after; a class without labels has no figure."""
    right = (_truth([0], [BOX]), detections([0], [0.8], [BOX]))
    background = (_truth([], []), detections([0, 1], [0.9, 0.9], [BOX, BOX]))
    for images in ([right, background], [background, right]):
        curves = _run(ap.BOXES, images)
        np.testing.assert_array_equal(curves.classes, [0])
        assert curves.ap50[0] == pytest.approx(0.5, abs=1e-6)
    assert len(_run(ap.BOXES, [background]).classes) == 0


def test_three_hundred_detections_count():
    """COCO's own limit of 100 would lose the right one."""
    boxes = [FAR] * 299 + [BOX]
    found = detections([0] * 300, np.linspace(0.9, 0.1, 300), boxes)
    assert _run(ap.BOXES, [(_truth([0], [BOX]), found)]).ap50[0] == pytest.approx(1 / 300, abs=1e-4)


def test_a_crowd_is_neither_right_nor_wrong():
    truth = _truth([0, 0], [BOX, [50, 50, 100, 100]], are_crowds=np.array([False, True]))
    found = detections([0, 0, 0], [0.9, 0.8, 0.7], [FAR, FAR, BOX])
    assert _run(ap.BOXES, [(truth, found)]).ap50[0] == pytest.approx(1.0, abs=1e-6)


def test_image_by_image_as_the_library_at_once():
    """Random boxes on 12 images, in batches of five, against one run of faster-coco-eval over all."""
    from faster_coco_eval import COCO, COCOeval_faster

    rng = np.random.default_rng(0)
    images, truths, results = [], [], []
    for image_id in range(12):
        boxes = np.concatenate([corner := rng.uniform(0, 50, (6, 2)), corner + rng.uniform(10, 40, (6, 2))], axis=1)
        found_boxes = np.concatenate([boxes + rng.normal(0, 3, boxes.shape), boxes[:2] + 20])
        classes, found_classes = rng.integers(0, 3, 6), rng.integers(0, 3, 8)
        found_classes[:5] = classes[:5]
        scores = np.sort(rng.random(8).astype(np.float32))[::-1]
        images.append((_truth(classes, boxes), detections(found_classes, scores, found_boxes)))
        for rows, group, values in ((truths, classes, boxes), (results, found_classes, np.float32(found_boxes))):
            for index, (category, box) in enumerate(zip(group.tolist(), values.astype(float), strict=True)):
                xywh = [*box[:2], *(box[2:] - box[:2])]
                row = {"id": len(rows) + 1, "image_id": image_id, "category_id": category, "bbox": xywh, "iscrowd": 0}
                row["area"] = xywh[2] * xywh[3]
                rows.append(row | ({"score": float(scores[index])} if rows is results else {}))
    coco = COCO(
        {
            "images": [{"id": index, "height": 100, "width": 100} for index in range(12)],
            "annotations": truths,
            "categories": [{"id": index, "name": str(index)} for index in range(3)],
        }
    )
    whole = COCOeval_faster(coco, coco.loadRes(results), "bbox")
    whole.run()
    precision = ap.AveragePrecision(ap.BOXES, 3)
    for first in range(0, 12, 5):
        part = images[first : first + 5]
        precision.add(part, [SIZE] * len(part))
    curves = precision.result()
    assert 0.1 < whole.stats[0] < 0.9
    assert curves.ap50_95.mean() == pytest.approx(whole.stats[0], abs=1e-9)
    assert curves.ap50.mean() == pytest.approx(whole.stats[1], abs=1e-9)


def test_keypoints_as_ultralytics():
    """Right at as many thresholds as the similarity reaches; a keypoint that is not labelled may be anywhere."""
    pytest.importorskip("torch")
    import torch
    from ultralytics.utils.metrics import kpt_iou

    labelled = np.array([[[12, 12, 2], [20, 20, 1], [0, 0, 0]]], float)
    found = labelled + np.array([[3.0, 1.0, 0], [0.0, 4.0, 0], [77, 77, 0]])
    area = 400 * 0.53
    similarity = float(kpt_iou(torch.tensor(labelled), torch.tensor(found), torch.tensor([area]), np.ones(3) / 3)[0, 0])
    assert 0.55 < similarity < 0.95
    curves = _run(
        ap.KEYPOINTS,
        [(_truth([0], [BOX], keypoints=labelled), detections([0], [0.9], [FAR], keypoints=found.astype(np.float32)))],
        sigmas=ap.keypoint_sigmas(3),
    )
    expected = (similarity >= np.linspace(0.5, 0.95, 10)).mean()
    assert curves.ap50_95[0] == pytest.approx(expected, abs=1e-6)


def test_sigmas_as_ultralytics():
    metrics = pytest.importorskip("ultralytics.utils.metrics")
    np.testing.assert_allclose(ap.keypoint_sigmas(17), metrics.OKS_SIGMA)
    np.testing.assert_allclose(ap.keypoint_sigmas(4), [0.25] * 4)


@pytest.mark.parametrize("kind", [ap.ORIENTED, ap.ORIENTED_POLYGONS])
def test_oriented_boxes(kind):
    """Right, and turned by ninety degrees, which is another place; the same box written with its sides swapped."""
    box = np.array([[40, 40, 60, 10, 0.3], [40, 40, 60, 10, 0.3 + np.pi / 2], [40, 40, 10, 60, 0.3 + np.pi / 2]])
    truth = _truth([0], [[10, 20, 70, 60]], corners=obb.corners(box[:1]))

    def figure(index):
        found = detections([0], [0.9], [[0, 0, 9, 9]], boxes_xywhr=box[index : index + 1].astype(np.float32))
        return _run(kind, [(truth, found)]).ap50_95[0]

    assert [figure(0), figure(1), figure(2)] == pytest.approx([1, 0, 1], abs=1e-6)


def test_masks():
    """A triangle that is half of its box: the whole square has an IoU of 0.5 with it, itself has 1."""
    from faster_coco_eval.core import mask as mask_api

    triangle = [10, 10, 30, 10, 10, 30]
    truth = _truth([0, 1], [BOX, BOX], outlines=([triangle], [triangle]))
    runs = [mask_api.merge(mask_api.frPyObjects([p], *SIZE)) for p in (triangle, [10, 10, 30, 10, 30, 30, 10, 30])]
    curves = _run(ap.MASKS, [(truth, detections([0, 1], [0.9, 0.9], [BOX, BOX], masks=runs))])
    assert curves.ap50_95[0] == pytest.approx(1, abs=1e-6)
    assert curves.ap50_95[1] <= 0.2


def test_labelled_masks_in_runs():
    """The labels' runs, as COCO's JSON holds them, and a crowd of runs that swallows what else is found."""
    whole = np.zeros(SIZE, bool)
    whole[10:30, 10:30] = True
    edges = np.flatnonzero(np.diff(whole.ravel(order="F"), prepend=False))
    counts = np.diff([0, *edges, whole.size]).tolist()
    crowd = {"size": list(SIZE), "counts": [5_000, 5_000]}  # the right half
    truth = _truth(
        [0, 0],
        [BOX, [50, 0, 100, 100]],
        outlines=({"size": list(SIZE), "counts": counts}, crowd),
        are_crowds=np.array([False, True]),
    )
    from tftrt_yolo.evaluation.mask_runs import encode_runs

    found = [encode_runs(np.ones((20, 20), bool), left, 10, SIZE) for left in (60, 10)]
    curves = _run(ap.MASKS, [(truth, detections([0, 0], [0.9, 0.8], [FAR, BOX], masks=found))])
    assert curves.ap50_95[0] == pytest.approx(1, abs=1e-6)
