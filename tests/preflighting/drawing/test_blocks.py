"""Folding: the blocks of real models against their PyTorch modules, and the rules on networks made by hand."""

import re
from collections import Counter

import pytest

from tests.conftest import DATA
from tests.preflighting.recordings import NAMES, Sketch, recorded
from tftrt_yolo.preflighting.drawing import fold
from tftrt_yolo.preflighting.drawing.blocks import INPUT, OUTPUT, diagram_of
from tftrt_yolo.preflighting.summary import summarize

BRANCHES = {"detect": 2, "segment": 3, "pose": 3, "obb": 3}  # of a scale's head


def _diagram(network):
    return diagram_of(network, summarize(network))


def _inner(diagram):
    """All blocks but inputs and outputs."""
    return [block for block in diagram.blocks if block.rule not in (INPUT, OUTPUT)]


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_in_one_block(name, tmp_path):
    network = recorded(name, tmp_path)
    diagram = _diagram(network)
    held = Counter(id(layer) for block in diagram.blocks for layer in block.layers)
    assert held == Counter(id(layer) for layer in network.layers)
    assert sum(block.flops for block in diagram.blocks) == summarize(network).flops
    copies = [copy.name for block in diagram.blocks for copy in block.copies]
    assert sorted(copies) == sorted(copy.name for copy in summarize(network).copies)
    assert 8 <= len(_inner(diagram)) <= 40


@pytest.mark.parametrize("name", NAMES)
def test_edges_go_down_and_reach_every_block(name, tmp_path):
    network = recorded(name, tmp_path)
    diagram = _diagram(network)
    last = len(diagram.blocks) - 1
    assert all(0 <= edge.source < edge.target <= last for edge in diagram.edges)
    assert len({(edge.source, edge.target) for edge in diagram.edges}) == len(diagram.edges)
    for place, block in enumerate(diagram.blocks):
        assert block.rule == INPUT or any(edge.target == place for edge in diagram.edges)
        assert block.rule == OUTPUT or any(edge.source == place for edge in diagram.edges)
    known = {tensor.dims for tensor in network.tensors}
    assert all(shape in known for edge in diagram.edges for shape in edge.shapes)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("tiny-")])
def test_blocks_are_the_modules_of_the_model(name, tmp_path):
    from ultralytics import YOLO

    task = name.split("-")[1]
    modules = Counter(type(module).__name__ for module in YOLO(DATA / f"yolov8n-tiny-{task}.pt").model.model)
    titles = Counter(block.title.split()[0] for block in _inner(_diagram(recorded(name, tmp_path))))
    for kind in ("Conv", "C2f", "SPPF", "Upsample", "Concat"):
        assert titles[kind] == modules[kind], kind
    heads = 1 if task == "classify" else 3 * BRANCHES[task] + (task == "segment")
    assert titles["Head"] == heads


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny-detect", {"Head box_0", "Head class_2", "Decode box", "Decode class", "Output boxes", "Output scores"}),
        ("tiny-segment", {"Head coefficients_1", "Head prototypes_0", "Output prototypes"}),
        ("tiny-pose", {"Head keypoints_0", "Decode keypoints", "Output keypoints"}),
        ("tiny-obb", {"Decode angle, box", "Output boxes_xywhr"}),
        ("tiny-classify", {"Head logits_0", "Output probabilities"}),
        ("yolov9t", {"Pool", "C2f, 2 inside", "SPPF"}),
        ("yolov10n", {"Attention", "DWConv 3x3 /2", "Conv 1x1"}),
        ("yolo12n", {"Attention", "C2f, 1 inside"}),
        ("yolo26n", {"Attention", "SPPF", "C2f, 1 inside"}),
    ],
)
def test_titles(name, expected, tmp_path):
    titles = {block.title for block in _diagram(recorded(name, tmp_path)).blocks}
    assert expected <= titles, titles


def test_what_int8_computes_in(tmp_path):
    blocks = _inner(_diagram(recorded("tiny-segment-int8", tmp_path)))
    assert {block.types for block in blocks if block.convolutions} == {("INT8",)}
    assert {block.types for block in blocks if not block.convolutions} == {()}


def _rules(sketch):
    return [(block.rule, block.title) for block in _inner(_diagram(sketch.network()))]


def _stem(sketch):
    """A convolution that is no head, for others come behind it."""
    return sketch.sigmoid(sketch.convolution(sketch.input(-1, 3, 16, 16), 8, side=3, stride=2))


def test_bias_and_activation_join_their_convolution():
    sketch = Sketch()
    image = sketch.transpose(sketch.input(-1, 16, 16, 3), 0, 3, 1, 2)
    wide = sketch.layer("PADDING", [image], (-1, 3, 18, 18), pre_padding=(1, 1), post_padding=(1, 1))
    summed = sketch.sigmoid(sketch.convolution(wide, 8, side=3), sketch.constant(1, 8, 1, 1))
    active = sketch.sigmoid(summed, sketch.sigmoid(summed))
    sketch.output(active)
    (block,) = _inner(_diagram(sketch.network()))
    assert (block.title, block.rule, len(block.layers)) == ("Head", fold.HEAD, 7)
    assert block.shapes == ((-1, 8, 18, 18),)


def test_a_residual_is_a_region():
    sketch = Sketch()
    stem = _stem(sketch)
    summed = sketch.sigmoid(stem, sketch.sigmoid(sketch.convolution(stem, 8, side=3)))
    sketch.output(sketch.convolution(summed, 4))
    assert _rules(sketch) == [(fold.UNIT, "Conv 3x3 /2"), (fold.REGION, "Residual"), (fold.HEAD, "Head")]


