"""Engines of real exports, built by TensorRT-RTX on a CPU; their networks computed by the preflight's executor."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import CROPS, DATA, IMAGES
from tests.engines import postprocessing
from tests.engines.rehearsal import ExecutorRuntime, SettledRuntime
from tests.preflighting.test_preflight import _small_disk as small_disk
from tftrt_yolo.converter.tensorrt_options import TensorRTOptions
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.preflighting.real_builder import builders
from tftrt_yolo.preflighting.recorder import recording
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.network import Framer, in_unit_range

CALIBRATION = str(DATA / "images")
TASKS = ["tiny", *(pytest.param(task, marks=pytest.mark.slow) for task in ("segment", "pose", "obb", "classify"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def tiny(tiny_export, folder):
    """An engine of detect for several batch sizes, and its report."""
    path = folder / "made" / "tiny.engine"
    return path, tftrt_yolo.build_engine(tiny_export, path, batch_sizes=(1, 4), compute_capability="8.6")


def _runtime(export, folder):
    """The export's network in Ultralytics' layout, in the executor."""
    source, asked = open_saved_model(export), recording.plan("FP16", None, TensorRTOptions())
    folder.mkdir()
    with recording.recorded(source, folder.resolve(), asked):
        [network] = recorded_network.read(folder)
    return ExecutorRuntime(with_ultralytics_layout(network, source.metadata, batch_size=1))


def test_the_report(tiny, tiny_export):
    path, report = tiny
    frame = tftrt_yolo.Predictor(tiny_export).metadata.image_size_hw
    assert report.faults == report.unread == report.disagreements == ()
    assert report.tensors == (
        IOTensor("images", "FLOAT", (-1, 3, *frame), is_input=True),
        IOTensor("output0", "FLOAT", (-1, 14, 2100), is_input=False),
    )
    assert report.plan.tensors == report.tensors  # read from the plan's bytes
    assert report.plan.profiles == (Profile((1, 3, *frame), (4, 3, *frame), (4, 3, *frame)),)
    assert (report.plan.version, report.plan.compute_capability) == (builders.find().version, "8.6")
    assert (report.file_bytes, report.batch_sizes) == (path.stat().st_size, (1, 4))
    assert report.builder.tensor_types["HALF"] > 300  # FP16, but for its ends and the decode
    assert report.left_to_tensorflow == ()
    text = str(report)
    assert "on a CPU, nothing was run" in text
    assert (
        "read from the plan's bytes and compared: version, compute_capability, tensors, profiles; not read: noth"
        in text
    )
    assert json.loads(documents.to_json(report))["faults"] == []
    assert os.listdir(path.parent) == ["tiny.engine"]


def test_the_file(tiny, tiny_export):
    from ultralytics.nn.backends.base import BaseBackend

    path, report = tiny
    file = engine_file.read(path)
    metadata = tftrt_yolo.Predictor(tiny_export).metadata
    assert metadata.trained_size_hw == (320, 320)
    assert file.metadata == dataclasses.replace(metadata, trained_size_hw=None)  # which its header does not have
    assert (file.facts.builder, file.facts.compute_capability) == ("TensorRT-RTX", "8.6")
    assert file.plan().startswith(b"vtrt")
    assert len(file.plan()) == report.builder.plan_bytes
    found = BaseBackend.read_metadata(path)
    assert (found["task"], found["imgsz"], found["batch"]) == ("detect", list(file.metadata.image_size_hw), 4)
    assert found["args"] == {"batch": 4, "half": True, "int8": False, "dynamic": True, "nms": False}


def test_a_plan_alone(tiny_export, tmp_path):
    """As trtexec and Triton take it: the file is TensorRT's plan, and nothing replaces it."""
    path = tmp_path / "a.plan"
    report = tftrt_yolo.build_engine(tiny_export, path, compute_capability="8.6", header=False)
    assert path.read_bytes().startswith(b"vtrt")
    assert report.file_bytes == path.stat().st_size == report.builder.plan_bytes
    assert (report.has_header, report.faults, report.plan.compute_capability) == (False, (), "8.6")
    assert "the plan alone, without a header" in str(report)
    with pytest.raises(tftrt_yolo.EngineError, match=r"a\.plan has no header: .* a plan alone, as trtexec writes it"):
        tftrt_yolo.EnginePredictor(path)
    with pytest.raises(FileExistsError, match=r"a\.plan exists and does not say that this wrote it, so"):
        tftrt_yolo.build_engine(tiny_export, path, header=False)
    assert os.listdir(tmp_path) == ["a.plan"]


