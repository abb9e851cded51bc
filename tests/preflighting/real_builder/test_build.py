"""Networks that are rebuilt and built by the real TensorRT-RTX."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tests.preflighting.sketches import Sketch, write
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.files import documents
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.preflighting.real_builder.build import build, check_target
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport, Refusal
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR, Tensor

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
        "DECONVOLUTION",
        (-1, 4, 15, 30),
        weights=_weights(kernel=4 * 3 * 6),
        kernel=(2, 3),
        maps=4,
        groups=1,
        stride=(2, 3),
        pre_padding=(0, 0),
        post_padding=(1, 0),
    ),
    "fully connected": _one("FULLY_CONNECTED", (-1, 5, 1, 1), weights=_weights(kernel=1200, bias=5), maps=5),
    "activation": _one("ACTIVATION", IMAGE, type="LEAKY_RELU", alpha=0.1),
    "activation, clipped": _one("ACTIVATION", IMAGE, type="CLIP", alpha=0, beta=6),
    "pooling": _one("POOLING", (-1, 3, 4, 5), type="MAX", window=(2, 2), stride=(2, 2)),
    "pooling, rounded up": _one(
        "POOLING",
        (-1, 3, 3, 4),
        type="AVERAGE",
        window=(3, 3),
        stride=(3, 3),
        average_excludes_padding=1,
        padding_mode="EXPLICIT_ROUND_UP",
        pre_padding=(0, 0),
        post_padding=(0, 0),
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
    "matrices": _pair("MATRIX_MULTIPLY", (-1, 8, 5), (-1, 8, 10), (-1, 5, 10), first="NONE", second="TRANSPOSE"),
    "cast": _cast(),
    "resize, scales": _one("RESIZE", (-1, 3, 16, 30), scales=(1, 1, 2, 3), mode="LINEAR", coordinates="HALF_PIXEL"),
    "resize, size": _one(
        "RESIZE",
        (2, 3, 16, 5),
        given=(2, 3, 8, 10),
        output_dims=(2, 3, 16, 5),
        mode="NEAREST",
        rounding="FLOOR",
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


def _built(tmp_path, *networks, **options):
    """What the builder said to each."""
    return build(write(networks, tmp_path / "recording"), **options)


def _refusal(tmp_path, *networks, **options):
    """What is said to the last network."""
    *_, said = _built(tmp_path, *networks, **options)
    assert isinstance(said, Refusal)
    assert str(said) == said.words
    return said.words


def test_height_and_width_swapped_are_found(tmp_path):
    [report] = _built(tmp_path, _convolved((-1, 4, 8, 8)))  # as if the filters were (1, 3)
    [difference] = report.differences
    assert (difference.recorded, difference.found) == ("FLOAT (-1, 4, 8, 8)", "FLOAT (-1, 4, 6, 10)")
    assert str(difference) == (
        "'tensor 1' of CONVOLUTION 'CONVOLUTION 0': recorded FLOAT (-1, 4, 8, 8), found FLOAT (-1, 4, 6, 10)"
    )
    assert str(report).endswith("2 tensors compared (2 FLOAT): 1 of another shape or type")  # faults tell which


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        (("INT32", IMAGE), "FLOAT (-1, 3, 8, 10)"),  # another type
        ((2, 3, 8, 10), "FLOAT (-1, 3, 8, 10)"),  # a batch that is not open
        ((-1, 3, -1, 10), "FLOAT (-1, 3, 8, 10)"),  # what is known is not open
        ((-1, 3, 80), "FLOAT (-1, 3, 8, 10)"),  # another rank
    ],
)
def test_what_else_differs_is_found(recorded, found, tmp_path):
    [report] = _built(tmp_path, _one("UNARY", recorded, operation="EXP"))
    [difference] = report.differences
    assert difference.found == found


def test_int8_filters_need_the_shuffle(tmp_path):
    assert re.fullmatch(
        r"TensorRT-RTX 1\.7\.1\.116 refuses layer 7 of 7, CONVOLUTION 'model/conv' of FLOAT \(-1, 3, 8, 10\), FLOAT "
        r"\(3, 1, 3, 4\): .*kernel.*\. TensorRT 8\.6\.1 may refuse it too\. If the SavedModel was changed after its "
        r"export, export it again; else leave the layer's op to TensorFlow \(TF_TRT_OP_DENYLIST in the environment\), "
        r"or file an issue with network\.json\.",
        _refusal(tmp_path, _quantised(shuffled=False)),
    )


REFUSED = {
    "broadcast dimensions must be conformable": _pair("ELEMENTWISE", IMAGE, IMAGE, (-1, 3, 10, 8), operation="SUM"),
    "count of 12 weights in kernel, but kernel dimensions (3,1) with 3 input channels": _one(
        "CONVOLUTION", IMAGE, weights=_weights(kernel=12), kernel=(3, 1), maps=4
    ),
    "all concat input tensors must have the same dimensions except on the concatenation axis": _pair(
        "CONCATENATION", IMAGE, IMAGE, (-1, 3, 10, 8), axis=1
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_refusal_has_the_builders_own_words(words, tmp_path):
    network = REFUSED[words]
    named = re.escape(f"refuses layer 1 of 1, {network.layers[0].kind} '{network.layers[0].name}' of FLOAT (-1, 3, 8")
    said = _refusal(tmp_path, NETWORKS["INT8"], network)  # the second of two: the first one's words are not its own
    assert re.search(f"{named}.*{re.escape(words)}.*TensorRT 8.6.1 may refuse it too", said)


def test_a_refusal_that_comes_late(tmp_path):
    network = _one("SHUFFLE", (-1, 7, 10), reshape=(-1, 7, 10))  # 240 elements an image
    assert re.search(
        r"refuses to build the network, of which it took every layer: .*IShuffleLayer SHUFFLE 0: reshaping failed for"
        r".*\. Try a single one of batch_sizes\. TensorRT 8\.6\.1 may",
        _refusal(tmp_path, network),
    )


def test_what_follows_a_refusal_is_built(tmp_path):
    first, refused, report = _built(tmp_path, NETWORKS["INT8"], _quantised(shuffled=False), NETWORKS["INT8"])
    assert isinstance(first, BuilderReport)
    assert isinstance(refused, Refusal)
    assert (report.engine, report.differences, report.warnings) == ("INT8", (), ())


def test_what_ends_its_process_is_told_and_what_follows_is_built(tmp_path):
    huge = Sketch("huge")
    shape = (-1, 3, 1 << 13, 1 << 13)
    first = huge.network(huge.layer("UNARY", [huge.input(*shape)], shape, operation="EXP"))
    sketch = Sketch("fixed")  # a batch that no profile makes larger
    last = sketch.network(sketch.layer("UNARY", [sketch.input(2, 3, 8, 10)], (2, 3, 8, 10), operation="EXP"))
    refused, report = _built(tmp_path, first, last, batch_sizes=(65_536,))
    assert re.match(
        r"TensorRT-RTX 1\.7\.1\.116 (refuses to build the network|did not come to an end\. Try smaller batch_sizes)",
        refused.words,
    )
    assert (report.engine, report.layers) == ("fixed", 1)


def test_a_name_cannot_move_the_cursor(tmp_path):
    sketch = Sketch()
    attributes = {"operation": "SUM", "name": "\x1b[31mred"}
    output = sketch.layer("ELEMENTWISE", [sketch.input(*IMAGE), sketch.input(-1, 4, 8, 9)], IMAGE, **attributes)
    said = _refusal(tmp_path, sketch.network(output))
    assert r"ELEMENTWISE '\x1b[31mred' of" in said
    assert "\x1b" not in said


DAMAGED = {
    "Layer 'LRN 0' is a LRN with []; how ['LRN'] is said to TensorRT 10 is not known here. Known are CONV": _one(
        "LRN", IMAGE
    ),
    "is a UNARY with ['axis', 'operation']; how ['axis'] is said to TensorRT 10 is not known here": _one(
        "UNARY", IMAGE, operation="EXP", axis=1
    ),
    "Layer 'UNARY 0', a UNARY, needs what this TensorRT's Python API does not have: ": _one(
        "UNARY", IMAGE, operation="HALVE"
    ),
    "Layer 'POOLING 0', a POOLING, is recorded in a way that cannot be said to TensorRT (KeyError: 'window'). "
    "Expected what TF-TRT makes; run the preflight again.": _one("POOLING", IMAGE, type="MAX"),
    "Layer 'PADDING 0', a PADDING, is recorded in a way that cannot be said to TensorRT (TypeError: ": _one(
        "PADDING", IMAGE, pre_padding=1, post_padding=(1, 1)
    ),
    "Layer 'SOFTMAX 0', a SOFTMAX, is recorded in a way that cannot be said to TensorRT (ValueError: ": _one(
        "SOFTMAX", IMAGE, axes="all"
    ),
    "Input 'tensor 0' needs what this TensorRT's Python API does not have: ": dataclasses.replace(
        _one("UNARY", IMAGE, operation="EXP"),
        tensors=(Tensor("tensor 0", "FLOAT128", IMAGE), NETWORKS["unary"].tensors[1]),
    ),
    "Output 'tensor 0' is recorded in a way that cannot be said to TensorRT (KeyError: ": dataclasses.replace(
        NETWORKS["unary"], inputs=(), outputs=(0,), layers=()
    ),
}


@pytest.mark.parametrize("message", DAMAGED)
def test_what_cannot_be_said_is_refused(message, tmp_path):
    said = _refusal(tmp_path, DAMAGED[message])
    assert message in said
    assert "real builder" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"compute_capability": "9.0"},  # Hopper
            "compute_capability is '9.0'; TensorRT-RTX 1.7.1.116 builds for 7.5, 8.0, 8.6, 8.9, 12.0, 12.1. Choose one "
            "of these: an engine for another GPU is TensorRT's own, built on that GPU.",
        ),
        ({"compute_capability": "sm_89"}, "compute_capability is 'sm_89'; TensorRT-RTX 1.7.1.116 builds for 7.5, 8.0,"),
        ({"compute_capability": 8.9}, "compute_capability is 8.9; TensorRT-RTX 1.7.1.116 builds for 7.5, 8.0,"),
        ({"compute_capability": ""}, "compute_capability is ''; TensorRT-RTX 1.7.1.116 builds for 7.5, 8.0,"),
    ],
)
def test_options_that_it_does_not_take(options, message, tmp_path):
    with pytest.raises(PreflightError, match=re.escape(message)):
        _built(tmp_path, NETWORKS["INT8"], **options)
    with pytest.raises(PreflightError, match=re.escape(message)):
        check_target(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_half": True}, "The network has quantisations, whose types are INT8's own. Build it as it was recorded"),
    ],
)
def test_options_that_do_not_go_with_the_network(options, message, tmp_path):
    assert message in _refusal(tmp_path, NETWORKS["INT8"], **options)


@pytest.mark.parametrize("compute_capability", [None, "7.5", "8.9", "12.1"])
def test_a_target_that_is_built_for(compute_capability):
    assert check_target(compute_capability) is None


@pytest.mark.parametrize("compute_capability", ["7.5", "12.1"])
def test_it_builds_for_a_gpu_that_is_not_here(compute_capability, tmp_path):
    [report] = _built(tmp_path, NETWORKS["INT8"], compute_capability=compute_capability)
    assert (report.compute_capability, report.on_cpu) == (compute_capability, True)
    assert re.sub(r"\d\.\d (s|MB)", r"N \1", str(report)) == (
        "TensorRT-RTX 1.7.1.116 took all 8 layers and built an engine for compute capability "
        f"{compute_capability} in N s (N MB; on a CPU, nothing was run)\n"
        "  9 tensors compared (7 FLOAT, 2 INT8): 0 of another shape or type"
    )


def test_profiles_are_those_of_tf_trt(tmp_path):
    sketch = Sketch()  # beside an input of a fixed shape, which has none
    inputs = sketch.input(*IMAGE), sketch.input(1, 3, 1, 1)
    [report] = _built(
        tmp_path, sketch.network(sketch.layer("ELEMENTWISE", inputs, IMAGE, operation="SUM")), batch_sizes=(1, 4)
    )
    one, four = (1, 3, 8, 10), (4, 3, 8, 10)
    assert report.profiles == {
        "tensor 0": (Profile(one, four, four),),
        "tensor 1": (),
    }


def test_a_network_in_half(tmp_path):
    whole, [half] = NETWORKS["convolution"], _built(tmp_path, NETWORKS["convolution"], in_half=True)
    assert half.differences == ()
    assert half.tensor_types == {"FLOAT": 2, "HALF": len(whole.tensors)}  # what goes in and comes out is FP32
    assert (half.in_half, half.layers) == (True, 1)


def test_a_report_is_written_as_json(tmp_path):
    [report] = _built(tmp_path, _convolved((-1, 4, 8, 8)))
    path = tmp_path / "report.json"
    documents.write(report, path)
    assert documents.parse(json.loads(path.read_text()), BuilderReport) == report


def test_no_recording(tmp_path):
    with pytest.raises(PreflightError, match=re.escape(f"{tmp_path} holds no whole recording (FileNotFoundError: ")):
        build(tmp_path)
