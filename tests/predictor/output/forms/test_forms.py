"""The forms beside pictures and lines of JSON: YOLO text, tables, crops and masks."""

import csv
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import tftrt_yolo
from tests.conftest import CROPS, IMAGES
from tests.evaluation import digits
from tests.predictor.output import films
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.dataset import open_dataset
from tftrt_yolo.predictor.output import names, output_options
from tftrt_yolo.predictor.output.forms import crops, labels
from tftrt_yolo.tasks.results.data_frame import to_dataframe

NUM_IMAGES = 6


def _predicted(models, task, folder, *save, source=None, **options):
    """The lines of a run with forms, and its folder."""
    output = tftrt_yolo.OutputOptions(output_dir=folder / "out", save=save, **options)
    paths = str(folder / "*.jpg") if source is None else source
    if source is None:
        for path in IMAGES[:NUM_IMAGES]:
            (folder / path.name).symlink_to(path)
    model = models.exported("tiny" if task == "detect" else task)
    report = tftrt_yolo.predict(model, paths, output)
    assert report.forms == tuple(form for form in output_options.FORMS if form in save)
    lines = (folder / "out" / "detections.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], folder / "out", tftrt_yolo.Predictor(model)


@pytest.mark.parametrize("task", digits.TASKS)
def test_labels_are_a_data_set_with_the_same_objects(models, tmp_path, task):
    """Our own reader of data sets, on labels of all tasks that have some."""
    lines, out, predictor = _predicted(models, task, tmp_path, "txt")
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    for path in IMAGES[:NUM_IMAGES]:
        (data / "images" / path.name).symlink_to(path)
    (out / "labels").rename(data / "labels")
    document = {"path": ".", "val": "images", "names": list(digits.NAMES.values())}
    document |= {"kpt_shape": [3, 3]} if task == "pose" else {}
    (data / "data.yaml").write_text(json.dumps(document))
    examples = open_dataset(data / "data.yaml", digits.model(task), DataOptions()).examples
    results = predictor([example.path for example in examples])
    assert sum(len(line["detections"]) for line in lines) > 10
    for example, result, line in zip(examples, results, lines, strict=True):
        height, width = line["height"], line["width"]
        boxes = predictor.task.boxes(result)
        np.testing.assert_array_equal(example.truth.classes, boxes.class_id)
        if task in ("detect", "pose"):
            expected = boxes.xyxy / [width, height, width, height]
            np.testing.assert_allclose(example.truth.boxes_xyxy, expected, atol=1e-4)
        if task == "pose":
            np.testing.assert_allclose(example.truth.keypoints[..., :2], result.xy / [width, height], atol=1e-4)
            np.testing.assert_allclose(example.truth.keypoints[..., 2], result.keypoint_confidence, atol=1e-4)
        if task == "obb":
            expected = result.data["xyxyxyxy"] / [width, height]
            outside = np.abs(expected - 0.5) > 0.51  # by more than readers take; they stay where these do
            assert outside.mean() < 0.05
            np.testing.assert_allclose(example.truth.corners[~outside], expected[~outside], atol=1e-4)
        if task == "segment":
            for outline, row in zip(example.truth.outlines, line["detections"], strict=True):
                points = np.concatenate([np.reshape(part, (-1, 2)) for part in row["polygons"]])
                found = np.reshape(outline[0], (-1, 2)) * [width, height]
                np.testing.assert_allclose(found.min(axis=0), points.min(axis=0), atol=0.05)
                np.testing.assert_allclose(found.max(axis=0), points.max(axis=0), atol=0.05)


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("task", digits.TASKS)
def test_labels_are_ultralytics_own(models, tmp_path, task, scores):
    """Number by number what `save_txt` of Ultralytics' Results writes of the same objects."""
    torch = pytest.importorskip("torch")
    from ultralytics.engine.results import Results

    _, out, predictor = _predicted(models, task, tmp_path, "txt", save_confidence=scores)
    for path in IMAGES[:NUM_IMAGES]:
        image = np.asarray(PIL.Image.open(path).convert("RGB"))
        [result] = predictor(path)
        boxes = predictor.task.boxes(result)
        rest = torch.tensor(np.column_stack([boxes.confidence, boxes.class_id]), dtype=torch.float32)
        parts = {"boxes": torch.cat([torch.tensor(boxes.xyxy), rest], 1)}
        if task == "obb":
            parts = {"obb": torch.cat([torch.tensor(result.data["xywhr"]), rest], 1)}
        elif task == "pose":
            points = np.concatenate([result.xy, result.keypoint_confidence[..., None]], -1)
            parts["keypoints"] = torch.tensor(points, dtype=torch.float32)
        elif task == "segment":
            parts["masks"] = torch.tensor(np.asarray(result.mask))
        other = tmp_path / f"{path.stem}_ultralytics.txt"
        Results(image, str(path), digits.NAMES, **parts).save_txt(other, save_conf=scores)
        ours, theirs = (
            file.read_text().splitlines() if file.exists() else []
            for file in (out / "labels" / f"{path.stem}.txt", other)
        )
        assert len(ours) == len(theirs) == len(boxes)
        parted = (
            [len(row["polygons"]) > 1 for row in predictor.task.rows(result, predictor.names)]
            if task == "segment"
            else []
        )
        for index, (one, another) in enumerate(zip(ours, theirs, strict=True)):
            if not any(parted[index : index + 1]):  # parts are joined at other corners
                one, another = (np.array(line.split(), float) for line in (one, another))
                another = labels.inside(another[1:]) if task == "obb" else another[1:]
                assert one[0] == boxes.class_id[index]
                one = one[1:]
                np.testing.assert_allclose(one, another, atol=2e-5)


def test_labels_of_a_classifier(models, tmp_path):
    _, out, predictor = _predicted(models, "classify", tmp_path, "txt", source=str(CROPS[0]))
    [result] = predictor(CROPS[0])
    best = np.argsort(-result.confidence)[:5]
    expected = "".join(f"{result.confidence[index]:.2f} {predictor.names[index]}\n" for index in best)
    assert (out / "labels" / f"{CROPS[0].stem}.txt").read_text() == expected


def test_an_image_without_an_object_has_no_labels(models, tmp_path):
    PIL.Image.new("RGB", (64, 48)).save(tmp_path / "black.png")
    lines, out, _ = _predicted(models, "detect", tmp_path, "txt", "csv", "crops", source=tmp_path / "black.png")
    assert lines[0]["detections"] == []
    assert not {"labels", "crops"} & set(lines[0])
    assert list((out / "labels").iterdir()) == list((out / "crops").iterdir()) == []
    assert len((out / "detections.csv").read_text().splitlines()) == 1


def test_labels_of_two_images_of_one_stem(models, tmp_path):
    """a.jpg and a.png have pictures of their own names, and labels that do not overwrite each other."""
    (tmp_path / "a.jpg").symlink_to(IMAGES[0])
    PIL.Image.open(IMAGES[1]).save(tmp_path / "a.png")
    lines, out, _ = _predicted(models, "detect", tmp_path, "txt", "crops", source=str(tmp_path / "a.*"))
    assert [line["picture"] for line in lines] == ["a.jpg", "a.png"]
    assert [line["labels"] for line in lines] == ["labels/a.txt", "labels/a_2.txt"]
    assert [len((out / line["labels"]).read_text().splitlines()) for line in lines] == [
        len(line["detections"]) for line in lines
    ]


def test_corners_far_outside_stay_where_readers_take_them():
    assert labels.inside(np.array([-0.5, -0.005, 0.3, 1.009, 2.0])).tolist() == [-0.01, -0.005, 0.3, 1.009, 1.01]


def test_parts_of_a_mask_become_one_outline():
    """Every corner of every part is there, and the area is theirs."""
    squares = [np.array([[x, 0], [x + 2, 0], [x + 2, 2], [x, 2]], float) for x in (0, 5, 9)]
    outline = labels.joined(squares)
    assert {tuple(point) for point in outline} == {tuple(point) for square in squares for point in square}
    x, y = outline.T
    assert abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2 == pytest.approx(12)


@pytest.mark.parametrize("task", [*digits.TASKS, "classify"])
def test_tables_are_those_of_pandas(models, tmp_path, task):
    pandas = pytest.importorskip("pandas")
    lines, out, predictor = _predicted(models, task, tmp_path, "csv")
    table = pandas.read_csv(out / "detections.csv")
    paths = sorted(tmp_path.glob("*.jpg"))
    expected = to_dataframe(predictor.with_images([str(path) for path in paths]))
    assert len(table) == sum(len(line[predictor.task.row_label]) for line in lines) > 0
    assert set(expected.columns) <= set(table.columns)
    for column in expected.columns:
        if expected[column].map(lambda value: isinstance(value, list)).any():
            assert table[column].map(json.loads).tolist() == expected[column].tolist()
        elif column == "name":
            assert table[column].astype(str).tolist() == expected[column].tolist()
        else:
            assert table[column].tolist() == expected[column].tolist()


def test_tables_of_videos(models, tmp_path):
    films.film(tmp_path / "a.mp4", frames=4)
    lines, out, _ = _predicted(models, "detect", tmp_path, "csv", source=tmp_path / "a.mp4")
    with open(out / "detections.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(line["frame"], line["seconds"], row["score"]) for line in lines for row in line["detections"]]
    assert [(int(row["frame"]), float(row["seconds"]), float(row["score"])) for row in rows] == expected


@pytest.mark.parametrize("task", digits.TASKS)
def test_crops(models, tmp_path, task):
    """Each object has one, in its class's folder; of upright boxes Ultralytics' own, pixel by pixel."""
    lines, out, predictor = _predicted(models, task, tmp_path, "crops")
    for path, line in zip(IMAGES, lines, strict=False):
        image = np.asarray(PIL.Image.open(path).convert("RGB"))
        [result] = predictor(path)
        for index, (file, row) in enumerate(zip(line.get("crops", []), line["detections"], strict=True)):
            assert file == f"crops/{row['name']}/{path.stem}_{index}.jpg"
            crop = np.asarray(PIL.Image.open(out / file))
            if task == "obb":
                width, height = result.data["xywhr"][index][2:4]
                assert crop.shape[:2] == (round(float(height)), round(float(width)))
            else:
                expected = _of_ultralytics(predictor.task.boxes(result).xyxy[index], image)
                assert crop.shape == expected.shape
                assert np.abs(crop.astype(int) - expected).mean() < 6


def _of_ultralytics(box, image):
    pytest.importorskip("torch")
    from ultralytics.utils.plotting import save_one_box

    return save_one_box(box, image, BGR=True, save=False)


def test_an_oriented_crop_is_upright():
    """A rectangle with a bright left half, turned by 30 degrees, comes out as it was."""
    canvas = PIL.Image.new("RGB", (200, 200))
    canvas.paste((255, 0, 0), (70, 85, 100, 115))
    canvas.paste((0, 0, 255), (100, 85, 130, 115))
    turned = np.asarray(
        canvas.rotate(-30, PIL.Image.Resampling.BILINEAR)
    )  # clockwise on the screen, as the angle counts
    crop = crops.upright(turned, np.array([100, 100, 60, 30, np.radians(30)]))
    assert crop.shape == (30, 60, 3)
    assert crop[5:25, 5:25, 0].min() > 200
    assert crop[5:25, 35:55, 2].min() > 200


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, -1, -1),  # outside
        (200, 10, 300, 50),
        (10, 10, 10, 40),  # without an area
        (40, 10, 10, 40),  # turned round
        (np.nan, 0, 10, 10),
        (0, 0, np.inf, 10),
    ],
)
def test_boxes_without_a_crop(box):
    assert crops.widened(np.zeros((100, 200, 3), np.uint8), np.array(box)) is None
    x1, y1, x2, y2 = box
    around = np.array([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.0])
    assert crops.upright(np.zeros((100, 200, 3), np.uint8), around) is None


