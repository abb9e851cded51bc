"""Data sets that fit, and all the ways in which a stranger's does not."""

import json
import os

import numpy as np
import PIL.Image
import pytest

from tests.conftest import DATA, IMAGES
from tests.evaluation.digits import NAMES, TASKS, data_yaml, model
from tftrt_yolo import DataOptions, DatasetError
from tftrt_yolo.evaluation.datasets import labels
from tftrt_yolo.evaluation.datasets.coco import coco_masks
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.evaluation.datasets.places import label_path


def _open(path, task="detect", **options):
    return open_dataset(path, model(task), DataOptions(**options))


@pytest.mark.parametrize("task", TASKS)
def test_labels_of_every_task(tmp_path, task):
    """Against a plain reading of the first file."""
    dataset = _open(data_yaml(tmp_path, task, num_images=3), task)
    assert [example.path.name for example in dataset.examples] == [path.name for path in IMAGES[:3]]
    truth = dataset.examples[0].truth
    rows = [list(map(float, line.split())) for line in (DATA / task / "labels" / "000000.txt").read_text().splitlines()]
    np.testing.assert_array_equal(truth.classes, [row[0] for row in rows])
    pixels = truth.in_pixels((200, 100))
    if task in ("detect", "pose"):
        x, y, width, height = rows[0][1:5]
        expected = [(x - width / 2) * 100, (y - height / 2) * 200, (x + width / 2) * 100, (y + height / 2) * 200]
        np.testing.assert_allclose(pixels.boxes_xyxy[0], expected)
    if task == "pose":
        np.testing.assert_allclose(pixels.keypoints[0], np.reshape(rows[0][5:], (3, 3)) * [100, 200, 1])
        width, height = pixels.boxes_xyxy[0, 2:] - pixels.boxes_xyxy[0, :2]
        assert pixels.object_areas()[0] == pytest.approx(0.53 * width * height)
    if task == "segment":
        np.testing.assert_allclose(pixels.outlines[0][0][:2], [rows[0][1] * 100, rows[0][2] * 200])
        x, y = np.reshape(rows[0][1:], (-1, 2)).T
        np.testing.assert_allclose(pixels.boxes_xyxy[0], [min(x) * 100, min(y) * 200, max(x) * 100, max(y) * 200])
    if task == "obb":
        np.testing.assert_allclose(pixels.corners[0], np.reshape(rows[0][1:], (4, 2)) * [100, 200])


def test_background_counts_and_doubles_do_not(tmp_path):
    """An empty file and a missing one are images without objects; a line that stands there twice is one object."""
    path = data_yaml(tmp_path, "detect", num_images=3)
    (tmp_path / "labels" / "000000.txt").write_text("\n")
    (tmp_path / "labels" / "000001.txt").unlink()
    (tmp_path / "labels" / "000002.txt").write_text("﻿1 .5 .5 .2 .2\n\n1 .5 .5 .2 .2\n2 .5 .5 .2 .2")
    dataset = _open(path)
    assert [len(example.truth) for example in dataset.examples] == [0, 0, 2]
    assert str(dataset).endswith("(val): 3 images, 2 objects, 2 backgrounds")


def test_lists_folders_and_splits(tmp_path):
    """A .txt with paths relative to itself, a list of folders, names as a dictionary, another split, no path."""
    path = data_yaml(tmp_path, "detect", num_images=4, names=NAMES, path=None)
    (tmp_path / "some.txt").write_text("images/000002.jpg\n./images/000000.jpg\n\n")
    document = json.loads(path.read_text()) | {"test": "some.txt", "train": ["images", "some.txt"]}
    path.write_text(json.dumps(document))
    names = [example.path.name for example in _open(path, split="test").examples]
    assert names == ["000002.jpg", "000000.jpg"]
    assert len(_open(path, split="train").examples) == 4
    assert all(len(example.truth) for example in _open(path, split="train").examples)


def test_where_labels_are():
    from pathlib import Path

    assert label_path(Path("/a/images/images/b/c.jpg")) == Path("/a/images/labels/b/c.txt")
    assert label_path(Path("/a/photos/c.tar.jpg")) == Path("/a/photos/c.tar.txt")


