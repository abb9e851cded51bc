"""Engines that are built, saved, loaded and run: on a GPU with TensorRT, or in a rehearsal (pytest --rehearsal).

In a rehearsal the stand-in for TensorRT computes the engines in float32 on the host, so they equal the export.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import CROPS, IMAGES
from tftrt_yolo import Int8Options, TensorRTOptions, contract
from tftrt_yolo.converter import comparison
from tftrt_yolo.converter.conversion_report import ConversionReport
from tftrt_yolo.saved_model.handle import open_saved_model

TASKS = ("tiny", "segment", "pose", "obb", "classify")
BATCH_SIZES = (1, 4)
NATIVE_SEGMENTS = "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"

pytestmark = pytest.mark.tensorrt


@pytest.fixture(scope="module")
def has_stand_in():
    return tftrt_yolo.check().has_stand_in


@pytest.fixture(scope="module", autouse=True)
def exact():
    """The export's own convolutions are not to be in TensorFloat-32."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    yield
    tf.config.experimental.enable_tensor_float_32_execution(True)


@pytest.fixture(scope="module")
def built(models, tmp_path_factory):
    """Converts an export with its engines, each once: path and report."""
    folder, found = tmp_path_factory.mktemp("built"), {}

    def convert(name):
        if name not in found:
            path = folder / f"{name}_saved_model"
            options = TensorRTOptions(batch_sizes=BATCH_SIZES, allow_build_at_runtime=False)
            found[name] = path, tftrt_yolo.convert(models.exported(name), path, tensorrt=options)
        return found[name]

    return convert


@pytest.fixture
def only_engines(monkeypatch):
    """TensorFlow's detour around an engine is closed: an engine that does not run is an error."""
    monkeypatch.setenv(NATIVE_SEGMENTS, "false")


def _images(task):
    return CROPS[:4] if task == "classify" else IMAGES[:4]


def _check_parity(source, converted, task, *, has_stand_in):
    """The engines' detections are the export's: all in a rehearsal, nearly all with TensorRT's half precision."""
    paths = list(map(str, _images(task)))
    parity = comparison.compare(open_saved_model(source), open_saved_model(converted), paths)
    assert parity.detections > 0
    assert parity.matched >= 0.9 * parity.detections
    if has_stand_in:
        assert (parity.matched, parity.extra) == (parity.detections, 0), parity
        scores = "probabilities" if task == "classify" else "scores"
        assert parity.differences[scores] < 1e-3
        assert parity.differences.get("boxes (px)", 0) < 0.05


@pytest.mark.parametrize("task", TASKS)
def test_engines_of_every_task(models, built, only_engines, has_stand_in, task):
    path, report = built(task)
    assert report.engines_built
    assert report.why_not_built == ""
    assert report.engine_bytes > 100_000
    assert report.has_stand_in == has_stand_in
    assert ("by the stand-in, not by TensorRT" in str(report)) == has_stand_in
    assert ConversionReport.read(path) == report
    predictor = tftrt_yolo.Predictor(path, strict=True)
    assert predictor.backend.name == ("TensorRT stand-in" if has_stand_in else "TensorRT")
    assert predictor.backend.reason == "engines built ahead"
    _check_parity(models.exported(task), path, task, has_stand_in=has_stand_in)


def test_a_built_engine_is_inspected(built, has_stand_in):
    path, report = built("tiny")
    inside = tftrt_yolo.inspect(path)
    assert set(inside.built_engine_bytes) == set(inside.engines)
    assert sum(inside.built_engine_bytes.values()) == report.engine_bytes
    assert "built, " in str(inside)
    assert ("loaded TensorRT 8.6.1 (stand-in)" in str(inside)) == has_stand_in


@pytest.mark.parametrize("strategy", ["Range", "Optimal", "Range+Optimal"])
def test_batches_within_the_profiles_and_outside(tiny_export, tmp_path, monkeypatch, strategy):
    """Those within run in the engine; another runs in TensorFlow, and gives the same."""
    import tensorflow as tf

    options = TensorRTOptions(batch_sizes=BATCH_SIZES, dynamic_shape_profile_strategy=strategy)
    report = tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", tensorrt=options)
    assert (report.engines_built, report.dynamic_shape_profile_strategy) == (True, strategy)
    predictor = tftrt_yolo.Predictor(tmp_path / "b_saved_model", strict=True)
    expected = tftrt_yolo.Predictor(tiny_export)(IMAGES[:6])
    inside = [1, 4] if strategy == "Optimal" else [1, 2, 4]
    for batch_size in inside:
        monkeypatch.setenv(NATIVE_SEGMENTS, "false")
        found = predictor(IMAGES[:batch_size], batch_size=batch_size)
        _assert_boxes(found, expected[:batch_size])
    outside = 3 if strategy == "Optimal" else 6
    with pytest.raises(tf.errors.AbortedError, match="User disallowed engine native segment execution"):
        predictor(IMAGES[:outside], batch_size=outside)
    monkeypatch.delenv(NATIVE_SEGMENTS)
    _assert_boxes(predictor(IMAGES[:outside], batch_size=outside), expected[:outside])


def _assert_boxes(found, expected):
    """The surest detections are there; half precision moves them by a fraction of a pixel."""
    for one, other in zip(found, expected, strict=True):
        strong = other[other.confidence > 0.4]
        assert len(strong) <= len(one)
        for box in strong.xyxy:
            assert np.abs(one.xyxy - box).max(axis=1).min() < 2.0


