"""COCO's results: read back by the library they have `evaluate`'s figures, and their ids mean what they should."""

import json

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.evaluation import digits
from tests.predictor.output import films
from tftrt_yolo.evaluation import average_precision
from tftrt_yolo.evaluation.datasets.coco import coco_masks
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.ground.files.image_files import read_image

NUM_IMAGES = 12
FIRST_ID, FIRST_CATEGORY = 500, 90


def _truth(path, task):
    """A data set as COCO's JSON; ids are none that anybody would count to."""
    images, annotations = [], []
    for index, example in enumerate(open_dataset(path, digits.model(task), DataOptions()).examples):
        height, width = read_image(example.path).shape[:2]
        key = FIRST_ID - index
        images.append({"id": key, "file_name": f"val/{example.path.name}", "height": height, "width": width})
        truth = example.truth.in_pixels((height, width))
        areas, counts = truth.object_areas(), truth.keypoint_counts() if task == "pose" else None
        for each, (left, top, right, bottom) in enumerate(truth.boxes_xyxy.tolist()):
            entry = {"id": len(annotations) + 1, "image_id": key, "iscrowd": 0, "area": float(areas[each])}
            entry |= {"category_id": FIRST_CATEGORY - int(truth.classes[each])}
            entry |= {"bbox": [left, top, right - left, bottom - top]}
            if task == "segment":
                entry["segmentation"] = [np.asarray(part).tolist() for part in truth.outlines[each]]
            if task == "pose":
                entry |= {"keypoints": truth.keypoints[each].ravel().tolist(), "num_keypoints": int(counts[each])}
            annotations.append(entry)
    categories = [{"id": FIRST_CATEGORY - index, "name": name} for index, name in digits.NAMES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _average_precision(truth, results, kind):
    """The mean average precision that the library itself finds."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth = COCO(str(truth))
    sigmas = {"kpt_oks_sigmas": average_precision.keypoint_sigmas(3)} if kind == "keypoints" else {}
    evaluation = COCOeval_faster(truth, truth.loadRes(str(results)), iouType=kind, **sigmas)
    evaluation.params.maxDets = [300]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]
    return precision[precision > -1].mean()


@pytest.mark.parametrize(
    ("task", "metric", "kind"),
    [
        ("detect", "box mAP50-95", "bbox"),
        ("segment", "box mAP50-95", "bbox"),
        ("segment", "mask mAP50-95", "segm"),
        ("pose", "keypoint mAP50-95", "keypoints"),
    ],
)
def test_the_library_finds_what_evaluate_finds(models, tmp_path, task, metric, kind):
    path = digits.data_yaml(tmp_path / "data", task, num_images=NUM_IMAGES)
    truth = tmp_path / "instances.json"
    truth.write_text(json.dumps(_truth(path, task)))
    model = models.exported("tiny" if task == "detect" else task)
    output = tftrt_yolo.OutputOptions(
        output_dir=tmp_path / "out", save=("coco",), pictures=False, coco_annotations=truth
    )
    selection = tftrt_yolo.SelectionOptions(score_threshold=0.001, iou_threshold=0.7, max_detections=300)
    report = tftrt_yolo.predict(model, tmp_path / "data" / "images", output, selection=selection)
    assert report.notes == ()
    assert report.selection["multi_label"] is True
    expected = tftrt_yolo.evaluate(model, path).value(metric)
    found = _average_precision(truth, tmp_path / "out" / "coco_results.json", kind)
    assert found == pytest.approx(expected, abs=0.001)
    assert found > 0.4
    document = json.loads((tmp_path / "out" / "coco_images.json").read_text())
    assert {image["id"] for image in document["images"]} == set(range(FIRST_ID - NUM_IMAGES + 1, FIRST_ID + 1))
    assert {category["id"]: category["name"] for category in document["categories"]} == {
        FIRST_CATEGORY - index: name for index, name in digits.NAMES.items()
    }


def test_boxes_of_several_classes_only_where_validators_ask(tiny_export, tmp_path):
    """Anybody else gets the best class of each box, and a word of the user's counts."""
    cases = (
        ({"score_threshold": 0.25}, ("coco",), None),
        ({"score_threshold": 0.001}, ("txt",), None),
        ({"score_threshold": 0.001}, ("coco",), True),
        ({"score_threshold": 0.001, "multi_label": False}, ("coco",), False),
        ({"multi_label": True}, ("csv",), True),
    )
    for number, (asked, save, expected) in enumerate(cases):
        output = tftrt_yolo.OutputOptions(output_dir=tmp_path / str(number), save=save, pictures=False)
        report = tftrt_yolo.predict(tiny_export, IMAGES[0], output, selection=tftrt_yolo.SelectionOptions(**asked))
        assert report.selection.get("multi_label") is expected


def _documents(folder):
    return (json.loads((folder / f"coco_{name}.json").read_text()) for name in ("results", "images"))


def test_ids_of_our_own(tiny_export, tmp_path):
    """A name that is a number is the id, others are counted; nothing comes twice."""
    folder = tmp_path / "in"
    for name in ("000000000139.jpg", "2.jpg", "a.jpg", "b.jpg", "²³.jpg", "9" * 30 + ".jpg", "sub/2.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(IMAGES[0])
    output = tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", save="coco")
    tftrt_yolo.predict(tiny_export, tftrt_yolo.SourceOptions(source=folder, recursive=True), output)
    results, document = _documents(tmp_path / "out")
    ids = {image["file_name"]: image["id"] for image in document["images"]}
    assert ids["000000000139.jpg"] == 139
    found = [image["id"] for image in document["images"]]
    assert len(set(found)) == len(found) == 7
    assert 2 in found
    assert {result["image_id"] for result in results} == set(found)
    assert document["categories"][3] == {"id": 4, "name": "3"}
    assert document["annotations"] == []
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [line["image_id"] for line in lines] == found
    assert [result["category_id"] for result in results] == [
        row["class"] + 1 for line in lines for row in line["detections"]
    ]


def test_frames_and_oriented_boxes(models, tmp_path):
    films.film(tmp_path / "7.mp4", frames=3)
    output = tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", save="coco", pictures=False)
    tftrt_yolo.predict(models.exported("obb"), tmp_path / "7.mp4", output)
    results, document = _documents(tmp_path / "out")
    assert [(image["id"], image["frame"], image["file_name"]) for image in document["images"]] == [
        (number + 1, number, "7.mp4") for number in range(3)
    ]
    for result in results:
        x, y = np.reshape(result["segmentation"], (4, 2)).T
        left, top, width, height = result["bbox"]
        np.testing.assert_allclose([x.min(), y.min()], [left, top], atol=0.01)
        np.testing.assert_allclose([np.ptp(x), np.ptp(y)], [width, height], atol=0.01)
        assert len(result["rbox"]) == 5


def test_no_image_and_no_object(tiny_export, tmp_path):
    PIL.Image.new("RGB", (64, 48)).save(tmp_path / "black.png")
    output = tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", save="coco")
    tftrt_yolo.predict(tiny_export, tmp_path / "black.png", output)
    results, document = _documents(tmp_path / "out")
    assert results == []
    assert len(document["images"]) == 1


def _annotations(folder, **changes):
    """A COCO JSON of the first two images."""
    images = [{"id": 7 + index, "file_name": path.name} for index, path in enumerate(IMAGES[:2])]
    categories = [{"id": 3, "name": "1"}, {"id": 4, "name": "2"}]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": categories} | changes))
    return path


def _run(tiny_export, folder, path):
    output = tftrt_yolo.OutputOptions(output_dir=folder / "out", save="coco", coco_annotations=path)
    return tftrt_yolo.predict(tiny_export, str(IMAGES[0].parent / "00000[0-3].jpg"), output)


def test_what_has_no_id_is_said(tiny_export, tmp_path):
    report = _run(tiny_export, tmp_path, _annotations(tmp_path))
    assert report.num_images == 4
    first, second = report.notes
    assert "2 images without an id in" in first
    assert "000002.jpg (not there)" in first
    assert "8 classes without a category in" in second
    results, document = _documents(tmp_path / "out")
    assert [image["id"] for image in document["images"]] == [7, 8]
    assert {result["category_id"] for result in results} <= {3, 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": []}, r"coco_annotations: 4 images without an id in .*instances\.json: .*Expected the images that"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}]}, r"without an id"),
        (
            {"images": [{"id": 1, "file_name": IMAGES[0].name, "width": 3, "height": 4}]},
            r"000000\.jpg \(of another size\)",
        ),
        ({"categories": [{"id": 1, "name": "cat"}]}, r"coco_annotations: no category of .* is a class of the model"),
        ({"categories": 3}, r"lacks one of the lists images, annotations, categories"),
        (
            {"images": [{"id": 1, "file_name": f"a/{IMAGES[0].name}"}, {"id": 2, "file_name": f"b/{IMAGES[0].name}"}]},
            r"without an id .*\(there several times\)",
        ),
    ],
)
def test_annotations_of_something_else(tiny_export, tmp_path, changes, message):
    """Nothing is kept."""
    path = _annotations(tmp_path, **changes)
    with pytest.raises(tftrt_yolo.DatasetError, match=message):
        _run(tiny_export, tmp_path, path)
    assert [one.name for one in tmp_path.iterdir()] == ["instances.json"]


def test_annotations_are_not_written_over(tiny_export, tmp_path):
    path = _annotations(tmp_path)
    output = tftrt_yolo.OutputOptions(output_dir=tmp_path / "out", save="coco", coco_annotations=path)
    tftrt_yolo.predict(tiny_export, IMAGES[0], output)
    inside = tftrt_yolo.OutputOptions(
        output_dir=tmp_path / "out", save="coco", coco_annotations=tmp_path / "out" / "coco_images.json"
    )
    with pytest.raises(FileExistsError, match=r"out holds .*coco_images\.json, which is to be read"):
        tftrt_yolo.predict(tiny_export, IMAGES[0], inside, overwrite=True)


def test_compressed_runs_are_the_librarys():
    mask_api = pytest.importorskip("faster_coco_eval.core.mask")
    rng = np.random.default_rng(0)
    for _ in range(200):
        runs = rng.integers(0, 10 ** rng.integers(1, 6), rng.integers(1, 30)).tolist()
        height, width = 1, sum(runs)
        found = coco_masks.compressed(runs)
        assert coco_masks.uncompressed(found) == runs
        expected = mask_api.frPyObjects({"size": [height, width], "counts": runs}, height, width)
        assert found.encode() == expected["counts"]
