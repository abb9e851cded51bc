"""What `check` says of each TensorRT that TensorFlow may want, and when it is asked again after a change."""

import dataclasses
import json
import sys

import pytest

import tftrt_yolo
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.tensorrt import versions


def _machine(linked, *, problems=(), loaded=None, taken_for=None, gpus=("A GPU",)):
    """An environment whose TensorFlow was built against a TensorRT, from what `libraries.find` finds."""
    pair = versions.names(linked)[0] if linked else ()
    return environment.Environment(
        python_version="3.11.0",
        tensorflow_version="2.20.0",  # no version is refused
        built_with_tensorrt=linked is not None,
        linked_tensorrt=linked and str(linked),
        library_problems=dict.fromkeys(pair, "") | dict.fromkeys(problems, "no such file"),
        loaded_tensorrt=loaded,
        taken_for_tensorrt=taken_for or loaded,
        gpus=gpus,
        export_tools={},
    )


LINKED = [(8, 6, 1), (8, 6, 2), (10, 0, 1), *((10, minor, 0) for minor in range(1, 9))]
LINKED = [versions.TensorRTVersion(*numbers) for numbers in LINKED]


def test_a_report_that_was_edited():
    machine = dataclasses.replace(_machine(versions.WHEELS, problems=["libnvinfer.so.8"]), linked_tensorrt="none")
    assert not any("TensorRT:" in remedy for remedy in machine.remedies)
    assert "built with TensorRT" in str(machine)


@pytest.mark.parametrize("linked", LINKED, ids=str)
@pytest.mark.parametrize("loaded", ["same", "newer", "older", "another major", "nonsense"])
def test_a_tensorrt_of_each_version(linked, loaded):
    major, minor, patch = linked
    found = {
        "same": str(linked),
        "newer": f"{major}.{minor}.{patch + 1}",
        "older": f"{major}.{minor - 1}.9" if minor else f"{major}.0.0",
        "another major": f"{major + 1}.{minor}.{patch}",
        "nonsense": "0.0.0",
    }[loaded]
    machine = _machine(linked, loaded=found)
    assert machine.can_build_engines is (loaded in ("same", "newer"))
    assert "built with TensorRT" in str(machine)
    if machine.can_build_engines:
        assert machine.remedies == ()
        assert machine.engine_runtime == f"TensorRT {found}"
        assert str(machine).endswith("Engines can be built and run here.")
    else:
        assert machine.why_no_engines == f"TensorRT {found} does not fit the {linked} that was linked"
        [remedy] = machine.remedies
        name = versions.names(linked)[0][0]
        assert remedy == (
            f"TensorRT: {found} was found under the name {name}, but {versions.rule(linked)}; "
            f"{versions.how_to_install(linked)}"
        )


@pytest.mark.parametrize("linked", LINKED, ids=str)
def test_no_tensorrt_for_each_version(linked):
    names = versions.names(linked)[0]
    machine = _machine(linked, problems=names)
    assert machine.why_no_engines == f"{names[0]} and {names[1]} cannot be opened"
    [remedy] = machine.remedies
    assert remedy == (
        f"TensorRT: {versions.how_to_install(linked)}. A TensorRT of another major version than {linked.major}, linked "
        f"under the name {names[0]}, does not work"
    )
    text = str(machine)
    assert all(f"{name}" in text for name in names)
    assert "8.6.1" not in text.replace(str(linked), "") or linked == versions.WHEELS


def test_libraries_that_came_too_late():
    machine = dataclasses.replace(_machine(LINKED[0]), library_problems={"libnvinfer.so.8.6.1": versions.NOT_OPENED})
    assert machine.remedies == (
        "TensorRT: libnvinfer.so.8.6.1: found, but TensorFlow did not open it; start Python again",
    )
    assert machine.why_no_engines == "libnvinfer.so.8.6.1 cannot be opened"


@pytest.mark.parametrize("linked", LINKED[2:], ids=str)
def test_a_version_that_tensorflow_misreads(linked):
    """TF-TRT would refuse it in its own words, so it is no TensorRT that can build here; what is there is said."""
    misread = f"{linked.major * 10}.{linked.minor}.{linked.patch}"
    machine = _machine(linked, loaded=str(linked), taken_for=misread)
    assert machine.why_no_engines == f"this TensorFlow takes TensorRT {linked} for {misread}"
    [remedy] = machine.remedies
    assert remedy.startswith(f"TensorRT: TF-TRT refuses {linked} here, for this TensorFlow takes it for {misread}; bu")
    assert f" {linked}, which TensorFlow takes for {misread}" in str(machine)


def test_a_tensorflow_without_tensorrt():
    machine = _machine(None)
    assert machine.why_no_engines == "TensorFlow 2.20.0 was built without TensorRT"
    assert machine.engine_runtime == ""
    [remedy] = machine.remedies
    assert remedy.startswith("TF-TRT: TensorFlow 2.20.0 was built without TensorRT. Convert with tensorflow==2.17.1")
    assert "or with any that was built with TensorRT" in remedy
    assert "prediction works all the same" in str(machine)


def test_of_an_earlier_version_s_report():
    """JSON that an earlier version wrote says nothing about misreading."""
    document = json.loads(documents.to_json(_machine(LINKED[0], loaded="8.6.1")))
    del document["taken_for_tensorrt"]
    machine = documents.parse(document, tftrt_yolo.Environment)
    assert machine.taken_for_tensorrt is None
    assert machine.can_build_engines


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
