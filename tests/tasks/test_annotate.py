"""A result on its image, in all tasks and from whatever people have."""

import io

import numpy as np
import PIL.Image
import pytest
import supervision as sv

import tftrt_yolo
from tests.conftest import CROPS, IMAGES
from tests.tasks import objects
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.table import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_the_picture_is_the_one_that_predict_writes(task):
    image, result = objects.image(), objects.result(task)
    for options in ({}, {"show_labels": False, "line_width": 4}, {"show_confidence": False, "show_boxes": False}):
        expected = TASKS[task].draw(image, result, objects.NAMES, DrawingOptions(**options))
        picture = tftrt_yolo.annotate(image, result, **options)
        np.testing.assert_array_equal(picture, expected)
        assert (picture.shape, picture.dtype) == (image.shape, np.uint8)
    assert (image == 230).all()


@pytest.mark.parametrize("name", ["tiny", "segment", "pose", "obb", "classify"])
def test_of_a_real_model(models, name):
    """Images of all kinds, the same picture."""
    torch = pytest.importorskip("torch")
    predictor = tftrt_yolo.Predictor(models.exported(name))
    path = CROPS[0] if name == "classify" else IMAGES[2]
    [(_, array, result)] = predictor.with_images([path])
    expected = predictor.task.draw(array, result, predictor.names)
    first = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    for image, options in [
        (path, {}),
        (str(path), {}),
        (path.read_bytes(), {}),
        (PIL.Image.open(path), {}),
        (Frame(array, "v.mp4", 0, 0.0), {}),
        (array[..., ::-1], {"channel_order": "bgr"}),
        (torch.from_numpy(first), {}),
        (torch.from_numpy(first).float() / 255, {"scale": 255}),
    ]:
        np.testing.assert_array_equal(tftrt_yolo.annotate(image, result, **options), expected)


def test_a_notebook_shows_it():
    picture = tftrt_yolo.annotate(objects.image(), objects.result("detect"))
    shown = np.asarray(PIL.Image.open(io.BytesIO(picture._repr_png_())))
    np.testing.assert_array_equal(shown, picture)
    np.testing.assert_array_equal(np.asarray(PIL.Image.fromarray(picture)), picture)
    assert type(np.asarray(picture)) is np.ndarray
    assert picture[0]._repr_png_() is None
    assert (picture / 2)._repr_png_() is None
    assert picture[:, :0]._repr_png_() is None
    large = tftrt_yolo.annotate(objects.image((1_000, 2_000)), objects.result("detect"))
    assert PIL.Image.open(io.BytesIO(large._repr_png_())).size == (960, 480)
    assert large.shape == (1_000, 2_000, 3)


def test_jupyters_own_formatters_show_it():
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    picture = tftrt_yolo.annotate(objects.image(), objects.result("detect"))
    assert formatter.format(picture)[0]["image/png"]
    assert formatter.format(objects.result("pose"))[0]["text/html"].startswith("<div><p><b>2 objects: 1 dog, 1 cat")


def test_tracks_are_drawn():
    image, plain, tracked = objects.image(), objects.result("detect"), objects.result("detect")
    tracked.tracker_id = np.array([7, 12])
    assert (tftrt_yolo.annotate(image, plain) != tftrt_yolo.annotate(image, tracked)).any()


_BOX = np.float32([[20, 40, 90, 120]])


@pytest.mark.parametrize(
    "result",
    [
        sv.Detections(_BOX),
        sv.Detections(_BOX, class_id=np.array([7])),
        sv.Detections(_BOX, confidence=np.float32([0.5])),
        sv.Detections(_BOX, class_id=np.array([1]), data={"class_name": np.array(["犬"])}),
        sv.Detections(_BOX, tracker_id=np.array([3])),
        sv.Detections(_BOX, mask=np.ones((1, *objects.SIZE_HW), bool)),
        sv.Detections(_BOX, data={"xyxyxyxy": np.float32([[[20, 40], [90, 50], [80, 120], [10, 110]]])}),
        sv.KeyPoints(np.float32([[[20, 40], [90, 120]]])),
        sv.KeyPoints(np.random.default_rng(0).uniform(0, 300, (2, 17, 2)).astype(np.float32)),
        sv.Classifications(np.array([4, 2])),
        sv.Classifications(np.array([4, 2]), np.float32([0.3, 0.7])),
    ],
)
def test_objects_that_others_made(result):
    image = objects.image()
    for options in ({}, {"line_width": 3, "show_confidence": False}):
        assert (tftrt_yolo.annotate(image, result, **options) != image).any()


@pytest.mark.parametrize("kind", [sv.Detections, sv.KeyPoints])
def test_nothing_found(kind):
    image = objects.image()
    np.testing.assert_array_equal(tftrt_yolo.annotate(image, kind.empty()), image)


def test_what_is_beyond_the_image_is_left_out():
    boxes = np.float32([[-500, -500, -5, -5], [900, 900, 950, 950], [-1e9, -1e9, 1e9, 1e9], [1e30, 1e30, 2e30, 2e30]])
    found = sv.Detections(np.concatenate([boxes, _BOX]))
    options = {"show_labels": False}
    picture = tftrt_yolo.annotate(objects.image(), found, **options)
    inside = picture[30:130, 10:100]
    assert (inside != 230).any()
    assert (picture[140:] == 230).all()
    half = tftrt_yolo.annotate(objects.image(), sv.Detections(np.float32([[300, 100, 900, 9_000]])), **options)
    assert (half[200, 298:303] != 230).any()


@pytest.mark.parametrize(
    ("image", "result", "options", "error", "message"),
    [
        (
            None,
            [objects.BOXES],
            {},
            TypeError,
            r"The result is a list of 1; .* in \[result\] = predictor\(image\)\.",
        ),
        (None, None, {}, TypeError, r"The result is None; expected one of what a Predictor gives"),
        (None, "detect", {"line_width": 0}, ValueError, r"line_width is 0; it must be a whole number of at least 1\."),
        (None, "detect", {"show_boxes": 2}, ValueError, r"show_boxes is 2; it must be True or False\."),
        (None, "detect", {"channel_order": "x"}, ValueError, r"channel_order is 'x'; expected 'rgb' or 'bgr'\."),
        (
            objects.image((20, 30)),
            "segment",
            {},
            ValueError,
            r"are 400 x 320 pixels; expected 30 x 20, the image's",
        ),
        (objects.image() / 255, "detect", {}, tftrt_yolo.ImageError, r"dtype float64 .* pass scale=255"),
        (objects.image()[np.newaxis], "detect", {}, tftrt_yolo.ImageError, r"shape \(1, 320, 400, 3\)\. Expected"),
        ("missing.jpg", "detect", {}, tftrt_yolo.ImageError, r"missing\.jpg cannot be read"),
    ],
)
def test_bad_input(image, result, options, error, message):
    result = objects.result(result) if isinstance(result, str) else result
    with pytest.raises(error, match=message):
        tftrt_yolo.annotate(objects.image() if image is None else image, result, **options)


@pytest.mark.parametrize("index", [-1, 70_000])
def test_classes_that_no_model_has(index):
    with pytest.raises(ValueError, match=rf"has the classes {index} to {index}; expected indices from 0 to 65,535\."):
        tftrt_yolo.annotate(objects.image(), sv.Detections(_BOX, class_id=np.array([index])))
