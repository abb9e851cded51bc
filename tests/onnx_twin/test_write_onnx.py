"""Files of real exports beside their SavedModels, on real pictures; TensorRT-RTX builds them on a CPU."""

import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

import tftrt_yolo
from tests import toy
from tests.conftest import CROPS, DATA, IMAGES
from tests.engines import postprocessing
from tests.exporter.checkpoint import qat
from tftrt_yolo import contract
from tftrt_yolo.ground.files import documents
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.onnx_twin import onnx_file
from tftrt_yolo.saved_model.network import Framer, SavedModelNetwork, in_unit_range

CALIBRATION = str(DATA / "images" / "*[05].jpg")  # enough to have ranges
TASKS = ["tiny", *(pytest.param(task, marks=pytest.mark.slow) for task in ("segment", "pose", "obb", "classify"))]
OPTIONS = tftrt_yolo.OnnxOptions
PIXELS = ("boxes", "boxes_xywhr", "keypoints")  # of a frame of 320, whose sums float32 rounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def tiny(tiny_export, folder):
    """A file of detect in FP32, and its report."""
    path = folder / "made" / "tiny.onnx"
    return path, tftrt_yolo.write_onnx(tiny_export, path)


@pytest.fixture(scope="module")
def int8(tiny_export, folder):
    """The same in INT8, built by TensorRT-RTX."""
    path = folder / "int8.onnx"
    options = OPTIONS(build=True, compute_capability="8.6")
    return path, tftrt_yolo.write_onnx(
        tiny_export, path, precision_mode="int8", calibration_data=CALIBRATION, options=options
    )


def _session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _frames(export, images):
    """Pictures as signature `network` takes them."""
    framer = Framer(contract.read_metadata(export))
    return in_unit_range(np.stack([framer(read_image(image))[0] for image in images]))


def _beside(path, export, images):
    """What a file and its SavedModel give for the same pictures, by name."""
    frames, session = _frames(export, images), _session(path)
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"images": np.ascontiguousarray(frames.transpose(0, 3, 1, 2))})
    expected = tf.saved_model.load(str(export)).signatures[contract.NETWORK](frames=tf.constant(frames))
    return dict(zip(names, found, strict=True)), {name: values.numpy() for name, values in expected.items()}


@pytest.mark.parametrize("task", TASKS)
def test_outputs_are_those_of_the_savedmodel(task, models, tiny, folder):
    export = models.exported(task)
    path, report = tiny if task == "tiny" else (folder / f"{task}.onnx", None)
    report = report or tftrt_yolo.write_onnx(export, path, options=OPTIONS(build=True))
    found, expected = _beside(path, export, CROPS[:3] if task == "classify" else IMAGES[:3])
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape
        within = 2e-3 if name in PIXELS else 1e-4 if name == "prototypes" else 1e-5
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=within, err_msg=name)
    assert report.inner_transposes == 0
    assert report.operators.get("Transpose", 0) <= len(found)
    assert max(report.parity.values()) < 2e-3


def test_the_report_and_the_file(tiny, tiny_export):
    path, report = tiny
    frame = contract.read_metadata(tiny_export).image_size_hw
    assert [str(tensor) for tensor in report.tensors] == [
        f"images FLOAT {(-1, 3, *frame)}",
        "boxes FLOAT (-1, 2100, 4)",
        "scores FLOAT (-1, 2100, 10)",
    ]
    assert (report.faults, report.integers, report.built, report.float_type) == ((), None, None, "FP32")
    assert report.file_bytes == path.stat().st_size
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 19)]
    shapes = {
        one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in model.graph.output
    }
    assert shapes == {"boxes": ["batch", 2100, 4], "scores": ["batch", 2100, 10]}
    inferred = {one.name for one in model.graph.value_info}
    assert inferred >= {name for node in model.graph.node for name in node.output} - set(shapes)
    assert "parity, TensorFlow boxes within" in str(report)
    assert json.loads(documents.to_json(report))["faults"] == []
    assert os.listdir(path.parent) == ["tiny.onnx"]


def _loaded_by_ultralytics(path):
    """Ultralytics' own loader with a file."""
    import torch
    from ultralytics.nn.backends.onnx import ONNXBackend

    return ONNXBackend(str(path), torch.device("cpu"))


def test_layers_in_float_have_no_quantisation(int8, tiny_export, folder):
    """One file for what TF-TRT takes two engines: the six convolutions that give outputs read floats."""
    path = folder / "head.onnx"
    options = OPTIONS(float_layers=("head",), build=True)
    report = tftrt_yolo.write_onnx(
        tiny_export, path, precision_mode="INT8", calibration_data=CALIBRATION, options=options
    )
    graph = onnx.load(path).graph
    dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    in_float = [node for node in convolutions if not set(node.input[:2]) & dequantised]
    assert (len(in_float), report.integers.filters) == (6, len(convolutions) - 6)
    assert len(convolutions) == int8[1].operators["Conv"]
    assert (report.faults, report.integers.different) == ((), 0)
    found, expected = _beside(path, tiny_export, IMAGES[:2])
    quantised, _ = _beside(int8[0], tiny_export, IMAGES[:2])
    error, before = (np.square(one["scores"] - expected["scores"]).mean() for one in (found, quantised))
    assert error < before


