"""What a GPU machine would build of a model that was converted offline: the network that the preflight records.

TRTEngineOp builds its engine when the first batch comes, with the device of its GPU. Here TF-TRT's function is called
just so, on the segment of a SavedModel that `convert` wrote, with the stand-in in TensorRT's place.
"""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import tftrt_yolo
from tests.conftest import CROPS, IMAGES
from tests.preflighting.runtime_route.build import BATCH_SIZES, INT8
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.profiles import profiles
from tftrt_yolo.preflighting.rehearsal import device_memory, process
from tftrt_yolo.preflighting.stand_in import library
from tftrt_yolo.saved_model.handle import open_saved_model

HERE = Path(__file__).parent
FP16 = 1
STRATEGIES = ("Range", "Optimal", "Range+Optimal")  # TF-TRT's numbers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="TensorFlow's headers want g++, with which it was compiled"),
]


@pytest.fixture(scope="session")
def route(tmp_path_factory):
    """The library of route.cc."""
    import tensorflow as tf

    output = tmp_path_factory.mktemp("route") / "route.so"
    folder = Path(sysconfig.get_paths()["purelib"]) / "tensorflow"
    libraries = [f"-L{folder}", "-l:libtensorflow_framework.so.2", "-l:libtensorflow_cc.so.2", f"-Wl,-rpath,{folder}"]
    command = ["g++", "-O0", "-w", "-shared", "-fPIC", *tf.sysconfig.get_compile_flags(), str(HERE / "route.cc")]
    subprocess.run([*command, "-o", str(output), *libraries], check=True)
    return output


def _built(route, converted, folder, *, precision=FP16, strategy="Range"):
    """Builds the engine as on a GPU; what was recorded."""
    links, recording = folder / "links", folder / "recording"
    links.mkdir()
    recording.mkdir()
    environment = os.environ | library.environment_for(library.built(), links, recording)
    size_hw = open_saved_model(converted).metadata.image_size_hw
    arguments = [precision, STRATEGIES.index(strategy), *size_hw]
    command = [sys.executable, str(HERE / "build.py"), str(route), str(converted), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert recorded_network.join(recording) == 1
    return recorded_network.read(recording)[0]


@pytest.mark.parametrize(("task", "strategy"), [("tiny", "Range"), ("segment", "Range+Optimal"), ("pose", "Optimal")])
def test_a_rehearsed_engine_computes_what_tensorflow_does(models, route, tmp_path, task, strategy):
    """Built by TF-TRT, written, read again and run: batches within the profiles, and those outside are refused."""
    converted = models.converted(task)
    size_hw = open_saved_model(converted).metadata.image_size_hw
    environment = os.environ | process.environment_for(tmp_path) | {device_memory.HOST_MEMORY: "1"}
    arguments = [route, converted, FP16, STRATEGIES.index(strategy), *size_hw, tmp_path / library.TENSORRT_LIBRARIES[0]]
    command = [sys.executable, str(HERE / "rehearse.py"), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = profiles(BATCH_SIZES, strategy, (-1, *size_hw, 3))
    assert found["profiles"] == [[one.min[0], one.opt[0], one.max[0]] for one in expected]
    assert found["words"] == "tftrt_yolo: recorded by a stand-in for TensorRT"
    assert set(found["differences"]) == ({"1", "32"} if strategy == "Optimal" else {"1", "3", "32"})
    assert max(found["differences"].values()) < 1e-4


def _nameless(network):
    """Without the signature's names, which the engine's op does not know."""
    return dataclasses.replace(network, signature_outputs={})


@pytest.mark.parametrize("task", ["tiny", "segment", "pose", "obb", "classify"])
def test_a_gpu_builds_what_was_recorded(models, route, tmp_path, task):
    tftrt_yolo.preflight(models.exported(task), output_dir=tmp_path / "preflight")
    [recorded] = recorded_network.read(tmp_path / "preflight")
    built = _built(route, models.converted(task), tmp_path)
    assert _nameless(built).digest == _nameless(recorded).digest
    assert len(built.layers) == len(recorded.layers)


@pytest.mark.parametrize("task", ["tiny", "classify"])
def test_a_gpu_builds_what_was_recorded_in_int8(models, route, tmp_path, task):
    data = str(CROPS[0].parent / "*.jpg") if task == "classify" else IMAGES[0].parent
    source, converted = models.exported(task), tmp_path / "int8_saved_model"
    tftrt_yolo.preflight(source, precision_mode="INT8", calibration_data=data, output_dir=tmp_path / "preflight")
    tftrt_yolo.convert(source, converted, precision_mode="INT8", int8=tftrt_yolo.Int8Options(calibration_data=data))
    [recorded] = recorded_network.read(tmp_path / "preflight")
    built = _built(route, converted, tmp_path, precision=INT8)
    assert _nameless(built).digest == _nameless(recorded).digest


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_tf_trts_own_profiles(models, route, tmp_path, strategy):
    """TF-TRT makes them of the batch sizes that build() has run; ours are these, in the same order."""
    network = _built(route, models.converted("tiny"), tmp_path, strategy=strategy)
    [index] = network.inputs
    expected = profiles(BATCH_SIZES, strategy, network.tensors[index].dims)
    found = [{entry["selector"]: tuple(entry["dims"]) for entry in profile} for profile in network.profiles]
    assert found == [{"min": profile.min, "opt": profile.opt, "max": profile.max} for profile in expected]
