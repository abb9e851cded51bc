"""Ultralytics' tensors around a network, against the same layout in TensorFlow's ops."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from tests.engines.rehearsal import CLASSES, SIDE, metadata, recorded
from tests.preflighting.sketches import write
from tftrt_yolo.engines.ultralytics_layout import needed, with_ultralytics_layout
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.preflighting.executor.execute import execute
from tftrt_yolo.preflighting.real_builder.build import build
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport
from tftrt_yolo.tasks.table import TASKS

MODELS = {
    "detect": metadata("detect"),
    "segment": metadata("segment"),
    "pose": metadata("pose"),
    "pose-without-confidence": metadata("pose", keypoint_shape=(4, 2)),
    "obb": metadata("obb"),
    "classify": metadata("classify"),
    "semantic": metadata("semantic"),
    "depth": metadata("depth"),
    "detect-once": metadata("detect", is_end_to_end=True),
    "segment-once": metadata("segment", is_end_to_end=True),
    "pose-once": metadata("pose", is_end_to_end=True),
    "obb-once": metadata("obb", is_end_to_end=True),
}


def _images(batch):
    return np.random.default_rng(batch).random((batch, 3, SIDE, SIDE), np.float32)


def _oracle(model, images):
    """The network's outputs, brought into Ultralytics' layout by the task's own TensorFlow."""
    network = recorded(model)
    name = network.tensors[network.inputs[0]].name
    values = execute(network, {name: images.transpose(0, 2, 3, 1)})
    dense = {output: tf.constant(values[name]) for name, output in network.signature_outputs.items()}
    found = TASKS[model.task].ultralytics(dense, model)
    rows, *prototypes = found if isinstance(found, list) else [found]
    rows = rows.numpy().transpose(0, 3, 1, 2) if TASKS[model.task].gives_map else rows.numpy()
    return [rows, *(one.numpy().transpose(0, 3, 1, 2) for one in prototypes)]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("batch_size", [None, 2])
def test_values_are_those_of_tensorflow(model, batch_size):
    network = with_ultralytics_layout(recorded(model), model, batch_size=batch_size)
    images = _images(2)
    found = execute(network, {"images": images})
    expected = _oracle(model, images)
    assert list(found) == ["output0", "output1"][: len(expected)]
    for values, wanted in zip(found.values(), expected, strict=True):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_real_builder_takes_it(model, tmp_path):
    """TensorRT-RTX infers every shape and type as they are here, for any batch and for one that is fixed."""
    networks = [with_ultralytics_layout(recorded(model), model, batch_size=size) for size in (None, 3)]
    for said in build(write(networks, tmp_path / "recording"), batch_sizes=(1, 4)):
        assert isinstance(said, BuilderReport), said
        assert said.differences == ()


def test_names_shapes_and_what_is_left_out():
    model = MODELS["obb"]
    network = with_ultralytics_layout(recorded(model), model)
    tensors = [network.tensors[index] for index in (*network.inputs, *network.outputs)]
    assert [(one.name, one.type, one.dims) for one in tensors] == [
        ("images", "FLOAT", (-1, 3, SIDE, SIDE)),
        ("output0", "FLOAT", (-1, 4 + CLASSES + 1, 40)),
    ]
    assert needed(model) == ("boxes_xywhr", "scores")  # the upright boxes are nobody's
    upright = next(name for name, output in recorded(model).signature_outputs.items() if output == "boxes")
    given = {network.tensors[index].name for layer in network.layers for index in layer.outputs}
    assert upright not in given
    fixed = with_ultralytics_layout(recorded(model), model, batch_size=5)
    assert [fixed.tensors[index].dims[0] for index in (*fixed.inputs, *fixed.outputs)] == [5, 5]


def test_an_output_that_tensorflow_gives_is_refused():
    model = MODELS["segment"]
    network = recorded(model)
    names = {name: output for name, output in network.signature_outputs.items() if output not in ("scores", "boxes")}
    message = (
        "TRTEngineOp_000_000 does not give boxes, scores: TensorFlow goes on with what it gives. Expected a network"
    )
    with pytest.raises(EngineError, match=re.escape(message)):
        with_ultralytics_layout(dataclasses.replace(network, signature_outputs=names), model)


@pytest.mark.parametrize("dims", [(-1, SIDE, SIDE, 4), (-1, 3, SIDE, SIDE), (4, SIDE, SIDE, 3)])
def test_an_input_that_is_no_frame_is_refused(dims):
    network, model = recorded(MODELS["detect"]), MODELS["detect"]
    tensors = list(network.tensors)
    tensors[network.inputs[0]] = dataclasses.replace(tensors[network.inputs[0]], dims=dims)
    message = rf"takes {re.escape(str(dims))}; expected the frames \(-1, {SIDE}, {SIDE}, 3\) alone"
    with pytest.raises(EngineError, match=message):
        with_ultralytics_layout(dataclasses.replace(network, tensors=tuple(tensors)), model)


def test_a_second_input_is_refused():
    network, model = recorded(MODELS["detect"]), MODELS["detect"]
    with pytest.raises(EngineError, match=r"takes \(-1, 32, 32, 3\), \(-1, 32, 32, 3\); expected the frames"):
        with_ultralytics_layout(dataclasses.replace(network, inputs=network.inputs * 2), model)
