"""A SavedModel that is opened once: what the handle knows, where it leads, and what it refuses."""

import dataclasses
import json
import pickle

import pytest

import tftrt_yolo
from tftrt_yolo import contract
from tftrt_yolo.ground.errors import ConversionError, NotAnExportError
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.selection import Selection

METADATA = contract.Metadata(
    task="pose",
    names={0: "person"},
    image_size_hw=(320, 640),
    stride=32,
    selection=Selection(0.1, 0.5, 10, 100),
    weights="a.pt",
    keypoint_shape=(17, 3),
    weights_sha256="0" * 64,
)
CONVERSION = {"accelerator": "xla", "precision_mode": "FP16", "seconds": 1.5}


@pytest.fixture
def export(tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "saved_model.pb").touch()
    contract.write_metadata(directory, METADATA)
    return directory


def _convert(directory, document=CONVERSION):
    (directory / contract.CONVERSION_FILE).write_text(json.dumps(document))
    return directory


def test_an_export(export):
    handle = open_saved_model(export)
    assert handle == SavedModelHandle(export, METADATA, None, str(export))
    assert handle.require_export("convert") is handle


def test_a_conversion(export):
    handle = open_saved_model(str(_convert(export)))
    assert handle.conversion == CONVERSION
    assert handle.metadata == METADATA


@pytest.mark.parametrize("purpose", ["convert", "benchmark"])
def test_a_conversion_where_an_export_is_needed(export, purpose):
    handle = open_saved_model(_convert(export))
    message = rf"^{handle.given} is a conversion already\. {purpose.capitalize()} the export that it came from\.$"
    for error_class in (NotAnExportError, ConversionError, ValueError):
        with pytest.raises(error_class, match=message):
            handle.require_export(purpose)


def test_it_means_the_same_in_another_working_directory(export, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handle = open_saved_model("model")
    assert handle.given == "model"
    assert handle.directory == export
    monkeypatch.chdir(export)
    assert handle.directory == export
    assert contract.read_metadata(handle.directory) == METADATA


def test_a_link_leads_to_the_directory(export, tmp_path):
    (tmp_path / "link").symlink_to(export)
    handle = open_saved_model(tmp_path / "link")
    assert handle.directory == export
    assert handle.given == str(tmp_path / "link")


def test_one_that_is_open_is_given_back(export):
    handle = open_saved_model(export)
    (export / "saved_model.pb").unlink()  # it is not looked at again
    assert open_saved_model(handle) is handle


def test_it_travels_to_a_worker(export):
    handle = open_saved_model(_convert(export))
    assert pickle.loads(pickle.dumps(handle)) == handle


def test_it_cannot_be_changed(export):
    with pytest.raises(dataclasses.FrozenInstanceError):
        open_saved_model(export).given = "other"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "it is no JSON"),
        ("[]", "it holds a list of 0 and no mapping"),
        ('["accelerator", "precision_mode"]', "it holds a list of 2 and no mapping"),
        ('{"accelerator": "xla"}', "it lacks 'precision_mode'; expected a text"),
        ('{"accelerator": "xla", "precision_mode": 16}', "it has 'precision_mode': 16; expected a text"),
        ('{"accelerator": "openvino"}', "it has 'accelerator': 'openvino'; expected one of tensorrt, xla, onednn"),
        ('{"accelerator": "xla", "precision_mode": "INT8"}', "'INT8'; expected one of FP32, FP16, BF16"),
        ('{"accelerator": ["xla"]}', "it has 'accelerator': a list of 1; expected a text"),
        ("null", "it holds None and no mapping"),
        ("[" * 100_000, "it is nested more than 32 levels deep"),
        ('{"accelerator": "\\u001b[31m"}', r"'\\x1b\[31m'; expected one of"),
    ],
    ids=lambda text: text[:20],
)
def test_a_conversion_json_that_is_damaged(export, content, message):
    (export / contract.CONVERSION_FILE).write_text(content)
    with pytest.raises(
        tftrt_yolo.SavedModelError, match=rf"conversion\.json cannot be used: .*{message}.*convert the model again"
    ):
        open_saved_model(export)


@pytest.mark.parametrize("file", [contract.CONVERSION_FILE, contract.METADATA_FILE])
def test_a_folder_in_place_of_a_file(export, file):
    (export / file).unlink(missing_ok=True)
    (export / file).mkdir()
    with pytest.raises(tftrt_yolo.SavedModelError, match=rf"{file} cannot be used: it is a folder\. Expected "):
        open_saved_model(export)


def test_metadata_of_a_thousand_brackets(export):
    (export / contract.METADATA_FILE).write_text("[" * 100_000)
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"metadata\.yaml cannot be used"):
        open_saved_model(export)


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "is no directory"), ("model/saved_model.pb", "is no directory"), (".", "has no")]
)
def test_what_is_no_saved_model(export, tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tftrt_yolo.SavedModelError, match=f"^{name} {message}"):
        open_saved_model(name)


def test_an_engine_is_told_from_a_saved_model(tmp_path):
    (tmp_path / "n.engine").write_bytes(b"")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"wrote\. What runs an engine is tftrt_yolo\.EnginePredictor"):
        open_saved_model(tmp_path / "n.engine")
