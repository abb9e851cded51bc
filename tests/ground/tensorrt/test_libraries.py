"""TensorFlow itself, with libraries that say which TensorRT they are and can do nothing else."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import tftrt_yolo
from tests.conftest import DATA
from tftrt_yolo.ground.tensorrt import libraries, versions
from tftrt_yolo.preflighting.stand_in import library as stand_in

ROOT = DATA.parents[1]
SAYS = """#include <stdlib.h>
extern "C" __attribute__((visibility("default"))) int getInferLibVersion() { return atoi(getenv("SAYS")); }
"""
LOOK = """import dataclasses, json
from tftrt_yolo.ground import environment
machine = environment.look()
print(json.dumps([machine.library_problems, machine.linked_tensorrt, machine.loaded_tensorrt,
                  machine.taken_for_tensorrt, machine.why_no_engines, machine.remedies, str(machine)]))
"""
WHEEL = versions.parse("8.6.1")
LIBRARIES, PLUGINS = ("libnvinfer.so.8.6.1", "libnvinfer_plugin.so.8.6.1")

pytestmark = pytest.mark.skipif(libraries.linked() != WHEEL, reason="this TensorFlow wants another TensorRT")


@pytest.fixture(scope="module")
def says(tmp_path_factory):
    """A library that says it is the TensorRT of $SAYS."""
    folder = tmp_path_factory.mktemp("says")
    (folder / "says.cpp").write_text(SAYS)
    [command, last] = stand_in._commands()[-1]
    output = folder / "says.so"
    subprocess.run([*command, *stand_in._FLAGS, str(folder / "says.cpp"), "-o", str(output), *last], check=True)
    return output


def _run(code, **environment):
    """What a process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _look(**environment):
    """What the package finds in a process of its own; its fields by name."""
    names = ("problems", "linked", "loaded", "taken_for", "why", "remedies", "text")
    return dict(zip(names, json.loads(_run(LOOK, **environment)), strict=True))


@pytest.mark.parametrize(
    ("says_number", "loaded", "taken_for", "why"),
    [
        (8601, "8.6.1", "8.6.1", ""),
        (8602, "8.6.2", "8.6.2", ""),  # newer, same major
        (8503, "8.5.3", "8.5.3", "TensorRT 8.5.3 does not fit the 8.6.1 that was linked"),
        (100800, "10.8.0", "100.8.0", "TensorRT 10.8.0 does not fit the 8.6.1 that was linked"),
        (0, "0.0.0", "0.0.0", "TensorRT 0.0.0 does not fit the 8.6.1 that was linked"),
    ],
)
def test_what_tensorflow_finds(says, tmp_path, says_number, loaded, taken_for, why):
    for name in (LIBRARIES, PLUGINS):
        shutil.copy(says, tmp_path / name)
    found = _look(LD_LIBRARY_PATH=str(tmp_path), SAYS=str(says_number))
    assert found["problems"] == {LIBRARIES: "", PLUGINS: ""}
    assert (found["linked"], found["loaded"], found["taken_for"]) == ("8.6.1", loaded, taken_for)
    assert found["why"].removeprefix("no GPU").removeprefix(", ") == why
    tensorrt = [remedy for remedy in found["remedies"] if remedy.startswith("TensorRT")]
    if why:
        assert tensorrt[0].startswith(
            f"TensorRT: {loaded} was found under the name libnvinfer.so.8.6.1, but TF-TRT takes 8.6.1 and newer ones "
            "of major version 8; install tensorrt-libs==8.6.1"
        )
    else:
        assert tensorrt == []
    misread = "" if loaded == taken_for else f", which TensorFlow takes for {taken_for}"
    assert f"loaded TensorRT             {loaded}{misread}\n" in found["text"]


def test_one_of_two_libraries(says, tmp_path):
    shutil.copy(says, tmp_path / LIBRARIES)
    found = _look(LD_LIBRARY_PATH=str(tmp_path), SAYS="8601")
    assert found["problems"][LIBRARIES] == ""
    assert "cannot open shared object file" in found["problems"][PLUGINS]
    assert found["loaded"] is None
    assert f"{PLUGINS} cannot be opened" in found["why"]
    assert f"{LIBRARIES} and" not in found["why"]


def test_no_library_at_all(tmp_path):
    found = _look(LD_LIBRARY_PATH=str(tmp_path))
    assert list(found["problems"]) == [LIBRARIES, PLUGINS]
    assert found["loaded"] is None
    assert found["remedies"][0].startswith("TensorRT: install tensorrt-libs==8.6.1 from NVIDIA's own package index")
    assert found["remedies"][0].endswith(
        "A TensorRT of another major version than 8, linked under the name libnvinfer.so.8.6.1, does not work"
    )


@pytest.fixture
def site_packages(says, tmp_path):
    """TensorFlow in a folder of its own, with pip's TensorRT beside it as pip leaves it."""
    origin = libraries.site_packages() / "tensorflow"
    shutil.copytree(origin, tmp_path / "tensorflow", copy_function=os.symlink)
    _pip(tmp_path, "tensorrt_libs-8.6.1", "8", says)
    return tmp_path


