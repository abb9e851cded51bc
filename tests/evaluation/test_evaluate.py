"""The whole evaluation on the labelled digits; the oracle is Ultralytics' validator, its figures are in tests/data."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import DATA, IMAGES, OTHER_TASKS, TINY_WEIGHTS, reference
from tests.evaluation.digits import NAMES, data_yaml, metrics, model
from tests.saved_model import edits
from tftrt_yolo import DataOptions, EvaluationReport
from tftrt_yolo.cli import command_line as cli
from tftrt_yolo.evaluation import average_precision, charts, networks
from tftrt_yolo.evaluation.datasets.dataset import open_dataset

# What Ultralytics' validator calls our metrics, and how far the methods may lie apart.
_ULTRALYTICS = {
    "box mAP50-95": "metrics/mAP50-95(B)",
    "box mAP50": "metrics/mAP50(B)",
    "mask mAP50-95": "metrics/mAP50-95(M)",
    "mask mAP50": "metrics/mAP50(M)",
    "keypoint mAP50-95": "metrics/mAP50-95(P)",
    "keypoint mAP50": "metrics/mAP50(P)",
    "oriented mAP50-95": "metrics/mAP50-95(B)",
    "oriented mAP50": "metrics/mAP50(B)",
}
_METHODS = 0.01


def test_importing_it_loads_no_framework():
    code = "import sys, tftrt_yolo.evaluation.evaluate; print({'tensorflow', 'torch', 'matplotlib'} & {*sys.modules})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_a_savedmodel_beside_its_weights(tiny_export, tmp_path):
    """As accurate as PyTorch on the same frames, as Ultralytics says, and written whole."""
    pytest.importorskip("torch")
    out, progress = tmp_path / "out", []
    arguments = {"compare_to": TINY_WEIGHTS, "output_dir": out}
    path = data_yaml(tmp_path / "data", "detect")
    report = tftrt_yolo.evaluate(tiny_export, path, **arguments, on_progress=lambda *done: progress.append(done))
    assert (report.num_images, report.num_objects, report.num_backgrounds) == (40, 191, 0)
    assert progress == [(16, 40), (32, 40), (40, 40)]
    expected = metrics()["yolov8n-tiny-detect"]
    for name in ("box mAP50-95", "box mAP50"):
        assert report.value(name, model=1) == pytest.approx(expected[_ULTRALYTICS[name]], abs=_METHODS)
        assert abs(report.difference(name)) < 0.002
    metric = report.models[0].metrics[0]
    assert metric.value == pytest.approx(np.mean([*metric.per_class.values()]))
    assert sum(one.num_objects for one in report.classes) == 191
    assert all(0 < value < 1_000 for one in report.models for value in (one.speed.network_ms, one.speed.selection_ms))
    assert sorted(file.name for file in out.iterdir()) == [
        "confusion_matrix.png",
        "evaluation.json",
        "precision_recall.png",
    ]
    assert EvaluationReport.read(out) == report
    text = str(report)
    assert f"box mAP50-95 {report.value('box mAP50-95'):>20.4f}".split() == text.split("difference")[1].split()[1:4]
    with pytest.raises(KeyError, match="'mAP' is no metric of detect; known are box mAP50-95, box mAP50"):
        report.value("mAP")
    with pytest.raises(FileExistsError, match="exists already"):
        tftrt_yolo.evaluate(tiny_export, path, **arguments)


@pytest.mark.parametrize("task", OTHER_TASKS)
def test_every_other_task(models, tmp_path, task):
    """The same; Ultralytics' validator had more crops for classify, so there its predictions are the oracle."""
    pytest.importorskip("torch")
    source = DATA / "classify" if task == "classify" else data_yaml(tmp_path / "data", task)
    weights = DATA / f"yolov8n-tiny-{task}.pt"
    report = tftrt_yolo.evaluate(models.exported(task), source, compare_to=weights, output_dir=tmp_path / "out")
    names = [metric.name for metric in report.models[1].metrics]
    assert all(abs(report.difference(name)) < 0.002 for name in names)
    expected = metrics()[f"yolov8n-tiny-{task}"]
    compared = [name for name in names if name in _ULTRALYTICS]
    assert len(compared) == {"segment": 4, "pose": 4, "obb": 2, "classify": 0}[task]
    for name in compared:
        assert report.value(name, model=1) == pytest.approx(expected[_ULTRALYTICS[name]], abs=_METHODS), name
    if task == "obb":
        assert 0 < report.value("oriented, exact IoU mAP50-95") < report.value("oriented mAP50-95")
    if task == "classify":
        probabilities = [(name[0], np.argsort(row)[::-1]) for name, row in reference("yolov8n-tiny-classify").items()]
        for name, first in (("top-1", 1), ("top-5", 5)):
            right = np.mean([int(digit) in order[:first] for digit, order in probabilities])
            assert report.value(name, model=1) == pytest.approx(right, abs=1e-9)
    pictures = {file.name for file in (tmp_path / "out").glob("*.png")}
    assert pictures == {"confusion_matrix.png"} | (set() if task == "classify" else {"precision_recall.png"})
    assert EvaluationReport.read(tmp_path / "out") == report


