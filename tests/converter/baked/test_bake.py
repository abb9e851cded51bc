"""Conversion for XLA and oneDNN, by the real Grappler; XLA compiles on the CPU here, as slowly as it does."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests import toy
from tests.conftest import DATA, IMAGES, match, reference
from tests.saved_model.edits import copied, forget_digests
from tftrt_yolo import BakedOptions, TensorRTOptions
from tftrt_yolo.converter.conversion_report import BakedReport, ConversionReport
from tftrt_yolo.ground import environment
from tftrt_yolo.predictor.pipeline import Compiled
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.batches import CompiledSizes
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.saved_model.loaded import signatures

SCORE_TOLERANCE = {"FP32": 1e-5, "FP16": 0.01, "BF16": 0.06}
BOX_TOLERANCE_PX = {"FP32": 1e-3, "FP16": 0.6, "BF16": 4.0}
_BOX_TOLERANCES = {"boxes (px)": 0.6, "scores": 0.02}
TASK_TOLERANCES = {  # of float16
    "segment": {**_BOX_TOLERANCES, "1 - IoU of masks": 0.03},
    "pose": {**_BOX_TOLERANCES, "key points (px)": 0.6, "their confidence": 0.01},
    "obb": {**_BOX_TOLERANCES, "corners (px)": 1.0},
    "classify": {"probabilities": 0.01},
}
PICTURES = IMAGES[0].parent / "*0.jpg"
needs_bfloat16 = pytest.mark.skipif(not environment.cpu_flags("BF16"), reason="this CPU has no bfloat16")


@pytest.fixture(scope="module")
def convert(tiny_export, tmp_path_factory):
    """Converts the tiny model once for each accelerator and precision."""
    folder, made = tmp_path_factory.mktemp("baked"), {}

    def convert(accelerator, precision_mode):
        path = folder / f"{accelerator}_{precision_mode}_saved_model"
        if path not in made:
            made[path] = tftrt_yolo.convert(
                tiny_export,
                path,
                accelerator=accelerator,
                precision_mode=precision_mode,
                baked=BakedOptions(parity_images=PICTURES),
            )
        return path, made[path]

    return convert


@pytest.fixture(scope="module")
def toy_xla(toy_export, tmp_path_factory):
    """The toy for XLA in FP32, and the report."""
    path = tmp_path_factory.mktemp("toy") / "toy_xla_saved_model"
    return path, tftrt_yolo.convert(
        toy_export, path, accelerator="xla", precision_mode="FP32", baked=BakedOptions(parity_images=PICTURES)
    )


@pytest.mark.parametrize(
    ("accelerator", "precision_mode"),
    [
        ("xla", "FP16"),
        pytest.param("xla", "FP32", marks=pytest.mark.slow),  # see the toy below
        pytest.param("xla", "BF16", marks=[needs_bfloat16, pytest.mark.slow]),
        ("onednn", "FP32"),
        pytest.param("onednn", "BF16", marks=needs_bfloat16),
    ],
)
def test_precision_is_baked_and_parity_reported(convert, tiny_export, accelerator, precision_mode):
    path, report = convert(accelerator, precision_mode)
    assert (report.accelerator, report.precision_mode) == (accelerator, precision_mode)
    assert report.is_jitted == (accelerator == "xla")
    assert report.matrix_ops == 71
    assert ConversionReport.read(path) == report
    assert isinstance(report, BakedReport)

    parity = report.parity
    assert parity.images == len(list(PICTURES.parent.glob(PICTURES.name)))
    assert parity.detections > 10
    assert report.dense == {}  # the detections say it
    assert report.batch_sizes == (() if accelerator == "xla" else None)
    assert parity.matched >= parity.detections - 1
    assert parity.extra <= 1
    assert parity.differences["scores"] <= SCORE_TOLERANCE[precision_mode]
    assert parity.differences["boxes (px)"] <= BOX_TOLERANCE_PX[precision_mode]

    inside = tftrt_yolo.inspect(path)
    assert inside.signatures == tftrt_yolo.inspect(tiny_export).signatures
    assert inside.metadata == tftrt_yolo.inspect(tiny_export).metadata
    assert inside.conversion == report
    assert "Conv2D" in inside.ops
    assert f"{accelerator}, {precision_mode} in all 71" in str(inside)


def test_float32_under_xla_is_tensorflows(toy_xla):
    """Hundreds of detections, not one of them another."""
    _, report = toy_xla
    assert report.matrix_ops == toy.CONVOLUTIONS
    parity = report.parity
    assert parity.matched == parity.detections > 100
    assert parity.extra == 0
    assert parity.differences["scores"] <= SCORE_TOLERANCE["FP32"]
    assert parity.differences["boxes (px)"] <= 0.01  # of photos that are six times as large as its frame


@pytest.mark.parametrize(("accelerator", "precision_mode"), [("xla", "FP16"), ("onednn", "FP32")])
def test_the_graph_says_what_the_report_says(convert, accelerator, precision_mode):
    """Types of the convolutions and XLA's attribute, read from the file."""
    from tensorflow.core.framework import types_pb2

    from tftrt_yolo.saved_model import saved_model_pb

    path, _ = convert(accelerator, precision_mode)
    graph_def = saved_model_pb.read(path).meta_graphs[0].graph_def
    types = {node.attr["T"].type for node in saved_model_pb.all_nodes(graph_def) if node.op in ("Conv2D", "MatMul")}
    assert types == {types_pb2.DT_HALF if precision_mode == "FP16" else types_pb2.DT_FLOAT}
    compiled = [f for f in graph_def.library.function if f.attr["_XlaMustCompile"].b]
    assert bool(compiled) == (accelerator == "xla")
    assert not {"CombinedNonMaxSuppression"} & {node.op for node in saved_model_pb.all_nodes(graph_def)}


