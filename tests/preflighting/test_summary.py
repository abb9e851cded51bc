"""Figures of a recorded network, against PyTorch's own count of operations and against the layers."""

import json
from collections import Counter

import numpy as np
import pytest

from tests.conftest import DATA
from tests.preflighting.recordings import NAMES, TASKS, Sketch, recorded
from tftrt_yolo.ground.files import documents
from tftrt_yolo.preflighting import operations, shuffles
from tftrt_yolo.preflighting.summary import NetworkSummary, flag_names, shape_text, summarize


def _pytorch_flops(run):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("channels", "maps", "kernel", "stride", "groups"),
    [
        (3, 8, (3, 3), 2, 1),
        (8, 8, (1, 1), 1, 1),
        (8, 16, (3, 3), 1, 4),  # groups
        (6, 6, (7, 7), 1, 6),  # depthwise
        (4, 2, (1, 5), 1, 1),  # sides that differ
    ],
)
def test_convolution_counts_as_in_pytorch(channels, maps, kernel, stride, groups):
    import torch

    module = torch.nn.Conv2d(channels, maps, kernel, stride, groups=groups, bias=False)
    image = torch.zeros(1, channels, 32, 24)
    sketch = Sketch()
    given = sketch.input(-1, channels, 32, 24)
    out = (-1, *module(image).shape[1:])
    values = module.weight.detach().numpy().ravel()
    facts = {"kernel": kernel, "stride": (stride, stride), "groups": groups, "maps": maps}
    sketch.output(sketch.layer("CONVOLUTION", [given], out, weights={"kernel": values}, **facts))
    summary = summarize(sketch.network())
    assert summary.flops == _pytorch_flops(lambda: module(image)) > 0
    assert summary.other_operations == 0
    (row,) = summary.convolutions
    assert row.filters == {shape_text(module.weight.shape): 1}
    assert row.layouts == {"OIHW": 1}
    assert (row.kernel_hw, row.stride_hw, row.groups, row.count) == (kernel, (stride, stride), groups, 1)


def test_deconvolution_counts_as_in_pytorch():
    import torch

    module = torch.nn.ConvTranspose2d(6, 4, 2, 2, groups=2, bias=False)
    image = torch.zeros(1, 6, 10, 12)
    sketch = Sketch()
    given = sketch.input(-1, 6, 10, 12)
    values = module.weight.detach().numpy().ravel()
    facts = {"kernel": (2, 2), "stride": (2, 2), "groups": 2, "maps": 4}
    sketch.output(sketch.layer("DECONVOLUTION", [given], (-1, 4, 20, 24), weights={"kernel": values}, **facts))
    summary = summarize(sketch.network())
    assert summary.flops == _pytorch_flops(lambda: module(image)) > 0
    assert summary.convolutions[0].filters == {shape_text(module.weight.shape): 1}
    assert summary.convolutions[0].layouts == {"OIHW": 1}


@pytest.mark.parametrize("is_turned", [False, True])
def test_products_count_as_in_pytorch(is_turned):
    import torch

    first, second = torch.zeros(1, 2, 5, 7), torch.zeros(1, 2, 7, 3)
    sketch = Sketch()
    left = sketch.input(-1, 2, *((7, 5) if is_turned else (5, 7)))
    right = sketch.input(-1, 2, 7, 3)
    facts = {"first": "TRANSPOSE" if is_turned else "NONE", "second": "NONE"}
    product = sketch.layer("MATRIX_MULTIPLY", [left, right], (-1, 2, 5, 3), **facts)
    flat = sketch.layer("SHUFFLE", [product], (-1, 30, 1, 1), reshape=(0, 30, 1, 1))
    sketch.output(sketch.layer("FULLY_CONNECTED", [flat], (-1, 9, 1, 1), maps=9))
    linear = torch.nn.Linear(30, 9, bias=False)
    expected = _pytorch_flops(lambda: (first @ second, linear(torch.zeros(1, 30))))
    assert summarize(sketch.network()).flops == expected > 0


