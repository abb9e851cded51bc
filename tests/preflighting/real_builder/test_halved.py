"""Networks put into FP16."""

import numpy as np
import pytest

from tests.preflighting.sketches import Sketch, write
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.executor.execute import execute
from tftrt_yolo.preflighting.real_builder.build import build
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport
from tftrt_yolo.preflighting.real_builder.halved import halved
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR


def _network(weight=1.0, kind="FLOAT"):
    """A constant and a cast beside an input that is an output too."""
    sketch = Sketch()
    given = sketch.input(-1, 3, kind=kind)
    constant = sketch.constant(np.array([[weight, 2.5, -3]], np.float32))
    total = sketch.layer("ELEMENTWISE", [given, constant], (-1, 3), operation="SUM")
    whole = sketch.layer("IDENTITY", [total, NO_TENSOR], ("INT32", (-1, 3)))
    return sketch.network(given, total, whole)


def test_what_goes_in_and_comes_out_keeps_its_type():
    network, half = _network(), halved(_network())
    for side in ("inputs", "outputs"):
        before = [network.tensors[index] for index in getattr(network, side)]
        assert [half.tensors[index] for index in getattr(half, side)] == before
    assert [(layer.kind, half.tensors[layer.outputs[0]].type) for layer in half.layers] == [
        ("IDENTITY", "HALF"),  # the input
        ("CONSTANT", "HALF"),
        ("ELEMENTWISE", "HALF"),
        ("IDENTITY", "INT32"),  # stays
        ("IDENTITY", "FLOAT"),  # the input, given back
        ("IDENTITY", "FLOAT"),
    ]
    constant = half.layers[1].weights["values"]
    assert (constant.dtype, constant.tolist()) == (np.float16, [1, 2.5, -3])
    assert half.layers[3].inputs == (2, NO_TENSOR)


def test_every_layer_takes_what_exists():
    half = halved(_network())
    known = {NO_TENSOR, *half.inputs}
    for layer in half.layers:
        assert known.issuperset(layer.inputs)
        assert all(half.tensors[index].type != "FLOAT" for index in layer.inputs[:1]) or layer is half.layers[0]
        known.update(layer.outputs)
    assert known.issuperset(half.outputs)


def test_other_types_stay():
    sketch = Sketch()
    output = sketch.layer("IDENTITY", [sketch.input(4, kind="INT32")], ("INT32", (4,)))
    network = sketch.network(output)
    assert [layer.kind for layer in halved(network).layers] == ["IDENTITY"]
    assert halved(network).tensors == network.tensors


def test_a_weight_beyond_its_range_is_refused():
    with pytest.raises(
        PreflightError,
        match=r"^Layer 'CONSTANT 0' has weights up to 7e\+04; FP16 ends at 65504\. Convert the model with "
        r"precision_mode='FP32'\.$",
    ):
        halved(_network(-7e4))


def test_a_weight_that_is_infinite_anyway_stays():
    assert np.isinf(halved(_network(np.inf)).layers[1].weights["values"][0])


def _with_decode():
    """A convolution, a sum that comes behind it and one before it, which take one constant, and the input again."""
    sketch = Sketch()
    images = sketch.input(-1, 3, 8, 8)
    constant = sketch.constant(np.full((1, 3, 1, 1), 0.1, np.float32))
    before = sketch.layer("ELEMENTWISE", [images, constant], (-1, 3, 8, 8), operation="SUM")
    weights = {"kernel": np.ones(9, np.float32), "bias": np.ones(3, np.float32)}
    found = sketch.layer("CONVOLUTION", [before], (-1, 3, 8, 8), weights=weights, kernel=(1, 1), maps=3)
    decoded = sketch.layer("ELEMENTWISE", [found, constant], (-1, 3, 8, 8), operation="SUM")
    beside = sketch.layer("ELEMENTWISE", [decoded, images], (-1, 3, 8, 8), operation="SUM")
    own = sketch.constant(np.full((1, 3, 1, 1), 0.2, np.float32))
    return sketch.network(sketch.layer("ELEMENTWISE", [beside, own], (-1, 3, 8, 8), operation="PROD"), found)


def test_the_decode_can_stay():
    """What no convolution comes behind is FP32, and takes what is FP16 through casts, each tensor through one."""
    half = halved(_with_decode(), keeps_decode=True)
    kinds = [(layer.kind, half.tensors[layer.outputs[0]].type) for layer in half.layers]
    assert kinds == [
        ("IDENTITY", "HALF"),  # the input
        ("CONSTANT", "HALF"),
        ("ELEMENTWISE", "HALF"),
        ("CONVOLUTION", "HALF"),
        ("IDENTITY", "FLOAT"),  # what the convolution gives
        ("IDENTITY", "FLOAT"),  # the constant that both sides take
        ("ELEMENTWISE", "FLOAT"),
        ("ELEMENTWISE", "FLOAT"),  # with the input as it came
        ("CONSTANT", "FLOAT"),
        ("ELEMENTWISE", "FLOAT"),
        ("IDENTITY", "FLOAT"),  # the second output
    ]
    assert half.layers[7].inputs[1] == half.inputs[0]
    assert half.layers[8].weights["values"].dtype == np.float32
    assert half.layers[3].weights["kernel"].dtype == np.float16
    assert [half.tensors[index].type for index in half.outputs] == ["FLOAT", "FLOAT"]


def test_it_computes_the_same_and_a_real_builder_takes_it(tmp_path):
    network = _with_decode()
    half = halved(network, keeps_decode=True)
    images = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    name = network.tensors[network.inputs[0]].name
    found, expected = (execute(one, {name: images}) for one in (half, network))
    assert set(found) == set(expected)
    for output, values in expected.items():
        np.testing.assert_allclose(found[output], values, atol=2e-3)  # the weights are rounded
    [said] = build(write([half], tmp_path / "recording"))
    assert isinstance(said, BuilderReport), said
    assert said.differences == ()
