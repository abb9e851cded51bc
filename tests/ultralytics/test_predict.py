"""Ultralytics' own predict and val on our directories give what Predictor gives, and what the checkpoint gives there.

All of it needs a torchvision that works beside TensorFlow: `make test-ultralytics`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import tftrt_yolo
from tests.conftest import CROPS, DATA, IMAGES, OTHER_TASKS
from tftrt_yolo.ground.placement import letterboxed

pytestmark = pytest.mark.torchvision

TASKS = ("detect", *OTHER_TASKS)
# The largest differences of 40 pictures were 0.015 px, 1.3e-4 and 9e-7; rounding, for theirs is the network's result
# in TensorFlow, and selection in PyTorch.
MOST_PX, MOST_SCORE, MOST_PROBABILITY = 0.05, 5e-4, 1e-5


def _pictures(task):
    return (CROPS if task == "classify" else IMAGES)[::7]


def _exported(models, task):
    return models.exported("tiny" if task == "detect" else task)


def _predict(path, task, source, **options):
    from ultralytics import YOLO

    return YOLO(str(path), task=task).predict(source, verbose=False, **options)  # one that is kept keeps options too


def _near(found, expected, most):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=most)


def _check(task, theirs, ours):
    """Compares their Results of one picture with ours; gives how many objects there are."""
    if task == "classify":
        _near(theirs.probs.data, ours.confidence, MOST_PROBABILITY)
        return 1
    rows = theirs.obb if task == "obb" else theirs.boxes
    scores = ours.detection_confidence if task == "pose" else ours.confidence
    _near(rows.conf, scores, MOST_SCORE)
    _near(rows.cls, ours.class_id, 0)
    _near(rows.xyxy, ours.data["xyxy"] if task == "pose" else ours.xyxy, MOST_PX)
    if task == "obb":
        _near(rows.xyxyxyxy, ours.data["xyxyxyxy"], MOST_PX)
        _near(rows.xywhr, ours.data["xywhr"], MOST_PX)
    if task == "pose":
        _near(theirs.keypoints.xy, ours.xy, MOST_PX)
        _near(theirs.keypoints.conf, ours.keypoint_confidence, MOST_SCORE)
    if task == "segment" and len(ours):
        _check_masks(theirs.masks.data.numpy() > 0, np.asarray(ours.mask))
    return len(ours)


def _check_masks(of_frame, of_image):
    """Theirs have the frame's pixels, and ours those of the image."""
    placement = letterboxed(of_image.shape[1:], of_frame.shape[1:])
    x, y = (
        np.floor((np.arange(length) + 0.5) * gain + padding).astype(int)
        for length, gain, padding in zip(of_image.shape[:0:-1], placement.gain_xy, placement.padding_xy, strict=True)
    )
    different = np.count_nonzero(of_frame[:, y][:, :, x] ^ of_image)
    assert different <= np.count_nonzero(of_image) / 10_000  # none, where boxes are rounded alike


@pytest.mark.parametrize("task", TASKS)
def test_results_are_the_predictors(models, task):
    path, pictures = _exported(models, task), _pictures(task)
    theirs = _predict(path, task, [str(picture) for picture in pictures])
    ours = tftrt_yolo.Predictor(path)(pictures)
    assert len(theirs) == len(ours) == len(pictures)
    assert sum(_check(task, *pair) for pair in zip(theirs, ours, strict=True)) >= len(pictures)
    assert theirs[0].names == {index: str(index) for index in range(10)}


@pytest.mark.parametrize("task", TASKS)
def test_the_directory_says_which_task_it_is_for(models, task):
    from ultralytics import YOLO

    model = YOLO(str(_exported(models, task)))
    [found] = model.predict(str(_pictures(task)[1]), verbose=False)
    [expected] = _predict(_exported(models, task), task, str(_pictures(task)[1]))
    for part in ("boxes", "masks", "keypoints", "obb", "probs"):
        one, other = getattr(found, part), getattr(expected, part)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"conf": 0.6}, {"score_threshold": 0.6}),
        ({"conf": 0.01, "max_det": 5}, {"score_threshold": 0.01, "max_detections": 5}),
        ({"iou": 0.1, "agnostic_nms": True}, {"iou_threshold": 0.1, "class_agnostic": True}),
        ({"classes": [1, 2, 4]}, {"classes": [1, 2, 4]}),
    ],
)
def test_options_are_theirs(models, theirs, ours):
    path = _exported(models, "detect")
    found = _predict(path, "detect", [str(picture) for picture in IMAGES[:8]], **theirs)
    expected = tftrt_yolo.Predictor(path)(IMAGES[:8], **ours)
    assert sum(_check("detect", *pair) for pair in zip(found, expected, strict=True)) > 5