@pytest.mark.parametrize("task", TASKS)
def test_models_count_as_in_pytorch(task, tmp_path):
    """The whole model, but for what the export turns from a convolution into a sum: the expectation over box bins."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from ultralytics import YOLO

    network = recorded(f"tiny-{task}", tmp_path)
    model = YOLO(DATA / f"yolov8n-tiny-{task}.pt").model.fuse(verbose=False).eval()
    _, height, width, _ = network.tensors[network.inputs[0]].dims
    with FlopCounterMode(display=False, depth=99) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, height, width))
    expected = counter.get_total_flops()
    expected -= sum(sum(ops.values()) for name, ops in counter.get_flop_counts().items() if name.endswith(".dfl.conv"))
    summary = summarize(network)
    assert summary.flops == expected > 1e7
    assert sum(row.flops for row in summary.convolutions) <= summary.flops


def test_other_layers_count_one_an_element():
    sketch = Sketch()
    given = sketch.input(-1, 4, 6, 6)
    active = sketch.sigmoid(given)
    pooled = sketch.layer("POOLING", [active], (-1, 4, 3, 3), type="MAX", window=(2, 2), stride=(2, 2))
    summed = sketch.layer("REDUCE", [pooled], (-1, 4), operation="AVG", axes=12, keep_dims=0)
    turned = sketch.layer("SHUFFLE", [summed], (-1, 2, 2), reshape=(0, 2, 2))
    sketch.output(turned)
    assert summarize(sketch.network()).other_operations == 4 * 36 + 4 * 9 * 4 + 4 * 9


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (385, ("FP16", "TF32", "SPARSE_WEIGHTS")),
        (387, ("FP16", "INT8", "TF32", "SPARSE_WEIGHTS")),
        (1 << 10 | 1 << 17, ("OBEY_PRECISION_CONSTRAINTS", "FP8")),
        (1 << 18, ("bit 18",)),  # newer than 8.6.1
        (0, ()),
    ],
)
def test_builder_flags_have_names(mask, expected):
    assert summarize(Sketch().network(builder_flags=mask)).builder_flags == expected


def test_flag_names():
    assert flag_names(5, ("A", "B", "C")) == ("A", "C")


@pytest.mark.parametrize("name", NAMES)
def test_every_recording_is_counted_and_read_back(name, tmp_path):
    network = recorded(name, tmp_path)
    summary = summarize(network)
    assert documents.parse(json.loads(documents.to_json(summary)), NetworkSummary) == summary
    assert summary.layers == len(network.layers) == sum(summary.layers_by_kind.values())
    assert summary.layers_by_kind == Counter(layer.kind for layer in network.layers)
    assert sum(row.count for row in summary.convolutions) == summary.layers_by_kind["CONVOLUTION"]
    assert summary.weights_bytes == (tmp_path / "weights.bin").stat().st_size or summary.weights_bytes > 1e6
    assert len(summary.shuffles) == summary.layers_by_kind["SHUFFLE"]
    layouts = {layout for row in summary.convolutions for layout in row.layouts if "not fit" not in layout}
    expected = "CONSTANT > QUANTIZE > DEQUANTIZE > SHUFFLE [3, 2, 0, 1] = OIHW"
    assert layouts == {expected if name.endswith("int8") else "OIHW"}
    assert all(row.quantized == (row.count if name.endswith("int8") else 0) for row in summary.convolutions)
    assert ("INT8" in summary.builder_flags) == name.endswith("int8")
    assert len(str(summary).splitlines()) < 30


def test_summary_for_a_reader(tmp_path):
    text = str(summarize(recorded("tiny-detect", tmp_path)))
    assert "  input  TensorRTInputPH_0 FLOAT Nx640x640x3\n" in text
    assert "  output TensorRTOutputPH_0 (scores) FLOAT Nx8400x10\n" in text
    assert "builder flags FP16, TF32, SPARSE_WEIGHTS; precision set: not set 486; tensors: FLOAT " in text
    assert "shuffles: " in text
    assert "MB in 1: TF-TRT turns height and width of what TensorFlow pads in NHWC: it pads in NCWH" in text


def _quantized(filters_dims, order):
    """A convolution that takes its filters through a quantisation."""
    sketch = Sketch()
    image = sketch.input(-1, 8, 6, 6)
    scale = sketch.constant()
    small = sketch.layer("QUANTIZE", [image, scale], (-1, 8, 6, 6), output="INT8")
    back = sketch.layer("DEQUANTIZE", [small, scale], (-1, 8, 6, 6))
    filters = sketch.constant(*filters_dims)
    small = sketch.layer("QUANTIZE", [filters, scale], filters_dims, output="INT8")
    wide = sketch.layer("DEQUANTIZE", [small, scale], filters_dims)
    turned = sketch.transpose(wide, *order) if order else wide
    facts = {"maps": 16, "kernel": (3, 5), "stride": (1, 1), "groups": 1}
    sketch.output(sketch.layer("CONVOLUTION", [back, turned], (-1, 16, 4, 2), **facts))
    return sketch.network()


@pytest.mark.parametrize(
    ("dims", "order", "expected"),
    [
        ((3, 5, 8, 16), (3, 2, 0, 1), "CONSTANT > QUANTIZE > DEQUANTIZE > SHUFFLE [3, 2, 0, 1] = OIHW"),
        (
            (3, 5, 8, 16),
            (3, 2, 1, 0),
            "CONSTANT > QUANTIZE > DEQUANTIZE > SHUFFLE [3, 2, 1, 0] = 16x8x5x3, does not fit 16x8x3x5",
        ),
        ((3, 5, 8, 16), None, "CONSTANT > QUANTIZE > DEQUANTIZE = 3x5x8x16, does not fit 16x8x3x5"),
    ],
    ids=["right", "height and width swapped", "not turned"],
)
def test_layout_of_quantised_filters(dims, order, expected):
    (row,) = summarize(_quantized(dims, order)).convolutions
    assert row.layouts == {expected: 1}
    assert row.quantized == 1


def test_filters_of_another_size_are_told():
    sketch = Sketch()
    image = sketch.input(-1, 8, 6, 6)
    facts = {"maps": 16, "kernel": (3, 3), "stride": (1, 1), "groups": 1}
    kernel = {"kernel": np.zeros(100, np.float32)}
    sketch.output(sketch.layer("CONVOLUTION", [image], (-1, 16, 4, 4), weights=kernel, **facts))
    sketch.output(sketch.layer("CONVOLUTION", [image], (-1, 16, 4, 4), **facts))
    summary = summarize(sketch.network())
    (row,) = summary.convolutions
    assert row.layouts == {"100 values, does not fit 16x8x3x3": 1, "none": 1}
    assert summary.misfits == ("layer_0:CONVOLUTION: 100 values, does not fit 16x8x3x3",)
    assert "not fit" not in str(summary)  # the report tells it as a fault


@pytest.mark.parametrize(("name", "count"), [("tiny-detect", 0), ("yolov9t", 0), ("yolov10n", 1), ("yolo12n", 8)])
def test_grouped_convolutions_of_attention_do_not_fit(name, count, tmp_path):
    """TensorFlow's Conv2D takes filters of fewer channels and finds the groups itself; TF-TRT writes one group."""
    misfits = summarize(recorded(name, tmp_path)).misfits
    assert len(misfits) == count
    assert all("tf.nn.convolution" in misfit for misfit in misfits)


