"""A Predictor with a tracker: which frames belong together, and that its objects are the tracker's."""

import dataclasses
import json
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

pytest.importorskip("ultralytics")
pytest.importorskip("lap")

import tftrt_yolo
from tests.engines.rehearsal import ExecutorRuntime, facts, metadata, recorded
from tests.predictor.tracking import crossing
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground import arguments
from tftrt_yolo.ground.files import documents
from tftrt_yolo.predictor.sources.frame import Frame, VideoInfo
from tftrt_yolo.predictor.tracking import by_source
from tftrt_yolo.predictor.tracking.tracking import SCORE_THRESHOLD

TRACKERS = ("bytetrack", "botsort")
FRAMES = 60


@pytest.fixture(scope="module")
def images():
    return list(crossing.frames(FRAMES))


@pytest.fixture(scope="module")
def predictor(tiny_export):
    return tftrt_yolo.Predictor(tiny_export)


def _write_video(path, images):
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        file.mux(stream.encode())
    return path


def _facts(task, result):
    """Boxes, classes and ids as lists."""
    boxes = task.boxes(result)
    ids = None if boxes.tracker_id is None else boxes.tracker_id.tolist()
    return boxes.xyxy.tolist(), boxes.class_id.tolist(), ids


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("name", ["tiny", "segment", "pose", "obb"])
def test_every_task(models, name, tracker, images):
    """The same as a tracker on what the model finds down to its threshold; frame by frame, and all at once."""
    predictor = tftrt_yolo.Predictor(models.exported(name))
    tracking, task = tftrt_yolo.Tracking(tracker), predictor.task
    found = predictor.stream(images[:10], score_threshold=SCORE_THRESHOLD)
    expected = [_facts(task, tracking.update(r, image)) for r, image in zip(found, images[:10], strict=True)]
    results = predictor(images[:10], tracker=tracker)
    assert [_facts(task, result) for result in results] == expected
    goes_on = tftrt_yolo.Tracking(tracker)
    one_by_one = [predictor(image, tracker=goes_on)[0] for image in images[:10]]
    assert [ids for _, _, ids in (_facts(task, r) for r in one_by_one)] == [ids for _, _, ids in expected]
    rows = [row for result in results for row in task.rows(result, predictor.names)]
    assert rows
    assert all(type(row["track"]) is int and row["track"] > 0 for row in rows)
    json.dumps(rows)


def test_ids_stay_on_the_video(predictor, images):
    """What a network of ours finds of crossing digits: hardly an id is lost, and without a tracker there are none."""
    for tracker in TRACKERS:
        results = predictor(images, tracker=tracker)
        assert crossing.idf1([(result.xyxy, result.tracker_id) for result in results]) > 0.8
    assert [result.tracker_id for result in predictor(images[:3])] == [None] * 3


def test_the_threshold_is_the_trackers_unless_it_is_given(predictor, images):
    """Of the model 0.25, which keeps from ByteTrack what its second round needs."""
    assert predictor.metadata.selection.score_threshold == 0.25
    tracked = predictor(images, tracker="bytetrack")
    assert 0.1 < min(score for result in tracked for score in result.confidence) < 0.25
    sure = predictor(images, tracker="bytetrack", score_threshold=0.4)
    assert min(score for result in sure for score in result.confidence) > 0.4
    of_class = predictor(images, tracker="bytetrack", classes=[0, 2])
    assert {int(index) for result in of_class for index in result.class_id} == {0, 2}


def test_each_video_has_a_tracker(predictor, images, tmp_path):
    """Two videos of a folder: ids begin at 1 in each, and are those of each alone."""
    paths = [_write_video(tmp_path / f"{name}.mp4", images[at:]) for name, at in (("a", 0), ("b", 30))]
    alone = [[_facts(predictor.task, r) for r in predictor.stream(str(path), tracker="botsort")] for path in paths]
    options = tftrt_yolo.SourceOptions(source=tmp_path, tracker="botsort")
    for results in (predictor.stream(tmp_path, tracker="botsort"), predictor.stream(options)):
        assert [_facts(predictor.task, result) for result in results] == alone[0] + alone[1]
    assert [ids[0] for _, _, ids in (alone[0][0], alone[1][0])] == [1, 1]
    (tmp_path / "twice.txt").write_text(f"{paths[1]}\n{paths[1]}\n")
    twice = predictor.stream(tmp_path / "twice.txt", tracker="botsort")
    assert [_facts(predictor.task, result) for result in twice] == 2 * alone[1]


