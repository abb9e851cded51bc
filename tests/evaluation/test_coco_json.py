"""COCO's JSON in all that pycocotools takes; the oracle is the library on the whole file, with the same detections."""

import copy
import json

import numpy as np
import PIL.Image
import pytest

from tests.conftest import IMAGES
from tests.evaluation.digits import NAMES, detections, model
from tftrt_yolo import DataOptions, DatasetError
from tftrt_yolo.evaluation import average_precision as ap
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.evaluation.datasets.examples import LabelSpec

_SIGMAS = np.full(3, 1 / 3)
_TASKS = {"detect": (ap.BOXES, "bbox"), "segment": (ap.MASKS, "segm"), "pose": (ap.KEYPOINTS, "keypoints")}
_POLYGON = [[10.0, 20, 40, 20, 40, 60, 10, 60]]
_FOUND = [(10, 20, 40, 60), (60, 20, 95, 60), (120, 20, 150, 50)]  # on the first image, all of class 3


def _document(**changes):
    """Two images of 100 x 200 pixels, two objects of class 3 on the first; changes go into the first of each kind."""
    document = {
        "images": [
            {"id": key, "file_name": image.name, "height": 100, "width": 200} for key, image in enumerate(IMAGES[:2])
        ],
        "annotations": [_annotation(1), _annotation(2, left=60)],
        "categories": [{"id": 30 + index, "name": name} for index, name in NAMES.items()],
    }
    for kind, change in changes.items():
        first = document[kind][0]
        document[kind][0] = {key: value for key, value in (first | change).items() if value is not None}
    return document


def _annotation(key, left=10.0):
    return {
        "id": key,
        "image_id": 0,
        "category_id": 33,
        "bbox": [left, 20, 30, 40],
        "area": 900.0,
        "iscrowd": 0,
        "segmentation": [[left, 20, left + 30, 20, left + 30, 60, left, 60]],
        "keypoints": [left + 1, 21, 2, left + 29, 59, 1, 0, 0, 0],
        "num_keypoints": 2,
    }


def _open(folder, document, task="detect", names=NAMES, **options):
    path = folder / "instances.json"
    path.write_text(json.dumps(document))
    spec = LabelSpec(task, names, 3 if task == "pose" else 0)
    for image in IMAGES[:2]:
        PIL.Image.new("RGB", (200, 100)).save(folder / image.name)
    return open_dataset(path, spec, DataOptions(images_dir=folder, **options))


def _found(task):
    """Three detections on the first image: of both objects, not quite, and of nothing."""
    from faster_coco_eval.core import mask as mask_api

    outlines = [[[left, top, right, top, right, bottom, left, bottom]] for left, top, right, bottom in _FOUND]
    keypoints = [[[left + 1, top + 1, 1], [right - 3, bottom - 1, 1], [0, 0, 1]] for left, top, right, bottom in _FOUND]
    extras = {
        "detect": {},
        "segment": {"masks": [mask_api.merge(mask_api.frPyObjects(outline, 100, 200)) for outline in outlines]},
        "pose": {"keypoints": np.float32(keypoints)},
    }[task]
    return detections([3, 3, 3], [0.9, 0.8, 0.7], _FOUND, **extras)


def _ours(dataset, task):
    """Mean average precision by our way, None where there is nothing to find."""
    precision = ap.AveragePrecision(_TASKS[task][0], 10, sigmas=_SIGMAS)
    nothing = detections([], [], [], masks=[], keypoints=np.zeros((0, 3, 3), np.float32))
    found = {IMAGES[0].name: _found(task)}
    pairs = [(example.truth, found.get(example.path.name, nothing)) for example in dataset.examples]
    precision.add(pairs, [(100, 200)] * len(pairs))
    values = precision.result().ap50_95
    return float(values.mean()) if len(values) else None


