"""The recording on disk: read, sorted, hashed; damaged ones are refused."""

import json
import re

import numpy as np
import pytest

import tftrt_yolo
from tftrt_yolo.preflighting import recorded_network


def _layer(kind, name, inputs, outputs, attributes=None, weights=None):
    return {
        "kind": kind,
        "name": name,
        "inputs": inputs,
        "outputs": outputs,
        "precision": None,
        "attributes": attributes or {},
        "weights": weights or {},
    }


def _document():
    """Twice x + 1, in an order in which it cannot be computed."""
    four = {"type": "FLOAT", "dims": [1, 4]}
    return {
        "name": "a network",
        "creation_flags": 1,
        "builder_flags": 385,
        "workspace_bytes": 1 << 30,
        "has_calibrator": False,
        "profiles": [],
        "inputs": [0],
        "outputs": [3],
        "tensors": [{"name": f"tensor {index}", **four} for index in range(4)],
        "layers": [
            _layer("ELEMENTWISE", "engine/double", [2, 2], [3], {"operation": "SUM"}),
            _layer("ELEMENTWISE", "engine/add", [0, 1], [2], {"operation": "SUM"}),
            _layer(
                "CONSTANT",
                "engine/one",
                [],
                [1],
                {"dims": [1, 4]},
                {"values": {"type": "FLOAT", "count": 4, "offset": 64}},
            ),
        ],
    }


def _write(folder, document, weights=None):
    folder.mkdir(exist_ok=True)
    (folder / "network.0.json").write_text(json.dumps(document))
    values = np.ones(4, np.float32) if weights is None else weights
    (folder / "weights.bin").write_bytes(bytes(64) + values.tobytes())
    assert recorded_network.join(folder, {"engine": {"tensor 3": "boxes"}}) == 1
    return folder


def test_layers_come_behind_what_they_take(tmp_path):
    [network] = recorded_network.read(_write(tmp_path, _document()))
    assert [layer.name for layer in network.layers] == ["engine/one", "engine/add", "engine/double"]
    assert (network.engine, network.signature_outputs) == ("engine", {"tensor 3": "boxes"})
    np.testing.assert_array_equal(network.layers[0].weights["values"], np.ones(4, np.float32))
    assert network.producers()[2].name == "engine/add"
    assert [layer.name for layer in network.consumers()[2]] == ["engine/double", "engine/double"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["network.json", "weights.bin"]


def _swapped(document):
    document["layers"][1]["inputs"] = [1, 0]


def _renamed(document):
    document["layers"][0]["name"] = "engine/other"


def _reordered(document):
    document["layers"].reverse()


def test_a_network_without_weights(tmp_path):
    document = _document()
    document["layers"] = [_layer("UNARY", "engine/negative", [0], [3], {"operation": "NEG"})]
    (tmp_path / "network.0.json").write_text(json.dumps(document))
    (tmp_path / "weights.bin").touch()
    recorded_network.join(tmp_path)
    (network,) = recorded_network.read(tmp_path)
    assert [layer.kind for layer in network.layers] == ["UNARY"]
    assert network.layers[0].weights == {}


@pytest.mark.parametrize("change", [_swapped, _renamed, _reordered])
def test_what_the_digest_does_not_see(tmp_path, change):
    """Order of operands that commute, names, and order of layers: TF-TRT changes them from one run to the next."""
    document = _document()
    change(document)
    [before], [after] = (
        recorded_network.read(_write(tmp_path / name, each)) for name, each in (("a", _document()), ("b", document))
    )
    assert before.digest == after.digest


def _other_operation(document):
    document["layers"][0]["attributes"]["operation"] = "PROD"


def _other_ancestry(document):
    document["layers"][0]["inputs"] = [2, 1]


def _other_shape(document):
    document["tensors"][3]["dims"] = [1, 5]


def _other_flag(document):
    document["builder_flags"] = 384


def _other_precision(document):
    document["layers"][0]["precision"] = "HALF"


@pytest.mark.parametrize(
    "change", [_other_operation, _other_ancestry, _other_shape, _other_flag, _other_precision, None]
)
def test_what_the_digest_sees(tmp_path, change):
    document, weights = _document(), None
    if change:
        change(document)
    else:
        weights = np.array([1, 1, 1, 2], np.float32)
    [before] = recorded_network.read(_write(tmp_path / "a", _document()))
    [after] = recorded_network.read(_write(tmp_path / "b", document, weights))
    assert before.digest != after.digest


def test_operands_that_do_not_commute(tmp_path):
    digests = []
    for name, inputs in (("a", [0, 1]), ("b", [1, 0])):
        document = _document()
        document["layers"][1] |= {"attributes": {"operation": "SUB"}, "inputs": inputs}
        digests.append(recorded_network.read(_write(tmp_path / name, document))[0].digest)
    assert digests[0] != digests[1]


def _cut_weights(folder):
    path = folder / "weights.bin"
    path.write_bytes(path.read_bytes()[:-1])


def _no_weights(folder):
    (folder / "weights.bin").unlink()


def _edited(change):
    def edit(folder):
        path = folder / "network.json"
        document = json.loads(path.read_text())
        change(document["networks"][0])
        path.write_text(json.dumps(document))

    return edit


def _write_text(text):
    return lambda folder: (folder / "network.json").write_text(text)


def _circle(network):
    network["layers"][0]["inputs"] = [3, 3]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_weights, "weights at 64 to 80 of 79 bytes"),
        (_no_weights, "No such file"),
        (_write_text("{"), "JSONDecodeError"),
        (_write_text('{"format": 2, "networks": []}'), "format 2, expected 1"),
        (_write_text("[]"), "TypeError"),
        (_edited(_circle), "layer engine/double takes a tensor that no layer gives"),
        (_edited(lambda network: network.pop("tensors")), "'tensors'"),
        (_edited(lambda network: network["layers"][2]["weights"]["values"].update(type="FLOAT9")), "FLOAT9"),
        (_edited(lambda network: network["layers"][2]["weights"]["values"].update(offset=-4)), "weights at -4"),
        (_edited(lambda network: network["layers"][2]["weights"]["values"].update(count=1 << 60)), "weights at 64"),
        (_edited(lambda network: network["outputs"].append(99)), "99"),
        (_edited(lambda network: network["layers"][0]["inputs"].append("x")), "x"),
    ],
)
def test_damaged_recordings(tmp_path, damage, message):
    folder = _write(tmp_path, _document())
    damage(folder)
    with pytest.raises(tftrt_yolo.PreflightError, match=f"holds no whole recording.*{re.escape(message)}.*again"):
        recorded_network.read(folder)


def test_no_recording(tmp_path):
    with pytest.raises(tftrt_yolo.PreflightError, match=r"holds no whole recording \(FileNotFoundError"):
        recorded_network.read(tmp_path)