def _pip(folder, distribution, major, says, resources=("libnvinfer_builder_resource.so.8.6.1",)):
    """Lays down what pip would, of one distribution."""
    (folder / f"{distribution}.dist-info").mkdir()
    (folder / "tensorrt_libs").mkdir(exist_ok=True)
    for name in (f"libnvinfer.so.{major}", f"libnvinfer_plugin.so.{major}", *resources):
        shutil.copy(says, folder / "tensorrt_libs" / name)


def test_check_fix_mends_it_for_tensorflow_itself(site_packages):
    """In the process that mends it, and in the next one; the other way round when the libraries go."""
    environment = {"PYTHONPATH": f"{site_packages}{os.pathsep}{ROOT}", "SAYS": "8601", "LD_LIBRARY_PATH": ""}
    before = _look(**environment)
    assert "tftrt-yolo check --fix" in before["text"]
    mended = _run(
        "import tftrt_yolo, tensorflow\n"
        "machine = tftrt_yolo.check(fix=True)\n"
        "print(tensorflow.__file__, machine.loaded_tensorrt, [r for r in machine.remedies if 'TensorRT' in r])",
        **environment,
    )
    assert mended.split() == [str(site_packages / "tensorflow" / "__init__.py"), "8.6.1", "[]"]
    after = _look(**environment)
    assert after["problems"] == {LIBRARIES: "", PLUGINS: ""}
    assert after["loaded"] == "8.6.1"
    shutil.rmtree(site_packages / "tensorrt_libs")  # the links lead nowhere
    assert all(_look(**environment)["problems"].values())


RECORD = """from pathlib import Path
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tftrt_yolo import TensorRTOptions
from tftrt_yolo.preflighting.recorder import record
from tftrt_yolo.preflighting.recorder.graph import Frozen, Graph

filters = tf.random.stateless_normal((3, 3, 3, 4), (0, 0))
network = tf.function(lambda x: tf.nn.relu(tf.nn.relu(tf.nn.conv2d(x, filters, 1, "SAME")) + 1.0))
frozen = convert_variables_to_constants_v2(network.get_concrete_function(tf.TensorSpec((None, 16, 16, 3))))
Path("graph.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
graph = Graph(Path("graph.pb"), "FP32", {"frames": frozen.inputs[0].name}, {"y": frozen.outputs[0].name})
counts = record.work(given="a graph", frozen=Frozen((graph,), ("y",)),
                     options=TensorRTOptions(minimum_coverage=0.0, minimum_segment_size=1))
print(counts["nodes_inside"], sorted(path.name for path in Path(".").glob("*.json")))
"""


def test_all_of_tensorflow_looks_where_the_links_are(site_packages, tmp_path_factory):
    """What converts is in another of TensorFlow's libraries than what looks for TensorRT: it finds the stand-in too."""
    for path in (site_packages / "tensorrt_libs").iterdir():
        path.write_bytes(stand_in.built())
    libraries.link(WHEEL, site_packages)
    recording_dir = tmp_path_factory.mktemp("recording")
    done = subprocess.run(
        [sys.executable, "-c", RECORD],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {
            "PYTHONPATH": f"{site_packages}{os.pathsep}{ROOT}",
            "LD_LIBRARY_PATH": "",
            "CUDA_VISIBLE_DEVICES": "",
            stand_in.RECORDING_DIR: str(recording_dir),
        },
        cwd=recording_dir,
    )
    assert done.returncode == 0, done.stderr
    inside, written = done.stdout.split(maxsplit=1)
    assert int(inside) >= 4
    assert "network.json" in written


@pytest.mark.parametrize(
    ("linked", "distribution", "resources", "names"),
    [
        ("8.6.1", "tensorrt_libs-8.6.1", ["libnvinfer_builder_resource.so.8.6.1"], ["8.6.1", "8"]),
        ("10.0.1", "tensorrt_cu12_libs-10.0.1", ["libnvinfer_builder_resource.so.10.0.1"], ["10.0.1", "10"]),
        # newer than what TensorFlow was built against: TF-TRT takes it, and it opens its own resource
        ("10.0.1", "tensorrt_cu12_libs-10.8.0.43", ["libnvinfer_builder_resource.so.10.8.0"], ["10.0.1", "10"]),
        (
            "10.8.0",
            "tensorrt_cu12_libs-10.16.1.11",
            ["libnvinfer_builder_resource_sm86.so.10.16.1", "libnvinfer_builder_resource_sm90.so.10.16.1"],
            ["10.8.0", "10"],
        ),
    ],
)
def test_what_is_linked(tmp_path, says, linked, distribution, resources, names):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorrt_rtx_cu12_libs-1.7.1.116.dist-info").mkdir()  # another product
    _pip(tmp_path, distribution, names[1], says, resources)
    expected = [f"lib{library}.so.{end}" for library in ("nvinfer", "nvinfer_plugin") for end in names] + resources
    for _ in range(2):  # again changes nothing
        links = libraries.link(versions.parse(linked), tmp_path)
        assert [link.name for link in links] == expected
        assert all(link.parent == tmp_path / "tensorflow" and link.is_symlink() for link in links)
        assert all(link.read_bytes() == says.read_bytes() for link in links)