@pytest.mark.parametrize(
    ("tracker", "name"),
    [
        ("bytetrack", "bytetrack"),
        ("bytetrack.yaml", "bytetrack.yaml"),
        ("botsort.yaml", "botsort.yaml"),  # as it was given
        (Path("crowd.yaml"), "crowd.yaml"),
        (None, None),
    ],
)
def test_predict_writes_ids_and_says_who_tracked(tiny_export, predictor, images, tmp_path, monkeypatch, tracker, name):
    monkeypatch.chdir(tmp_path)
    Path("crowd.yaml").write_text("tracker_type: bytetrack\ntrack_buffer: 60\n")
    _write_video(tmp_path / "a.mp4", images[:8])
    options = tftrt_yolo.SourceOptions(source="a.mp4", tracker=tracker)
    report = tftrt_yolo.predict(tiny_export, options, tmp_path / "out", batch_size=3)
    expected = [
        None if result.tracker_id is None else result.tracker_id.tolist()
        for result in predictor.stream("a.mp4", tracker=tracker)
    ]
    lines = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert [[row.get("track") for row in line["detections"]] for line in lines] == [
        ids if ids is not None else [None] * len(line["detections"]) for ids, line in zip(expected, lines, strict=True)
    ]
    assert report.tracker == name
    assert [line for line in str(report).splitlines() if "tracker" in line] == (
        [f"  tracker      {name}"] if name else []
    )
    assert documents.parse(json.loads(documents.to_json(report)), type(report)).tracker == name


def test_a_tracking_has_its_name():
    """What it was made of is not known to it; its kind is."""
    assert by_source.name_of(tftrt_yolo.Tracking("botsort")) == "botsort"


def _frame(source, index):
    video = VideoInfo(source, (20, 30), Fraction(25)) if source is not None else None
    return Frame(np.zeros((20, 30, 3), np.uint8), source or "-", index, index / 25, video)


def test_streams_may_take_turns():
    trackers = by_source.Trackers("bytetrack")
    [one, other] = [trackers.of(_frame(source, 0)) for source in ("one", "other")]
    assert one is not other
    for index in (1, 2, 5):  # with a stride, or as frames are left out
        assert trackers.of(_frame("one", index)) is one
        assert trackers.of(_frame("other", index)) is other
    pictures = [trackers.of(given) for given in (_frame(None, 0), _frame(None, 0), "a.jpg", np.zeros(3), b"JPEG")]
    assert len({id(tracking) for tracking in pictures}) == 1  # pictures of their own are those of one more video
    assert pictures[0] not in (one, other)


def test_what_gave_no_frame_for_long_is_forgotten(monkeypatch):
    """A folder of ten thousand videos keeps no ten thousand trackers."""
    monkeypatch.setattr(by_source, "_MOST_SOURCES", 3)
    trackers = by_source.Trackers("bytetrack")
    first = trackers.of(_frame("0", 0))
    for name in ("1", "2"):
        trackers.of(_frame(name, 0))
    assert trackers.of(_frame("0", 1)) is first
    for name in ("3", "4"):
        trackers.of(_frame(name, 0))
    assert trackers.of(_frame("0", 2)) is first
    assert len(trackers._of) == 3


def test_a_tracking_goes_on_whatever_the_source():
    tracking = tftrt_yolo.Tracking()
    trackers = by_source.Trackers(tracking)
    assert {id(trackers.of(given)) for given in (_frame("one", 0), _frame("other", 0), _frame("one", 0))} == {
        id(tracking)
    }


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb", "classify"])
def test_an_engine(tmp_path, task):
    model = metadata(task)
    network = with_ultralytics_layout(recorded(model), model, batch_size=1)
    runtime = ExecutorRuntime(network, {})
    path = tmp_path / "a.engine"
    engine_file.write(path, model, facts(runtime.tensors, batch_sizes=(1,), profiles={}), b"a plan")
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    if task == "classify":
        with pytest.raises(
            ValueError, match="tracker is for models that find objects, and this is a model for classify"
        ):
            predictor(image, tracker="bytetrack")
        return
    results = predictor([image] * 3, tracker="bytetrack")
    ids = [predictor.task.boxes(result).tracker_id for result in results]
    assert len(ids[0]) > 0
    assert ids[0].tolist() == ids[1].tolist() == ids[2].tolist()


def test_a_classifier_has_no_objects(models, tmp_path, images):
    export = models.exported("classify")
    message = (
        "tracker is for models that find objects, and this is a model for classify; expected detect, segment, pose or "
        "obb. Leave it out."
    )
    predictor = tftrt_yolo.Predictor(export)
    for call in (predictor, predictor.stream, predictor.with_images):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            call(images[:1], tracker="bytetrack")
    video = _write_video(tmp_path / "a.mp4", images[:3])
    with arguments.named_as_flags(), pytest.raises(ValueError, match=f"^--{re.escape(message)}"):
        predictor(tftrt_yolo.SourceOptions(source=video, tracker="bytetrack"))


def test_a_wrong_name_shows_before_the_first_image(predictor, tmp_path):
    def never():
        raise AssertionError("an image was asked for")
        yield

    for tracker in ("sort", "", "nowhere.yaml", 3, False):
        for call in (predictor.stream, predictor.with_images):
            with pytest.raises(ValueError, match=r"^tracker .*xpected one of bytetrack, botsort"):
                call(never(), tracker=tracker)
        with pytest.raises(ValueError, match=r"^tracker .*xpected one of bytetrack, botsort"):
            predictor(tftrt_yolo.SourceOptions(source=tmp_path, tracker=tracker))


def test_nothing_reaches_the_predictor_of_one_without(predictor, images):
    """Results without a tracker are the same before and after one was used."""
    before = [dataclasses.asdict(result) for result in predictor(images[:3])]
    predictor(images[:3], tracker="botsort")
    after = [dataclasses.asdict(result) for result in predictor(images[:3])]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_equal(other, one)
