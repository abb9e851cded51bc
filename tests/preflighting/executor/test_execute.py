"""Networks made by hand, computed in order."""

import gc
import weakref

import numpy as np
import pytest

from tests.preflighting.layers import layer, network, numbers
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.executor.execute import KINDS, execute
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR


def _small(**changes):
    """(x * 2) + x, and the shape of x."""
    tensors = [
        ("x", "FLOAT", (-1, 3)),
        ("two", "FLOAT", (1, 1)),
        ("double", "FLOAT", (-1, 3)),
        ("sum", "FLOAT", (-1, 3)),
        ("shape", "INT32", (2,)),
    ]
    rows = {
        "two": layer("CONSTANT", outputs=[1], dims=(1, 1), weights={"values": np.array([2], np.float32)}),
        "double": layer("ELEMENTWISE", inputs=[0, 1], outputs=[2], operation="PROD"),
        "sum": layer("ELEMENTWISE", inputs=[2, 0], outputs=[3], operation="SUM"),
        "shape": layer("SHAPE", inputs=[0], outputs=[4]),
    }
    return network(tensors, (rows | changes).values(), inputs=[0], outputs=[4, 3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_network(batch, dtype):
    data = numbers(batch, 3)
    found = execute(_small(), {"x": data}, dtype=dtype)
    assert found.keys() == {"sum", "shape"}
    assert found["sum"].dtype == dtype
    np.testing.assert_allclose(found["sum"], 3 * data, rtol=1e-6)
    assert (found["shape"].dtype, found["shape"].tolist()) == (np.int32, [batch, 3])


def test_what_is_replaced():
    seen = []

    def zeros(values):
        seen.append(values)
        return np.zeros_like(values)

    data = numbers(2, 3)
    found = execute(_small(), {"x": data}, replace={"double": zeros})
    np.testing.assert_array_equal(seen[0], 2 * data)
    np.testing.assert_array_equal(found["sum"], data)
    with pytest.raises(PreflightError, match=r"gives float32 \(1, 3\)|gives float32 \(3,\)\. Expected FLOAT \(-1, 3\)"):
        execute(_small(), {"x": data}, replace={"double": lambda values: values[0]})


def test_weights_in_half_precision_are_computed_in_what_was_asked():
    half = layer("CONSTANT", outputs=[1], dims=(1, 1), weights={"values": np.array([2], np.float16)})
    assert execute(_small(two=half), {"x": numbers(1, 3)})["sum"].dtype == np.float32


def test_an_input_that_is_left_out():
    tensors = [("x", "FLOAT", (4,)), ("size", "INT32", (1,)), ("y", "FLOAT", (2,))]
    size = layer("CONSTANT", outputs=[1], dims=(1,), weights={"values": np.array([2], np.int32)})
    cut = layer("SLICE", inputs=[0, NO_TENSOR, 1], outputs=[2], start=(1,), size=(0,), stride=(1,))
    found = execute(network(tensors, [size, cut], inputs=[0], outputs=[2]), {"x": np.arange(4)})
    assert found["y"].tolist() == [1, 2]


def test_an_identity_converts():
    tensors = [("x", "FLOAT", (3,)), ("y", "INT32", (3,)), ("z", "BOOL", (3,))]
    layers = [layer("IDENTITY", inputs=[0], outputs=[1]), layer("IDENTITY", inputs=[1], outputs=[2])]
    found = execute(network(tensors, layers, inputs=[0], outputs=[1, 2]), {"x": [-1.7, 0.2, 2.9]})
    assert found["y"].tolist() == [-1, 0, 2]
    assert found["z"].tolist() == [True, False, True]


def test_two_outputs_of_which_one_is_not_taken():
    tensors = [("x", "FLOAT", (4,)), ("values", "FLOAT", (2,)), ("indices", "INT32", (2,))]
    top = layer("TOPK", inputs=[0], outputs=[1, 2], operation="MAX", k=2, axes=1)
    assert execute(network(tensors, [top], inputs=[0], outputs=[2]), {"x": [1, 4, 2, 3]})["indices"].tolist() == [1, 3]


def test_a_tensor_is_let_go_after_its_last_consumer():
    tensors = [(f"t{i}", "FLOAT", (-1,)) for i in range(6)]
    layers = [layer("ELEMENTWISE", inputs=[i, i], outputs=[i + 1], operation="SUM") for i in range(5)]
    seen, most = [], []

    def watch(values):
        values = values.view(_Watched)
        seen.append(weakref.ref(values))
        gc.collect()
        most.append(sum(one() is not None for one in seen))
        return values

    replace = {f"t{i}": watch for i in range(1, 6)}
    found = execute(network(tensors, layers, inputs=[0], outputs=[5]), {"t0": np.ones(3)}, replace=replace)
    assert found["t5"].tolist() == [32, 32, 32]
    assert max(most) == 2  # what is computed of, and what comes out


class _Watched(np.ndarray):
    """An array that can be watched."""


def test_the_kinds():
    assert set(KINDS) == {
        *("ACTIVATION", "CONCATENATION", "CONSTANT", "CONVOLUTION", "DECONVOLUTION", "DEQUANTIZE", "ELEMENTWISE"),
        *("FULLY_CONNECTED", "GATHER", "IDENTITY", "MATRIX_MULTIPLY", "PADDING", "POOLING", "QUANTIZE", "REDUCE"),
        *("RESIZE", "SELECT", "SHAPE", "SHUFFLE", "SLICE", "SOFTMAX", "TOPK", "UNARY"),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sum": layer("LRN", name="e/norm:LRN", inputs=[2], outputs=[3])},
            r"^Layer e/norm:LRN is of kind LRN, which the executor does not compute\. Expected one of ACTIVATION, .*, "
            r"UNARY; leave its op to TensorFlow \(TF_TRT_OP_DENYLIST in the environment\), or file an issue with "
            r"network\.json\.$",
        ),
        (
            {"sum": layer("SHUFFLE", inputs=[2], outputs=[3], reshape=(3, -1))},
            r"^SHUFFLE layer a/shuffle:SHUFFLE gives float32 \(3, 1\)\. Expected FLOAT \(-1, 3\) as recorded, where -1 "
            r"is any size; run the preflight again, and report it with its network\.json\.$",
        ),
        (
            {"sum": layer("ELEMENTWISE", inputs=[2, 0], outputs=[3], operation="LESS")},
            r"gives bool \(1, 3\)\. Expected",
        ),
        ({"shape": layer("IDENTITY", inputs=[1], outputs=[4])}, r"IDENTITY layer .* gives float32 \(1, 1\)"),
        (
            {"sum": layer("ELEMENTWISE", inputs=[2, NO_TENSOR], outputs=[3], operation="SUM")},
            "AttributeError: 'NoneType'",
        ),
        ({"sum": layer("TOPK", inputs=[2], outputs=[3], operation="MAX", k=1, axes=1)}, "gives 2 outputs .* has 1"),
        ({"two": layer("CONSTANT", outputs=[1], dims=(1, 1))}, "cannot be computed of no input .*KeyError: 'values'"),
    ],
)
def test_what_cannot_be_computed(changes, message):
    with pytest.raises(PreflightError, match=message):
        execute(_small(**changes), {"x": numbers(1, 3)})


@pytest.mark.parametrize(
    ("feeds", "options", "message"),
    [
        ({}, {}, r"^feeds hold nothing\. Expected x among them\.$"),
        ({"y": numbers(1, 3)}, {}, r"^feeds hold y\. Expected x among them\.$"),
        ({"x": numbers(1, 3), "y": numbers(1)}, {}, r"^feeds hold y too\. Expected x alone\.$"),
        ({"x": numbers(1, 4)}, {}, r"^x is fed \(1, 4\)\. Expected \(-1, 3\), where -1 is any size\.$"),
        ({"x": numbers(3)}, {}, r"^x is fed \(3,\)\. Expected \(-1, 3\)"),
        (
            {"x": numbers(1, 3)},
            {"replace": {"z": abs}},
            r"^replace holds z, the name of 0 tensors\. Expected that of one\.$",
        ),
        ({"x": numbers(1, 3)}, {"dtype": np.int32}, r"^dtype is int32\. Expected float32 or float64\.$"),
    ],
)
def test_arguments(feeds, options, message):
    with pytest.raises(ValueError, match=message):
        execute(_small(), feeds, **options)