def test_a_folder_an_array_and_a_stream(models):
    path = _exported(models, "detect")
    expected = tftrt_yolo.Predictor(path)(IMAGES)
    for found in (
        _predict(path, "detect", str(DATA / "images")),
        _predict(path, "detect", str(DATA / "images" / "*.jpg"), stream=True),
    ):
        found = list(found)
        assert [Path(result.path).name for result in found] == [picture.name for picture in IMAGES]
        for pair in zip(found, expected, strict=True):
            _check("detect", *pair)
    import cv2

    [found] = _predict(path, "detect", cv2.imread(str(IMAGES[3])))
    _check("detect", found, expected[3])


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_is_run_whole(models, task, monkeypatch):
    """Not image by image, as Ultralytics runs an export that says it is not dynamic; the last one is shorter."""
    from ultralytics.nn.backends.tensorflow import TensorFlowBackend

    sizes, forward = [], TensorFlowBackend.forward

    def counted(self, frames):
        sizes.append(len(frames))
        return forward(self, frames)

    pictures = [str(picture) for picture in (CROPS if task == "classify" else IMAGES)[:7]]
    expected = tftrt_yolo.Predictor(_exported(models, task))(pictures)
    monkeypatch.setattr(TensorFlowBackend, "forward", counted)
    found = _predict(_exported(models, task), task, _list_file(models, task, pictures), batch=4)
    assert sizes == [4, 3]
    for pair in zip(found, expected, strict=True):
        _check(task, *pair)


def _list_file(models, task, pictures):
    """What Ultralytics takes as files to read one after the other; a list is one batch, whatever `batch` says."""
    path = _exported(models, task).parent / "pictures.txt"
    path.write_text("\n".join(pictures))
    return str(path)


@pytest.mark.parametrize("task", TASKS)
def test_val_gives_what_it_gives_for_the_checkpoint(models, tmp_path, task):
    """Its data set is copied, for it writes a file beside the labels."""
    from ultralytics import YOLO

    data = _data(task, tmp_path)
    options = {"data": str(data), "imgsz": 64 if task == "classify" else 320, "rect": False, "workers": 0}
    options |= {"plots": False, "verbose": False, "project": str(tmp_path / "runs")}
    ours = YOLO(str(_exported(models, task)), task=task).val(**options).results_dict
    theirs = YOLO(str(DATA / f"yolov8n-tiny-{task}.pt")).val(**options).results_dict
    assert ours.keys() == theirs.keys()
    assert ours["fitness"] > 0.5
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=0.01), name


def _data(task, folder):
    copy = shutil.copytree(DATA / task, folder / "data" / "val")
    if task == "classify":
        shutil.copytree(copy, folder / "data" / "train")
        return folder / "data"
    path = copy / "data.yaml"
    document = yaml.safe_load(path.read_text()) | {"path": str(copy), "train": "images"}
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(("accelerator", "precision_mode"), [("onednn", "FP32"), ("xla", "FP32")])
@pytest.mark.parametrize("task", ["detect", "segment"])
def test_a_converted_model(models, tmp_path, task, accelerator, precision_mode):
    path = tmp_path / "converted_saved_model"
    tftrt_yolo.convert(_exported(models, task), path, accelerator=accelerator, precision_mode=precision_mode)
    pictures = IMAGES[:5]
    theirs = _predict(path, task, [str(picture) for picture in pictures])
    ours = tftrt_yolo.Predictor(path)(pictures)
    assert sum(_check(task, *pair) for pair in zip(theirs, ours, strict=True)) > 10


@pytest.mark.parametrize(("name", "task"), [("yolov10n", "detect"), ("yolo26n", "detect"), ("yolo26n-seg", "segment")])
def test_heads_that_give_each_object_once(tmp_path, name, task):
    """Of random weights, whose best twenty are of any score; the order must be the same."""
    path = tmp_path / f"{name}_saved_model"
    tftrt_yolo.export(f"{name}.yaml", path, image_size=160, nms="one-to-one")
    theirs = _predict(path, task, [str(picture) for picture in IMAGES[:2]], conf=1e-9, max_det=20)
    ours = tftrt_yolo.Predictor(path)(IMAGES[:2], score_threshold=1e-9, max_detections=20)
    assert sum(_check(task, *pair) for pair in zip(theirs, ours, strict=True)) == 40


def test_the_command_line(models, tmp_path):
    """`yolo predict` and `yolo val` take the directory as they take a checkpoint."""
    command = [str(Path(sys.executable).with_name("yolo")), "predict", f"model={_exported(models, 'detect')}"]
    command += [f"source={IMAGES[3]}", f"project={tmp_path}", "name=out", "save_txt=True"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    [found] = tftrt_yolo.Predictor(_exported(models, "detect"))([IMAGES[3]])
    assert len((tmp_path / "out" / "labels" / "000003.txt").read_text().splitlines()) == len(found) > 2


def test_a_directory_of_another_name_is_named(models, tmp_path):
    """Ultralytics goes by names; this is what it says, and the page says what to do."""
    from ultralytics import YOLO

    path = shutil.copytree(_exported(models, "detect"), tmp_path / "model")
    with pytest.raises(TypeError, match=r"model='.*model' is not a supported model format"):
        YOLO(str(path)).predict(str(IMAGES[0]), verbose=False)