@pytest.mark.parametrize(
    ("task", "line", "message"),
    [
        ("detect", "10 .5 .5 .1 .1", "line 2: class 10; the model has the classes 0 to 9"),
        ("detect", "-1 .5 .5 .1 .1", "line 2: class -1"),
        ("detect", "1.5 .5 .5 .1 .1", "line 2: class 1.5"),
        ("detect", "cat .5 .5 .1 .1", "line 2: 'cat' is no number. Expected numbers between blanks"),
        ("detect", "1 .5 .5 .1 1e400", "line 2: a value is not finite"),
        ("detect", "-inf .5 .5 .1 .1", "line 2: a value is not finite"),
        ("detect", "9" * 300 + " .5 .5 .1 .1", r"line 2: class 9+ \.\.\. 9+; the model has"),
        ("detect", "1 .5 .5 .1 " + "x" * 1_000_000, r"line 2: 'x{80}' \.\.\. is no number"),
        ("detect", "1 .5 .5 .1 \x1b[31m", r"line 2: '\\x1b\[31m' is no number"),
        ("detect", "1 .5" * 300_000, "line 2: 300,000 values behind the class, as of a polygon"),
        ("detect", "1 .5 .5 .1", "line 2: 3 values behind the class. A model for detect needs 4"),
        ("detect", "1 .5 .5 .1 nan", "line 2: a value is not finite"),
        ("detect", "1 320 240 50 50", "line 2: the coordinate 320 lies outside of the image"),
        ("detect", "1 .5 .5 -.005 .1", "line 2: a box's width or height is negative"),
        ("detect", "1 0 0 1 0 1 1", "as of a polygon. A model for detect needs 4.* boxes_only=True"),
        ("detect", "1 0 0 1 0 1 1 0 1", "as of an oriented box or a polygon. A model for detect"),
        ("segment", "1 .5 .5 .1 .1", "as of a box. A model for segment needs at least 6"),
        ("segment", "1 .5 .5 .1 .1 .2", "5 values behind the class. A model for segment"),
        ("segment", "1 0 0 1 0 1 1.2", "the coordinate 1.2 lies outside"),
        ("obb", "1 .5 .5 .1 .1", "as of a box. A model for obb needs 8"),
        ("obb", "1 0 0 1 0 1 1 0 1 0 1", "as of a polygon. A model for obb needs 8"),
        ("pose", "1 .5 .5 .1 .1", "as of a box. A model for pose needs 13"),
        ("pose", "1 .5 .5 .1 .1 .1 .1 2 .1 .1 2", "10 values behind the class.* A model for pose needs 13"),
    ],
)
def test_bad_lines(tmp_path, task, line, message):
    """The message names the file and the line."""
    path = data_yaml(tmp_path, task, num_images=2)
    label = tmp_path / "labels" / "000001.txt"
    label.write_text(label.read_text().splitlines()[0] + "\n" + line)
    with pytest.raises(DatasetError, match=rf"000001\.txt, {message}" if message.startswith("line") else message) as e:
        _open(path, task)
    assert "000001.txt, line 2: " in str(e.value)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "long", "utf-16", "junk"])
@pytest.mark.parametrize("where", ["data.yaml", "labels/000000.txt", "some.txt"])
def test_what_is_no_text_file(tmp_path, kind, where):
    """In place of each file that is read: an error at once."""
    path = data_yaml(tmp_path, "detect", num_images=1, val="some.txt")
    (tmp_path / "some.txt").write_text("images/000000.jpg")
    place = tmp_path / where
    place.unlink()
    match kind:
        case "fifo":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "device":
            place.symlink_to("/dev/zero")
        case "long":
            with open(place, "wb") as file:
                file.truncate(10 << 30)
        case "utf-16":
            place.write_bytes("images/000000.jpg".encode("utf-16"))
        case "junk":
            place.write_bytes(b"\xff\xfe\x00\x80" * 100)
    expected = {
        "fifo": "is a device, a pipe or a socket and no file",
        "folder": "is a folder",
        "device": "is a device, a pipe or a socket and no file",
        "long": "has 10,737,418,240 bytes; at most",
        "utf-16": "is no text in utf-8",
        "junk": "is no text in utf-8",
    }[kind]
    if where == "data.yaml" and kind == "folder":
        expected = "is a folder, and the model's task is detect"
    if where == "some.txt" and kind in ("fifo", "folder", "device"):
        expected = "some.txt, which is not there|has no image in 'val'"
    with pytest.raises(DatasetError, match=expected) as raised:
        _open(path)
    assert str(raised.value).isprintable()