def test_it_cannot_be_opened_here_and_says_why(tiny):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(tftrt_yolo.TensorRTUnavailableError, match="An engine runs on an NVIDIA GPU, and none"):
        tftrt_yolo.EnginePredictor(tiny[0])


@pytest.mark.parametrize("task", TASKS)
def test_detections_are_those_of_predictor(task, models, folder):
    """By EnginePredictor, and by Ultralytics' own functions behind what the engine's network gives."""
    export = models.exported(task)
    path = folder / f"{task}.engine"
    report = tftrt_yolo.build_engine(export, path, precision_mode="FP16", batch_sizes=(1,))
    assert report.faults == report.unread == ()
    assert report.tensors[0].dims[0] == 1  # a single batch size is fixed
    runtime = _runtime(export, folder / task)
    predictor = tftrt_yolo.Predictor(export)
    images = CROPS[:3] if task == "classify" else IMAGES[:3]
    expected = predictor(images)
    for one, other in zip(tftrt_yolo.EnginePredictor(path, runtime=runtime)(images), expected, strict=True):
        _check_alike(predictor.task, one, other)
    framer = Framer(predictor.metadata)
    for image, wanted in zip(map(read_image, images), expected, strict=True):
        frames = in_unit_range(framer(image)[0][np.newaxis]).transpose(0, 3, 1, 2)
        [found] = postprocessing.detections(
            runtime.run(np.ascontiguousarray(frames)), predictor.metadata, [image.shape[:2]]
        )
        for quantity, difference in postprocessing.differences(found, wanted).items():
            assert difference < (0.01 if "px" in quantity else 1e-4), (quantity, difference)
    assert any(map(len, expected))


def _check_alike(task, one, other):
    """Asserts that two of a task's results are the same within rounding."""
    found, wanted = (one, other) if task.boxes is None else (task.boxes(one), task.boxes(other))
    assert found.class_id.tolist() == wanted.class_id.tolist()
    for index in range(1 if task.boxes is None else len(found)):
        for quantity, difference in task.differences(one, other, index, index).items():
            bound = 0.01 if "px" in quantity else 0.02 if "masks" in quantity else 1e-4
            assert difference < bound, (quantity, difference)


@pytest.mark.slow
def test_int8(models, folder):
    """With ties of rounding as in TensorFlow, detections are those of the quantised graph in TensorFlow."""
    export = models.exported("tiny")
    path = folder / "int8.engine"
    seen = []
    report = tftrt_yolo.build_engine(
        export,
        path,
        precision_mode="int8",
        calibration_data=CALIBRATION,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert report.faults == ()
    assert report.precision_mode == engine_file.read(path).facts.precision_mode == "INT8"
    assert report.builder.tensor_types["INT8"] > 100
    assert seen[-1][0] == seen[-1][1] > 0
    runtime = _settled(export, folder / "int8")
    framer = Framer(runtime.metadata)
    for image in map(read_image, IMAGES[:2]):
        frames = np.ascontiguousarray(in_unit_range(framer(image)[0][np.newaxis]).transpose(0, 3, 1, 2))
        sides = [runtime.run(frames), runtime.expected(frames)]
        found, expected = (postprocessing.detections(side, runtime.metadata, [image.shape[:2]])[0] for side in sides)
        assert found.class_id.tolist() == expected.class_id.tolist()
        np.testing.assert_allclose(found.xyxy, expected.xyxy, atol=0.01)
        np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    assert runtime.rounding.difference.largest_steps <= 1


def _settled(export, folder):
    """The export's INT8 network, which rounds ties as TensorFlow does."""
    folder.mkdir()
    source, asked = open_saved_model(export), recording.plan("INT8", CALIBRATION, TensorRTOptions())
    with recording.recorded(source, folder.resolve(), asked) as (tensorflow_side, _):
        shutil.copytree(tensorflow_side.folder / "quantized", folder / "quantized")
    [network] = recorded_network.read(folder)
    return SettledRuntime(network, source.metadata, folder / "quantized")


def test_an_earlier_engine_is_replaced_only_if_asked(tiny, tiny_export, tmp_path):
    path = tmp_path / "a.engine"
    shutil.copy(tiny[0], path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"a\.engine exists already\. Choose another file"):
        tftrt_yolo.build_engine(tiny_export, path)
    assert path.read_bytes() == before
    (tmp_path / "b.engine").write_text("notes")
    with pytest.raises(FileExistsError, match=r"b\.engine exists and does not say that this wrote it"):
        tftrt_yolo.build_engine(tiny_export, tmp_path / "b.engine", overwrite=True)
    report = tftrt_yolo.build_engine(tiny_export, path, precision_mode="FP32", overwrite=True)
    assert engine_file.read(path).facts.precision_mode == report.precision_mode == "FP32"
    assert "HALF" not in report.builder.tensor_types
    assert sorted(os.listdir(tmp_path)) == ["a.engine", "b.engine"]


def test_a_conversion_and_what_is_no_model_are_refused(tiny_conversion, tmp_path):
    message = "is a conversion already. Build an engine of the export that it came from"
    with pytest.raises(tftrt_yolo.NotAnExportError, match=re.escape(message)):
        tftrt_yolo.build_engine(tiny_conversion, tmp_path / "a.engine")
    with pytest.raises(tftrt_yolo.SavedModelError, match="is no directory"):
        tftrt_yolo.build_engine(tmp_path / "nowhere", tmp_path / "a.engine")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("denied", "message"),
    [
        ("MaxPool", r"TF-TRT makes [2-9] engines of .*; expected one, .*Left to TensorFlow: MaxPool x 3"),
        pytest.param("Sigmoid", r"does not give .*scores|takes |engines", marks=pytest.mark.slow),
    ],
)
def test_what_is_left_to_tensorflow_is_named(denied, message, tiny_export, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_TRT_OP_DENYLIST", denied)
    with pytest.raises((tftrt_yolo.EngineError, tftrt_yolo.ConversionError), match=message):
        tftrt_yolo.build_engine(tiny_export, tmp_path / "new" / "a.engine")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("batch_sizes", "error"), [(1, ValueError), ((65_536,), tftrt_yolo.EngineError)])
