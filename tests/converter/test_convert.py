import json

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo import TensorRTOptions
from tftrt_yolo.converter.conversion_report import ConversionReport, EngineReport


@pytest.mark.parametrize(
    "size",
    # benchmarks/engines.md has every size of every task.
    ["n", *(pytest.param(size, marks=pytest.mark.slow) for size in "sx")],
)
def test_every_size_becomes_one_engine(models, tmp_path, size):
    """TF-TRT's own partitioner takes all of `network` into one engine, with a dynamic batch."""
    pytest.importorskip("torch")
    if size == "n":
        exported = models.exported("yaml")
    else:
        exported = tmp_path / "a_saved_model"
        tftrt_yolo.export(f"yolov8{size}.yaml", exported, image_size=320)
    report = tftrt_yolo.convert(exported, tmp_path / "b_saved_model")
    assert report.engines == 1
    assert report.left_to_tensorflow == ()
    assert report.nodes_outside == 0
    assert report.coverage == 1.0
    inside = tftrt_yolo.inspect(tmp_path / "b_saved_model")
    assert list(inside.engines.values()) == [report.nodes_inside]
    assert inside.signatures["network"][0] == {"frames": "float32 (?, 320, 320, 3)"}
    assert inside.signatures["network"][1]["boxes"].startswith("float32 (?, ")


def test_report(models, tiny_conversion):
    report = ConversionReport.read(tiny_conversion)
    assert isinstance(report, EngineReport)
    assert report.engines == 1
    assert report.precision_mode == "FP16"
    assert report.linked_tensorrt == "8.6.1"
    assert report.engines_built == (report.why_not_built == "")
    assert json.loads((tiny_conversion / "conversion.json").read_text())["coverage"] == 1.0
    assert report == models.report(tiny_conversion)


def test_everything_survives(tiny_export, tiny_conversion):
    """Signatures, metadata and Ultralytics' attribute."""
    import tensorflow as tf

    before, after = tftrt_yolo.inspect(tiny_export), tftrt_yolo.inspect(tiny_conversion)
    assert after.signatures == before.signatures
    assert after.metadata == before.metadata
    assert before.engines == {}
    assert before.conversion is None
    assert after.precision_modes == ("FP16",)
    assert callable(tf.saved_model.load(str(tiny_conversion)).serving_default)


def test_the_engine_holds_the_exports_network(tiny_export, tiny_conversion):
    """Native segments and export agree on real pictures: nothing was lost on the way."""
    before, after = (tftrt_yolo.Predictor(path)(IMAGES[:8]) for path in (tiny_export, tiny_conversion))
    for expected, got in zip(before, after, strict=True):
        np.testing.assert_allclose(got.xyxy, expected.xyxy, atol=0.01)
        np.testing.assert_allclose(got.confidence, expected.confidence, atol=1e-4)


def test_two_conversions_have_engines_of_different_names(tiny_export, tiny_conversion, tmp_path):
    """Engines of one name would share a process' engine cache."""
    options = TensorRTOptions(allow_build_at_runtime=False, batch_sizes=[1, 4])
    tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", precision_mode="fp32", tensorrt=options)
    other = tftrt_yolo.inspect(tmp_path / "b_saved_model")
    assert other.precision_modes == ("FP32",)
    assert other.conversion.batch_sizes == (1, 4)
    assert set(other.engines).isdisjoint(tftrt_yolo.inspect(tiny_conversion).engines)
    from tftrt_yolo.saved_model import saved_model_pb

    [engine] = saved_model_pb.engine_nodes(
        saved_model_pb.read(tmp_path / "b_saved_model").meta_graphs[0].graph_def
    ).values()
    assert not engine.attr["_allow_build_at_runtime"].b
    assert len(tftrt_yolo.Predictor(tmp_path / "b_saved_model")(IMAGES[0])) == 1