def test_a_crop_beyond_the_edge():
    image = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    crop = crops.widened(image, np.array([-20, 90, 5, 130]))
    np.testing.assert_array_equal(crop, image[84:100, 0:10])


def test_masks(models, tmp_path):
    lines, out, predictor = _predicted(models, "segment", tmp_path, "masks")
    for path, line in zip(IMAGES, lines, strict=False):
        [result] = predictor(path)
        assert line.get("masks", []) == [f"masks/{path.stem}_{index}.png" for index in range(len(result))]
        for file, mask in zip(line.get("masks", []), result.mask, strict=True):
            picture = np.asarray(PIL.Image.open(out / file))
            assert picture.dtype == np.uint8
            np.testing.assert_array_equal(picture, np.where(mask, 255, 0))


@pytest.mark.parametrize(
    ("task", "form", "expected"),
    [
        ("detect", "masks", "segment"),
        ("pose", "masks", "segment"),
        ("obb", "masks", "segment"),
        ("classify", "masks", "segment"),
        ("classify", "crops", "detect, segment, pose and obb"),
        ("classify", "coco", "detect, segment, pose and obb"),
    ],
)
def test_forms_that_a_task_does_not_have(models, tmp_path, task, form, expected):
    """Refused before anything is written."""
    message = f"save has {form}, which is for models for {expected}, and .* is a model for {task}\\. Leave it out"
    with pytest.raises(ValueError, match=message):
        _predicted(models, task, tmp_path, form)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save": ("foo",)}, r"save has 'foo'; expected any of txt, csv, coco, crops, masks, maps\. Annotated"),
        ({"save": ("TXT",)}, r"written without it\. Did you mean txt\?"),
        ({"save": ("txt,csv",)}, r"save has 'txt,csv'; expected any of"),
        ({"save": (1,)}, r"save has 1; expected any of"),
        ({"save": True}, r"save is True; expected any of txt"),
        ({"save": None}, r"save is None; expected any of txt"),
        ({"save_confidence": True}, r"save_confidence is for the form txt, which is not written\. Give save='txt' too"),
        ({"coco_annotations": "a.json"}, r"coco_annotations is for the form coco, .* Give save='coco' too"),
        ({"save_confidence": "yes", "save": "txt"}, r"save_confidence is 'yes'; it must be True or False"),
        ({"pictures": 2}, r"pictures is 2; it must be True or False"),
        ({"pictures": False, "line_width": 3}, r"line_width is for pictures, and pictures=False writes none"),
        ({"line_width": 0}, r"line_width is 0; it must be a whole number of at least 1"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.OutputOptions(output_dir="a", **options)


def test_a_single_form_and_forms_given_twice():
    assert tftrt_yolo.OutputOptions(output_dir="a", save="txt").save == ("txt",)
    assert tftrt_yolo.OutputOptions(output_dir="a", save=["masks", "txt", "masks"]).save == ("txt", "masks")


EVIL = [
    "../../x",
    "con/pipe",
    "",
    "CON",
    "a\x00b\nc",
    "x" * 300,
    "ä犬",
    "X",
    "x",
    "...",
    " dots. ",
    "..",
    "nul.txt",
    "a:b",
]


def test_folders_of_classes_are_safe(tmp_path):
    """Names of every kind: all are different, lead nowhere, and are taken by the file system."""
    folders = names.folder_names(np.array(EVIL))
    assert len({folder.casefold() for folder in folders}) == len(EVIL)
    for folder in folders:
        assert "/" not in folder
        assert "\\" not in folder
        assert folder not in ("", ".", "..")
        assert folder == folder.strip(" .")
        (tmp_path / folder).mkdir()
        assert (tmp_path / folder).resolve().parent == tmp_path.resolve()
    assert folders[6] == "ä犬"
    assert folders[2] == "class_2"
    assert folders[3] == "_CON"
    assert max(len(folder.encode()) for folder in folders) <= 130


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("photos/bus.jpg", "bus"),
        ("0", "camera_0"),
        ("-", "stdin"),
        ("rtsp://camera.example:554/live/main", "main"),
        ("rtsp://user:secret@camera.example:554", "camera.example_554"),
        ("https://example.org/a%2F..%2Fb.mp4?token=1", "b"),
        ("http://example.org/..", "example.org"),
    ],
)
def test_names_of_sources(source, stem):
    assert names.Stems().stem_for(source) == stem


def test_names_are_given_once():
    stems = names.Stems()
    given = [stems.stem_for(source) for source in ("a/x.jpg", "b/x.jpg", "x_2.jpg", "c/x.png", "y" * 300 + ".jpg")]
    assert given[:2] == ["x", "x_2"]
    assert len(set(given)) == 5
    assert max(map(len, given)) <= 200


def test_a_full_disk_leaves_nothing(models, tmp_path):
    """Files of at most 20,000 bytes, in a process of its own."""
    import resource
    import subprocess
    import sys

    command = [sys.executable, "-m", "tftrt_yolo", "predict", models.exported("tiny"), f"--source={IMAGES[0].parent}"]
    command += [f"--output_dir={tmp_path / 'out'}", "--save=csv,coco", "--nopictures"]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000)),
    )
    assert done.returncode == 1
    message = (
        "detections.jsonl, or what is written beside it, cannot be written: File too large. Expected a folder with"
    )
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert Path(IMAGES[0]).exists()