def _library(document, task):
    """The same by the library, which reads the file itself."""
    from faster_coco_eval import COCO, COCOeval_faster

    document = copy.deepcopy(document)
    document["images"] = [
        image | {side: int(image[side]) for side in ("height", "width")} for image in document["images"]
    ]
    truths = COCO(document)
    found, results = _found(task), []
    key = document["images"][0]["id"]
    for index, (left, top, right, bottom) in enumerate(found.boxes_xyxy.tolist()):
        result = {"image_id": int(key), "category_id": 33, "score": float(found.scores[index])}
        result["bbox"] = [left, top, right - left, bottom - top]
        if task == "segment":
            result["segmentation"] = found.masks[index]
        if task == "pose":
            result["keypoints"] = found.keypoints[index].ravel().tolist()
        results.append(result)
    evaluation = COCOeval_faster(truths, truths.loadRes(results), iouType=_TASKS[task][1], kpt_oks_sigmas=_SIGMAS)
    evaluation.params.maxDets, evaluation.params.areaRng, evaluation.params.areaRngLbl = [300], [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[..., 0, -1]
    return float(precision[precision > -1].mean()) if (precision > -1).any() else None


_CROWD = {"iscrowd": 1, "segmentation": {"size": [100, 200], "counts": [2_000, 4_000, 14_000]}}


@pytest.mark.parametrize("task", _TASKS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"images": {"width": 200.0, "height": 100.0}},
        {"annotations": {"category_id": 33.0}},
        {"annotations": {"image_id": 0.0}},
        {"annotations": {"iscrowd": True}},
        {"annotations": {"iscrowd": None}},
        {"annotations": _CROWD},
        {"annotations": {"num_keypoints": 0}},
        {"annotations": {"num_keypoints": 2.0}},
        {"annotations": {"keypoints": [0] * 9}},  # counted by the file, and none of them is labelled
        {"annotations": {"area": 0}},
        {"annotations": {"area": -3.0}},
        {"annotations": {"area": 1e11}},
        {"annotations": {"ignore": 1}},
        {"annotations": {"bbox": [10, 20, 0, 0]}},
        {"annotations": {"segmentation": [*_POLYGON, [1, 2, 3, 4]]}},
        {"annotations": {"segmentation": [[*_POLYGON[0], 7]]}},
        {"annotations": {"id": 10**15}},
        {"categories": {"id": -1, "name": "digits", "supercategory": "none"}},
        {"categories": {"id": 0, "name": None}},
    ],
)
def test_figures_are_the_librarys(tmp_path, task, changes):
    document = _document(**changes)
    assert _ours(_open(tmp_path, document, task), task) == pytest.approx(_library(document, task), abs=1e-12)


@pytest.mark.parametrize("task", _TASKS)
@pytest.mark.parametrize("key", [7, -7, 2**70, "7", "a"])
def test_ids_of_every_kind(tmp_path, task, key):
    """As text and as a number alike, negative, beyond 64 bits; whatever Python takes for a key."""
    expected = _ours(_open(tmp_path, _document(), task), task)
    document = _document()
    document["images"][0]["id"] = key
    for annotation in document["annotations"]:
        annotation["image_id"] = int(key) if key == "7" else key
    assert _ours(_open(tmp_path, document, task), task) == expected > 0.5
    document = _document()
    document["categories"][3]["id"] = key
    for annotation in document["annotations"]:
        annotation["category_id"] = str(key) if key == 7 else key
    assert _ours(_open(tmp_path, document, task), task) == expected


@pytest.mark.parametrize("task", _TASKS)
def test_no_label_at_all(tmp_path, task):
    document = _document() | {"annotations": []}
    dataset = _open(tmp_path, document, task)
    assert _ours(dataset, task) is None
    assert str(dataset).endswith("2 images, 0 objects, 2 backgrounds")


def test_crowds_are_no_objects(tmp_path):
    dataset = _open(tmp_path, _document(annotations=_CROWD), "segment")
    assert str(dataset).endswith("2 images, 1 object, 1 background")
    assert dataset.examples[0].truth.num_objects == 1