def test_int8_with_a_tail_in_float(tiny_export, tmp_path, only_engines):
    """Both engines are built, saved and run, one behind the other."""
    int8 = tftrt_yolo.Int8Options(calibration_data=IMAGES[0].parent / "*0.jpg", float_layers=("head",))
    options = tftrt_yolo.TensorRTOptions(batch_sizes=(1, 2))
    path = tmp_path / "b_saved_model"
    report = tftrt_yolo.convert(tiny_export, path, precision_mode="INT8", int8=int8, tensorrt=options)
    assert (report.engines, report.engines_built, len(report.parts)) == (2, True, 2)
    looked = tftrt_yolo.inspect(path)
    assert len(looked.built_engine_bytes) == 2
    assert sorted(looked.engine_precision_modes.values()) == ["FP16", "INT8"]
    found = tftrt_yolo.Predictor(path, strict=True)(IMAGES[:2], batch_size=2)
    assert all(map(len, found))


@pytest.mark.parametrize("precision_mode", ["FP32", "INT8"])
def test_other_precisions(tiny_export, tmp_path, only_engines, has_stand_in, precision_mode):
    """INT8 by quantisations in the graph, which the stand-in computes too."""
    int8 = Int8Options(calibration_data=IMAGES[0].parent) if precision_mode == "INT8" else None
    report = tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", precision_mode=precision_mode, int8=int8)
    assert report.engines_built
    if precision_mode == "FP32":
        _check_parity(tiny_export, tmp_path / "b_saved_model", "tiny", has_stand_in=has_stand_in)
    else:
        assert report.quantization.layers > 60
        assert report.quantization.parity.matched >= 0.9 * report.quantization.parity.detections > 0


def test_an_engine_that_is_built_at_first_use(models, tmp_path, only_engines, has_stand_in):
    """A conversion of a machine without a GPU meets one."""
    predictor = tftrt_yolo.Predictor(models.converted("segment"), strict=True)
    if predictor.backend.reason == "engines built ahead":
        pytest.skip("the conversion was made here, with its engines")
    assert predictor.backend.reason == "engines are built at first use, which takes minutes"
    _check_parity(models.exported("segment"), models.converted("segment"), "segment", has_stand_in=has_stand_in)


def test_two_conversions_in_one_process(models, built, only_engines):
    """Each runs its own engines, in turn."""
    predictors = {name: tftrt_yolo.Predictor(built(name)[0], strict=True) for name in ("tiny", "obb")}
    exports = {name: tftrt_yolo.Predictor(models.exported(name)) for name in predictors}
    for _ in range(2):
        for name, predictor in predictors.items():
            for image in IMAGES[:2]:
                _assert_boxes(predictor(image), exports[name](image))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("TF_TRT_ABORT_CUDA_ENGINE_BUILD", "true", "could not build or run an engine"),
        ("TFTRT_YOLO_REHEARSAL_FAILS", "build", "could not build or run an engine"),
        ("TFTRT_YOLO_REHEARSAL_FAILS", "memory", "could not build or run an engine"),
        ("TFTRT_YOLO_REHEARSAL_FAILS", "enqueue", "could not build or run an engine"),
    ],
)
def test_an_engine_that_fails(tiny_export, tmp_path, monkeypatch, has_stand_in, variable, value, words):
    if variable.startswith("TFTRT_YOLO") and not has_stand_in:
        pytest.skip("only a rehearsal fails when it is asked to")
    monkeypatch.setenv(variable, value)
    with pytest.raises(tftrt_yolo.ConversionError, match=words) as error:
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model")
    assert "check GPU memory and max_workspace_size_bytes" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_saved_model_cli_runs_built_engines(models, built, tmp_path):
    """TensorFlow's own tool, which knows nothing of this package."""
    import tensorflow as tf

    path, _ = built("tiny")
    signature = tf.saved_model.load(str(models.exported("tiny"))).signatures[contract.NETWORK]
    frames = np.random.default_rng(0).random((1, *open_saved_model(path).metadata.image_size_hw, 3), np.float32)
    np.save(tmp_path / "frames.npy", frames)
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run", "--dir", str(path)]
    command += ["--tag_set", "serve", "--signature_def", contract.NETWORK, "--outdir", str(tmp_path / "out")]
    command += ["--inputs", f"frames={tmp_path / 'frames.npy'}"]
    environment = os.environ | {NATIVE_SEGMENTS: "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, values in signature(frames=tf.constant(frames)).items():
        found = np.load(tmp_path / "out" / f"{name}.npy")
        np.testing.assert_allclose(found, values.numpy(), rtol=0.02, atol=0.02 * np.abs(values.numpy()).max())


def test_a_benchmark_of_engines(tiny_export, tmp_path, has_stand_in):
    """A rehearsal's numbers say that they are one, in every row."""
    report = tftrt_yolo.benchmark(
        tiny_export, tmp_path / "out", contestants=("tensorrt-fp16",), batch_sizes=(1,), seconds=0.3
    )
    assert report.crashed == ()
    name = "tensorrt-fp16 (stand-in)" if has_stand_in else "tensorrt-fp16"
    assert [run.name for run in report.contestants] == [name]
    assert {measurement.contestant for measurement in report.measurements} == {name}
    assert {measurement.mode for measurement in report.measurements} == {"dense", "selected", "end_to_end"}
    assert report.contestants[0].backend.startswith("TensorRT stand-in on GPU" if has_stand_in else "TensorRT on GPU")
    assert name in (tmp_path / "out" / "benchmark.csv").read_text()
