"""What is kept between benchmarks is used again for the same, and for nothing else."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest

import tftrt_yolo
from tests.calls import Calls
from tests.conftest import TINY_WEIGHTS
from tftrt_yolo import contract
from tftrt_yolo.benchmarking import artifacts
from tftrt_yolo.benchmarking.contestants import choose
from tftrt_yolo.converter import tensorrt_options
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.selection import Selection
from tftrt_yolo.workflows import benchmark

METADATA = contract.Metadata("detect", {0: "a"}, (320, 320), 32, Selection(), "best.pt")


class _Kept(artifacts.Artifacts):
    """Says which path a contestant would be made at, and makes nothing."""

    def _made(self, path, make):
        return path, None

    def _safe_weights(self, python):
        return self.plan.weights


@pytest.fixture
def plan(tmp_path):
    source = tmp_path / "model"
    (source / "variables").mkdir(parents=True)
    (source / "saved_model.pb").write_text("graph")
    (source / "variables" / "variables.index").write_text("weights")
    (tmp_path / "best.pt").write_text("weights")
    return artifacts.Plan(
        source=SavedModelHandle(source, METADATA, None, str(source)),
        weights=str(tmp_path / "best.pt"),
        batch_sizes=(1, 8),
        seconds=1.0,
        frames_path=tmp_path / "frames.npy",
        jpeg_paths=(),
        artifacts_dir=tmp_path / "artifacts",
        peer_python=None,
        convert=None,
        describe=benchmark._describe,
    )


def _paths(plan, machine_key="cpu"):
    """Contestant to the path of what it starts from."""
    kept = _Kept(plan, machine_key=machine_key)
    jobs = {contestant.name: kept.prepare(contestant)[0] for contestant in choose(None)}
    return {name: job.get("saved_model_dir") or job.get("onnx_path") for name, job in jobs.items()}


def _changed(plan, other, **key):
    """The contestants whose files are others'."""
    before, after = _paths(plan), _paths(other, **key)
    assert before == _paths(plan)  # nothing changes by itself
    return {name for name in before if before[name] != after[name]}


OURS = {one.name for one in choose(None) if one.is_ours and one.options["accelerator"]}
TENSORRT = {one.name for one in choose(None) if one.is_ours and one.options["accelerator"] == "tensorrt"}
EXPORTS = {one.name for one in choose(None) if one.runner in ("onnxruntime", "openvino", "ultralytics_saved_model")}


def _with_metadata(plan, **changes):
    metadata = dataclasses.replace(plan.source.metadata, **changes)
    return dataclasses.replace(plan, source=dataclasses.replace(plan.source, metadata=metadata))


def test_there_are_contestants_of_every_kind():
    assert TENSORRT
    assert TENSORRT < OURS
    assert len(EXPORTS) > 3


def test_weights_that_were_trained_on(plan, tmp_path):
    """The same name, other content: Ultralytics exports it anew. Ours start from the SavedModel."""
    before = _paths(plan)
    (tmp_path / "best.pt").write_text("better weights")
    after = _paths(plan)
    assert {name for name in before if before[name] != after[name]} == EXPORTS
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "best.pt").write_text("better weights")  # the same content elsewhere is the same
    assert _paths(dataclasses.replace(plan, weights=str(tmp_path / "other" / "best.pt"))) == after


def test_another_image_size(plan):
    assert _changed(plan, _with_metadata(plan, image_size_hw=(640, 640))) == OURS | EXPORTS


@pytest.mark.parametrize("name", ["score_threshold", "iou_threshold"])
def test_other_thresholds(plan, name):
    selection = dataclasses.replace(METADATA.selection, **{name: 0.5})
    assert _changed(plan, _with_metadata(plan, selection=selection)) == OURS


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index"])
def test_another_graph_or_other_variables(plan, file):
    before = _paths(plan)
    (plan.source.directory / file).write_text("other")
    after = _paths(plan)
    assert {name for name in before if before[name] != after[name]} == OURS


def test_another_machine_or_another_tensorflow(plan):
    assert _changed(plan, plan, machine_key="another") == OURS


