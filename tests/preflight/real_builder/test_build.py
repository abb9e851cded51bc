"""Networks that are rebuilt and built by the real TensorRT-RTX."""

import dataclasses

import numpy as np
import re

import pytest

from tests.preflight.sketches import Sketch, write
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflight.profiles import Profile
from tftrt_yolo.preflight.real_builder.build import build
from tftrt_yolo.preflight.recorded_network import NO_TENSOR

RANDOM = np.random.default_rng(0)
IMAGE = (-1, 3, 8, 10)  # not square: height and width are to be told apart


def _weights(**counts):
    return {role: RANDOM.standard_normal(count).astype(np.float32) for role, count in counts.items()}


def _one(kind, output, *, weights=None, given=IMAGE, **attributes):
    """A network of one layer over one input."""
    sketch = Sketch(kind)
    return sketch.network(sketch.layer(kind, [sketch.input(*given)], output, weights=weights, **attributes))


def _pair(kind, output, *given, **attributes):
    """A network of one layer over several inputs."""
    sketch = Sketch(kind)
    return sketch.network(sketch.layer(kind, [sketch.input(*dims) for dims in given], output, **attributes))


def _convolved(output, *, maps=4, groups=1, kernel=(3, 1), **attributes):
    weights = _weights(kernel=maps * 3 // groups * kernel[0] * kernel[1], bias=maps)
    return _one("CONVOLUTION", output, weights=weights, kernel=kernel, maps=maps, groups=groups, **attributes)


def _quantised(*, shuffled=True):
    """A convolution with INT8 filters, which lie as TensorFlow has them: (height, width, in, out)."""
    sketch = Sketch("INT8")
    scale = sketch.constant(np.float32(0.1))
    images = sketch.layer("QUANTIZE", [sketch.input(*IMAGE), scale], ("INT8", IMAGE), axis=1)
    images = sketch.layer("DEQUANTIZE", [images, scale], IMAGE, axis=1)
    filters = sketch.constant(RANDOM.standard_normal((3, 1, 3, 4)).astype(np.float32))
    filters = sketch.layer("QUANTIZE", [filters, scale], ("INT8", (3, 1, 3, 4)), axis=1)
    filters = sketch.layer("DEQUANTIZE", [filters, scale], (3, 1, 3, 4), axis=1)
    if shuffled:
        filters = sketch.layer("SHUFFLE", [filters], (4, 3, 3, 1), first_transpose=(3, 2, 0, 1))
    attributes = {"kernel": (3, 1), "maps": 4, "name": "model/conv"}
    return sketch.network(sketch.layer("CONVOLUTION", [images, filters], (-1, 4, 6, 10), **attributes))


def _shape_arithmetic():
    """Resize and slice by shapes that the network computes, as TF-TRT does for a batch that is open."""
    sketch = Sketch("shapes")
    images = sketch.input(*IMAGE)
    shape = sketch.layer("SHAPE", [images], ("INT32", (4,)))
    batch = sketch.layer("SLICE", [shape], ("INT32", (1,)), start=(0,), size=(1,), stride=(1,))
    sizes = [batch, sketch.constant(np.array([3, 16, 20], np.int32))]
    resized = sketch.layer("CONCATENATION", sizes, ("INT32", (4,)))
    larger = sketch.layer("RESIZE", [images, resized], (-1, 3, 16, 20), mode="NEAREST")
    start = sketch.constant(np.zeros(4, np.int32))
    sizes = [batch, sketch.constant(np.array([3, 4, 20], np.int32))]
    size = sketch.layer("CONCATENATION", sizes, ("INT32", (4,)), axis=0)
    attributes = {"start": (0, 0, 0, 0), "size": (0, 0, 0, 0), "stride": (1, 1, 1, 1)}
    cut = sketch.layer("SLICE", [larger, start, size, NO_TENSOR], (-1, 3, 4, 20), **attributes)
    picked = sketch.layer("GATHER", [shape, sketch.constant(np.array([0, 3, 2], np.int32))], ("INT32", (3,)), axis=0)
    rows = sketch.layer("SLICE", [picked], ("INT32", (1,)), start=(0,), size=(1,), stride=(1,))
    rows = sketch.layer("CONCATENATION", [rows, sketch.constant(np.array([240], np.int32))], ("INT32", (2,)))
    flat = sketch.layer("SHUFFLE", [cut, rows], (-1, 240))
    return sketch.network(flat)


def _chosen():
    sketch = Sketch("SELECT")
    first, second = sketch.input(*IMAGE), sketch.input(*IMAGE)
    greater = sketch.layer("ELEMENTWISE", [first, second], ("BOOL", IMAGE), operation="GREATER")
    return sketch.network(sketch.layer("SELECT", [greater, first, second], IMAGE))


def _gathered():
    sketch = Sketch("GATHER")
    columns = sketch.constant(np.array([[9, 0], [1, 1]], np.int32))
    return sketch.network(sketch.layer("GATHER", [sketch.input(*IMAGE), columns], (-1, 3, 8, 2, 2), axis=3))


def _best():
    sketch = Sketch("TOPK")
    outputs = ((-1, 3, 8, 2), ("INT32", (-1, 3, 8, 2)))
    return sketch.network(*sketch.layer("TOPK", [sketch.input(*IMAGE)], *outputs, operation="MAX", k=2, axes=8))


def _cast():
    sketch = Sketch("cast")
    whole = sketch.layer("IDENTITY", [sketch.input(*IMAGE)], ("INT32", IMAGE))
    return sketch.network(sketch.layer("IDENTITY", [sketch.layer("IDENTITY", [whole], ("INT32", IMAGE))], IMAGE))


# What is expected of TensorRT stands in the networks: the shape and type of each output.
NETWORKS = {
    "convolution": _convolved((-1, 4, 6, 10)),
    "convolution, strides": _convolved((-1, 4, 4, 12), stride=(2, 1), pre_padding=(0, 2), post_padding=(1, 0)),
    "convolution, dilated": _convolved((-1, 6, 4, 10), maps=6, groups=3, dilation=(2, 1)),
    "convolution, same": _convolved((-1, 4, 4, 4), stride=(2, 3), padding_mode="SAME_UPPER"),
    "deconvolution": _one(
        "DECONVOLUTION", (-1, 4, 15, 30), weights=_weights(kernel=4 * 3 * 6), kernel=(2, 3), maps=4, groups=1,
        stride=(2, 3), pre_padding=(0, 0), post_padding=(1, 0),
    ),
    "fully connected": _one("FULLY_CONNECTED", (-1, 5, 1, 1), weights=_weights(kernel=1200, bias=5), maps=5),
    "activation": _one("ACTIVATION", IMAGE, type="LEAKY_RELU", alpha=0.1),
    "activation, clipped": _one("ACTIVATION", IMAGE, type="CLIP", alpha=0, beta=6),
    "pooling": _one("POOLING", (-1, 3, 4, 5), type="MAX", window=(2, 2), stride=(2, 2)),
    "pooling, rounded up": _one(
        "POOLING", (-1, 3, 3, 4), type="AVERAGE", window=(3, 3), stride=(3, 3), average_excludes_padding=1,
        padding_mode="EXPLICIT_ROUND_UP", pre_padding=(0, 0), post_padding=(0, 0),
    ),
    "softmax": _one("SOFTMAX", IMAGE, axes=8),
    "concatenation": _pair("CONCATENATION", (-1, 3, 8, 13), IMAGE, (-1, 3, 8, 3), axis=3),
    "elementwise": _pair("ELEMENTWISE", IMAGE, IMAGE, (1, 3, 1, 1), operation="SUM"),
    "unary": _one("UNARY", IMAGE, operation="EXP"),
    "padding": _one("PADDING", (-1, 3, 9, 12), pre_padding=(1, 0), post_padding=(0, 2)),
    "shuffle": _one("SHUFFLE", (-1, 80, 3), first_transpose=(0, 2, 3, 1), reshape=(0, -1, 3), zero_is_placeholder=1),
    "shuffle, twice": _one("SHUFFLE", (24, -1, 10), reshape=(-1, 24, 10), second_transpose=(1, 0, 2)),
    "reduce": _one("REDUCE", (-1, 3), operation="AVG", axes=12, keep_dims=0),
    "reduce, kept": _one("REDUCE", (-1, 3, 1, 10), operation="MAX", axes=4, keep_dims=1),
    "top k": _best(),
    "gather": _gathered(),
    "matrices": _pair(
        "MATRIX_MULTIPLY", (-1, 8, 5), (-1, 8, 10), (-1, 5, 10), first="NONE", second="TRANSPOSE"
    ),
    "cast": _cast(),
    "resize, scales": _one(
        "RESIZE", (-1, 3, 16, 30), scales=(1, 1, 2, 3), mode="LINEAR", coordinates="HALF_PIXEL"
    ),
    "resize, size": _one(
        "RESIZE", (2, 3, 16, 5), given=(2, 3, 8, 10), output_dims=(2, 3, 16, 5), mode="NEAREST", rounding="FLOOR",
        coordinates="ASYMMETRIC",
    ),
    "shape arithmetic": _shape_arithmetic(),
    "select": _chosen(),
    "INT8": _quantised(),
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = write(NETWORKS.values(), tmp_path_factory.mktemp("recording"))
    return dict(zip(NETWORKS, build(folder, batch_sizes=(1, 4)), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_layer_is_taken_and_every_tensor_is_as_recorded(name, reports):
    report, network = reports[name], NETWORKS[name]
    assert report.differences == ()
    assert report.tensors_compared == len(network.tensors)
    kinds = [tensor.type for tensor in network.tensors]
    assert report.tensor_types == {kind: kinds.count(kind) for kind in kinds}
    assert (report.layers, report.engine, report.in_half) == (len(network.layers), network.engine, False)
    assert report.plan_bytes > 0
    assert report.warnings == ()