def test_types_and_precisions_are_counted():
    sketch = Sketch()
    image = sketch.input(-1, 2, 2, 2, kind="HALF")
    sketch.output(sketch.sigmoid(sketch.sigmoid(image, precision="FLOAT"), output="HALF"))
    summary = summarize(sketch.network())
    assert summary.precisions == {"FLOAT": 1, "not set": 1}
    assert summary.tensor_types == {"HALF": 2, "FLOAT": 1}
    assert [str(port) for port in summary.inputs] == ["tensor_0 HALF Nx2x2x2"]


def test_names_that_a_terminal_obeys_are_escaped():
    text = str(summarize(Sketch().network(name="a\x1b[31m\u202eb")))
    assert "\x1b" not in text
    assert "\\x1b[31m\\u202eb" in text


def test_a_network_of_nothing():
    summary = summarize(Sketch().network())
    assert (summary.layers, summary.flops, summary.copies, summary.copied_bytes) == (0, 0, (), 0)
    assert "shuffles: none" in str(summary)


def test_what_data_depends_on():
    sketch = Sketch()
    image = sketch.input(-1, 2, 4, 4)
    shape = sketch.layer("SHAPE", [image], (4,), output="INT32")
    two = sketch.constant(4, output="INT32")
    doubled = sketch.sigmoid(shape, two, output="INT32")
    sketch.output(sketch.layer("RESIZE", [image, doubled], (-1, 2, 8, 8), mode="NEAREST"))
    assert operations.origins(sketch.network()) == ("data", "shape", "constant", "shape", "data")
    assert shuffles.examine(sketch.network()) == ()