def test_a_layer_that_is_not_there(tiny_export, folder):
    path, options = folder / "none.onnx", OPTIONS(float_layers=("boxes", "convolution_900"))
    int8 = {"precision_mode": "INT8", "calibration_data": CALIBRATION}
    with pytest.raises(tftrt_yolo.ConversionError, match="'convolution_900', which is no convolution of the network"):
        tftrt_yolo.write_onnx(tiny_export, path, options=options, **int8)
    assert not path.exists()


@pytest.mark.slow
def test_ranges_of_the_training(folder):
    """Its grids have zero points, which are taken off before a convolution and added again behind."""
    weights, export, path = folder / "qat.pt", folder / "qat_saved_model", folder / "qat.onnx"
    qat.train(weights)
    tftrt_yolo.export(weights, export, image_size=toy.SIZE)
    report = tftrt_yolo.write_onnx(export, path, precision_mode="INT8", calibration="trained")
    assert (report.faults, report.integers.different, report.integers.filters) == ((), 0, toy.CONVOLUTIONS)
    int8 = tftrt_yolo.Int8Options(calibration="trained")
    converted = folder / "qat_int8_saved_model"
    tftrt_yolo.convert(export, converted, precision_mode="INT8", int8=int8)
    found, _ = _beside(path, export, IMAGES[:2])
    network = SavedModelNetwork(converted, strict=False)  # what TensorRT is to take runs in TensorFlow here
    for name, values in network._network(frames=tf.constant(_frames(export, IMAGES[:2]))).items():
        assert np.abs(found[name] - values.numpy()).mean() < 0.01 * np.abs(values.numpy()).mean(), name


def test_its_metadata_is_ultralytics_and_ours(tiny, tiny_export):
    metadata = contract.read_metadata(tiny_export)
    backend = _loaded_by_ultralytics(tiny[0])
    assert (backend.task, backend.stride, list(backend.imgsz)) == ("detect", 32, list(metadata.image_size_hw))
    assert (backend.names, backend.output_names, backend.dynamic) == (metadata.names, ["boxes", "scores"], True)
    found = backend.session.get_modelmeta().custom_metadata_map
    ours = json.loads(found[contract.OUR_SECTION])
    assert ours["weights_sha256"] == metadata.weights_sha256
    assert ours["selection"]["score_threshold"] == metadata.selection.score_threshold


