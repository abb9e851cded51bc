"""The files as they were written: what changed since is found before TensorFlow reads it."""

import os
import shutil
import socket

import numpy as np
import pytest
import yaml

import tftrt_yolo
from tests.conftest import IMAGES
from tests.saved_model.edits import copied, edit_metadata, forget_digests
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.trust import digests

VARIABLES = "variables/variables.data-00000-of-00001"
FILES = ["saved_model.pb", "export.json", "fingerprint.pb", VARIABLES, "variables/variables.index"]


@pytest.fixture
def model(toy_export, tmp_path):
    return copied(toy_export, tmp_path)


def _refused(model, message):
    """By all who read the graph, before they write anything."""
    for use in (tftrt_yolo.Predictor, tftrt_yolo.inspect):
        with pytest.raises(tftrt_yolo.SavedModelError, match=message):
            use(model)


def _listed(model):
    return yaml.safe_load((model / "metadata.yaml").read_text())["tftrt_yolo"]["files"]


@pytest.mark.parametrize("name", ["toy", "tiny"])
def test_an_export_lists_all_its_files(models, name):
    model = models.exported(name)
    there = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert set(_listed(model)) == there - {"metadata.yaml"} == set(FILES)


def test_a_conversion_lists_its_report_too(tiny_conversion):
    assert set(_listed(tiny_conversion)) == {*FILES, "conversion.json"}
    digests.check(open_saved_model(tiny_conversion))


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_bit(model, file, place):
    data = bytearray((model / file).read_bytes())
    data[round(place * (len(data) - 1))] ^= 1
    (model / file).write_bytes(data)
    _refused(model, rf"{file} is not as it was written: its SHA-256 is \w{{12}}\.\.\., and metadata.*\. Copy the whole")


@pytest.mark.parametrize("file", FILES)
def test_one_byte_less(model, file):
    os.truncate(model / file, (model / file).stat().st_size - 1)
    _refused(model, rf"{file} is not as it was written")


@pytest.mark.parametrize("file", FILES[1:])
def test_a_file_that_is_missing(model, file):
    (model / file).unlink()
    _refused(model, rf"lacks {file}, which its metadata\.yaml lists\. Copy the whole directory again, or export")


def test_a_file_of_another_model(model, tiny_conversion):
    shutil.copy(tiny_conversion / "conversion.json", model)
    _refused(model, r"holds 'conversion\.json', which its metadata\.yaml does not list: it is of another model")


def test_a_second_graph(model):
    for name in ("saved_model.pbtxt", "saved_model.cpb"):
        (model / name).touch()
        _refused(model, rf"{name} is a second graph beside saved_model\.pb")
        (model / name).unlink()


def test_files_of_others_are_theirs(model):
    """Records for a server to warm up with, notes, and what a system leaves."""
    (model / "assets.extra").mkdir()
    (model / "assets.extra" / "tf_serving_warmup_requests").touch()
    (model / "README.md").touch()
    (model / "variables" / ".nfs0001").touch()
    assert tftrt_yolo.Predictor(model)(IMAGES[0])


def test_a_link_to_a_file_is_the_file(model):
    """As caches of hubs keep them."""
    for file in FILES:
        real = model.parent / file.replace("/", "_")
        (model / file).rename(real)
        (model / file).symlink_to(real)
    assert tftrt_yolo.Predictor(model)(IMAGES[0])


@pytest.mark.parametrize("has_digests", [True, False])
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("put", "message"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (os.mkfifo, "is a device, a pipe or a socket and no file"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device, a pipe or a socket and no file"),
        (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of symbolic links"),
        (lambda path: (path.touch(), os.truncate(path, 10 << 30)), "has 10,737,418,240 bytes; at most"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(os.path.relpath(path)), "cannot be read: No such device"),
    ],
    ids=["folder", "fifo", "device", "loop", "sparse", "socket"],
)
def test_what_is_no_file(model, file, put, message, has_digests, monkeypatch):
    monkeypatch.chdir(model)  # a socket's path is short
    if not has_digests:
        forget_digests(model)
    (model / file).unlink()
    put(model / file)
    _refused(model, rf"{file} {message}")


@pytest.mark.parametrize("folder", ["variables", "assets"])
def test_a_folder_that_is_none(model, folder):
    forget_digests(model)
    shutil.rmtree(model / folder, ignore_errors=True)
    (model / folder).touch()
    _refused(model, rf"/{folder} is no folder")


def test_an_export_of_an_older_version_is_loaded(model):
    assert forget_digests(model)
    assert open_saved_model(model).files is None
    assert tftrt_yolo.Predictor(model)(IMAGES[0])


def test_digests_travel_with_the_handle(model):
    handle = open_saved_model(model)
    assert handle.files == _listed(model)
    (model / VARIABLES).write_bytes(b"")
    with pytest.raises(tftrt_yolo.SavedModelError, match="is not as it was written"):
        digests.check(handle)


def test_convert_and_evaluate_refuse_it_and_write_nothing(model, tmp_path):
    data = np.frombuffer((model / VARIABLES).read_bytes(), np.uint8).copy()
    data[len(data) // 2] ^= 4
    (model / VARIABLES).write_bytes(data.tobytes())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"variables\.data-00000-of-00001 is not as it was written"):
        tftrt_yolo.convert(model, tmp_path / "b_saved_model")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"variables\.data-00000-of-00001 is not as it was written"):
        tftrt_yolo.evaluate(model, tmp_path / "data.yaml")
    assert sorted(tmp_path.iterdir()) == before


def test_a_digest_that_is_made_up(model):
    edit_metadata(model, lambda document: document["tftrt_yolo"]["files"].update({VARIABLES: "0" * 64}))
    _refused(model, r"is not as it was written: its SHA-256 is \w{12}\.\.\., and metadata\.yaml has 000000000000\.\.\.")
