"""An engine of the stand-in as bytes: it says that it is none, and a damaged one is refused before it is used."""

import json
import struct
import zlib

import numpy as np
import pytest

from tests.preflighting.rehearsal.conftest import INPUT
from tftrt_yolo.preflighting.rehearsal import engine_bytes

HEADER = struct.Struct("<64sQQII")


@pytest.fixture
def content(builder):
    """An engine with weights: x + (1, 2, 3)."""
    builder.step("addInput", [INPUT, 3, [-1, 3]])
    builder.step("addConstant", [[1, 3], [1, 2, 3]])
    builder.step("addElementWise", [0, 1, 0])
    builder.add_profile(INPUT, (1, 3), (4, 3), (4, 3))
    return builder.engine().serialize()


def _sealed(words, weights, text):
    body = weights + text
    return HEADER.pack(words, len(text), len(weights), zlib.crc32(body), 0) + body


def test_it_says_what_it_is(content):
    assert content.startswith(b"tftrt_yolo: recorded by a stand-in for TensorRT, not an engine\n\0")
    network = engine_bytes.read(memoryview(content))
    assert [layer.kind for layer in network.layers] == ["CONSTANT", "ELEMENTWISE"]
    np.testing.assert_array_equal(network.layers[0].weights["values"], [1, 2, 3])
    assert [entry["dims"] for entry in network.profiles[0]] == [[1, 3], [4, 3], [4, 3]]
    assert not network.has_calibrator


@pytest.mark.parametrize("position", ["the words", "the lengths", "the checksum", "the weights", "the document", "end"])
def test_a_changed_byte(content, runtime, position):
    at = {"the words": 3, "the lengths": 65, "the checksum": 80, "the weights": 88, "the document": 200, "end": -1}
    damaged = bytearray(content)
    damaged[at[position]] ^= 0x20
    assert runtime.deserialize(bytes(damaged)) is None
    [(_, words)] = runtime.log.said
    assert words.startswith("stand-in for TensorRT: open: ")
    assert "convert the model again (ValueError)" in words.lower().replace("valueerror", "ValueError")


def test_every_length(content, runtime):
    """A file that is cut short, wherever."""
    for size in (1, 63, 64, 87, 88, 100, len(content) - 1):
        assert runtime.deserialize(content[:size]) is None
    assert runtime.deserialize(content + b"x") is None
    assert runtime.deserialize(content) is not None
    assert len(runtime.log.said) == 8
    assert all("convert the model again" in words for _, words in runtime.log.said)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outputs": [99]}, "tensor 99 of 3"),
        ({"outputs": []}, None),
        ({"layers": []}, "list index out of range"),
        ({"tensors": []}, "of 0"),
        ({"profiles": [[{"input": INPUT}]]}, "'selector'"),
        ({"inputs": "abc"}, "tensor "),
    ],
)
def test_a_document_that_means_nothing(content, runtime, change, said):
    """With a right checksum: somebody made it."""
    words, _, weights_bytes, _, _ = HEADER.unpack_from(content)
    weights, text = content[88 : 88 + weights_bytes], content[88 + weights_bytes :]
    document = json.loads(text) | change
    found = runtime.deserialize(_sealed(words, weights, json.dumps(document).encode()))
    if said is None:
        assert found.bindings == [(INPUT, True, (-1, 3), 3)]
    else:
        assert found is None
        assert said in runtime.log.said[0][1]


def test_weights_beyond_the_end(content, runtime):
    words, _, weights_bytes, _, _ = HEADER.unpack_from(content)
    text = content[88 + weights_bytes :]
    assert runtime.deserialize(_sealed(words, b"", text)) is None
    assert "weights at 0 to 12 of 0 bytes" in runtime.log.said[0][1]