def test_a_million_lines(tmp_path):
    """Read as they are, for somebody may have them; far more are refused before they are."""
    path = data_yaml(tmp_path, "detect", num_images=1)
    label = tmp_path / "labels" / "000000.txt"
    label.write_text("1 .5 .5 .2 .2\n" * 1_000_000)
    assert len(_open(path).examples[0].truth) == 1
    label.write_text("1 .5 .5 .2 .2\n" * 2_000_000)
    with pytest.raises(DatasetError, match="has 28,000,000 bytes; at most 16,777,216 are read"):
        _open(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/", r"some\.txt, line 2 is '/'. Expected the path of an image"),
        ("..", "line 2 is '..'"),
        ("a\0b.jpg", r"line 2 is 'a\\x00b\.jpg'"),
        ("x" * 5_000, "File name too long"),
        ("\x1b[31m.jpg", r"(?s)are missing:.*\\x1b\[31m\.jpg"),
        ("/etc/passwd", "no number"),  # a place elsewhere is the user's, as with Ultralytics; its labels are read
    ],
)
def test_lines_of_lists(tmp_path, line, message):
    path = data_yaml(tmp_path, "detect", num_images=1, val="some.txt")
    (tmp_path / "some.txt").write_text(f"images/000000.jpg\n{line}")
    if "passwd" in line:
        outside = tmp_path / "elsewhere"
        outside.mkdir()
        (outside / "a.txt").write_text("words")
        (tmp_path / "some.txt").write_text(f"images/000000.jpg\n{outside}/a.jpg")
    with pytest.raises(DatasetError, match=message):
        _open(path)


def test_a_label_file_that_is_no_text(tmp_path):
    path = data_yaml(tmp_path, "detect", num_images=1)
    (tmp_path / "labels" / "000000.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(
        DatasetError, match=r"000000\.txt cannot be read: it is no text in utf-8-sig .* Expected a label file"
    ):
        _open(path)


@pytest.mark.parametrize("task", ["segment", "obb", "pose"])
def test_boxes_around_other_labels(tmp_path, task):
    """A detect model takes them if it is told to; on pose labels they are the very boxes of the detect labels."""
    path = data_yaml(tmp_path, task, num_images=4)
    with pytest.raises(DatasetError, match="A model for detect needs 4"):
        _open(path)
    boxes = [example.truth.boxes_xyxy for example in _open(path, boxes_only=True).examples]
    expected = _open(data_yaml(tmp_path / "detect", "detect", num_images=4)).examples
    for got, example in zip(boxes, expected, strict=True):
        if task == "obb":
            assert got.shape == example.truth.boxes_xyxy.shape
        else:
            np.testing.assert_allclose(got, example.truth.boxes_xyxy, atol=1e-5 if task == "pose" else 0.01)


def test_two_values_a_keypoint():
    """Without visibility, a negative coordinate says that the keypoint is not labelled."""
    label_format = labels.LabelFormat("pose", 10, (2, 2))
    values = labels._numbers("1 .5 .5 .2 .2 .4 .4 -.001 .5", "x", label_format)
    truth = labels._truth([np.array(values)], label_format)
    np.testing.assert_allclose(truth.keypoints, [[[0.4, 0.4, 1], [-0.001, 0.5, 0]]])


def test_missing_images(tmp_path):
    """Listed and counted; a label without its image is one too. Told to go on, the others are measured."""
    path = data_yaml(tmp_path, "detect", num_images=4)
    (tmp_path / "images" / "000001.jpg").unlink()
    (tmp_path / "labels" / "classes.txt").write_text("0\n1\n")
    with pytest.raises(DatasetError, match=r"(?s)1 of the 4 images .*:\s+\S+000001\.jpg\n.*skip_missing_images"):
        _open(path)
    dataset = _open(path, skip_missing_images=True)
    assert len(dataset.examples) == 3
    assert [name.rpartition("/")[2] for name in dataset.missing] == ["000001.jpg"]
    (tmp_path / "some.txt").write_text("\n".join(f"images/{index}.jpg" for index in range(9)))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"val": "some.txt"}))
    with pytest.raises(DatasetError, match=r"(?s)9 of the 9 .*4\.jpg\n  and 4 more"):
        _open(path)
    with pytest.raises(DatasetError, match="has no image in 'val'"):
        _open(path, skip_missing_images=True)


