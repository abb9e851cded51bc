"""Results in a terminal and in a notebook; in everything else they are supervision's."""

import copy
import html.parser
import pickle

import numpy as np
import pytest
import supervision as sv

from tests.tasks import objects
from tftrt_yolo.tasks.results import readable, rows, tables
from tftrt_yolo.tasks.table import TASKS

_PLAIN = {"classify": sv.Classifications, "pose": sv.KeyPoints}
_WITH_BOXES = [task for task in objects.NAMED if task != "classify"]


def _detections(classes, names):
    count = len(classes)
    return readable.Detections(
        np.tile(np.float32([[1, 2, 30, 40]]), (count, 1)),
        confidence=np.linspace(0.9, 0.5, count),
        class_id=np.array(classes, int),
        data={"class_name": np.array(names)[np.array(classes, int)]},
    )


@pytest.mark.parametrize("task", objects.NAMED)
def test_every_task_prints_itself(task):
    result = objects.result(task)
    text = str(result)
    if task == "classify":
        assert text.splitlines()[0] == "dog 0.70, cat 0.20, person 0.10"
        assert repr(result) == "<Classifications: dog 0.70, cat 0.20, person 0.10>"
        assert text.splitlines()[2].split() == ["dog", "0.70"]
        return
    assert text.splitlines()[0] == "2 objects: 1 dog, 1 cat"
    assert repr(result) == f"<{type(result).__name__}: 2 objects: 1 dog, 1 cat>"
    header, first, second = (line.split() for line in text.splitlines()[1:])
    assert first[:2] == ["dog", "0.90"]
    assert second[0] == "cat"
    boxes = TASKS[task].boxes(result)
    assert first[-4:] == [f"{side:.1f}" for side in boxes.xyxy[0]]
    assert header == ["name", "score", *(["angle"] if task == "obb" else []), "x1", "y1", "x2", "y2"]


@pytest.mark.parametrize("task", objects.NAMED)
def test_they_are_supervisions(task):
    result = objects.result(task)
    kind = _PLAIN.get(task, sv.Detections)
    assert isinstance(result, kind)
    fields = {"class_id": result.class_id, "confidence": result.confidence} if task == "classify" else vars(result)
    assert result == kind(**fields)
    assert kind(**fields) == result
    for again in (pickle.loads(pickle.dumps(result)), copy.copy(result), copy.deepcopy(result)):
        assert (type(again), again == result, str(again)) == (type(result), True, str(result))
    if task == "classify":
        assert result.get_top_k(1)[0].tolist() == [0]
        assert result.class_name.tolist() == ["dog", "cat", "person"]


@pytest.mark.parametrize("task", _WITH_BOXES)
def test_parts_and_merged_ones_are_of_the_same_kind(task):
    result = objects.result(task)
    kind = type(result)
    for part in (result[0], result[:1], result[[0]], result[result.class_id == 0], result[np.array([0])]):
        assert type(part) is kind
        assert str(part).splitlines()[0] == "1 object: 1 dog"
        assert part == result[:1]
    assert result["class_name"].tolist() == ["dog", "cat"]
    assert type(kind.merge([result, result])) is kind
    assert str(kind.merge([result[:1], result])).splitlines()[0] == "3 objects: 2 dog, 1 cat"
    assert str(kind.merge([])) == str(result[:0]) == "no objects"
    if task == "pose":
        assert type(result[:, [0, 1]]) is kind
        assert type(result.with_nms()) is kind
    else:
        assert type(result.with_nms(class_agnostic=True)) is kind
        assert [row[3] for row in result] == [0, 1]


def test_supervisions_annotators_metrics_and_trackers_take_them():
    found, masked = objects.result("detect"), objects.result("segment")
    image = objects.image()
    for annotator, result in ((sv.BoxAnnotator(), found), (sv.LabelAnnotator(), found), (sv.MaskAnnotator(), masked)):
        assert (annotator.annotate(image.copy(), result) != image).any()
    metric = sv.metrics.MeanAveragePrecision()
    assert metric.update([found], [found]).compute().map50 == pytest.approx(1)
    assert (sv.VertexAnnotator().annotate(image.copy(), objects.result("pose")) != image).any()