def test_runs_of_floating_point_numbers(tmp_path):
    """As pycocotools takes them, which makes an array of whole numbers of them; what is no length stays refused."""
    for counts, expected in (([2_000, 4_000, 14_000], 1), ([2_000.0, 4_000.0, 14_000.0], 1), ([2_000.5, 17_999.5], 0)):
        document = _document(annotations={"segmentation": {"size": [100.0, 200], "counts": counts}})
        dataset = _open(tmp_path, document, "segment", skip_bad_labels=True)
        assert len(dataset.skipped_labels) == 1 - expected
        if expected:
            assert dataset.examples[0].truth.outlines[0] == {"size": [100, 200], "counts": [2_000, 4_000, 14_000]}


def test_what_may_lack(tmp_path):
    """Height and width where no mask needs them, area and iscrowd; an object's area for OKS is 0.53 of its box's."""
    document = _document(annotations={"area": None, "iscrowd": None, "segmentation": None, "id": None})
    document["images"] = [{"id": 0, "file_name": IMAGES[0].name}]
    for task in ("detect", "pose"):
        [example] = _open(tmp_path, document, task).examples
        assert (example.size_hw, example.is_in_pixels, len(example.truth)) == (None, True, 2)
    np.testing.assert_allclose(example.truth.object_areas(), [0.53 * 30 * 40, 900])
    with pytest.raises(DatasetError, match="annotation 0: its image has no height or width, which a mask needs"):
        _open(tmp_path, document, "segment")


def test_annotations_of_unknown_images(tmp_path):
    """Passed over as pycocotools does, and said; where all are, the ids are wrong."""
    document = _document()
    document["annotations"] += [_annotation(3) | {"image_id": 99}, _annotation(4) | {"image_id": "x"}]
    dataset = _open(tmp_path, document)
    assert dataset.notes == ("2 annotations were passed over, of images that the file does not list",)
    assert [len(example.truth) for example in dataset.examples] == [2, 0]
    for annotation in document["annotations"]:
        annotation["image_id"] = "000"
    with pytest.raises(
        DatasetError, match=r"annotation 0: there is no image with the id '000'. Expected one of the file's"
    ):
        _open(tmp_path, document)


def test_several_categories_of_one_name(tmp_path):
    """Roboflow's superclass may have a class's name; a model's two classes of one name are in the file's order."""
    document = _document() | {"categories": [{"id": 0, "name": "3"}, {"id": 33, "name": "3"}]}
    assert _open(tmp_path, document).notes == ()
    document["annotations"][0]["category_id"] = 0
    dataset = _open(tmp_path, document)
    assert dataset.examples[0].truth.classes.tolist() == [3, 3]
    assert dataset.notes == ("1 category counts as the class of an earlier one of the same name",)
    dataset = _open(tmp_path, document, names={0: "x", 1: "3", 2: "3"})
    assert (dataset.examples[0].truth.classes.tolist(), dataset.notes) == ([1, 2], ())


@pytest.mark.parametrize("superclass", [[], [{"id": 0, "name": "digits"}]])
def test_a_model_whose_names_are_numbers(tmp_path, superclass):
    """By count, in the order of the ids, and it is said."""
    names = [{"id": 43 - index, "name": name} for index, name in enumerate("abcdefghij")]
    document = _document() | {"categories": [*superclass, *names]}
    document["annotations"] = [_annotation(index) | {"category_id": 34 + index} for index in range(10)]
    dataset = _open(tmp_path, document)
    assert dataset.examples[0].truth.classes.tolist() == list(range(10))
    [note] = dataset.notes
    assert note.startswith("the model has only numbers for names of classes; that both have 10 is all that could be")
    assert note.endswith("in the order of the categories' ids")
    with pytest.raises(DatasetError, match="is 'a', which is no class of the model; it knows k, l, m"):
        _open(tmp_path, document, names=dict(enumerate("klmnopqrst")))