def test_two_savedmodels(tiny_conversion, tiny_export, models, tmp_path):
    """The same network twice: nothing shifts, and the intervals of the differences say so; of nine images none does."""
    path = data_yaml(tmp_path / "data", "detect", num_images=10)
    report = tftrt_yolo.evaluate(tiny_conversion, path, compare_to=tiny_export, output_dir=tmp_path / "out")
    metric, other = (model.metrics[0] for model in report.models)
    assert metric.interval.low < metric.value < metric.interval.high
    assert metric.interval.high - metric.interval.low > 0.05
    assert other.interval.low == pytest.approx(metric.interval.low, abs=0.002)
    difference = report.difference_intervals["box mAP50-95"]
    assert -0.002 < difference.low <= difference.high < 0.002
    shift = report.score_shift
    assert (shift.images, shift.lost, shift.new) == (10, 0, 0)
    assert shift.pairs >= shift.detections > 10
    assert abs(shift.mean) < 1e-4
    assert report.models[0].best_f1 == report.models[1].best_f1
    assert EvaluationReport.read(tmp_path / "out") == report
    for text in ("95 %, 1,000 draws", "best F1 of", "0 of ", " lost (0.0%), 0 new"):
        assert text in str(report)
    few = tftrt_yolo.evaluate(tiny_export, data_yaml(tmp_path / "few", "detect", num_images=9))
    assert (few.resamples, few.models[0].metrics[0].interval, few.score_shift) == (0, None, None)
    assert "draws" not in str(few)
    with pytest.raises(ValueError, match=r"a model for classify of 10 classes; the SavedModel is for detect of 10 cl"):
        tftrt_yolo.evaluate(tiny_export, path, compare_to=models.exported("classify"))


def test_a_converted_model_and_any_batch_size(tiny_conversion, tiny_export, tmp_path):
    """The conversion's native segments, in batches that leave a rest, against the export in one batch."""
    path = data_yaml(tmp_path / "data", "detect", num_images=10)
    one, other = (
        tftrt_yolo.evaluate(directory, path, batch_size=batch_size)
        for directory, batch_size in ((tiny_export, 10), (tiny_conversion, 4))
    )
    assert "native segments" in other.models[0].backend or "TensorRT" in other.models[0].backend
    for metric in one.models[0].metrics:
        assert other.value(metric.name) == pytest.approx(metric.value, abs=0.002)


