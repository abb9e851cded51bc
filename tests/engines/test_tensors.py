"""Tensors against the metadata beside them."""

import itertools
import re

import numpy as np
import pytest

from tests.engines.rehearsal import CLASSES, SIDE, ExecutorRuntime, metadata, profile, recorded
from tests.engines.test_ultralytics_layout import MODELS
from tftrt_yolo.engines import tensors
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.preflighting.executor.execute import execute
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.tasks.table import TASKS


def _tensors(**dims):
    return tuple(IOTensor(name, "FLOAT", shape, name == "images") for name, shape in dims.items())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_we_build_fits(model):
    tensors.check(ExecutorRuntime(with_ultralytics_layout(recorded(model), model)).tensors, model, "a.engine")


@pytest.mark.parametrize(("one", "other"), [*itertools.permutations(MODELS, 2)])
def test_another_tasks_metadata_is_refused(one, other):
    found = ExecutorRuntime(with_ultralytics_layout(recorded(MODELS[one]), MODELS[one])).tensors
    of_classes = " of 3 classes" if TASKS[MODELS[other].task].has_classes else ""
    message = f"a.engine says that it is for {MODELS[other].task}{of_classes}[ ,].*expected images.*output0"
    with pytest.raises(EngineError, match=message):
        tensors.check(found, MODELS[other], "a.engine")


IMAGES, ROWS = (1, 3, SIDE, SIDE), (1, 4 + CLASSES, 40)
STRANGE = {
    "nothing": (),
    "no input": _tensors(output0=ROWS),
    "no output": _tensors(images=IMAGES),
    "one too many": _tensors(images=IMAGES, output0=ROWS, output1=ROWS),
    "NHWC": _tensors(images=(1, SIDE, SIDE, 3), output0=ROWS),
    "another size": _tensors(images=(1, 3, 64, 64), output0=ROWS),
    "another rank": _tensors(images=IMAGES, output0=ROWS[1:]),
    "another number of classes": _tensors(images=IMAGES, output0=(1, 84, 40)),
    "TF-TRT's": _tensors(TensorRTInputPH_0=(1, SIDE, SIDE, 3), TensorRTOutputPH_0=(1, 40, 4)),
    "integers": (*_tensors(images=IMAGES), IOTensor("output0", "INT32", ROWS, is_input=False)),
    "an output that goes in": (*_tensors(images=IMAGES), IOTensor("output0", "FLOAT", ROWS, is_input=True)),
}


@pytest.mark.parametrize("found", STRANGE.values(), ids=STRANGE)
def test_strange_tensors_are_refused(found):
    message = re.escape("says that it is for detect of 3 classes, and has the tensors ")
    with pytest.raises(EngineError, match=message):
        tensors.check(found, metadata("detect"), "a.engine")


def test_what_an_engine_of_ultralytics_leaves_open():
    tensors.check(_tensors(images=(-1, 3, -1, -1), output0=(-1, 4 + CLASSES, -1)), metadata("detect"), "a.engine")
    half = tuple(IOTensor(one.name, "HALF", one.dims, one.is_input) for one in _tensors(images=IMAGES, output0=ROWS))
    tensors.check(half, metadata("detect"), "a.engine")


def test_batches():
    fixed, opened = _tensors(images=(4, 3, 8, 8)), _tensors(images=(-1, 3, 8, 8))
    assert tensors.batch_ranges(fixed, {}) == ((4, 4),)
    assert tensors.batch_ranges(opened, {"images": (profile(1, 8), profile(16, 32))}) == ((1, 8), (16, 32))


@pytest.mark.parametrize("number", [-1, 3, float("nan"), 1e30])
def test_a_class_without_a_name_is_refused(number):
    rows = np.zeros((1, 5, 6), np.float32)
    rows[0, :, 5] = number
    tensors.to_dense({"output0": rows}, MODELS["detect-once"])  # no object, whatever stands there
    rows[0, 2, 4] = 0.5
    message = "gives an object of class .*, and its header has the names of 0 to 2"
    with pytest.raises(EngineError, match=message):
        tensors.to_dense({"output0": rows}, MODELS["detect-once"])


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_dense_outputs_come_back(model):
    """What the layout was made of is found again in it; of a head that gives each object once, the best of it."""
    network = recorded(model)
    images = np.random.default_rng(0).random((2, 3, SIDE, SIDE), np.float32)
    given = execute(network, {network.tensors[network.inputs[0]].name: images.transpose(0, 2, 3, 1)})
    given = {output: given[name] for name, output in network.signature_outputs.items()}
    found = tensors.to_dense(execute(with_ultralytics_layout(network, model), {"images": images}), model)
    assert set(found) == set(given)
    if not model.is_end_to_end:
        if model.keypoint_shape and model.keypoint_shape[1] == 2:
            given["keypoints"][..., 2] = 1
        if model.task == "obb":  # computed of the oriented ones
            del given["boxes"]
        for name, values in given.items():
            np.testing.assert_allclose(found[name], values, atol=1e-6)
        return
    assert (np.count_nonzero(found["scores"], axis=-1) <= 1).all()
    best = -np.sort(-given["scores"].reshape(2, -1), axis=1)[:, :3]
    np.testing.assert_array_equal(-np.sort(-found["scores"].max(axis=-1), axis=1)[:, :3], best)
