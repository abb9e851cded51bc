"""Grouped convolutions against PyTorch's, alone and in models, up to what TensorRT is given of them."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import yaml

import tftrt_yolo
from tests import toy
from tests.conftest import IMAGES
from tests.exporter.grouped import grouped_in
from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.exporter import grouped_convolutions
from tftrt_yolo.ground.errors import ExportError
from tftrt_yolo.saved_model import freeze

torch = pytest.importorskip("torch")

FRAMES = np.random.default_rng(0).standard_normal((2, 11, 13, 12)).astype(np.float32)
CHANNELS = FRAMES.shape[3]
CONVOLUTIONS = {"Conv2D", "DepthwiseConv2dNative"}


def _kernel(groups, channels_out, *, size=3):
    """A filter in TensorFlow's layout."""
    shape = (size, size, CHANNELS // groups, channels_out)
    return np.random.default_rng(groups).standard_normal(shape).astype(np.float32)


def _torch(kernel, groups, *, channels=CHANNELS, bias=None, strides=(1, 1), padding="SAME", dilation=1):
    """The same convolution by PyTorch, channels last."""
    before, after = np.zeros((2, 2), int)
    if padding == "SAME":  # TensorFlow's: what is over goes behind
        sizes, strides_hw = np.array(FRAMES.shape[1:3]), np.array(strides)
        spans = (np.array(kernel.shape[:2]) - 1) * dilation + 1
        total = np.maximum((-(-sizes // strides_hw) - 1) * strides_hw + spans - sizes, 0)
        before, after = total // 2, total - total // 2
    frames = np.pad(FRAMES[..., :channels], ((0, 0), *zip(before, after, strict=True), (0, 0)))
    output = torch.nn.functional.conv2d(
        torch.from_numpy(frames).permute(0, 3, 1, 2),
        torch.from_numpy(kernel).permute(3, 2, 0, 1),
        None if bias is None else torch.from_numpy(bias),
        stride=strides,
        dilation=dilation,
        groups=groups,
    )
    return output.permute(0, 2, 3, 1).numpy()


def _replaced(network):
    """A network after the replacement: what it gives, how often it has each op, and the filters that it is fed."""
    signature = tf.TensorSpec((None, *FRAMES.shape[1:]), name="frames")
    function = tf.function(network, autograph=False).get_concrete_function(signature)
    graph_def = function.graph.as_graph_def()
    values = {placeholder.name: captured for captured, placeholder in function.graph.captures}
    for index in reversed([i for i, node in enumerate(graph_def.node) if node.op == "Placeholder"]):
        del graph_def.node[index]
    grouped_convolutions.replace(function.graph, graph_def, values)

    def imported(frames):
        names = [output.name for output in function.outputs]
        constants = {name: tf.constant(value.numpy()) for name, value in values.items()}
        return tf.graph_util.import_graph_def(graph_def, {"frames:0": frames} | constants, names)

    outputs = [output.numpy() for output in tf.function(imported)(tf.constant(FRAMES))]
    ops = Counter(node.op for node in graph_def.node)
    return outputs, {op: ops[op] for op in CONVOLUTIONS if ops[op]}, values


@pytest.mark.parametrize(
    ("groups", "channels_out", "strides", "dilation", "ops"),
    [
        (1, 8, (1, 1), 1, {"Conv2D": 1}),  # ordinary: left as it is
        (1, 8, (1, 1), 2, {"Conv2D": 1}),
        (12, 12, (1, 1), 1, {"DepthwiseConv2dNative": 1}),
        (12, 24, (1, 1), 1, {"DepthwiseConv2dNative": 1}),  # two outputs of each channel
        (12, 36, (2, 2), 1, {"DepthwiseConv2dNative": 1}),
        (12, 12, (2, 1), 1, {"Conv2D": 12}),  # TensorFlow has no such depthwise kernel
        (12, 24, (1, 1), 2, {"Conv2D": 12}),  # nor this one
        (6, 6, (1, 1), 1, {"DepthwiseConv2dNative": 2}),  # two channels a group, as Ultralytics' DWConv(12, 6)
        (6, 18, (2, 2), 1, {"DepthwiseConv2dNative": 2}),
        (4, 8, (1, 1), 1, {"DepthwiseConv2dNative": 3}),
        (3, 6, (1, 1), 1, {"Conv2D": 3}),
        (3, 6, (1, 1), 2, {"Conv2D": 3}),
        (2, 10, (2, 2), 1, {"Conv2D": 2}),
        (2, 10, (1, 2), 1, {"Conv2D": 2}),
    ],
)
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_each_kind(groups, channels_out, strides, dilation, ops, padding):
    """The numbers are PyTorch's, and no weight is kept twice."""
    kernel = _kernel(groups, channels_out)
    fed = tf.constant(kernel)

    def network(frames):
        return [tf.raw_ops.Conv2D(input=frames, filter=fed, **options)]

    options = {"strides": (1, *strides, 1), "padding": padding, "dilations": (1, dilation, dilation, 1)}
    [output], found, values = _replaced(network)
    expected = _torch(kernel, groups, strides=strides, padding=padding, dilation=dilation)
    np.testing.assert_allclose(output, expected, atol=2e-5)
    assert found == ops
    assert sum(value.shape.num_elements() for value in values.values()) == kernel.size


@pytest.mark.parametrize("held", ["fed", "through identities", "a constant of the graph"])
@pytest.mark.parametrize("groups", [12, 6, 2])
def test_wherever_the_filter_is(held, groups):
    kernel, bias = _kernel(groups, 12), np.arange(12, dtype=np.float32)
    fed = tf.constant(kernel)

    def network(frames):
        filters = tf.constant(kernel) if held.startswith("a constant") else fed
        if held == "through identities":
            filters = tf.identity(tf.identity(filters))
        return [tf.nn.relu(tf.nn.conv2d(frames, filters, 1, "SAME") + bias)]

    [output], _, values = _replaced(network)
    np.testing.assert_allclose(output, np.maximum(_torch(kernel, groups, bias=bias), 0), atol=2e-5)
    assert sum(value.shape.num_elements() for value in values.values() if value.shape.rank == 4) == kernel.size


def test_filters_that_are_shared():
    """By convolutions of the same and of another kind, and by one without groups: each has its own numbers."""
    kernel = _kernel(6, 12)  # of two channels a group
    fed = tf.constant(kernel)

    def network(frames):
        filters = tf.identity(fed)
        others = (frames, 2), (frames[..., :4], 1), (frames[..., :2], 1)
        return [tf.nn.conv2d(features, filters, strides, "SAME") for features, strides in ((frames, 1), *others)]

    outputs, found, values = _replaced(network)
    np.testing.assert_allclose(outputs[0], _torch(kernel, 6), atol=2e-5)
    np.testing.assert_allclose(outputs[1], _torch(kernel, 6, strides=(2, 2)), atol=2e-5)
    np.testing.assert_allclose(outputs[2], _torch(kernel, 2, channels=4), atol=2e-5)
    np.testing.assert_allclose(outputs[3], _torch(kernel, 1, channels=2), atol=2e-5)
    assert found == {"DepthwiseConv2dNative": 4, "Conv2D": 3}
    # Once for the six groups of both strides, once for the two, and once whole for the one that has none.
    assert sum(value.shape.num_elements() for value in values.values()) == 3 * kernel.size


def test_a_filter_that_is_computed():
    """TF-TRT takes none, with groups or without; and a grouped one cannot be cut."""

    def network(frames):
        return [tf.nn.conv2d(frames, tf.reshape(frames[0, :3, :3, :], (3, 3, 1, 12)), 1, "SAME", name="mixed")]

    with pytest.raises(
        ExportError,
        match=r"^The filter of the grouped convolution mixed is computed in the network \(by Reshape\)\. Expected one "
        r"that is a weight, for TF-TRT takes no other; check the model's custom layers\.$",
    ):
        _replaced(network)


@pytest.mark.parametrize(("channels_in", "channels_out", "groups"), [(8, 8, 1), (8, 8, 8), (8, 12, 4), (8, 4, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_transposed(channels_in, channels_out, groups, bias):
    """As a 1 x 1 convolution, which has no groups any more."""
    from tftrt_yolo.exporter import surgery

    block = torch.nn.ConvTranspose2d(channels_in, channels_out, 2, 2, groups=groups, bias=bias)
    features = torch.rand(2, channels_in, 5, 4)
    with torch.inference_mode():
        expected = block(features)
        surgery.replace_blocks(block)
        torch.testing.assert_close(block(features), expected)


def test_transposed_with_windows_that_overlap():
    from tftrt_yolo.exporter import surgery

    block = torch.nn.ConvTranspose2d(8, 8, 3, 2, groups=8)
    surgery.replace_blocks(block)
    with pytest.raises(
        ExportError,
        match=r"^The model has a ConvTranspose2d\(8, 8, kernel_size=\(3, 3\), stride=\(2, 2\), groups=8\), and TF-TRT "
        r"takes no transposed convolution whose windows overlap\.$",
    ):
        block(torch.rand(1, 8, 4, 4))


GROUPED_LAYERS = [
    [-1, 1, "Conv", [16, 3, 2]],
    [-1, 1, "DWConv", [32, 3, 2]],  # 16 groups: two outputs of each channel
    [-1, 1, "Conv", [32, 3, 2, None, 4]],  # 4 groups of 8
    [-1, 1, "DWConv", [24, 3, 1]],  # 8 groups of 4
    [-1, 1, "GhostConv", [32, 3, 2]],  # half of it depthwise, 5 x 5
    [-1, 1, "DWConvTranspose2d", [24, 2, 2]],  # 8 groups, and transposed
]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A model with grouped convolutions of each kind; parity is part of the export."""
    folder = tmp_path_factory.mktemp("grouped")
    document = {"nc": 5, "backbone": GROUPED_LAYERS, "head": [[[5, 4], 1, "Detect", ["nc"]]]}
    (folder / "yolov8-grouped.yaml").write_text(yaml.safe_dump(document))
    toy.write_weights(folder / "grouped.pt", folder / "yolov8-grouped.yaml")
    tftrt_yolo.export(folder / "grouped.pt", folder / "grouped_saved_model", image_size=toy.SIZE)
    return folder / "grouped_saved_model"


def test_a_model_of_every_kind(export, tmp_path):
    """All of it goes into one engine, and INT8 finds every convolution."""
    assert grouped_in(export) == []
    graph_def = freeze.freeze_network(export).graph_def
    ops = Counter(node.op for node in graph_def.node)
    assert ops["DepthwiseConv2dNative"] == 1 + 4 + 1
    layers = quantization.find_layers(graph_def)
    assert len(layers) == sum(ops[op] for op in CONVOLUTIONS)
    report = tftrt_yolo.convert(export, tmp_path / "b_saved_model")
    assert (report.engines, report.nodes_outside) == (1, 0)


@pytest.mark.parametrize("precision_mode", ["FP16", "INT8"])
def test_what_tensorrt_is_given_of_it(export, precision_mode):
    """Every filter fits, the numbers are TensorFlow's, and the real builder builds it; in INT8 with all quantised."""
    data = IMAGES[0].parent if precision_mode == "INT8" else None
    report = tftrt_yolo.preflight(
        export, precision_mode=precision_mode, calibration_data=data, images=IMAGES[0], batch_sizes=(1,)
    )
    [engine] = report.engines
    assert report.faults == (), report
    assert engine.summary.misfits == ()
    assert report.nodes_outside == 0
    groups = Counter({row.groups: 0 for row in engine.summary.convolutions})
    for row in engine.summary.convolutions:
        groups[row.groups] += row.count
        assert row.quantized == (row.count if precision_mode == "INT8" else 0)
    expected = {} if precision_mode == "INT8" else {16: 2, 8: 4}  # INT8 has depthwise convolutions as ordinary ones
    assert {count: number for count, number in groups.items() if count > 1} == expected
