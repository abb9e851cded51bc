"""What `check` says when it is asked again after something has changed."""

import _ctypes
import dataclasses
import json
import shutil
import sys

import pytest

import tftrt_yolo
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.files import documents


@pytest.fixture
def site_packages(tmp_path, monkeypatch):
    """A folder like TensorFlow's, with pip's TensorRT beside it that was not linked; any library stands for it."""
    monkeypatch.setattr(environment, "_site_packages", lambda: tmp_path)
    monkeypatch.setattr(environment, "_tensorrt_versions", lambda *, can_load: ("8.6.1", "8.6.1" if can_load else None))
    (tmp_path / "tensorrt_libs-8.6.1.dist-info").mkdir()
    (tmp_path / "tensorrt_libs").mkdir()
    for name in ("libnvinfer.so.8", "libnvinfer_plugin.so.8", "libnvinfer_builder_resource.so.8.6.1"):
        shutil.copy(_ctypes.__file__, tmp_path / "tensorrt_libs" / name)
    return tmp_path


def test_what_was_mended_is_no_longer_reported(site_packages):
    before = tftrt_yolo.check()
    if not before.built_with_tensorrt:
        pytest.skip("this TensorFlow has no TF-TRT")
    if not all(before.library_problems.values()):
        pytest.skip("TensorRT is installed here")
    assert "tftrt-yolo check --fix" in str(before)
    after = tftrt_yolo.check(fix=True)
    assert set(after.library_problems.values()) == {""}
    assert after.loaded_tensorrt == "8.6.1"
    assert not any(remedy.startswith("TensorRT") for remedy in after.remedies)
    shutil.rmtree(site_packages / "tensorrt_libs")  # and the other way round: the links lead nowhere
    assert all(tftrt_yolo.check().library_problems.values())


def test_how_the_network_of_workers_is_closed():
    found = tftrt_yolo.check()
    assert found.network_closed_by
    assert f"closed by {found.network_closed_by}" in str(found)
    document = json.loads(documents.to_json(found))
    del document["network_closed_by"]  # as an earlier version wrote it
    assert documents.parse(document, tftrt_yolo.Environment) == dataclasses.replace(found, network_closed_by=None)


def test_what_was_installed_meanwhile_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(environment.TESTED_EXPORT_TOOLS, "some-export-tool", "1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert tftrt_yolo.check().export_tools["some-export-tool"] is None
    (tmp_path / "some_export_tool-1.0.dist-info").mkdir()
    (tmp_path / "some_export_tool-1.0.dist-info" / "METADATA").write_text("Name: some-export-tool\nVersion: 1.0\n")
    assert tftrt_yolo.check().export_tools["some-export-tool"] == "1.0"
