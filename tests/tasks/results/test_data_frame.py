"""Results as a table of pandas: the rows of detections.jsonl."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import supervision as sv

import tftrt_yolo
from tests.tasks import objects
from tftrt_yolo.predictor.sources.frame import Frame
from tftrt_yolo.tasks.table import TASKS

_BOX = ["class", "name", "score", "x1", "y1", "x2", "y2"]
_BESIDE = {
    "segment": ["polygons"],
    "pose": ["keypoints"],
    "obb": ["center_x", "center_y", "width", "height", "angle", "corners"],
}


@pytest.mark.parametrize("task", objects.NAMED)
def test_columns_and_values_are_those_of_the_rows(task):
    pytest.importorskip("pandas")
    result = objects.result(task)
    frame = tftrt_yolo.to_dataframe(result)
    rows = TASKS[task].rows(result, objects.NAMES)
    expected = ["class", "name", "probability"] if task == "classify" else [*_BOX, *_BESIDE.get(task, [])]
    assert frame.columns.tolist() == ["image", *expected]
    assert frame["image"].tolist() == [0] * len(rows)
    for name in set(frame.columns) & set(rows[0]):
        assert frame[name].tolist() == [row[name] for row in rows]
    if task != "classify":
        assert frame[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [row["xyxy"] for row in rows]
    if task == "obb":
        assert frame[_BESIDE["obb"][:5]].to_numpy().tolist() == [row["xywhr"] for row in rows]
    assert result.to_dataframe().equals(frame)


@pytest.mark.parametrize("task", [task for task in objects.NAMED if task != "classify"])
def test_a_table_without_rows_has_columns_and_types_of_one_with(task):
    pandas = pytest.importorskip("pandas")
    result = objects.result(task)
    full, empty = tftrt_yolo.to_dataframe(result), tftrt_yolo.to_dataframe(result[:0])
    assert (len(full), len(empty)) == (2, 0)
    assert empty.dtypes.equals(full.dtypes)
    assert pandas.concat([empty, full]).dtypes.equals(full.dtypes)


def test_several_results_in_whatever_form():
    pytest.importorskip("pandas")
    result = objects.result("detect")
    several = [result, result[:0], result[:1]]
    for results in (several, tuple(several), iter(several), (one for one in several)):
        frame = tftrt_yolo.to_dataframe(results)
        assert frame["image"].tolist() == [0, 0, 2]
        assert frame["name"].tolist() == ["dog", "cat", "dog"]
    assert tftrt_yolo.to_dataframe([]).columns.tolist() == ["image"]


def test_images_are_known_by_what_was_given():
    """Paths, pictures of videos, and arrays, of which only the number is known."""
    pytest.importorskip("pandas")
    result, image = objects.result("detect")[:1], objects.image()
    paths = [(Path("a.jpg"), image, result), ("b.jpg", image, result), (image, image, result)]
    assert tftrt_yolo.to_dataframe(paths)["image"].tolist() == ["a.jpg", "b.jpg", 2]
    frames = [(Frame(image, "v.mp4", index, index / 25), image, result) for index in (0, 5)]
    frame = tftrt_yolo.to_dataframe(frames)
    assert frame.columns.tolist() == ["image", "frame", "seconds", *_BOX]
    assert frame[["image", "frame", "seconds"]].to_numpy().tolist() == [["v.mp4", 0, 0.0], ["v.mp4", 5, 0.2]]
    assert str(frame["frame"].dtype) == "int64"


def test_tracks_and_what_only_some_have():
    pytest.importorskip("pandas")
    tracked, plain = objects.result("detect"), objects.result("detect")
    tracked.tracker_id = np.array([7, 12])
    assert tftrt_yolo.to_dataframe(tracked)["track"].tolist() == [7, 12]
    assert str(tftrt_yolo.to_dataframe(tracked[:0])["track"].dtype) == "int64"
    mixed = tftrt_yolo.to_dataframe([plain, tracked])
    assert mixed["track"].isna().tolist() == [True, True, False, False]
    assert str(mixed["track"].dtype) == "Int64"
    bare = tftrt_yolo.to_dataframe(sv.Detections(objects.BOXES))
    assert bare["class"].isna().all()
    assert bare["x1"].tolist() == [40, 200]


def test_of_a_real_stream(models):
    pytest.importorskip("pandas")
    from tests.conftest import IMAGES

    predictor = tftrt_yolo.Predictor(models.exported("tiny"))
    results = predictor(IMAGES[:4])
    frame = tftrt_yolo.to_dataframe(predictor.with_images(IMAGES[:4]))
    assert frame.groupby("image").size().to_dict() == {
        str(path): len(result) for path, result in zip(IMAGES, results, strict=False) if len(result)
    }
    assert (
        tftrt_yolo.to_dataframe(predictor.stream(IMAGES[:4])).drop(columns="image").equals(frame.drop(columns="image"))
    )


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("runs", r"The results are 'runs'; expected one result of a Predictor, or several, such as predictor\.stream"),
        (None, r"The results are None; expected one result"),
        ({}, r"The results are a dict of 0; expected one result"),
        ([1], r"The result is 1; expected one of what a Predictor gives"),
        ([[]], r"The result is a list of 0; expected one of what a Predictor gives"),
    ],
)
def test_what_are_no_results(results, message):
    pytest.importorskip("pandas")
    with pytest.raises(TypeError, match=message):
        tftrt_yolo.to_dataframe(results)


def test_without_pandas():
    """In a process that cannot import it."""
    code = (
        "import sys\nsys.modules['pandas'] = None\n"
        "import supervision as sv, tftrt_yolo\n"
        "try: tftrt_yolo.to_dataframe(sv.Detections.empty())\n"
        "except ImportError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "to_dataframe needs pandas, which cannot be imported" in result.stdout
    assert "Install it: pip install 'tftrt_yolo[dataframe]'." in result.stdout
