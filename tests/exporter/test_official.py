"""Weights as a user names them, for a process that runs elsewhere."""

import pytest

import tftrt_yolo
from tests.conftest import TINY_WEIGHTS
from tftrt_yolo.exporter import official


def test_a_file_is_found_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pt").touch()
    (tmp_path / "b.yaml").touch()
    (tmp_path / "yolov8n").touch()
    for name in ("a.pt", "./a.pt", "b.yaml", "yolov8n"):  # a file goes before an official name
        assert official.locate(name) == str(tmp_path / name)


@pytest.mark.parametrize("name", ["yolov8n.yaml", "folder/yolov8n.yaml", "folder/yolov8n.pt"])
def test_what_is_no_file_and_cannot_be_downloaded_stays(tmp_path, monkeypatch, name):
    """Ultralytics has the YAMLs; of a path, the loader says that nothing is there."""
    monkeypatch.chdir(tmp_path)
    assert official.locate(name) == name


@pytest.mark.parametrize(("name", "file"), [("yolov8n", "yolov8n.pt"), ("yolov5n.pt", "yolov5nu.pt")])
def test_an_official_model_that_is_there_is_taken(tmp_path, monkeypatch, name, file):
    pytest.importorskip("ultralytics")
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_bytes(TINY_WEIGHTS.read_bytes())
    assert official.locate(name) == str(tmp_path / file)


@pytest.mark.parametrize("name", ["yolov8q", "nowhere.pt", "https://example.org/a.pt"])
def test_no_other_name_is_looked_up(tmp_path, monkeypatch, name):
    pytest.importorskip("ultralytics")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tftrt_yolo.CheckpointError, match=r"does not exist(, and it is no official name|\. Expected a)"):
        tftrt_yolo.export(name, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_an_official_name_is_exported_by_its_file(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yolov8n.pt").write_bytes(TINY_WEIGHTS.read_bytes())
    report = tftrt_yolo.export("yolov8n", "x", image_size=64)
    assert (report.weights, report.num_classes) == ("yolov8n", 10)