def test_more_than_fits():
    names = [f"class{index}" for index in range(12)]
    found = _detections([index % 12 for index in range(150)], names)
    text = str(found)
    first, *lines = text.splitlines()
    assert first.startswith("150 objects: 13 class0, 13 class1, ")
    assert first.endswith(", 2 other classes")
    assert lines[-1].strip() == "... and 130 more"
    assert len(lines) == 22
    page = found._repr_html_()
    assert page.count("<tr>") == 101
    assert "<p>... and 50 more</p>" in page
    likely = readable.Classifications(np.arange(7), np.linspace(0.3, 0.1, 7), np.array(list("abcdefg")))
    assert str(likely).splitlines()[0] == "a 0.30, b 0.27, c 0.23, d 0.20, e 0.17, ..."


class _Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))

    def handle_data(self, data):
        self.texts.append(data)


def test_names_of_strangers_do_nothing():
    """In a notebook they are no HTML, in a terminal they move no cursor."""
    names = ["<script>alert(1)</script>", "a\x1b[2Jb\nc", "&lt;"]
    found = _detections([0, 1, 2], names)
    likely = readable.Classifications(np.arange(3), np.float32([0.5, 0.3, 0.2]), np.array(names))
    for result in (found, likely):
        assert "\x1b" not in str(result) + repr(result) + result._repr_html_()
        assert "\\x1b[2Jb\\nc" in str(result)
        reader = _Reader()
        reader.feed(result._repr_html_())
        assert {tag for tag, _ in reader.tags} == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
        assert not any(attrs for _, attrs in reader.tags)
        assert {"<script>alert(1)</script>", "&lt;"} <= set(reader.texts)
    assert len(str(_detections([0], ["x" * 5_000])).splitlines()[0]) < 100


def test_tracks_are_told():
    found = objects.result("detect")
    found.tracker_id = np.array([7, 12])
    assert str(found).splitlines()[1].split()[:2] == ["track", "name"]
    assert str(found).splitlines()[3].split()[:2] == ["12", "cat"]
    people = objects.result("pose")
    people.data["tracker_id"] = np.array([7, 12])
    assert str(people).splitlines()[2].split()[0] == "7"


def test_objects_that_others_made():
    """What they lack is left out, and a class without a name is its index."""
    box = np.float32([[1, 2, 3, 4]])
    assert tables.text(sv.Detections(box)).split("\n")[0] == "1 object"
    assert tables.text(sv.Detections(box, class_id=np.array([3]))).split("\n")[0] == "1 object: 1 3"
    assert tables.text(sv.KeyPoints(np.float32([[[1, 2], [3, 5]]]))).split()[-4:] == ["1.0", "2.0", "3.0", "5.0"]
    assert tables.text(sv.KeyPoints(np.zeros((1, 2, 2), np.float32))).split()[-4:] == ["0.0"] * 4
    assert tables.text(sv.Classifications(np.array([4, 2]))).split("\n")[0] == "4, 2"
    assert tables.text(sv.Classifications(np.array([4, 2]), np.float32([0.1, 0.9]))).split("\n")[0] == "2 0.90, 4 0.10"
    assert tables.text(sv.Detections.empty()) == tables.text(sv.KeyPoints.empty()) == "no objects"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([1], r"The result is a list of 1; expected one of what a Predictor gives: .*\[result\] = predictor\(image\)"),
        (None, r"The result is None; expected one of what a Predictor gives: supervision's Detections, KeyPoints or"),
        (np.zeros(3), r"The result is a ndarray; expected one of"),
    ],
)
def test_what_is_no_result(result, message):
    for function in (tables.text, tables.page, rows.of):
        with pytest.raises(TypeError, match=message):
            function(result)
