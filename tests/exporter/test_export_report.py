"""export.json: what an export did, in the SavedModel and in what is converted from it."""

import dataclasses
import json
from pathlib import Path

import pytest

import tftrt_yolo
from tests.conftest import TINY_WEIGHTS
from tests.saved_model import edits
from tftrt_yolo import ExportReport, SavedModelError


def test_it_is_read_back_without_paths(models, tiny_export):
    report = models.report(tiny_export)
    found = ExportReport.read(tiny_export)
    assert found == dataclasses.replace(report, saved_model_dir=Path(tiny_export.name), weights=TINY_WEIGHTS.name)
    assert found.versions["tftrt_yolo"] == tftrt_yolo.__version__
    assert {"tensorflow", "torch", "onnx2tf"} <= set(found.versions)
    assert str(tiny_export.parent) not in (tiny_export / "export.json").read_text()


def test_inspect_shows_it(tiny_export):
    report = tftrt_yolo.inspect(tiny_export)
    assert report.export == ExportReport.read(tiny_export)
    assert f"parity with PyTorch: {report.export.parity_line}\n" in str(report)
    assert "320 x 320 px, trained at 320\n" in str(report)
    assert (report.export.nms, report.export.branches) == ("one-to-many", ("one-to-many",))
    assert "branch" not in str(report)  # there is no other, and it is as most are


def test_a_conversion_keeps_that_of_its_export(tiny_export, tiny_conversion):
    assert ExportReport.read(tiny_conversion) == ExportReport.read(tiny_export)
    assert tftrt_yolo.inspect(tiny_conversion).export is not None
    assert tftrt_yolo.inspect(tiny_conversion).metadata.trained_size_hw == (320, 320)


def test_exports_of_older_versions_have_none(tiny_export, tmp_path):
    model = edits.forget_digests(edits.copied(tiny_export, tmp_path))
    (model / "export.json").unlink()
    edits.edit_metadata(model, lambda document: document["tftrt_yolo"].pop("trained_size_hw"))
    report = tftrt_yolo.inspect(model)
    assert (report.export, report.metadata.trained_size_hw) == (None, None)
    assert "trained at" not in str(report)
    with pytest.raises(SavedModelError, match=r"has no export\.json: an older version .* exported it"):
        ExportReport.read(model)


def test_what_was_changed_is_no_longer_believed(tiny_export, tmp_path):
    model = edits.copied(tiny_export, tmp_path)
    (model / "export.json").write_text(
        (model / "export.json").read_text().replace('"num_classes": 10', '"num_classes": 9')
    )
    with pytest.raises(SavedModelError, match=r"export\.json is not as it was written"):
        tftrt_yolo.inspect(model)


_DAMAGES = {  # what becomes of the document, to the message
    "no JSON": (lambda document: "{", "is damaged"),
    "a list": (lambda document: [document], "is damaged"),
    "empty": (lambda document: "", "is damaged"),
    "no parity": (lambda document: document | {"parity": {}}, "parity is nothing; expected a number from 0 for boxes"),
    "another parity": (lambda document: document | {"parity": {"masks": 0.1}}, "parity is 'masks': 0.1; expected"),
    "a parity of nothing": (lambda document: document | {"parity": {"boxes": None, "scores": 0}}, "'boxes': nan"),
    "a negative parity": (lambda document: document | {"parity": {"boxes": -1.0, "scores": 0}}, "'boxes': -1.0"),
    "an unknown task": (lambda document: document | {"task": "\x1b[2J"}, r"task is '\\x1b\[2J'; known are detect"),
    "a text for a size": (
        lambda document: document | {"image_size_hw": "640"},
        "image_size_hw is '640'; expected list",
    ),
    "three sides": (lambda document: document | {"trained_size_hw": [1, 2, 3]}, "has 3 values; expected 2"),
    "an unknown branch": (lambda document: document | {"nms": "both", "branches": ["both"]}, "nms is 'both' of"),
    "a branch that was not there": (
        lambda document: document | {"nms": "one-to-one"},
        "nms is 'one-to-one' of a tuple",
    ),
    "a key too many": (lambda document: document | {"extra": 1}, "has 'extra', which is none of its fields"),
    "a version to come": (lambda document: document | {"format_version": 2, "extra": 1}, "written by a newer version"),
}


@pytest.mark.parametrize("name", _DAMAGES)
def test_damage_is_named(tiny_export, tmp_path, name):
    change, message = _DAMAGES[name]
    model = edits.copied(tiny_export, tmp_path)
    changed = change(json.loads((model / "export.json").read_text()))
    (model / "export.json").write_text(changed if isinstance(changed, str) else json.dumps(changed))
    edits.renew_digests(model)
    for read in (ExportReport.read, tftrt_yolo.inspect):
        with pytest.raises(
            SavedModelError, match=rf"(?s)export\.json .*{message}.*Expected a export\.json of this version"
        ):
            read(model)


@pytest.mark.parametrize("kind", ["folder", "broken link"])
def test_what_is_no_file(tiny_export, tmp_path, kind):
    model = edits.forget_digests(edits.copied(tiny_export, tmp_path))
    (model / "export.json").unlink()
    if kind == "folder":
        (model / "export.json").mkdir()
    else:
        (model / "export.json").symlink_to("nowhere")
    with pytest.raises(SavedModelError, match=r"export\.json"):
        ExportReport.read(model)


@pytest.mark.parametrize("value", [[0, 64], [64], "64", [64.0, 64], [1 << 20, 64], True])
def test_a_strange_size_in_the_metadata(tiny_export, tmp_path, value):
    model = edits.copied(tiny_export, tmp_path)
    edits.edit_metadata(model, lambda document: document["tftrt_yolo"].update(trained_size_hw=value))
    with pytest.raises(SavedModelError, match=r"has 'trained_size_hw': .*; expected 2 whole numbers from 1 to 16,384"):
        tftrt_yolo.inspect(model)


def test_progress_is_counted_in_stages(tmp_path):
    from tftrt_yolo.ground import stages

    seen, names = [], []
    with stages.told_to(names.append):
        tftrt_yolo.export(
            TINY_WEIGHTS, tmp_path / "x_saved_model", image_size=64, on_progress=lambda *counts: seen.append(counts)
        )
    assert seen == [(done, 5) for done in range(6)]
    assert names == [
        "finding the weights",
        "reading the checkpoint",
        "writing ONNX",
        "converting to TensorFlow with onnx2tf",
        "writing the SavedModel",
        "comparing with PyTorch",
    ]