def test_coco_json_gives_the_same(tiny_export, tmp_path):
    """The digits' labels as COCO's JSON, with another order of categories; and a background in both."""
    from tftrt_yolo.ground.files.image_files import read_image

    path = data_yaml(tmp_path / "data", "detect", num_images=8)
    (tmp_path / "data" / "labels" / "000003.txt").write_text("")
    dataset = open_dataset(path, model("detect"), DataOptions())
    images, annotations = [], []
    for index, example in enumerate(dataset.examples):
        height, width = read_image(example.path).shape[:2]
        images.append({"id": index, "file_name": example.path.name, "height": height, "width": width})
        truth = example.truth.in_pixels((height, width))
        for category, (left, top, right, bottom) in zip(truth.classes, truth.boxes_xyxy, strict=True):
            box = [left, top, right - left, bottom - top]
            annotations.append({"image_id": index, "category_id": int(90 - category), "bbox": box})
    categories = [{"id": 90 - index, "name": name} for index, name in NAMES.items()]
    coco = tmp_path / "instances.json"
    coco.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    one = tftrt_yolo.evaluate(tiny_export, path)
    other = tftrt_yolo.evaluate(tiny_export, coco, data_options=DataOptions(images_dir=tmp_path / "data" / "images"))
    assert one.num_backgrounds == other.num_backgrounds == 1
    assert one.classes == other.classes
    assert [metric.value for metric in one.models[0].metrics] == pytest.approx(
        [metric.value for metric in other.models[0].metrics], abs=1e-9
    )


def test_skipped_images_are_reported(tiny_export, tmp_path):
    path = data_yaml(tmp_path, "detect", num_images=3)
    (tmp_path / "images" / "000001.jpg").unlink()
    report = tftrt_yolo.evaluate(tiny_export, path, data_options=DataOptions(skip_missing_images=True))
    assert report.num_images == 2
    assert [name.rpartition("/")[2] for name in report.missing_images] == ["000001.jpg"]
    assert "1 missing image was skipped" in str(report)


def test_bad_arguments(tiny_export, tmp_path):
    path = data_yaml(tmp_path, "detect", num_images=1)
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"no checkpoint")
    segment = DATA / "yolov8n-tiny-segment.pt"
    for arguments, error, message in (
        ({"batch_size": 0}, ValueError, "batch_size is 0; it must be"),
        ({"compare_to": "nowhere.pt"}, ValueError, "compare_to is nowhere.pt, which is no file"),
        ({"compare_to": segment}, ValueError, "a model for segment of 10 classes; the SavedModel is for detect of 10"),
        ({"compare_to": tmp_path}, tftrt_yolo.SavedModelError, "has no saved_model.pb. Expected a SavedModel"),
        ({"compare_to": bad}, tftrt_yolo.CheckpointError, r"bad\.pt is no checkpoint: it starts with"),
    ):
        with pytest.raises(error, match=message):
            tftrt_yolo.evaluate(tiny_export, path, **arguments)
    with pytest.raises(tftrt_yolo.SavedModelError, match="nowhere is no directory"):
        tftrt_yolo.evaluate("nowhere", path)


def test_two_savedmodels_of_different_branches(tiny_export, toy_export, models, tmp_path):
    """Each is selected as its own metadata say, side by side as alone; the other must fit the first."""
    path, copied = data_yaml(tmp_path / "data", "detect", num_images=8), edits.copied(tiny_export, tmp_path)
    once = edits.forget_digests(edits.edit_metadata(copied, lambda document: document.update(end2end=True)))
    report = tftrt_yolo.evaluate(tiny_export, path, compare_to=once)
    assert [one.nms for one in report.models] == ["one-to-many", "one-to-one"]
    for place, model_dir in enumerate((tiny_export, once)):
        assert report.models[place].metrics == tftrt_yolo.evaluate(model_dir, path).models[0].metrics
    assert report.difference("box mAP50-95") > 0.05  # what is not suppressed is found several times
    [line] = [
        line for line in str(report).splitlines() if ", one-to-one: each object once, nothing is suppressed" in line
    ]
    assert line.startswith("  edited_saved_model: ")

    for other, message in (
        (
            models.exported("segment"),
            r"segment_saved_model, a model for segment of 10 classes; the SavedModel is for det",
        ),
        (toy_export, r"whose frames are of 64 px; the SavedModel's are of 320 px, and both run on the very same"),
    ):
        with pytest.raises(ValueError, match=rf"compare_to is .*{message}"):
            tftrt_yolo.evaluate(tiny_export, path, compare_to=other)
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"data has no saved_model\.pb"):
        tftrt_yolo.evaluate(tiny_export, path, compare_to=tmp_path / "data")


