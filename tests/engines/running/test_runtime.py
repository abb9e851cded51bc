"""Which TensorRT opens an engine, and our lines around its Python API, which a rehearsal plays."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.engines.rehearsal import SIDE, ExecutorRuntime, HostMemory, TensorRT, facts, metadata, profile, recorded
from tests.preflighting.real_builder.test_builders import WITHOUT_RTX, install
from tftrt_yolo.engines import engine_file
from tftrt_yolo.engines.running import runtime
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground.errors import EngineError, TensorRTUnavailableError
from tftrt_yolo.preflighting.real_builder.builders import Builder

MODEL = metadata("segment")
BUILDER = Builder("tensorrt_rtx_bindings", "TensorRT-RTX", "1.7.1.116", "tensorrt_rtx")


def _network(batch_size=None):
    return with_ultralytics_layout(recorded(MODEL), MODEL, batch_size=batch_size)


def _images(count):
    return np.random.default_rng(count).random((count, 3, SIDE, SIDE), np.float32)


def _opened(network, profiles=(), fails=()):
    rehearsed = TensorRT(network, profiles, fails)
    return runtime._TensorRTRuntime(b"plan", rehearsed, BUILDER, HostMemory(), "a.engine")


@pytest.mark.parametrize("profiles", [[profile(1, 4)], [profile(8, 8), profile(1, 2), profile(3, 4)]])
def test_a_rehearsed_engine_gives_what_the_network_gives(profiles):
    network = _network()
    opened, expected = _opened(network, profiles), ExecutorRuntime(network)
    assert opened.name == "TensorRT-RTX 1.7.1.116"
    assert opened.tensors == expected.tensors
    assert opened.profiles == {"images": tuple(profiles)}
    for count in (1, 4, 2):
        found, wanted = opened.run(_images(count)), expected.run(_images(count))
        assert list(found) == list(wanted)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values)
    with pytest.raises(EngineError, match=r"a.engine was given a batch of 5; expected .*1 to [24]"):
        opened.run(_images(5))


def test_a_rehearsed_engine_of_a_fixed_batch():
    opened = _opened(_network(batch_size=2))
    assert opened.run(_images(2))["output1"].shape == (2, 8, 4, 4)
    with pytest.raises(EngineError, match="was given a batch of 1; expected 2, which its profiles cover"):
        opened.run(_images(1))


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (
            "open",
            r"refuses to open it \(a.engine\): the plan was built by another version. Build the engine again here",
        ),
        ("runtime", r"refuses a runtime for it \(a.engine\): it says nothing"),
        ("context", r"refuses a context for it \(a.engine\): it says nothing"),
        ("run", r"refuses to run \(a.engine\): out of memory. Build .*smaller batches if the GPU's memory is out"),
    ],
)
def test_what_tensorrt_refuses_is_told_in_its_words(fails, message):
    with pytest.raises(EngineError, match=message):
        _opened(_network(), [profile(1, 4)], (fails,)).run(_images(1))


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("8.6.1", "8.6.1.6", True),  # TensorFlow's, and the library's
        ("1.7.1.116", "1.7.1.116", True),
        ("1.7.1.116", "1.7.1.117", False),
        ("10.8.0.43", "10.8.0", True),
        ("10.8", "10.8.0", False),  # too little is told
        ("8.6.1", "8.6.2", False),
        ("unknown", "unknown", False),
        ("8.6.1.post1", "8.6.1", True),
    ],
)
def test_versions(one, other, agree):
    assert runtime._agree(one, other) == runtime._agree(other, one) == agree


@pytest.fixture
def file(tmp_path):
    """An engine file of the TensorRT that is installed here, for a GPU of compute capability 8.9."""

    def write(model=MODEL, **others):
        network = with_ultralytics_layout(recorded(model), model, batch_size=1)
        path = tmp_path / "a.engine"
        path.unlink(missing_ok=True)
        engine_file.write(path, model, facts(ExecutorRuntime(network).tensors, **others), b"a plan")
        return path

    return write


def test_another_version_is_refused_with_both_named(file):
    opened = engine_file.read(file(builder_version="1.6.0.1"))
    message = "a.engine was built by TensorRT-RTX 1.6.0.1, and installed here is TensorRT-RTX 1.7.1.116"
    with pytest.raises(TensorRTUnavailableError, match=message):
        runtime.open_runtime(opened)


def test_another_tensorrt_is_refused_with_both_named(file):
    opened = engine_file.read(file(builder="TensorRT", builder_version="10.8.0.43"))
    message = "a.engine was built by TensorRT 10.8.0.43, and installed here is TensorRT-RTX 1.7.1.*install TensorRT 10"
    with pytest.raises(TensorRTUnavailableError, match=message):
        runtime.open_runtime(opened)


def test_an_engine_of_ultralytics_needs_tensorrt_itself(file):
    opened = dataclasses.replace(engine_file.read(file()), facts=None)
    message = "was built by TensorRT, as Ultralytics has it done, and installed here is TensorRT-RTX 1.7.1.116"
    with pytest.raises(TensorRTUnavailableError, match=message):
        runtime.open_runtime(opened)


def test_another_gpu_is_refused_with_both_named(file):
    opened = engine_file.read(file(compute_capability="8.6"))
    message = "a.engine is for GPUs of compute capability 8.6, and the GPU here has 8.9. Build it again with .*=8.9"
    with pytest.raises(TensorRTUnavailableError, match=message):
        runtime._check_gpu(opened, "8.9")
    runtime._check_gpu(opened, "8.6")
    runtime._check_gpu(engine_file.read(file(compute_capability=engine_file.UNTOLD_GPU)), "9.0")


def test_a_plan_that_was_changed_is_refused_before_a_gpu_is_asked_for(file):
    path = file()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(EngineError, match="is damaged: the SHA-256 of its plan"):
        runtime.open_runtime(engine_file.read(path))


def _said(code, folder):
    """What an interpreter prints that has no TensorRT-RTX, but what lies in a folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
    command = [sys.executable, "-c", WITHOUT_RTX + code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _opening(path):
    return (
        "import tftrt_yolo\n"
        f"try: tftrt_yolo.EnginePredictor({str(path)!r})\n"
        "except tftrt_yolo.TensorRTUnavailableError as error: print(error)\n"
    )


def test_neither_tensorrt(file, tmp_path):
    said = _said(_opening(file()), tmp_path)
    assert (
        "a.engine was built by TensorRT-RTX 1.7.1.116, and installed here is neither tensorrt nor tensorrt_rtx" in said
    )
    assert said.strip().endswith("install TensorRT-RTX 1.7.1.116, or run the SavedModel with Predictor.")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("10.8.0.43", r"An engine runs on an NVIDIA GPU, and none can be used here: torch|cannot be imported"),
        ("10.9.0", r"was built by TensorRT 10.8.0.43, and installed here is TensorRT 10.9.0"),
    ],
)
def test_tensorrt_of_this_or_another_version(version, message, file, tmp_path):
    install(tmp_path, version, "raise ImportError('libnvinfer.so.10 is missing')")
    path = file(builder="TensorRT", builder_version="10.8.0.43")
    assert re.search(message, _said(_opening(path), tmp_path))


def test_too_old_a_tensorrt(file, tmp_path):
    install(tmp_path, "8.4.3", "")
    said = _said(_opening(file(builder="TensorRT", builder_version="8.4.3")), tmp_path)
    assert "TensorRT 8.4.3 is installed; expected 8.5 or newer" in said
