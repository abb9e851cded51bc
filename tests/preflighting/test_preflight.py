"""Preflight as its users have it: real exports, TF-TRT's own builder, TensorFlow's numbers, TensorRT-RTX, bad input."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import CROPS, DATA, IMAGES
from tests.preflighting.real_builder.test_builders import WITHOUT_RTX, install
from tests.saved_model.edits import copied
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.preflight_report import PreflightReport
from tftrt_yolo.preflighting.stand_in import library
from tftrt_yolo.saved_model import write
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.trust import digests

TASKS = ("tiny", "segment", "pose", "obb", "classify")
# Figures of the prototype for yolov8n are for weights without trained biases; these have them.
LAYERS = {"tiny": 486, "segment": 566, "pose": 591, "obb": 740, "classify": 175}


@pytest.fixture(scope="session")
def written(tiny_export, tmp_path_factory):
    """A preflight with everything that it writes, and its directory."""
    directory = tmp_path_factory.mktemp("preflight") / "written"
    return tftrt_yolo.preflight(tiny_export, output_dir=directory), directory


@pytest.mark.parametrize("task", TASKS)
def test_every_task_in_fp16(models, task):
    """One engine; its numbers are TensorFlow's; the real builder sees every tensor as TF-TRT was told.

    It has as many nodes as the conversion counts, though here TF-TRT took it with channels first.
    """
    report = tftrt_yolo.preflight(models.exported(task), images=(CROPS if task == "classify" else IMAGES)[0])
    [engine] = report.engines
    assert report.faults == (), report
    assert (report.nodes_outside, engine.summary.layers) == (0, LAYERS[task])
    assert [report.nodes_inside] == list(tftrt_yolo.inspect(models.converted(task)).engines.values())
    assert engine.summary.builder_flags == ("FP16", "TF32", "SPARSE_WEIGHTS")
    assert all(one.bound is not None for one in report.numbers.outputs)
    assert len(report.numbers.convolutions) == engine.summary.layers_by_kind["CONVOLUTION"]
    built = engine.builder
    assert (built.builder, built.on_cpu, built.in_half, built.layers) == ("TensorRT-RTX", True, True, LAYERS[task])
    assert built.tensors_compared >= LAYERS[task]
    assert built.plan_bytes > 1e5
    assert str(report).endswith("no faults")


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_in_int8(models, task):
    """Every convolution's filter is quantised, arrives in TensorRT's layout, and computes what TensorFlow does."""
    pattern, image = ("classify/*/*_[0-4].jpg", CROPS[0]) if task == "classify" else ("images/*[02468].jpg", IMAGES[0])
    report = tftrt_yolo.preflight(
        models.exported(task), precision_mode="int8", calibration_data=DATA / pattern, images=image, batch_sizes=(1,)
    )
    [engine] = report.engines
    assert report.faults == (), report
    kinds = engine.summary.layers_by_kind
    assert kinds["QUANTIZE"] == kinds["DEQUANTIZE"] > kinds["CONVOLUTION"]
    for row in engine.summary.convolutions:
        assert row.quantized == row.count
        assert all(layout.endswith("SHUFFLE [3, 2, 0, 1] = OIHW") for layout in row.layouts), row.layouts
    assert engine.summary.builder_flags == ("FP16", "INT8", "TF32", "SPARSE_WEIGHTS")
    assert engine.builder.tensor_types["INT8"] == kinds["QUANTIZE"]
    assert not engine.builder.in_half


def test_two_recordings_are_equal(tiny_export, written):
    """Though TF-TRT numbers layers and outputs in another order each time."""
    again = tftrt_yolo.preflight(tiny_export, batch_sizes=(4,))
    assert again.engines[0].digest == written[0].engines[0].digest
    other = tftrt_yolo.preflight(tiny_export, precision_mode="FP32", batch_sizes=(4,))
    assert other.engines[0].digest != written[0].engines[0].digest  # another builder flag


def test_profiles_of_each_strategy(written):
    [engine] = written[0].engines
    found = {
        strategy: [(profile.min[0], profile.opt[0], profile.max[0]) for profile in profiles]
        for strategy, of_inputs in engine.profiles.items()
        for profiles in of_inputs.values()
    }
    each = [(1, 1, 1), (8, 8, 8), (32, 32, 32)]
    assert found == {"Range": [(1, 32, 32)], "Optimal": each, "Range+Optimal": [*each, (1, 32, 32)]}


def test_what_is_written(written):
    report, directory = written
    assert {path.name for path in directory.iterdir()} == {
        *("network.json", "weights.bin", "report.json", "graph.svg", "graph.html"),
    }
    read = PreflightReport.read(directory)
    assert dataclasses.replace(read, seconds=0.0) == dataclasses.replace(report, seconds=0.0)
    [network] = recorded_network.read(directory)
    assert network.digest == report.engines[0].digest
    assert set(network.signature_outputs.values()) == {"boxes", "scores"}
    weights = sum(values.nbytes for layer in network.layers for values in layer.weights.values())
    assert weights == report.engines[0].summary.weights_bytes


def test_the_command(tiny_export, tmp_path):
    directory = tmp_path / "out"
    flags = [f"--output_dir={directory}", "--batch_sizes=2,4", "--compute_capability=8.6", "--json"]
    command = [sys.executable, "-m", "tftrt_yolo", "preflight", str(tiny_export), *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["faults"] == []
    assert document["engines"][0]["summary"]["layers"] == LAYERS["tiny"]
    assert document["engines"][0]["builder"]["compute_capability"] == "8.6"
    assert document["batch_sizes"] == [2, 4]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "overwrite" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"precision_mode": "BF16"}, ValueError, "precision_mode.* 'BF16'; known are", id="precision"),
        pytest.param({"calibration_data": "x"}, ValueError, "is for INT8, and .* is FP16", id="data without INT8"),
        pytest.param({"precision_mode": "INT8"}, ValueError, "needs calibration_data", id="INT8 without data"),
        pytest.param({"batch_sizes": ()}, ValueError, "batch_sizes", id="no batch"),
        pytest.param({"batch_sizes": (0,)}, ValueError, "batch_sizes", id="batch 0"),
        pytest.param({"images": "no/such.jpg"}, tftrt_yolo.ImageError, "no/such.jpg", id="no image"),
        pytest.param(
            {"compute_capability": "9.0"},
            tftrt_yolo.PreflightError,
            r"compute_capability.* is '9\.0'; TensorRT-RTX .* builds for 7\.5, 8\.0, .*12\.1\. Choose",
            id="unsupported GPU",
        ),
        pytest.param(
            {"compute_capability": "sm_89"}, tftrt_yolo.PreflightError, r"'sm_89'; TensorRT-RTX", id="unknown GPU"
        ),
    ],
)
def test_bad_arguments(tiny_export, tmp_path, arguments, error, message):
    directory = tmp_path / "out"
    with pytest.raises(error, match=message):
        tftrt_yolo.preflight(tiny_export, output_dir=directory, **arguments)
    assert not directory.exists()
    assert not list(tmp_path.iterdir())


def test_a_conversion_is_refused(tiny_conversion):
    with pytest.raises(tftrt_yolo.ConversionError, match=r"is a conversion already\. Preflight the export"):
        tftrt_yolo.preflight(tiny_conversion)


def test_a_damaged_export_is_refused(tiny_export, tmp_path):
    damaged = copied(tiny_export, tmp_path)
    path = damaged / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(tftrt_yolo.SavedModelError):
        tftrt_yolo.preflight(damaged)


def test_other_files_are_in_the_way(tiny_export, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"is not what this writes \(it has no report\.json\)"):
        tftrt_yolo.preflight(tiny_export, output_dir=tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_tensorflow_without_tensorrt(tiny_export):
    """TensorFlow 2.18 on a CPU says that it was built against TensorRT 0.0.0; here this one does."""
    code = (
        "import tensorflow as tf\n"
        "from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils\n"
        "_pywrap_py_utils.get_linked_tensorrt_version = lambda: (0, 0, 0)\n"
        "tf.__version__ = '2.18.0'\n"
        "from tftrt_yolo.preflighting.recorder import tensorflow_side\n"
        "from tftrt_yolo.saved_model.handle import open_saved_model\n"
        f"source = open_saved_model({str(tiny_export)!r})\n"
        "next(tensorflow_side.work(source=source, graph_dir=None, calibration_images=None, precision_mode='FP16', "
        "images=[], requests=[]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "TensorRTUnavailableError: TensorFlow 2.18.0 was built without TensorRT. Convert with" in done.stderr


@pytest.mark.parametrize("linked", ["8.6.2", "10.0.1", "10.8.0"])
def test_tensorflow_with_another_tensorrt(linked):
    """The stand-in is for 8.6.1 alone; the worker says so before it reads the model."""
    code = (
        "import tensorflow as tf\n"
        "from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils\n"
        f"_pywrap_py_utils.get_linked_tensorrt_version = lambda: {tuple(map(int, linked.split('.')))}\n"
        "tf.__version__ = '2.18.0'\n"
        "from tftrt_yolo.preflighting.recorder import tensorflow_side\n"
        "next(tensorflow_side.work(source=None, graph_dir=None, calibration_images=None, precision_mode='FP16', "
        "images=[], requests=[]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    words = f"PreflightError: TensorFlow 2.18.0 was built against TensorRT {linked}, and the stand-in has the "
    assert words in done.stderr


@pytest.mark.parametrize("has_another", [False, True])
def test_the_recording_refuses_another_libnvinfer(tmp_path, has_another):
    """In a process that does not have the stand-in's environment: with no library of this name, or not ours."""
    if has_another:
        source = tmp_path / "other.cpp"
        source.write_text('extern "C" __attribute__((visibility("default"))) int getInferLibVersion() { return 8601; }')
        [command, libraries] = library._commands()[-1]
        for name in library.TENSORRT_LIBRARIES:
            output = str(tmp_path / name)
            subprocess.run([*command, *library._FLAGS, str(source), "-o", output, *libraries], check=True)
    code = (
        "from tftrt_yolo import TensorRTOptions\n"
        "from tftrt_yolo.preflighting.recorder import record\n"
        "record.work(given='', frozen=None, options=TensorRTOptions())\n"
    )
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert "PreflightError: libnvinfer.so.8.6.1 in this process is not the stand-in" in done.stderr