def test_without_the_library(tiny_export, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(tftrt_yolo.EvaluationError, match=r"faster-coco-eval cannot be.*tftrt_yolo\[evaluate\]"):
        tftrt_yolo.evaluate(tiny_export, "data.yaml")


def test_a_signature_that_lacks_an_output(tiny_export, tmp_path):
    """A detect model whose metadata say pose."""
    directory = tmp_path / "a_saved_model"
    shutil.copytree(tiny_export, directory)
    path = directory / "metadata.yaml"
    path.write_text(path.read_text().replace("task: detect", "task: pose") + "kpt_shape: [17, 3]\n")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"is a model for pose, and the outputs .*, without keypoints"):
        tftrt_yolo.evaluate(directory, data_yaml(tmp_path / "data", "pose", num_images=1))


def test_the_process_of_the_weights_dies(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_PATIENT", {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"})
    with (
        pytest.raises(tftrt_yolo.EvaluationError, match=r"PyTorch could not run .*tiny-detect\.pt"),
        networks.PyTorchNetwork(TINY_WEIGHTS, model("detect")),
    ):
        pass


@pytest.mark.parametrize("text", ["{", "{}", '{"models": 3}'])
def test_a_damaged_report(tmp_path, text):
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(tftrt_yolo.EvaluationError, match=r"evaluation\.json is damaged"):
        EvaluationReport.read(tmp_path)
    with pytest.raises(tftrt_yolo.EvaluationError, match="cannot be read: No such file"):
        EvaluationReport.read(tmp_path / "nowhere.json")


