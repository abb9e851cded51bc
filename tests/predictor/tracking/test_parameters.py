"""Names of trackers, and YAML files of them, Ultralytics' and strangers'."""

import re
from pathlib import Path

import pytest

pytest.importorskip("ultralytics")
pytest.importorskip("lap")

import tftrt_yolo
from tftrt_yolo.ground import arguments
from tftrt_yolo.predictor.tracking.parameters import parameters


def _ultralytics(name):
    """The file that `YOLO.track` reads."""
    from ultralytics.utils import YAML
    from ultralytics.utils.checks import check_yaml

    return YAML.load(check_yaml(f"{name}.yaml"))


@pytest.mark.parametrize("name", ["bytetrack", "botsort"])
def test_a_name_has_ultralytics_own(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()  # a folder of that name is none
    for given in (name, f"{name}.yaml", Path(f"{name}.yaml")):
        assert parameters(given) == _ultralytics(name)
    assert tftrt_yolo.Tracking(name).parameters == _ultralytics(name)


@pytest.mark.parametrize("name", ["bytetrack", "botsort"])
def test_a_file_may_say_less(name, tmp_path):
    """What it says counts, even under the name of Ultralytics' own file; the rest is Ultralytics'."""
    for path in (tmp_path / f"{name}.yaml", tmp_path / "mine.yml"):
        path.write_text(f"tracker_type: {name}\ntrack_buffer: 99\nmatch_thresh: 1\nfuse_score: false\n")
        expected = _ultralytics(name) | {"track_buffer": 99, "match_thresh": 1.0, "fuse_score": False}
        assert parameters(path) == parameters(str(path)) == expected
    assert repr(tftrt_yolo.Tracking(path)).startswith(f"<Tracking tracker_type {name}, ")


def test_parameters_reach_the_tracker(tmp_path):
    """A buffer of no frames forgets what a few frames miss."""
    import numpy as np
    import supervision as sv

    path = tmp_path / "short.yaml"
    path.write_text("tracker_type: bytetrack\ntrack_buffer: 0\n")
    image, found = np.zeros((90, 90, 3), np.uint8), {}
    detections = sv.Detections(np.float32([[5, 5, 60, 60]]), confidence=np.float32([0.9]), class_id=np.array([0]))
    for tracker in ("bytetrack", path):
        tracking = tftrt_yolo.Tracking(tracker)
        frames = (detections, *[sv.Detections.empty()] * 4, detections, detections)
        found[tracker] = [tracking.update(shown, image).tracker_id.tolist() for shown in frames]
    assert found == {"bytetrack": [[1], *[[]] * 4, [1], [1]], path: [[1], *[[]] * 5, [2]]}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("sort", "is 'sort'"),
        ("ByteTrack", "is 'ByteTrack'"),
        ("", "is ''"),
        ("ocsort", "is 'ocsort'"),  # Ultralytics has it, and nobody compared it
        ("ocsort.yaml", "ocsort.yaml cannot be read: No such file or directory"),
        ("/nowhere/botsort.yaml", "/nowhere/botsort.yaml cannot be read: No such file or directory"),
        ("folder.yaml", "folder.yaml is a folder."),
        ("photo.jpg", "is 'photo.jpg'"),
        (True, "is True"),
        (7, "is 7"),
        (b"bytetrack", "is b'bytetrack'"),
        ("a\x1b[2J", r"is 'a\x1b[2J'"),
    ],
)
def test_what_is_no_tracker(given, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    expected = "xpected one of bytetrack, botsort, or a YAML file of one of them, as Ultralytics takes it."
    with pytest.raises(ValueError, match=re.escape(found)) as caught:
        tftrt_yolo.Tracking(given)
    assert str(caught.value).startswith("tracker ")
    assert str(caught.value).endswith(expected)
    with arguments.named_as_flags(), pytest.raises(ValueError, match=r"^--tracker "):
        parameters(given)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "holds no names with values"),
        ("- bytetrack", "holds no names with values"),
        ("tracker_type: [", "is no YAML"),
        ("track_buffer: 3", "lacks 'tracker_type'; expected a text"),
        ("tracker_type: ocsort", "has 'tracker_type': 'ocsort'; expected one of bytetrack, botsort"),
        ("tracker_type: [bytetrack]", "has 'tracker_type'"),
        ("tracker_type: bytetrack\ngmc_method: orb", "has 'gmc_method' in it, which this version"),  # BoT-SORT's
        ("tracker_type: bytetrack\ndevice: 0", "has 'device' in it, which this version"),
        ("tracker_type: bytetrack\n1: 2", "has 1 in it"),
        ("tracker_type: bytetrack\nmatch_thresh: high", "has 'match_thresh': 'high'; expected a number from 0 to 1"),
        ("tracker_type: bytetrack\nmatch_thresh: .nan", "has 'match_thresh': nan; expected a number from 0 to 1"),
        ("tracker_type: bytetrack\ntrack_high_thresh: 25", "has 'track_high_thresh': 25; expected a number from 0 to"),
        ("tracker_type: bytetrack\nfuse_score: 1", "has 'fuse_score': 1; expected true or false"),
        ("tracker_type: bytetrack\ntrack_buffer: -1", "expected a whole number from 0 to 1,000,000"),
        ("tracker_type: bytetrack\ntrack_buffer: 1.5", "expected a whole number from 0 to 1,000,000"),
        ("tracker_type: botsort\ngmc_method: flow", "expected one of sparseOptFlow, orb, sift, ecc, none"),
        ("tracker_type: botsort\nmodel: 3", "has 'model': 3; expected a text"),
        ("tracker_type: botsort\nwith_reid: true\nmodel: /etc/passwd", "has 'with_reid': True; expected false, for"),
        ("tracker_type: botsort\nwith_reid: 1", "has 'with_reid': 1; expected false, for"),
        ("tracker_type: !!python/object/apply:os.system [ls]", "is no YAML"),
        ("a: &a 1\ntracker_type: *a", "refers to an anchor in line 2"),
        ("#" * (1 << 20), "has 1,048,576 bytes; at most 65,536 are read"),
    ],
)
def test_what_a_file_may_not_say(text, found, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(found)) as caught:
        tftrt_yolo.Tracking(path)
    assert str(caught.value).startswith(f"tracker {path} ")
    assert "as Ultralytics takes it." in str(caught.value)


@pytest.mark.parametrize("method", ["sparseOptFlow", "orb", "sift", "ecc", "none"])
def test_every_way_to_the_cameras_motion_is_ultralytics(method, tmp_path):
    """What it sees of a frame, its brightness alone, is what each of them makes of its colours."""
    import numpy as np
    import supervision as sv

    from tests.predictor.tracking import crossing
    from tests.predictor.tracking.oracle import Oracle

    path = tmp_path / "mine.yaml"
    path.write_text(
        "\n".join(f"{key}: {value}" for key, value in _ultralytics("botsort").items() if key != "gmc_method")
    )
    with path.open("a") as file:
        file.write(f"\ngmc_method: {method}\n")
    tracking, oracle = tftrt_yolo.Tracking(path), Oracle(path)
    count = 2 if method == "ecc" else 8  # of which each takes seconds
    for found, image in zip(crossing.detected(count), crossing.frames(count, shift_px=5), strict=True):
        result = tracking.update(sv.Detections(found[0], confidence=found[1], class_id=found[2]), image)
        expected = oracle.update(np.column_stack(found), image).boxes
        np.testing.assert_array_equal(result.tracker_id, expected.id)
        np.testing.assert_array_equal(result.xyxy, expected.xyxy)