@pytest.mark.parametrize(
    ("linked", "distribution", "message"),
    [
        ("8.6.1", None, r"holds no tensorrt_libs; expected TensorRT 8\.6\.1, for TF-TRT takes 8\.6\.1 and newer"),
        ("8.6.1", "tensorrt_libs-10.0.1", r"holds tensorrt_libs-10\.0\.1; expected TensorRT 8\.6\.1"),
        ("8.6.1", "tensorrt_cu12_libs-10.8.0.43", r"holds tensorrt_cu12_libs-10\.8\.0\.43; expected"),
        ("8.6.2", "tensorrt_libs-8.6.1", r"holds tensorrt_libs-8\.6\.1; expected TensorRT 8\.6\.2"),
        ("10.8.0", "tensorrt_libs-8.6.1", r"expected TensorRT 10\.8\.0.*install 'tensorrt-cu12-libs>=10\.8\.0,<11'"),
        ("10.8.0", "tensorrt_cu12_libs-10.7.0", r"holds tensorrt_cu12_libs-10\.7\.0; expected TensorRT 10\.8\.0"),
        ("10.8.0", "tensorrt_cu12_libs-11.0.0", r"TF-TRT takes 10\.8\.0 and newer ones of major version 10"),
        ("10.8.0", "tensorrt_cu12_libs-next", r"holds no tensorrt_libs"),  # no version
        ("10.8.0", "tensorrt_lean_cu12_libs-10.8.0", r"holds no tensorrt_libs"),  # it builds nothing
    ],
)
def test_fix_refuses_what_tf_trt_would_not_take(tmp_path, says, linked, distribution, message):
    (tmp_path / "tensorflow").mkdir()
    if distribution:
        _pip(tmp_path, distribution, linked.partition(".")[0], says)
    with pytest.raises(tftrt_yolo.TensorRTUnavailableError, match=message):
        libraries.link(versions.parse(linked), tmp_path)
    assert not list((tmp_path / "tensorflow").iterdir())


@pytest.mark.parametrize("name", ["libnvinfer.so.8", "libnvinfer_plugin.so.8", "libnvinfer_builder_resource.so.8.6.1"])
def test_fix_refuses_half_a_package(tmp_path, says, name):
    (tmp_path / "tensorflow").mkdir()
    _pip(tmp_path, "tensorrt_libs-8.6.1", "8", says)
    (tmp_path / "tensorrt_libs" / name).unlink()
    words = rf"tensorrt_libs has no {name.partition('.')[0]}\. Reinstall pip's package: install tensorrt-libs==8\.6\.1"
    with pytest.raises(tftrt_yolo.TensorRTUnavailableError, match=words):
        libraries.link(WHEEL, tmp_path)
    assert not list((tmp_path / "tensorflow").iterdir())


def test_fix_leaves_a_file_alone(tmp_path, says):
    (tmp_path / "tensorflow").mkdir()
    _pip(tmp_path, "tensorrt_libs-8.6.1", "8", says)
    mine = tmp_path / "tensorflow" / PLUGINS
    mine.write_text("mine")
    with pytest.raises(tftrt_yolo.TensorRTUnavailableError, match=rf"{PLUGINS} is a file, and was to become a link"):
        libraries.link(WHEEL, tmp_path)
    assert mine.read_text() == "mine"
    assert list((tmp_path / "tensorflow").iterdir()) == [mine]


def test_fix_cannot_write(tmp_path, says):
    """The folder is none, which root cannot write either."""
    (tmp_path / "tensorflow").write_text("a file")
    _pip(tmp_path, "tensorrt_libs-8.6.1", "8", says)
    with pytest.raises(tftrt_yolo.TensorRTUnavailableError, match=r"The links cannot be made \(.*as the user who owns"):
        libraries.link(WHEEL, tmp_path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            "from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils\n"
            "_pywrap_py_utils.get_linked_tensorrt_version = lambda: (0, 0, 0)\n",
            "was built without TensorRT. Convert with tensorflow==2.17.1",
        ),
        (
            "import sys, tensorflow; sys.modules['tensorflow.compiler.tf2tensorrt'] = None\n",
            "was built without TensorRT. Convert",
        ),
        ("import sys; sys.modules['tensorflow'] = None\n", "TensorFlow is not installed, so nothing wants TensorRT"),
    ],
    ids=["linked with none", "no TF-TRT", "no TensorFlow"],
)
def test_fix_without_a_tensorflow_that_wants_it(given, words):
    fix = (
        "import tftrt_yolo\n"
        "try:\n    tftrt_yolo.check(fix=True)\n"
        "except tftrt_yolo.TensorRTUnavailableError as error:\n    print(error)"
    )
    assert words in _run(given + fix)