@pytest.mark.parametrize("num_classes", [1, 80])
def test_pictures_of_one_class_and_of_many(tmp_path, num_classes):
    import PIL.Image

    names = {index: f"class {index}" for index in range(num_classes)}
    curves = average_precision.Curves(np.arange(num_classes), np.random.default_rng(0).random((10, 101, num_classes)))
    charts.write_precision_recall({"box": curves, "mask": curves}, names, tmp_path / "a.png")
    charts.write_confusion(np.eye(num_classes + 1, dtype=int), names, tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        with PIL.Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 400


def test_the_command(tiny_export, tmp_path, capfd):
    """It prints the tables, and a bad label as a line without a traceback."""
    path = data_yaml(tmp_path, "detect", num_images=2)
    flags = [f"--saved_model_dir={tiny_export}", f"--data={path}"]
    assert cli.main(["evaluate", *flags, "--batch_size=2"]) == 0
    assert "2 images, 6 objects" in capfd.readouterr().out
    (tmp_path / "labels" / "000001.txt").write_text("12 .5 .5 .1 .1")
    assert cli.main(["evaluate", *flags]) == 1
    captured = capfd.readouterr()
    assert captured.err.strip().startswith("tftrt-yolo evaluate: ")
    assert "000001.txt, line 1: class 12; the model has" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("kind", ["data.yaml", "coco.json"])
@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_no_label_at_all(models, tmp_path, task, kind):
    """There is no figure, in text, JSON and pictures, and neither a 0."""
    if task == "obb" and kind == "coco.json":
        pytest.skip("COCO's JSON has no oriented boxes")
    data, options = data_yaml(tmp_path / "data", task, num_images=2), DataOptions()
    for label in (tmp_path / "data" / "labels").iterdir():
        label.write_text("")
    if kind == "coco.json":
        data, options = tmp_path / kind, DataOptions(images_dir=DATA / "images")
        images = [{"id": index, "file_name": image.name} for index, image in enumerate(IMAGES[:2])]
        categories = [{"id": index, "name": name} for index, name in NAMES.items()]
        data.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    report = tftrt_yolo.evaluate(
        models.exported("tiny" if task == "detect" else task), data, data_options=options, output_dir=tmp_path / "out"
    )
    assert (report.num_objects, report.num_backgrounds, report.classes) == (0, 2, ())
    assert {metric.value for metric in report.models[0].metrics} == {None}
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert all(metric["value"] is None for metric in document["models"][0]["metrics"])
    assert EvaluationReport.read(tmp_path / "out") == report
    assert not (tmp_path / "out" / "precision_recall.png").exists()
    name = report.models[0].metrics[0].name
    assert report.difference(name) is None
    assert [name, "-"] in [line.strip().rsplit(maxsplit=1) for line in str(report).splitlines()]


def test_skipped_labels_and_notes_are_reported(tiny_export, tmp_path):
    """In the text, in JSON, and by flags of the command line; a note says that only the count was compared."""
    path = data_yaml(tmp_path, "detect", num_images=3, names=None, nc=10)
    (tmp_path / "labels" / "000001.txt").write_text("12 .5 .5 .1 .1")
    report = tftrt_yolo.evaluate(tiny_export, path, data_options=DataOptions(skip_bad_labels=True))
    assert report.num_images == 2
    text = str(report)
    assert "1 bad label was skipped with its image, first " in text
    assert "000001.txt, line 1: class 12; the model has the classes 0 to 9" in text
    assert "note: the data set has only numbers for names of classes; that both have 10" in text
    flags = [
        f"--saved_model_dir={tiny_export}",
        f"--data={path}",
        "--skip_bad_labels",
        f"--output_dir={tmp_path / 'out'}",
    ]
    assert cli.main(["evaluate", *flags]) == 0
    written = EvaluationReport.read(tmp_path / "out")
    assert (written.skipped_labels, written.notes) == (report.skipped_labels, report.notes)


def test_reports_of_older_versions_are_read(tiny_export, tmp_path):
    tftrt_yolo.evaluate(tiny_export, data_yaml(tmp_path / "data", "detect", num_images=1), output_dir=tmp_path / "out")
    path = tmp_path / "out" / "evaluation.json"
    document = json.loads(path.read_text())
    for key in ("num_crowds", "skipped_labels", "notes", "unreadable_images"):
        del document[key]
    path.write_text(json.dumps(document))
    assert EvaluationReport.read(path).notes == EvaluationReport.read(path).unreadable_images == ()


def test_figures_of_native_segments_say_so(tiny_conversion, tmp_path):
    """Where the engines cannot run: the backend, the report and its JSON name the arithmetic."""
    from tftrt_yolo.saved_model import load
    from tftrt_yolo.saved_model.handle import open_saved_model

    _, backend = load.load(open_saved_model(tiny_conversion), strict=False)
    if backend.name != "TensorFlow":
        pytest.skip("the engines run here")
    assert backend.arithmetic == "computed in FP32, and not by TensorRT in FP16"
    assert str(backend).endswith("; computed in FP32, and not by TensorRT in FP16")
    path = data_yaml(tmp_path / "data", "detect", num_images=2)
    report = tftrt_yolo.evaluate(tiny_conversion, path, output_dir=tmp_path / "out")
    [note] = report.notes
    name = report.models[0].name
    assert note == f"{name} was {backend.arithmetic}; there accuracy and time may be others"
    assert f"note: {note}" in str(report)
    assert EvaluationReport.read(tmp_path / "out").notes == (note,)
    found = tftrt_yolo.predict(tiny_conversion, IMAGES[0], tmp_path / "pictures")
    assert backend.arithmetic in str(found)
