"""EnginePredictor over the preflight's executor, against Predictor; and what it refuses."""

import inspect
import re

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import CROPS, IMAGES
from tests.engines.rehearsal import ExecutorRuntime, facts, metadata, profile, recorded, rewritten
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground import environment
from tftrt_yolo.ground.errors import EngineError, TensorRTUnavailableError

MODEL = metadata("detect")


@pytest.fixture
def engine(tmp_path):
    """Writes an engine file, and gives it with what plays its plan."""

    def write(model=MODEL, batch_sizes=(1,)):
        profiles = {"images": (profile(min(batch_sizes), max(batch_sizes)),)} if len(batch_sizes) > 1 else {}
        batch_size = batch_sizes[0] if len(batch_sizes) == 1 else None
        network = with_ultralytics_layout(recorded(model), model, batch_size=batch_size)
        runtime = ExecutorRuntime(network, profiles)
        found = facts(runtime.tensors, batch_sizes=batch_sizes, profiles=profiles)
        path = tmp_path / f"{model.task}{batch_sizes}.engine"
        engine_file.write(path, model, found, b"a plan")
        return path, runtime

    return write


def _image(number):
    return np.random.default_rng(number).integers(0, 255, (20 + number, 30, 3), np.uint8)


def test_its_interface_is_predictors():
    for name, member in inspect.getmembers(tftrt_yolo.Predictor, inspect.isfunction):
        if name.startswith("_") and name != "__call__":
            continue
        own = inspect.signature(getattr(tftrt_yolo.EnginePredictor, name)).parameters
        assert list(own) == list(inspect.signature(member).parameters)
    assert isinstance(tftrt_yolo.EnginePredictor.compiled_batch_sizes, property)


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb", "classify", "semantic", "depth"])
@pytest.mark.parametrize("once", [False, True])
def test_every_task_gives_its_object_of_supervision(engine, task, once):
    model = metadata(task, is_end_to_end=once)
    path, runtime = engine(model, (1, 4))
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    results = predictor([_image(number) for number in range(6)])
    assert sorted(runtime.batches) == [2, 4]
    assert len(results) == 6
    assert {type(result).__name__ for result in results} == {
        {"pose": "KeyPoints", "classify": "Classifications", "semantic": "SemanticMap", "depth": "DepthMap"}.get(
            task, "Detections"
        )
    }
    assert predictor.backend.name == "the preflight's executor"
    assert str(predictor.backend) == f"the preflight's executor on CPU: the engine {path.name}, FP16"
    assert predictor.metadata.selection.score_threshold == 0.5  # the header's
    assert predictor.names.tolist() == ["class 0", "class 1", "class 2"]
    one_by_one = [predictor(_image(number))[0] for number in range(6)]
    for together, alone in zip(results, one_by_one, strict=True):
        rows = predictor.task.rows(together, predictor.names)
        assert rows
        assert rows == predictor.task.rows(alone, predictor.names)


def test_batches_are_as_large_as_the_largest_profile(engine):
    path, runtime = engine(batch_sizes=(2, 4))
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    assert predictor.batch_ranges == ((2, 4),)
    assert len(list(predictor.stream([_image(0)] * 9))) == 9
    assert sorted(runtime.batches) == [2, 4, 4]  # the last was filled up
    runtime.batches.clear()
    assert len(predictor([_image(0)] * 5, batch_size=3)) == 5
    assert sorted(runtime.batches) == [2, 3]
    runtime.batches.clear()
    predictor.warm_up()
    predictor.warm_up((2, 3))
    assert runtime.batches == [4, 2, 3]


@pytest.mark.parametrize("call", ["__call__", "stream", "with_images"])
def test_a_batch_that_no_profile_covers_is_refused(engine, call):
    path, runtime = engine(batch_sizes=(1, 4))
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    message = re.escape(f"batch_size is too large: {path} was given a batch of 5; expected 1 to 4, which its profiles")
    with pytest.raises(ValueError, match=message):
        getattr(predictor, call)([_image(0)], batch_size=5)
    with pytest.raises(ValueError, match=message):
        predictor.warm_up((5,))
    with pytest.raises(ValueError, match="batch_size is 0; it must be a whole number of at least 1"):
        getattr(predictor, call)([_image(0)], batch_size=0)
    assert not runtime.batches


def test_a_gap_between_profiles_is_told_of(engine):
    path, runtime = engine(batch_sizes=(1, 4))
    runtime.profiles = {"images": (profile(1, 1), profile(4, 4))}
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    with pytest.raises(EngineError, match="was given a batch of 3; expected 1, 4, which its profiles cover"):
        predictor([_image(0)] * 3)


def test_metadata_of_another_task_are_refused_before_the_plan_is_opened(engine):
    path, _ = engine()

    def change(document):
        document |= {"task": "pose", "kpt_shape": [4, 3]}

    changed = rewritten(path, path.with_name("b.engine"), change)
    message = "b.engine says that it is for pose of 3 classes with 4 key points of 3 numbers, and has the tensors"
    with pytest.raises(EngineError, match=message):
        tftrt_yolo.EnginePredictor(changed)


def test_tensorflow_leaves_the_engine_its_memory(engine, monkeypatch):
    """By default TensorFlow takes all of a GPU's memory, and images and outputs of the engine come after."""
    seen = []
    monkeypatch.setattr(environment, "grow_gpu_memory", lambda: seen.append("grows"))
    path, runtime = engine()
    tftrt_yolo.EnginePredictor(path, runtime=runtime)
    assert seen == ["grows"]


def test_an_engine_that_is_not_its_header_is_refused(engine):
    path, _ = engine()
    _, other = engine(metadata("segment"))
    with pytest.raises(EngineError, match=r"has the tensors images FLOAT .*output1"):
        tftrt_yolo.EnginePredictor(path, runtime=other)


def test_what_this_machine_lacks_is_told(engine):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    path, _ = engine()
    with pytest.raises(TensorRTUnavailableError, match="An engine runs on an NVIDIA GPU, and none can be used here"):
        tftrt_yolo.EnginePredictor(path)


def test_an_image_that_cannot_be_read(engine, tmp_path):
    path, runtime = engine()
    (tmp_path / "a.jpg").write_bytes(b"no image")
    predictor = tftrt_yolo.EnginePredictor(path, runtime=runtime)
    with pytest.raises(tftrt_yolo.ImageError, match=r"a\.jpg"):
        predictor(tmp_path / "a.jpg")
    assert len(predictor([tmp_path / "a.jpg", IMAGES[0], CROPS[0]], on_unreadable="skip")) == 2


@pytest.mark.tensorrt
def test_an_engine_of_the_tensorrt_that_is_here(tiny_export, tmp_path):
    """On a GPU with TensorRT's Python package, which builds for it."""
    pytest.importorskip("tensorrt", minversion="10")
    tftrt_yolo.build_engine(tiny_export, tmp_path / "tiny.engine", precision_mode="FP32", batch_sizes=(1, 4))
    found = tftrt_yolo.EnginePredictor(tmp_path / "tiny.engine")(IMAGES)
    for one, other in zip(found, tftrt_yolo.Predictor(tiny_export)(IMAGES), strict=True):
        np.testing.assert_allclose(one.xyxy, other.xyxy, atol=0.5)
        assert one.class_id.tolist() == other.class_id.tolist()