def test_batch_sizes_that_are_none(batch_sizes, error, tiny_export, tmp_path):
    with pytest.raises(
        error, match=r"batch_sizes is 1; expected|refuses to build the network.* Try smaller batch_s"
    ) as caught:
        tftrt_yolo.build_engine(tiny_export, tmp_path / "a.engine", batch_sizes=batch_sizes)
    assert "TF_TRT_OP_DENYLIST" not in str(caught.value)  # an op that is left to TensorFlow is missing in the engine
    assert not list(tmp_path.iterdir())


def test_a_full_disk(tiny_export, tmp_path):
    with small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises(tftrt_yolo.EngineError, match=r"Free some space, or write to another disk; nothing half"):
            tftrt_yolo.build_engine(tiny_export, disk / "out" / "a.engine")
        assert not list(disk.iterdir())


def test_a_full_disk_of_temporary_files(tiny_export, tmp_path, monkeypatch):
    """The recording lies there, however much space there is for the engine."""
    with small_disk(tmp_path / "disk", "2m") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        message = re.escape(f"temporary files go to {disk} unless TMPDIR names another folder")
        with pytest.raises(tftrt_yolo.PreflightError, match=message):
            tftrt_yolo.build_engine(tiny_export, tmp_path / "a.engine")
        assert not list(disk.iterdir())
    assert os.listdir(tmp_path) == ["disk"]


@pytest.mark.slow
def test_two_processes_that_build_the_same_engine(tiny_export, tmp_path):
    """One builds it, and the other finds that it exists; what is there is whole."""
    code = f"import tftrt_yolo; tftrt_yolo.build_engine({str(tiny_export)!r}, {str(tmp_path / 'a.engine')!r})"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[1] for process in processes]
    statuses = sorted(process.returncode for process in processes)
    assert statuses == [0, 1], said
    assert "a.engine exists already" in "".join(said)
    assert engine_file.read(tmp_path / "a.engine").plan().startswith(b"vtrt")
    assert os.listdir(tmp_path) == ["a.engine"]


def test_no_tensorrt_that_builds(tiny_export, tmp_path):
    from tests.preflighting.real_builder.test_builders import WITHOUT_RTX

    code = (
        f"import tftrt_yolo\ntry: tftrt_yolo.build_engine({str(tiny_export)!r}, {str(tmp_path / 'a.engine')!r})\n"
        "except tftrt_yolo.TensorRTUnavailableError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", WITHOUT_RTX + code], capture_output=True, text=True, check=False)
    assert "No TensorRT that builds engines is installed here. Install TensorRT-RTX, which needs no GPU" in said.stdout