def test_no_silu_is_left_outside_the_convolutions(convert):
    """What oneDNN says that it ran for one frame, in a process of its own."""
    path, _ = convert("onednn", "FP32")
    code = (
        "import sys, tensorflow as tf\n"
        "network = tf.saved_model.load(sys.argv[1]).signatures['network']\n"
        "network(frames=tf.zeros((1, 320, 320, 3)))\n"
    )
    variables = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_VERBOSE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=variables
    )
    ran = [line for line in result.stdout.splitlines() if ",exec,cpu," in line]
    assert sum(",convolution," in line for line in ran) == 71
    assert sum(",convolution," in line and "eltwise_swish" in line for line in ran) == 65  # all but the heads' last
    assert not [line for line in ran if ",eltwise," in line]


def test_detections_are_ultralytics_own(convert):
    """Float16 under XLA against Ultralytics' predict, on every picture that the reference has."""
    path, _ = convert("xla", "FP16")
    predictor = tftrt_yolo.Predictor(path)
    assert predictor.backend.name == "XLA"
    assert "an export, or one converted for onednn, is faster" in str(predictor.backend)
    expected = reference("yolov8n-tiny-detect")
    matched = total = 0
    names = sorted(path for path in IMAGES if path.name in expected)[:16]
    for path, detections in zip(names, predictor(names, batch_size=4), strict=True):
        count, missed, _ = match(detections, expected[path.name])
        matched, total = matched + count, total + count + len(missed)
    assert total > 40
    assert matched >= 0.97 * total


def test_the_network_is_called_without_what_fills_batches_up(toy_xla, monkeypatch):
    """Where the batch is of a compiled size; of others, and of a SavedModel without that attribute, as ever."""
    path, _ = toy_xla
    plain = tf.saved_model.load(str(path)).signatures["network"]
    network = load.load(open_saved_model(path), strict=False)[0]["network"]
    asked = []
    direct = network._function

    def note(**tensors):
        asked.append(len(tensors["frames"]))
        return plain(**tensors)

    height, width = network.structured_input_signature[1]["frames"].shape[1:3]
    frames = np.random.default_rng(0).random((5, height, width, 3), np.float32)
    monkeypatch.setattr(direct, "_function", note)
    for count in (1, 2, 3, 4, 5):
        batch = tf.constant(frames[:count])
        found, expected = network(frames=batch), plain(frames=batch)
        assert set(found) == set(expected)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
    assert asked == [3, 5]
    other = types.SimpleNamespace(compiled_network=direct.loaded.compiled)  # of other outputs
    for loaded, sizes in ((direct.loaded, None), (tf.Module(), CompiledSizes()), (other, CompiledSizes())):
        given = {"network": types.SimpleNamespace(loaded=loaded, structured_outputs=plain.structured_outputs)}
        assert signatures.with_direct_network(given, sizes) == given


