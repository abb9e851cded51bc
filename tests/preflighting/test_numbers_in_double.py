"""Outputs that float32 cannot hold within the bound: float64 tells its rounding from a fault."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests import toy
from tests.conftest import IMAGES
from tests.preflighting.layers import layer, network
from tftrt_yolo.preflighting.numbers import compare_numbers
from tftrt_yolo.preflighting.numbers_report import OutputDifference
from tftrt_yolo.saved_model.freeze import FrozenNetwork
from tftrt_yolo.saved_model.handle import open_saved_model

NUM_ROWS, NUM_SCORES = toy.SIZE, 64


def _weights(mean):
    """(SIZE * 3, NUM_SCORES) whose products with a row of an image are of some thousands times `mean`."""
    rng = np.random.default_rng(0)
    return (mean * rng.uniform(10, 30, (toy.SIZE * 3, NUM_SCORES))).astype(np.float32)


def _frozen(weights):
    """Scores that are the products of each row of the frames with the weights, in TensorFlow."""
    graph = tf.Graph()
    with graph.as_default():
        frames = tf.compat.v1.placeholder(tf.float32, (None, toy.SIZE, toy.SIZE, 3), name="frames")
        rows = tf.reshape(frames, (-1, NUM_ROWS, toy.SIZE * 3))
        tf.identity(tf.matmul(rows, tf.tile(weights[np.newaxis], (tf.shape(rows)[0], 1, 1))), name="scores")
    return FrozenNetwork(graph.as_graph_def(), "frames:0", {"scores": "scores:0"})


def _recorded(weights):
    """The same as a recorded network."""
    tensors = [
        ("frames", "FLOAT", (-1, toy.SIZE, toy.SIZE, 3)),
        ("rows", "FLOAT", (-1, NUM_ROWS, toy.SIZE * 3)),
        ("weights", "FLOAT", (1, toy.SIZE * 3, NUM_SCORES)),
        ("scores", "FLOAT", (-1, NUM_ROWS, NUM_SCORES)),
    ]
    layers = [
        layer("SHUFFLE", inputs=[0], outputs=[1], reshape=(-1, NUM_ROWS, toy.SIZE * 3), zero_is_placeholder=0),
        layer("CONSTANT", outputs=[2], dims=tensors[2][2], weights={"values": weights}),
        layer("MATRIX_MULTIPLY", inputs=[1, 2], outputs=[3], first="NONE", second="NONE"),
    ]
    made = network(tensors, layers, inputs=[0], outputs=[3])
    made.signature_outputs["scores"] = "scores"
    return made


@pytest.mark.parametrize(
    ("mean", "factor", "is_rounding", "is_within"),
    [
        (1e-3, 1, False, True),  # of some units: within the bound, and nothing is computed twice
        (1, 1, True, True),  # of thousands: 1e-4 is less than an ulp
        (1, 1 + 1e-5, True, False),  # a fault of a hundred ulps
        (1e-3, 1.001, True, False),  # and one whose rounding gives no room
        (1e3, 1, True, False),  # of millions: nothing would be compared
    ],
)
def test_the_networks_own_rounding_is_allowed(toy_export, mean, factor, is_rounding, is_within):
    weights = _weights(mean)
    source = open_saved_model(toy_export)
    found = compare_numbers(source, [_recorded(factor * weights)], [str(IMAGES[0])], frozen=_frozen(weights))
    [scores] = found.outputs
    assert (scores.label, scores.bound) == ("scores", 1e-4)
    assert (scores.rounding is not None, scores.is_within) == (is_rounding, is_within)
    assert (scores.largest > scores.bound) == is_rounding
    assert any(fault.startswith("scores ") for fault in found.faults) == (not is_within)


def test_what_rounding_allows():
    scores = OutputDifference("scores", "", 3e-4, 1e-6, 1e-4, 5e-5)
    assert scores.is_within
    assert scores.allowed == pytest.approx(5e-4)
    assert str(scores) == (
        "scores 0.0003 at most, 1e-06 on average (0.0005 allowed, for float32 alone moves it by 5e-05)"
    )
    assert OutputDifference("scores", "", 3e-4, 0.0, 1e-4, 1e-9).allowed == 1e-4  # never less than the bound
    assert OutputDifference("scores", "", 0.5, 0.0, 1e-4, 1.0).allowed == pytest.approx(1e-2)  # nor a hundred of it
    assert not OutputDifference("scores", "", math.nan, 0.0, 1e-4, 1.0).is_within