def test_a_region_that_something_leaves_is_none():
    sketch = Sketch()
    stem = _stem(sketch)
    inner = sketch.sigmoid(sketch.convolution(stem, 8, side=3))
    summed = sketch.sigmoid(stem, inner)
    sketch.output(sketch.convolution(summed, 4), sketch.convolution(inner, 4))
    assert fold.REGION not in [rule for rule, _ in _rules(sketch)]
    assert (fold.UNIT, "Add") in _rules(sketch)


def test_a_region_that_something_enters_is_none():
    sketch = Sketch()
    stem = _stem(sketch)
    other = sketch.input(-1, 8, 8, 8)
    summed = sketch.sigmoid(stem, sketch.sigmoid(sketch.convolution(stem, 8, side=3), other))
    sketch.output(sketch.convolution(summed, 4))
    assert (fold.REGION, "Residual") in _rules(sketch)  # the input joins the convolution: no other block is behind it
    sketch = Sketch()
    stem = _stem(sketch)
    other = sketch.convolution(sketch.input(-1, 8, 8, 8), 8)
    inner = sketch.sigmoid(sketch.convolution(stem, 8, side=3), other)
    sketch.output(sketch.convolution(sketch.sigmoid(stem, inner), 4))
    assert fold.REGION not in [rule for rule, _ in _rules(sketch)]


def test_a_region_of_two_scales_is_none():
    sketch = Sketch()
    stem = _stem(sketch)
    small = sketch.sigmoid(sketch.convolution(stem, 8, side=3, stride=2))
    large = sketch.layer("RESIZE", [small], (-1, 8, 8, 8), mode="NEAREST")
    joined = sketch.layer("CONCATENATION", [stem, large], (-1, 16, 8, 8), axis=1)
    sketch.output(sketch.convolution(joined, 4))
    titles = [title for _, title in _rules(sketch)]
    assert titles == ["Conv 3x3 /2", "Conv 3x3 /2", "Upsample", "Concat", "Head"]


def test_depthwise_grouped_and_transposed_convolutions_have_names():
    sketch = Sketch()
    first = sketch.convolution(sketch.input(-1, 8, 16, 16), 8, side=3, groups=8)
    second = sketch.convolution(first, 8, side=5, groups=2, stride=2)
    facts = {"maps": 8, "kernel": (2, 2), "stride": (2, 2), "groups": 1}
    third = sketch.layer("DECONVOLUTION", [second], (-1, 8, 16, 16), **facts)
    fourth = sketch.convolution(third, 8, stride=2)
    sketch.output(sketch.convolution(fourth, 8))
    assert [title for _, title in _rules(sketch)] == [
        "DWConv 3x3",
        "Conv 5x5 /2",
        "Deconv 2x2 /2",
        "Conv 1x1 /2",
        "Head",
    ]


@pytest.mark.parametrize("kind", ["SOFTMAX", "POOLING", "A_KIND_OF_TOMORROW"])
def test_a_network_without_convolutions(kind):
    sketch = Sketch()
    sketch.output(sketch.layer(kind, [sketch.input(-1, 8)], (-1, 8)))
    ((rule, title),) = _rules(sketch)
    assert rule == fold.UNIT
    assert re.fullmatch("Softmax|Pool|A_kind_of_tomorrow", title)


def test_a_network_of_nothing():
    assert _diagram(Sketch().network()).blocks == ()


def test_an_input_that_is_an_output():
    sketch = Sketch()
    given = sketch.input(-1, 8)
    sketch.output(given)
    diagram = _diagram(sketch.network())
    assert [block.rule for block in diagram.blocks] == [INPUT, OUTPUT]
    assert [(edge.source, edge.target) for edge in diagram.edges] == [(0, 1)]


def test_an_output_that_is_a_constant_or_a_shape():
    sketch = Sketch()
    given = sketch.input(-1, 8)
    sketch.output(sketch.constant(3), sketch.layer("SHAPE", [given], (2,), output="INT32"))
    diagram = _diagram(sketch.network())
    assert [block.title for block in _inner(diagram)] == ["Constant", "Shape"]
    assert {edge.target for edge in diagram.edges} >= {3, 4}


def test_a_constant_of_two_blocks_makes_no_edge_between_them():
    sketch = Sketch()
    scale = sketch.constant(1, 8, 1, 1)
    first = sketch.sigmoid(_stem(sketch), scale)
    second = sketch.sigmoid(_stem(sketch), scale)
    for tensor in (first, second):
        sketch.output(sketch.convolution(sketch.sigmoid(tensor), 8, stride=2))
    diagram = _diagram(sketch.network())
    titles = [(diagram.blocks[edge.source].title[:4], diagram.blocks[edge.target].title[:4]) for edge in diagram.edges]
    assert Counter(titles) == {("Inpu", "Conv"): 2, ("Conv", "Head"): 2, ("Head", "Outp"): 2}


def test_unused_layers_are_shown():
    sketch = Sketch()
    stem = _stem(sketch)
    sketch.layer("POOLING", [stem], (-1, 8, 4, 4), type="MAX", window=(2, 2), stride=(2, 2))
    sketch.output(sketch.convolution(stem, 4))
    assert "Pool" in [title for _, title in _rules(sketch)]