def test_several_engines(tiny_export, monkeypatch):
    """TF-TRT is kept from an op, so that TensorFlow stays between two engines: both are recorded and built."""
    monkeypatch.setenv("TF_TRT_OP_DENYLIST", "MaxPool")
    report = tftrt_yolo.preflight(tiny_export)
    assert len(report.engines) > 1
    assert report.nodes_outside > 0
    assert report.faults == (), report
    assert report.numbers.left_out
    last = f"  no faults in what was compared; not compared: {len(report.numbers.left_out)}, above"
    assert str(report).splitlines()[-1] == last
    assert len({engine.name for engine in report.engines}) == len(report.engines)


@pytest.fixture
def grouped(tiny_export, tmp_path):
    """An export as of another tool: its convolution has groups, of which TF-TRT tells TensorRT nothing."""
    source = open_saved_model(tiny_export)
    filters = np.random.default_rng(0).normal(size=(3, 3, 1, 15)).astype(np.float32)

    def network(frames):
        cells = tf.nn.conv2d(frames[:, : 42 * 7 : 7, : 50 * 6 : 6], filters, 1, "SAME")  # 3 groups
        cells = tf.reshape(cells, (-1, 2100, 15))
        return {"boxes": cells[..., :4], "scores": tf.sigmoid(cells[..., 4:14])}

    directory = tmp_path / "grouped_saved_model"
    directory.mkdir()
    write.save(network, source.metadata, directory)
    digests.seal(directory, source.metadata)
    return directory