@pytest.mark.parametrize(
    ("changes", "task", "message"),
    [
        ({"names": [str(index) for index in range(9)]}, "detect", "has 9 classes, and the model has 10"),
        ({"names": {**NAMES, 3: "three"}}, "detect", "calls class 3 'three', and the model calls it '3'"),
        ({"names": None}, "detect", "has no names"),
        ({"names": 10}, "detect", "has no names"),
        ({"val": None}, "detect", "has no split 'val'; it has none"),
        ({"val": "nowhere"}, "detect", r"names \S+nowhere, which is not there"),
        ({"val": [3]}, "detect", "'val' holds 3. Expected the path"),
        ({"kpt_shape": None}, "pose", "has no kpt_shape, and the model has 3 keypoints"),
        ({"kpt_shape": [17, 3]}, "pose", r"has 17 keypoints \(kpt_shape \[17, 3\]\), and the model has 3"),
        ({"kpt_shape": "3"}, "pose", r"has kpt_shape '3'. Expected \[keypoints, 2 or 3\]"),
        ({"kpt_shape": [3, 4]}, "pose", r"has kpt_shape \[3, 4\]"),
        ({"kpt_shape": [True, 3]}, "pose", r"has kpt_shape \[True, 3\]"),
        ({"kpt_shape": [10**9, 3]}, "pose", r"has kpt_shape \[1000000000, 3\]"),
        ({"kpt_shape": [[], 3]}, "pose", "has kpt_shape a list of 2"),
        ({"names": {**NAMES, 3: [1]}}, "detect", "one of names is a list of 1. Expected text"),
        ({"names": {**NAMES, 3: "\x1b[31m"}}, "detect", r"calls class 3 '\\x1b\[31m', and the model"),
        ({"names": {**NAMES, 3: 10**90}}, "detect", "one of names is a whole number of 299 bits. Expected text"),
        ({"path": ["x"]}, "detect", "path is a list of 1. Expected text"),
        ({"val": "x" * 4_000}, "detect", "cannot be used: .* cannot be read .File name too long"),
        ({"val": "\x1b[31m"}, "detect", r"names \S+\\x1b\[31m, which is not there"),
    ],
)
def test_bad_data_yaml(tmp_path, changes, task, message):
    with pytest.raises(DatasetError, match=message):
        _open(data_yaml(tmp_path, task, num_images=1, **changes), task)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("val: [images\nnames: {", r"data\.yaml cannot be read: it is no YAML \(did not find .* in line 2\)"),
        ("val: !!python/object/apply:os.getcwd []\n", "could not determine a constructor"),
        ("a: &b [1]\nval: *b", "refers to an anchor in line 2; write the value itself"),
        ("[" * 100_000, "is nested more than 32 levels deep"),
        ("names: [0x" + "f" * 4_000 + "]\nval: images", "one of names is a whole number of 16,000 bits"),
        ("- val", "holds a list. Expected Ultralytics' keys"),
        ("", "holds a NoneType"),
    ],
)
def test_malformed_yaml(tmp_path, text, message):
    path = tmp_path / "data.yaml"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        _open(path)


def test_an_empty_folder(tmp_path):
    (tmp_path / "images").mkdir()
    path = tmp_path / "data.yaml"
    path.write_text(json.dumps({"val": "images", "names": NAMES}))
    with pytest.raises(DatasetError, match=r"has no image in 'val'. Expected at least one"):
        _open(path)


