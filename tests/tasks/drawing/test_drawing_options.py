"""What is drawn of a result, in all tasks."""

import dataclasses
import pickle

import numpy as np
import pytest
import supervision as sv

from tftrt_yolo.tasks.drawing.drawing_options import DrawingOptions
from tftrt_yolo.tasks.table import TASKS

_NAMES = {"strokes": np.array(["dog", "cat"]), "TrueType": np.array(["пёс", "кот"])}
_BOXES = np.float32([[40, 60, 180, 200], [200, 120, 300, 260]])
_TASKS = [name for name, task in TASKS.items() if not task.gives_map]  # maps are in tests/tasks/maps
_NOTHING = {"show_labels": False, "show_confidence": False, "show_boxes": False}


def _image(size_hw=(320, 400)):
    return np.full((*size_hw, 3), 230, np.uint8)


def _result(task, names, size_hw=(320, 400)):
    classes, scores = np.array([0, 1]), np.float32([0.9, 0.6])
    match task:
        case "classify":
            return sv.Classifications(class_id=classes, confidence=scores)
        case "pose":
            points = np.linspace(_BOXES[:, :2] + 20, _BOXES[:, 2:] - 20, 17, axis=1).astype(np.float32)
            data = {"class_name": names[classes], "xyxy": _BOXES}
            return sv.KeyPoints(points, classes, np.ones((2, 17), np.float32), scores, data=data)
    found = sv.Detections(_BOXES.copy(), confidence=scores, class_id=classes, data={"class_name": names[classes]})
    if task == "segment":
        found.mask = np.zeros((2, *size_hw), bool)
        for mask, (left, top, right, bottom) in zip(found.mask, _BOXES.astype(int) // 2 + 40, strict=True):
            mask[top:bottom, left:right] = True
    if task == "obb":
        corners = found.xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        found.data |= {"xyxyxyxy": corners + np.float32([[0, 9], [0, 0], [0, -9], [0, 0]]), "xywhr": np.ones((2, 5))}
    return found


def _changed(picture):
    return int((picture != 230).any(-1).sum())


@pytest.mark.parametrize("lettering", _NAMES)
@pytest.mark.parametrize("task", _TASKS)
def test_each_option_takes_something_away(task, lettering):
    names, image = _NAMES[lettering], _image()
    result = _result(task, names)

    def draw(**options):
        return TASKS[task].draw(image, result, names, DrawingOptions(**options))

    whole = TASKS[task].draw(image, result, names)
    np.testing.assert_array_equal(draw(), whole)
    pictures = [whole, draw(show_labels=False), draw(show_confidence=False)]
    pictures += [draw(show_labels=False, show_confidence=False)] + (
        [draw(show_boxes=False)] if task != "classify" else []
    )
    for index, picture in enumerate(pictures):
        assert picture.shape == image.shape
        assert all((picture != other).any() for other in pictures[:index])
    assert _changed(pictures[3]) < min(map(_changed, pictures[:3]))


@pytest.mark.parametrize("task", _TASKS)
def test_masks_and_key_points_stay(task):
    """All else is gone; of detect, obb and classify nothing is left."""
    names, image = _NAMES["strokes"], _image()
    bare = TASKS[task].draw(image, _result(task, names), names, DrawingOptions(**_NOTHING))
    assert (_changed(bare) > 0) == (task in ("segment", "pose"))
    if task == "segment":
        result = _result(task, names)
        np.testing.assert_array_equal((bare != image).any(-1), result.mask.any(0))


@pytest.mark.parametrize("task", ["detect", "segment", "obb"])
def test_the_width_of_lines_is_what_was_asked_for(task):
    """Along a row through the first box's middle, beside what is drawn within it."""
    names = _NAMES["strokes"]
    widths = []
    for width in (1, 3, 9):
        options = DrawingOptions(show_labels=False, show_confidence=False, line_width=width)
        row = TASKS[task].draw(_image(), _result(task, names), names, options)[90, 20:60]
        widths.append(int((row != 230).any(-1).sum()))
    assert widths[0] < widths[1] < widths[2]
    assert abs(widths[0] - 1) <= 1
    assert abs(widths[2] - widths[0] - 8) <= 2


def test_limbs_are_as_thick_as_those_of_ultralytics():
    """Across the middle of a limb from shoulder to shoulder; theirs has soft edges."""
    plotting = pytest.importorskip("ultralytics.utils.plotting")
    names, result = _NAMES["strokes"], _result("pose", _NAMES["strokes"])[:1]
    result.xy[0] = 0
    result.xy[0, 5:7] = (50, 150), (350, 150)
    for width in (1, 2, 8, 20):
        image = np.zeros((320, 400, 3), np.uint8)
        ours = TASKS["pose"].draw(image, result, names, DrawingOptions(**_NOTHING, line_width=width))
        theirs = plotting.Annotator(image.copy(), line_width=width)
        theirs.kpts(result.xy[0], shape=(320, 400))
        thickness, expected = (int((picture[:, 200].max(-1) > 127).sum()) for picture in (ours, theirs.result()))
        assert thickness >= 1
        assert abs(thickness - expected) <= 1


@pytest.mark.parametrize("lettering", _NAMES)
@pytest.mark.parametrize("task", ["detect", "obb", "pose", "classify"])
def test_letters_grow_with_the_width_of_lines(task, lettering):
    names, image = _NAMES[lettering], _image()
    sizes = [
        _changed(
            TASKS[task].draw(image, _result(task, names), names, DrawingOptions(show_boxes=False, line_width=width))
        )
        for width in (2, 4, 7)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("lettering", _NAMES)
@pytest.mark.parametrize("size_hw", [(1, 1), (8, 8), (3, 400), (320, 400)])
@pytest.mark.parametrize("task", _TASKS)
def test_the_widest_lines_leave_the_picture_its_size(task, size_hw, lettering):
    names, image = _NAMES[lettering], _image(size_hw)
    for width in (1, 100):
        picture = TASKS[task].draw(image, _result(task, names, size_hw), names, DrawingOptions(line_width=width))
        assert (picture.shape, picture.dtype) == (image.shape, np.uint8)
    assert _changed(image) == 0


@pytest.mark.parametrize("task", ["detect", "segment", "obb", "pose"])
def test_tracks_are_written_and_are_in_the_rows(task):
    names, image = _NAMES["strokes"], _image()
    plain, tracked = _result(task, names), _result(task, names)
    if task == "pose":
        tracked.data["tracker_id"] = np.array([7, 12])
    else:
        tracked.tracker_id = np.array([7, 12])
    draw, rows = TASKS[task].draw, TASKS[task].rows
    assert (draw(image, plain, names) != draw(image, tracked, names)).any()
    hidden = DrawingOptions(show_labels=False)
    np.testing.assert_array_equal(draw(image, plain, names, hidden), draw(image, tracked, names, hidden))
    if task != "segment":
        assert [row["track"] for row in rows(tracked, names)] == [7, 12]
        assert [{**row, "track": index} for row, index in zip(rows(plain, names), (7, 12), strict=True)] == rows(
            tracked, names
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"show_labels": 1}, r"show_labels is 1; it must be True or False\."),
        ({"show_confidence": "no"}, r"show_confidence is 'no'; it must be True or False\."),
        ({"show_boxes": None}, r"show_boxes is None; it must be True or False\."),
        ({"line_width": 0}, r"line_width is 0; it must be a whole number of at least 1\."),
        ({"line_width": 1.5}, r"line_width is 1\.5; it must be a whole number of at least 1\."),
        ({"line_width": True}, r"line_width is True; it must be a whole number of at least 1\."),
        ({"line_width": "2"}, r"line_width is '2'; it must be a whole number of at least 1\."),
        ({"line_width": 101}, r"line_width is 101; it must be at most 100\."),
        ({"line_width": 10**9}, r"line_width is 1,000,000,000; it must be at most 100\."),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        DrawingOptions(**options)


def test_numbers_of_numpy_are_taken_and_options_survive_a_pickle():
    options = DrawingOptions(line_width=np.int64(3), show_boxes=np.bool_(False))
    assert (type(options.line_width), options.show_boxes) == (int, False)
    assert pickle.loads(pickle.dumps(options)) == options
    assert dataclasses.replace(options, line_width=None).line_width is None