def test_a_compiled_batch_in_one_call_is_the_signatures(toy_xla):
    """What a Predictor runs for XLA, with its outputs in one tensor, gives what signature `framed` gives."""
    path, _ = toy_xla
    functions, backend = load.load(open_saved_model(path), strict=False)
    compiled = Compiled.of(functions["framed"], ())
    assert compiled is not None
    height, width = functions["framed"].structured_input_signature[1]["frames"].shape[1:3]
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    tensors = {"frames": tf.constant(frames), "sizes": tf.constant([[30, 70], [400, 20]])}
    found, expected = compiled(**tensors), functions["framed"](**tensors)
    assert backend.compiled_sizes.filled(2) == 2
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert values.dtype == expected[name].dtype.as_numpy_dtype
        np.testing.assert_array_equal(values, expected[name])


def test_only_a_new_batch_size_compiles(toy_xla):
    """Counted by what XLA itself dumps: image sizes, their mixture and odd batches compile nothing new."""
    path, _ = toy_xla
    code = (
        "import glob, sys, numpy as np, tftrt_yolo\n"
        "dump = sys.argv[2]\n"
        "def compiled(): return len(glob.glob(dump + '/*compiled*before_optimizations.txt'))\n"
        "image = lambda h, w: np.random.default_rng(h).integers(0, 256, (h, w, 3), np.uint8)\n"
        "predictor = tftrt_yolo.Predictor(sys.argv[1])\n"
        "predictor.warm_up((1, 4))\n"
        "counts = [compiled()]\n"
        "for images in ([image(50, 70)], [image(h, 90) for h in range(20, 31)], [image(320, 320)] * 3,\n"
        "               [image(640, 480), image(10, 10)]):\n"
        "    assert len(predictor(images)) == len(images)\n"
        "    counts.append(compiled())\n"
        "assert len(list(predictor.stream((image(20 + i, 40) for i in range(30)), batch_size=32))) == 30\n"
        "counts.append(compiled())\n"
        "print(counts, predictor.compiled_batch_sizes)\n"
    )
    dump = path.parent / "dump"
    environment = {"XLA_FLAGS": f"--xla_dump_to={dump} --xla_dump_hlo_as_text", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(path), str(dump)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert result.stdout.strip() == "[2, 2, 2, 2, 2, 2] (1, 4)", result.stderr[-2_000:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"accelerator": "onednn", "precision_mode": "FP16"},
            "FP32, BF16 and INT8: TensorFlow has no fast FP16 kernels",
        ),
        (
            {"accelerator": "xla", "precision_mode": "INT8"},
            "with xla known are FP32, FP16 and BF16: XLA has no INT8 convolutions",
        ),
        (
            {"accelerator": "xla", "tensorrt": TensorRTOptions(batch_sizes=(1, 8))},
            r"batch_sizes is for tensorrt, and accelerator is 'xla'\. Leave it out\.",
        ),
        (
            {"accelerator": "onednn", "tensorrt": TensorRTOptions(minimum_coverage=0.5)},
            r"minimum_coverage is for tensorrt, and accelerator is 'onednn'\. Leave it out\.",
        ),
        (  # default values are refused too, for they were given
            {"accelerator": "xla", "tensorrt": TensorRTOptions(batch_sizes=(1,), minimum_segment_size=3)},
            r"batch_sizes and minimum_segment_size are for tensorrt, and accelerator is 'xla'\. Leave them out\.",
        ),
    ],
)
def test_combinations_that_make_no_sense(tiny_export, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", **arguments)
    assert not list(tmp_path.iterdir())


def test_bfloat16_on_a_cpu_without_it(tiny_export, tmp_path, monkeypatch):
    """The flags are read from /proc/cpuinfo; this one is of a CPU that has neither."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n")
    monkeypatch.setattr(environment, "_CPU_INFO", cpuinfo)
    assert environment.cpu_flags("BF16") == ()
    with pytest.raises(tftrt_yolo.ConversionError, match="none of the flags avx512_bf16, amx_bf16"):
        tftrt_yolo.convert(tiny_export, tmp_path / "b_saved_model", accelerator="onednn", precision_mode="BF16")
    cpuinfo.write_text("flags\t\t: fpu avx512_bf16\n")
    assert environment.cpu_flags("BF16") == ("avx512_bf16",)


def test_images_that_are_none(toy_export, tmp_path):
    with pytest.raises(tftrt_yolo.ImageError, match="There is no file or folder"):
        tftrt_yolo.convert(
            toy_export, tmp_path / "b", accelerator="onednn", baked=BakedOptions(parity_images=tmp_path / "none.jpg")
        )
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(tftrt_yolo.ImageError, match="is no image"):
        tftrt_yolo.convert(
            toy_export, tmp_path / "b", accelerator="onednn", baked=BakedOptions(parity_images=tmp_path / "text.jpg")
        )
    assert not (tmp_path / "b").exists()


def test_a_damaged_report(convert, tmp_path):
    path = forget_digests(copied(convert("onednn", "FP32")[0], tmp_path))
    for text, message in (
        ("{", r"conversion\.json cannot be used: it is no JSON"),
        ("[]", r"conversion\.json cannot be used: it holds a list of 0 and no mapping"),
        ("{}", r"conversion\.json cannot be used: it lacks 'accelerator'; expected a text"),
        (
            json.dumps({"accelerator": "xla", "precision_mode": "FP16"}),
            "has no functions that XLA compiles in its graph",
        ),
        (json.dumps({"accelerator": "onednn", "precision_mode": "FP32"}), "was written by an older version"),
    ):
        (path / "conversion.json").write_text(text)
        with pytest.raises(tftrt_yolo.SavedModelError, match=message):
            tftrt_yolo.inspect(path)


def test_match_pairs_each_detection_once():
    import supervision as sv

    from tftrt_yolo.converter.comparison import match as pair

    def detections(boxes, classes):
        return sv.Detections(xyxy=np.float32(boxes).reshape(-1, 4), class_id=np.array(classes, int))

    box, other = [0, 0, 10, 10], [50, 50, 60, 60]
    assert pair(detections([box, box], [1, 1]), detections([box], [1])) == [(0, 0)]
    assert pair(detections([box], [1]), detections([box], [2])) == []
    assert pair(detections([box, other], [1, 1]), detections([other, box], [1, 1])) == [(0, 1), (1, 0)]
    assert pair(detections([], []), detections([box], [1])) == []
    assert pair(detections([box], [1]), detections([[0, 0, 10, 8]], [1])) == []  # IoU 0.8


@pytest.mark.parametrize(
    ("task", "accelerator", "precision_mode"),
    [
        # Each task once; XLA compiles a selection for obb that is not the others'.
        ("obb", "xla", "FP16"),
        ("segment", "onednn", "FP32"),
        ("pose", "onednn", "FP32"),
        ("classify", "onednn", "FP32"),
        pytest.param("segment", "xla", "FP16", marks=pytest.mark.slow),
        pytest.param("pose", "xla", "FP16", marks=pytest.mark.slow),
        pytest.param("classify", "xla", "FP16", marks=pytest.mark.slow),
        pytest.param("obb", "onednn", "FP32", marks=pytest.mark.slow),
    ],
)
def test_every_task_is_converted_and_parity_reported(models, tmp_path, task, accelerator, precision_mode):
    images = DATA / "classify" / "3" if task == "classify" else DATA / "images" / "*0.jpg"
    exported = models.exported(task)
    report = tftrt_yolo.convert(
        exported,
        tmp_path / "b_saved_model",
        accelerator=accelerator,
        precision_mode=precision_mode,
        baked=BakedOptions(parity_images=images),
    )
    parity, tolerance = report.parity, TASK_TOLERANCES[task]
    assert parity.matched >= parity.detections - 1 >= 3
    assert parity.extra <= 1
    assert set(parity.differences) == set(tolerance)
    for label, limit in tolerance.items():
        assert 0 <= parity.differences[label] <= (limit if precision_mode == "FP16" else 1e-5), label
        assert f"{label} within" in str(report)
    assert ConversionReport.read(tmp_path / "b_saved_model") == report
    assert tftrt_yolo.inspect(tmp_path / "b_saved_model").signatures == tftrt_yolo.inspect(exported).signatures