def test_data_of_another_kind(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        _open("nowhere")
    with pytest.raises(DatasetError, match=r"is a folder, and the model's task is detect. Expected a data\.yaml or"):
        _open(tmp_path)
    path = data_yaml(tmp_path / "a", "detect", num_images=1)
    with pytest.raises(DatasetError, match=r"is a file, and the model's task is classify. Expected a folder of class"):
        _open(path, "classify")
    with pytest.raises(DatasetError, match=r"images_dir is images, but .* is no COCO JSON"):
        _open(path, images_dir="images")


def test_class_folders(tmp_path):
    """By name, not by order: a class that has no folder shifts no other; a split's folder is taken if it is there."""
    dataset = _open(DATA / "classify", "classify")
    assert len(dataset.examples) == 40
    assert all(str(example.truth.classes[0]) == example.path.parent.name for example in dataset.examples)
    for name in ("7", "3"):
        (tmp_path / "val" / name).mkdir(parents=True)
        (tmp_path / "val" / name / "a.jpg").symlink_to(IMAGES[0])
    assert [int(example.truth.classes[0]) for example in _open(tmp_path, "classify").examples] == [3, 7]
    dataset = _open(tmp_path, "classify", split="test")  # as Ultralytics does, and it is said
    assert (dataset.split, dataset.notes) == (
        "val",
        ("there is no folder 'test'; 'val' was taken, as Ultralytics does",),
    )
    with pytest.raises(DatasetError, match=r"has no split 'train'; it has val. Expected a folder of this name with a"):
        _open(tmp_path, "classify", split="train")


def _coco(tmp_path, **changes):
    """COCO's JSON of two images with an object on the first; changes go into it, under image, annotation, category."""
    image = {"id": 7, "file_name": IMAGES[0].name, "height": 100, "width": 200} | changes.get("image", {})
    annotation = {
        "id": 1,
        "image_id": 7,
        "category_id": 30,
        "bbox": [10, 20, 30, 40],
        "area": 600.0,
        "iscrowd": 0,
        "segmentation": [[10, 20, 40, 20, 40, 60]],
        "keypoints": [10, 20, 2, 40, 60, 1, 0, 0, 0],
    } | changes.get("annotation", {})
    annotation = {key: value for key, value in annotation.items() if value is not None}
    document = {
        "images": [image, {"id": 8, "file_name": IMAGES[1].name, "height": 50, "width": 50}],
        "annotations": [annotation],
        "categories": [{"id": 30, "name": "3"} | changes.get("category", {})],
    } | changes.get("document", {})
    for name, size in ((IMAGES[0].name, (200, 100)), (IMAGES[1].name, (50, 50))):
        PIL.Image.new("RGB", size).save(tmp_path / name)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    return path


def test_coco_json(tmp_path):
    path = _coco(tmp_path)
    for task in ("detect", "segment", "pose"):
        dataset = _open(path, task, images_dir=tmp_path)
        first, second = dataset.examples
        assert first.size_hw == (100, 200)
        np.testing.assert_array_equal(first.truth.classes, [3])
        np.testing.assert_array_equal(first.truth.boxes_xyxy, [[10, 20, 40, 60]])
        assert len(second.truth) == 0
    np.testing.assert_array_equal(first.truth.keypoints, [[[10, 20, 2], [40, 60, 1], [0, 0, 0]]])
    assert first.truth.object_areas() == [600.0]
    crowd = {"iscrowd": 1, "segmentation": {"size": [100, 200], "counts": [100, 19_900]}}
    truth = _open(_coco(tmp_path, annotation=crowd), "segment", images_dir=tmp_path).examples[0].truth
    assert truth.are_crowds.tolist() == [True]
    assert truth.outlines[0]["counts"] == [100, 19_900]


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("detect", {"category": {"name": "cat"}}, "category 0 is 'cat', which is no class of the model; it knows 0, 1"),
        ("detect", {"document": {"annotations": None}}, "lacks one of the lists images, annotations, categories"),
        ("detect", {"document": {"images": []}}, "annotation 0: there is no image with the id 7"),
        ("detect", {"document": {"images": [], "annotations": []}}, "has no image"),
        ("detect", {"annotation": {"category_id": 3}}, "annotation 0: there is no category 3"),
        (
            "detect",
            {"annotation": {"category_id": [3]}},
            r"annotation 0: category_id is a list of 1. Expected a number or",
        ),
        ("detect", {"document": {"images": [3]}}, "image 0 has no id"),
        ("detect", {"annotation": {"bbox": [1, 2, 3]}}, r"annotation 0: bbox is \[1, 2, 3\]. Expected 4 finite"),
        ("detect", {"annotation": {"bbox": [1, 2, -3, 4]}}, "annotation 0: its box is -3 x 4 pixels"),
        ("detect", {"annotation": {"bbox": None}}, "annotation 0 has no bbox"),
        ("detect", {"image": {"height": 0}}, "image 0: height is 0. Expected a whole number"),
        ("detect", {"image": {"id": 8}}, "image 1: the id 8 is taken already"),
        ("detect", {"image": {"file_name": "../../a.jpg"}}, "leads out of the folder of images"),
        ("detect", {"image": {"file_name": "b.jpg"}}, r"(?s)1 of the 2 images .*b\.jpg"),
        (
            "segment",
            {"annotation": {"segmentation": None}},
            "annotation 0: it has no segmentation. A model for",
        ),
        ("segment", {"annotation": {"segmentation": [[1, 2, 3, 4]]}}, "a polygon needs at least three corners"),
        ("segment", {"annotation": {"segmentation": [[1, 2, 3, 4, 5, 1e9]]}}, "lies far outside"),
        (
            "segment",
            {"annotation": {"segmentation": {"size": [9, 9], "counts": [81]}}},
            r"is of size \[9, 9\], the image is of \[100, 200\]",
        ),
        (
            "segment",
            {"annotation": {"segmentation": {"size": [100, 200], "counts": [5]}}},
            "the runs of its mask do not add up to the image",
        ),
        (
            "segment",
            {"annotation": {"segmentation": {"size": [100, 200], "counts": "zzzz"}}},
            "the runs of its mask do not add up to the image",
        ),
        (
            "segment",  # a sum of 64 bits that comes round to the right one
            {"annotation": {"segmentation": {"size": [100, 200], "counts": [2**63 - 1, 2**63 - 1, 20_002]}}},
            "the runs of its mask do not add up to the image",
        ),
        ("segment", {"annotation": {"segmentation": {"size": 5, "counts": [1]}}}, "is of size 5, the image is of"),
        (
            "segment",
            {"annotation": {"segmentation": {"size": [100, 200], "counts": [[1], [1, 2]]}}},
            "the runs of its mask do not add up to the image",
        ),
        (
            "detect",
            {"annotation": {"bbox": [10**400, 2, 3, 4]}},
            "bbox is a list of 4 with a whole number of 1,329 bits",
        ),
        ("detect", {"annotation": {"bbox": [float("nan"), 2, 3, 4]}}, "bbox is a list of 4 with nan in it. Expected 4"),
        ("detect", {"annotation": {"area": True}}, "area is a list of 1 with True in it. Expected 1 finite"),
        (
            "detect",
            {"image": {"height": 10**9}},
            "image 0: height is 1000000000. Expected a whole number of pixels, at",
        ),
        ("detect", {"image": {"file_name": "\x1b[31m"}}, r"(?s)are missing:.*\\x1b\[31m"),
        (
            "detect",
            {"annotation": {"image_id": "x" * 1_000}},
            r"there is no image with the id 'x{80}' \.\.\.\. Expected",
        ),
        ("pose", {"annotation": {"keypoints": None}}, "annotation 0: it has no keypoints. A model for pose"),
        ("pose", {"annotation": {"keypoints": [1, 2, 2] * 17}}, "it has 17 keypoints, and the model has 3"),
        ("obb", {}, "has no labels for obb"),
    ],
)
def test_bad_coco_json(tmp_path, task, changes, message):
    with pytest.raises(DatasetError, match=message):
        _open(_coco(tmp_path, **changes), task, images_dir=tmp_path)