def test_what_stays_in_tensorflow_is_named_with_tf_trts_reason(tiny_export, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_TRT_OP_DENYLIST", "MaxPool")
    with pytest.raises(
        tftrt_yolo.ConversionError, match=r"(?s)engines hold 9\d\.\d%.*MaxPool x 3: Denylisted"
    ) as error:
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", tensorrt=TensorRTOptions(minimum_coverage=1.0))
    assert "TF_TRT_OP_DENYLIST" in str(error.value)
    assert not list(tmp_path.iterdir())
    report = tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", tensorrt=TensorRTOptions(minimum_coverage=0.9))
    assert report.engines > 1
    assert [(row.op, row.count) for row in report.left_to_tensorflow if "Denylisted" in row.reasons[0]] == [
        ("MaxPool", 3)
    ]
    assert len(tftrt_yolo.Predictor(tmp_path / "b_saved_model")(IMAGES[0])[0]) > 0


def test_no_engine_at_all(tiny_export, tmp_path):
    options = TensorRTOptions(minimum_segment_size=10_000)
    with pytest.raises(tftrt_yolo.ConversionError, match=r"(?s)made no engine.*minimum_segment_size.*Conv2D x 71"):
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", tensorrt=options)
    assert not list(tmp_path.iterdir())


def test_a_conversion_is_not_converted_again(tiny_conversion, tmp_path):
    with pytest.raises(tftrt_yolo.NotAnExportError, match=r"is a conversion already\. Convert the export that it came"):
        tftrt_yolo.convert(tiny_conversion, tmp_path / "b_saved_model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision_mode": "FP8"}, "precision_mode is 'FP8'; with tensorrt known are FP32, FP16 and INT8"),
        ({"precision_mode": "BF16"}, "known are FP32, FP16 and INT8: TF-TRT has no BF16, whatever"),
        ({"baked": tftrt_yolo.BakedOptions(parity_images="a.jpg")}, "parity_images is for xla and onednn"),
        ({"accelerator": "cuda"}, "accelerator is 'cuda'; known are tensorrt, xla, onednn"),
    ],
)
def test_arguments_out_of_range(tiny_export, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_sizes": (0,)}, r"batch_sizes is \(0,\); expected one or more whole numbers of at least 1"),
        ({"batch_sizes": ()}, r"batch_sizes is \(\); expected one or more whole numbers of at least 1"),
        ({"batch_sizes": 4}, "batch_sizes is 4; expected whole numbers"),
        ({"minimum_segment_size": 0}, "minimum_segment_size is 0; it must be a whole number of at least 1"),
        ({"max_workspace_size_bytes": -1}, "max_workspace_size_bytes is -1; it must be a whole number of at least 1"),
        ({"minimum_coverage": 95}, "minimum_coverage is 95; it must be a number between 0 and 1"),
        ({"dynamic_shape_profile_strategy": "range"}, "is 'range'; known are Range, Optimal, Range.Optimal"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        TensorRTOptions(**options)


def test_directories_in_the_way(tiny_export, tmp_path):
    with pytest.raises(ValueError, match="output_saved_model_dir is saved_model_dir"):
        tftrt_yolo.convert(tiny_export, tiny_export, overwrite=True)
    with pytest.raises(FileExistsError, match="exists already"):
        tftrt_yolo.convert(tiny_export, tmp_path)


def test_a_tensorflow_without_tensorrt_is_explained(tmp_path, tiny_export):
    """TensorFlow 2.18 on a CPU says that it was built against TensorRT 0.0.0; here this one does."""
    code = (
        "import tensorflow as tf\n"
        "from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils\n"
        "_pywrap_py_utils.get_linked_tensorrt_version = lambda: (0, 0, 0)\n"
        "tf.__version__ = '2.18.0'\n"
        "import tftrt_yolo\n"
        "from pathlib import Path\n"
        "from tftrt_yolo.converter import tensorrt\n"
        "from tftrt_yolo.saved_model.handle import open_saved_model\n"
        "print(tftrt_yolo.check())\n"
        f"source = open_saved_model({str(tiny_export)!r})\n"
        f"next(tensorrt.work(source=source, output_dir=Path({str(tmp_path)!r}), precision_mode='FP16', "
        "options=tftrt_yolo.TensorRTOptions()))\n"
    )
    import subprocess
    import sys

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "TensorRTUnavailableError: TensorFlow 2.18.0 was built without TensorRT. Convert with" in result.stderr
    assert "tensorflow==2.17.1 (Linux, x86-64), the last that pip installs" in result.stderr
    assert "TF-TRT: TensorFlow 2.18.0 was built without TensorRT" in result.stdout