def test_int8_has_tensorflows_integers(int8, tiny, folder):
    """Of every quantised tensor and filter, on a real picture, each tensor quantised of TensorFlow's own numbers."""
    path, report = int8
    assert report.faults == ()
    assert report.integers.numbers > 1_000_000
    assert (report.integers.different, report.integers.tensors) == (0, report.operators["QuantizeLinear"])
    assert report.integers.filters == report.operators["Conv"] > 60
    assert report.file_bytes < 0.5 * tiny[1].file_bytes
    assert report.built.tensor_types["INT8"] >= report.integers.tensors
    assert (report.built.compute_capability, report.built.plan_bytes > 100_000) == ("8.6", True)
    model = onnx.load(path)
    filters = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    stored = {one.name: one.data_type for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert stored[filters[node.input[1]].input[0]] == onnx.TensorProto.INT8
            assert filters[node.input[0]].op_type == "DequantizeLinear"
    assert report.integers.ties < 1e-4 * report.integers.numbers
    assert report.parity["boxes"] < 2e-3 < report.free_parity["boxes"]  # a few ties of rounding spread
    assert " numbers 0 are another integer than TensorFlow's" in str(report)


def test_integers_that_are_not_tensorflows_are_a_fault(int8):
    report = dataclasses.replace(int8[1], integers=dataclasses.replace(int8[1].integers, different=3))
    assert report.faults == ("3 quantised numbers are not TensorFlow's",)
    assert "FAULT 3 quantised numbers" in str(report)


def test_fp16_is_typed_but_for_its_ends_and_the_decode(tiny, tiny_export, folder):
    """It replaces an earlier file, as asked."""
    path = folder / "fp16.onnx"
    path.write_bytes(tiny[0].read_bytes())
    options = OPTIONS(build=True, opset=17)
    report = tftrt_yolo.write_onnx(tiny_export, path, precision_mode="FP16", options=options, overwrite=True)
    assert report.file_bytes == path.stat().st_size < 0.6 * tiny[0].stat().st_size
    model = onnx.load(path)
    types = {one.name: one.type.tensor_type.elem_type for one in model.graph.value_info}
    convolutions = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    assert {types[name] for name in convolutions} == {onnx.TensorProto.FLOAT16}
    decode = [node for node in model.graph.node if node.op_type in ("Softmax", "ReduceSum")]
    assert decode
    assert {types[node.output[0]] for node in decode} == {onnx.TensorProto.FLOAT}
    assert {tensor.type for tensor in report.tensors} == {"FLOAT"}
    assert report.built.tensor_types["HALF"] > 200
    found, expected = _beside(path, tiny_export, IMAGES[:2])
    assert np.abs(found["boxes"] - expected["boxes"]).max() < 1.0
    assert np.abs(found["scores"] - expected["scores"]).max() < 0.01
    assert np.abs(found["scores"] - expected["scores"]).max() > 1e-6  # FP16 rounds


@pytest.mark.slow
def test_int8_between_halves(tiny_export, folder):
    path = folder / "int8_fp16.onnx"
    options = OPTIONS(float_type="FP16", build=True)
    report = tftrt_yolo.write_onnx(
        tiny_export, path, precision_mode="INT8", calibration_data=CALIBRATION, options=options
    )
    assert (report.integers.numbers, report.faults) == (0, ())
    assert "not compared with TensorFlow's, for the floats between are FP16" in str(report)
    assert {"HALF", "INT8", "FLOAT"} <= report.built.tensor_types.keys()
    found, expected = _beside(path, tiny_export, IMAGES[:2])
    assert np.abs(found["scores"] - expected["scores"]).mean() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("opset", [13, 21])
def test_int8_in_other_opsets(opset, tiny_export, folder):
    report = tftrt_yolo.write_onnx(
        tiny_export,
        folder / f"{opset}.onnx",
        precision_mode="INT8",
        calibration_data=CALIBRATION,
        options=OPTIONS(opset=opset, build=True),
    )
    assert (report.integers.different, report.faults, report.opset) == (0, (), opset)


def test_ultralytics_rows_are_read_by_its_own_loader(tiny_export, folder):
    import torch

    path = folder / "rows.onnx"
    report = tftrt_yolo.write_onnx(tiny_export, path, options=OPTIONS(layout="ultralytics"))
    assert [tensor.name for tensor in report.tensors] == ["images", "output0"]
    assert report.operators.get("Transpose", 0) == 0
    predictor, backend = tftrt_yolo.Predictor(tiny_export), _loaded_by_ultralytics(path)
    frames = _frames(tiny_export, IMAGES[:2])
    outputs = backend.forward(torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))))
    sizes = [read_image(image).shape[:2] for image in IMAGES[:2]]
    [rows] = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    found = postprocessing.detections({"output0": np.asarray(rows)}, predictor.metadata, sizes)
    expected = tf.saved_model.load(str(tiny_export)).signatures[contract.NETWORK](frames=tf.constant(frames))
    np.testing.assert_allclose(np.asarray(rows)[:, 4:].transpose(0, 2, 1), expected["scores"], atol=1e-5)
    for one, other in zip(found, predictor(IMAGES[:2]), strict=True):
        assert sorted(one.class_id.tolist()) == sorted(other.class_id.tolist())


def test_an_earlier_file_is_replaced_only_if_asked(tiny, tiny_export, tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(tiny[0].read_bytes())
    assert onnx_file.is_ours(path)
    with pytest.raises(FileExistsError, match=r"a\.onnx exists already\. Choose another file"):
        tftrt_yolo.write_onnx(tiny_export, path)
    foreign = tmp_path / "b.onnx"
    foreign.write_bytes(onnx.helper.make_model(onnx.GraphProto(), producer_name="pytorch").SerializeToString())
    with pytest.raises(FileExistsError, match=r"b\.onnx exists and does not say that this wrote it"):
        tftrt_yolo.write_onnx(tiny_export, foreign, overwrite=True)
    (tmp_path / "c.onnx").mkdir()
    with pytest.raises(FileExistsError, match=r"c\.onnx exists and does not say that this wrote it"):
        tftrt_yolo.write_onnx(tiny_export, tmp_path / "c.onnx", overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["a.onnx", "b.onnx", "c.onnx"]


def test_a_conversion_and_what_is_no_model_are_refused(tiny_conversion, tmp_path):
    message = "is a conversion already. Translate the export that it came from"
    with pytest.raises(tftrt_yolo.NotAnExportError, match=re.escape(message)):
        tftrt_yolo.write_onnx(tiny_conversion, tmp_path / "a.onnx")
    with pytest.raises(tftrt_yolo.SavedModelError, match="is no directory"):
        tftrt_yolo.write_onnx(tmp_path / "nowhere", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnx(tiny_export, tmp_path):
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name.partition('.')[0].startswith('onnx') else find(name, *more)\n"
        f"import tftrt_yolo\ntry: tftrt_yolo.write_onnx({str(tiny_export)!r}, {str(tmp_path / 'a.onnx')!r})\n"
        "except tftrt_yolo.OnnxError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "onnx and onnxruntime cannot be imported; an ONNX file is written with onnx and run with" in said.stdout
    assert not list(tmp_path.iterdir())