def test_compressed_runs():
    """What the library compresses, for masks of every density."""
    from faster_coco_eval.core import mask as mask_api

    for share in (0.0, 0.01, 0.5, 1.0):
        mask = np.asfortranarray(np.random.default_rng(0).random((70, 90)) < share, np.uint8)
        counts = mask_api.encode(mask)["counts"]
        runs = coco_masks.uncompressed(counts.decode() if isinstance(counts, bytes) else counts)
        values = np.repeat(np.arange(len(runs)) % 2, runs)
        np.testing.assert_array_equal(values, mask.ravel(order="F"))


def test_malformed_json_and_no_folder(tmp_path):
    path = _coco(tmp_path)
    for images_dir, message in ((None, "images_dir is missing"), ("nowhere", "is nowhere, which is no folder")):
        with pytest.raises(DatasetError, match=message):
            _open(path, images_dir=images_dir)
    path.write_text('{"images": [],\n "annotations": [')
    with pytest.raises(DatasetError, match=r"instances\.json cannot be read: it is no JSON \(.*: line 2 "):
        _open(path, images_dir=DATA)


def test_names_need_not_be_in_the_models_order(tmp_path):
    """COCO's categories are found by name."""
    other = LabelSpec("detect", {0: "dog", 1: "3"})
    dataset = open_dataset(_coco(tmp_path), other, DataOptions(images_dir=tmp_path))
    assert dataset.examples[0].truth.classes.tolist() == [1]