def test_what_tensorrt_would_refuse_is_a_fault(grouped, tmp_path):
    """TF-TRT takes it into one engine without a word; on a GPU all of it would fall back to TensorFlow."""
    report = tftrt_yolo.preflight(grouped, output_dir=tmp_path / "out")
    [engine] = report.engines
    assert report.nodes_outside == 0
    assert engine.builder is None
    assert "TensorRT-RTX" in engine.refusal
    assert "CONVOLUTION" in engine.refusal
    kinds = [fault.partition(": ")[2][:20] for fault in report.faults]
    assert "filters that do not " in kinds
    assert any("TensorRT-RTX" in fault for fault in report.faults)
    assert all(str(report).count(fault) == 1 for fault in report.faults)
    assert str(report).count("cannot be computed") == 1  # by the whole network and by the convolution alone
    assert PreflightReport.read(tmp_path / "out").faults == report.faults  # what was found is kept


def test_a_builder_that_does_not_work_keeps_nothing_else_from_being_done(tiny_export, tmp_path):
    """TensorRT 10 on a machine that it does not work on, in the place of TensorRT-RTX."""
    install(tmp_path, "10.3.0", "raise ImportError('libcuda.so.1: cannot open shared object file')")
    code = (
        f"{WITHOUT_RTX}import tftrt_yolo\n"
        f"print(tftrt_yolo.preflight({str(tiny_export)!r}, batch_sizes=(1,), output_dir={str(tmp_path / 'out')!r}))\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    report = PreflightReport.read(tmp_path / "out")
    said = "TensorRT 10.3.0 is installed and cannot be imported: libcuda.so.1: cannot open shared object file. "
    [fault] = report.faults
    assert fault.startswith(f"TRTEngineOp_000_000: {said}")
    assert len(report.numbers.convolutions) == report.engines[0].summary.layers_by_kind["CONVOLUTION"]
    assert f"  FAULT {fault}" in done.stdout


def test_a_fault_ends_the_command_with_status_1(grouped):
    command = [sys.executable, "-m", "tftrt_yolo", "preflight", str(grouped)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "  FAULT TRTEngineOp_000_000: filters that do not fit:" in done.stdout


def test_nothing_converts(tiny_export, monkeypatch):
    monkeypatch.setenv("TF_TRT_OP_DENYLIST", "Conv2D,AddV2,Mul,Sigmoid,ConcatV2,StridedSlice,Reshape,Pad")
    with pytest.raises(tftrt_yolo.ConversionError, match="TF_TRT_OP_DENYLIST"):
        tftrt_yolo.preflight(tiny_export)


@contextlib.contextmanager
def _small_disk(path, size):
    """A file system of few bytes, where that can be mounted."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk(tiny_export, tmp_path):
    with _small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises((tftrt_yolo.PreflightError, OSError), match=r"(?i)no space left"):
            tftrt_yolo.preflight(tiny_export, output_dir=disk / "out")
        assert not list(disk.iterdir())


def test_a_report_that_is_missing_or_damaged(written, tmp_path):
    with pytest.raises(tftrt_yolo.PreflightError, match=r"report\.json"):
        PreflightReport.read(tmp_path)
    (tmp_path / "report.json").write_bytes((written[1] / "report.json").read_bytes()[:1000])
    with pytest.raises(tftrt_yolo.PreflightError, match="run it again"):
        PreflightReport.read(tmp_path)