def test_other_batch_sizes(plan):
    """TensorRT's engines are built for them, and XLA's batches are filled up to them."""
    assert _changed(plan, dataclasses.replace(plan, batch_sizes=(1, 16))) == TENSORRT | {"xla-fp32", "xla-fp16"}


def test_another_version_of_ours(plan, monkeypatch):
    before = _paths(plan)
    monkeypatch.setattr(artifacts, "__version__", "999")
    after = _paths(plan)
    assert {name for name in before if before[name] != after[name]} == OURS


def test_another_strategy(plan, monkeypatch):
    """What is left to the options to choose counts, too."""
    before = _paths(plan)
    monkeypatch.setattr(tensorrt_options.TensorRTOptions, "strategy", "Optimal")
    after = _paths(plan)
    assert {name for name in before if before[name] != after[name]} == TENSORRT


def test_another_exporter(plan, monkeypatch, tmp_path):
    """A newer Ultralytics in the peers' interpreter; our own exports its SavedModel."""
    plan = dataclasses.replace(plan, peer_python=sys.executable)
    in_peers = {one.name for one in choose(None) if one.runner in ("onnxruntime", "openvino")}
    versions = []
    for version in ("8.0.0", "9.0.0"):
        folder = tmp_path / version / f"ultralytics-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Name: ultralytics\nVersion: {version}\n")
        monkeypatch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", str(tmp_path / version))
        versions.append(_paths(plan))
    before, after = versions
    assert {name for name in before if before[name] != after[name]} == in_peers


def test_names_can_be_read(plan):
    paths = _paths(plan)
    assert paths["onnxruntime-cpu-fp32"].rsplit("/", 1)[1].startswith("best_")
    assert paths["onnxruntime-cpu-fp32"].endswith(".onnx")
    assert paths["ultralytics-savedmodel"].endswith("_ultralytics_saved_model")  # or Ultralytics' loader refuses it


def test_a_benchmark_of_a_checkpoint_that_was_trained_on_is_refused(tiny_export, tmp_path):
    weights = tmp_path / TINY_WEIGHTS.name
    weights.write_bytes(TINY_WEIGHTS.read_bytes() + b"0")
    with pytest.raises(ValueError, match=r"was exported from a file of that name with other content\. Give the file"):
        tftrt_yolo.benchmark(tiny_export, tmp_path / "out", weights=weights)


def test_exports_of_older_versions_know_no_content(tmp_path):
    """Their metadata are read, and only the name is compared."""
    (tmp_path / "saved_model.pb").touch()
    contract.write_metadata(tmp_path, METADATA)
    assert "weights_sha256" not in (tmp_path / contract.METADATA_FILE).read_text()
    assert contract.read_metadata(tmp_path).weights_sha256 is None
    (tmp_path / "best.pt").write_text("any")
    source = SavedModelHandle(tmp_path, METADATA, None, "model")
    assert benchmark._check_weights(tmp_path / "best.pt", source) == str(tmp_path / "best.pt")


def test_peers_get_weights_that_were_read_and_written_anew(plan, tmp_path):
    """Ultralytics unpickles what it is given: a file that would run code is refused, another is the same network."""
    torch = pytest.importorskip("torch")
    from ultralytics import YOLO

    evil = {"model": Calls(os.mkdir, str(tmp_path / "harm"))}
    torch.save(evil, tmp_path / "best.pt")
    with pytest.raises(tftrt_yolo.CheckpointError, match="which is none of PyTorch's or Ultralytics' classes"):
        artifacts.Artifacts(plan, machine_key="cpu").prepare(choose(("pytorch-eager-fp32",))[0])
    assert not (tmp_path / "harm").exists()

    (tmp_path / "best.pt").write_bytes(TINY_WEIGHTS.read_bytes())
    job, _ = artifacts.Artifacts(plan, machine_key="cpu").prepare(choose(("pytorch-eager-fp32",))[0])
    assert Path(job["weights"]).name == "best.pt"
    assert job["weights"] != plan.weights
    expected, found = YOLO(TINY_WEIGHTS).model.float().state_dict(), YOLO(job["weights"]).model.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