@pytest.mark.parametrize("name", ["{}", "./{}", "sub/{}", "sub\\{}"])
def test_names_of_files(tmp_path, name):
    (tmp_path / "images" / "sub").mkdir(parents=True)
    PIL.Image.new("RGB", (200, 100)).save(tmp_path / "images" / "sub" / "a.jpg")
    PIL.Image.new("RGB", (200, 100)).save(tmp_path / "images" / "a.jpg")
    document = _document()
    document["images"] = [document["images"][0] | {"file_name": name.format("a.jpg")}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    [example] = open_dataset(path, model("detect"), DataOptions(images_dir=tmp_path / "images")).examples
    assert example.path.is_file()


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.jpg", "..\\a.jpg", "C:\\a.jpg", "sub\\..\\..\\a.jpg"])
def test_names_that_lead_out(tmp_path, name):
    with pytest.raises(DatasetError, match=r"image 0: file_name .* leads out of the folder of images"):
        _open(tmp_path, _document(images={"file_name": name}))


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("detect", {"annotations": {"category_id": 99}}, "annotation 0: there is no category 99. Expected one of"),
        ("detect", {"annotations": {"category_id": None}}, "annotation 0 has no category_id"),
        ("detect", {"annotations": {"category_id": True}}, "annotation 0: category_id is True. Expected a number or"),
        ("detect", {"annotations": {"bbox": [1, 2, "3", 4]}}, "annotation 0: bbox is a list of 4 with '3' in it"),
        ("detect", {"annotations": {"iscrowd": "yes"}}, "annotation 0: iscrowd is 'yes'. Expected a whole number"),
        ("detect", {"annotations": {"area": "big"}}, "annotation 0: area is a list of 1 with 'big' in it"),
        ("segment", {"annotations": {"segmentation": []}}, "annotation 0: it has no segmentation. A model for segment"),
        ("segment", {"annotations": {"segmentation": [[1, 2, 3, 4]]}}, "a polygon needs at least three corners"),
        ("pose", {"annotations": {"keypoints": [1, 2, 2]}}, "it has 1 keypoints, and the model has 3"),
        (
            "pose",
            {"annotations": {"num_keypoints": 1.5}},
            r"annotation 0: num_keypoints is 1\.5. Expected a whole number",
        ),
    ],
)
def test_bad_annotations_are_skipped(tmp_path, task, changes, message):
    """With their image; without being told to, the first is refused and the way out is named."""
    document = _document(**changes)
    with pytest.raises(DatasetError, match=rf"{message}.* skip_bad_labels=True leaves such images out"):
        _open(tmp_path, document, task)
    dataset = _open(tmp_path, document, task, skip_bad_labels=True)
    assert [example.path.name for example in dataset.examples] == [IMAGES[1].name]
    assert len(dataset.skipped_labels) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": {"width": 433.5}}, r"image 0: width is 433\.5. Expected a whole number of pixels"),
        ({"images": {"width": "200"}}, "image 0: width is '200'. Expected a whole number of pixels"),
        ({"images": {"width": float("inf")}}, "image 0: width is inf"),
        ({"images": {"id": float("nan")}}, "image 0: id is nan. Expected a number or a name"),
        ({"images": {"id": True}}, "image 0: id is True"),
        ({"images": {"id": None}}, "image 0 has no id"),
        ({"images": {"file_name": None}}, "image 0 has no file_name"),
        ({"categories": {"id": 33}}, "category 3: the id 33 is taken already"),
        ({"categories": {"id": None}}, "category 0 has no id"),
        ({"annotations": {"image_id": [1]}}, "annotation 0: image_id is a list of 1"),
        ({"annotations": {"category_id": 39}, "categories": {"id": 39.0}}, "category 9: the id 39 is taken already"),
    ],
)
def test_a_damaged_file_is_never_skipped(tmp_path, changes, message):
    for options in ({}, {"skip_bad_labels": True}):
        with pytest.raises(DatasetError, match=message) as error:
            _open(tmp_path, _document(**changes), **options)
        assert "skip_bad_labels" not in str(error.value)
