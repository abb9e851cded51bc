"""Networks for tests: recordings of real models, and networks made by hand.

    network = recorded("tiny-detect", tmp_path)
    sketch = Sketch()
    image = sketch.input("FLOAT", -1, 3, 8, 8)
    sketch.output(sketch.layer("ACTIVATION", [image], (-1, 3, 8, 8), type="SIGMOID"))
    network = sketch.network()

The recordings in tests/data/preflight are network.json of a preflight without its weights, which are zero here.
"""

import gzip
import json
import os

import numpy as np

from tests.conftest import DATA
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.recorded_network import Layer, RecordedNetwork, Tensor

RECORDINGS = DATA / "preflight"
TASKS = ("detect", "segment", "pose", "obb", "classify")
NAMES = sorted(path.name.removesuffix(".json.gz") for path in RECORDINGS.glob("*.json.gz"))


def recorded(name, folder):
    """A packaged recording; a recording of one engine."""
    text = gzip.decompress((RECORDINGS / f"{name}.json.gz").read_bytes())
    (folder / recorded_network.NETWORK_FILE).write_bytes(text)
    places = [
        place["offset"] + place["count"] * np.dtype(recorded_network.DTYPES[place["type"]]).itemsize
        for network in json.loads(text)["networks"]
        for layer in network["layers"]
        for place in layer["weights"].values()
    ]
    with open(folder / recorded_network.WEIGHTS_FILE, "wb") as file:
        os.truncate(file.fileno(), max(places))  # zeros that take no space
    (network,) = recorded_network.read(folder)
    return network


class Sketch:
    """A network that grows layer by layer."""

    def __init__(self):
        self.tensors, self.layers, self.inputs, self.outputs = [], [], [], []

    def _tensor(self, kind, dims, name=None):
        self.tensors.append(Tensor(name or f"tensor_{len(self.tensors)}", kind, tuple(dims)))
        return len(self.tensors) - 1

    def input(self, *dims, kind="FLOAT"):
        self.inputs.append(self._tensor(kind, dims))
        return self.inputs[-1]

    def layer(self, layer_kind, inputs, dims, *, output="FLOAT", name=None, precision=None, weights=None, **attributes):
        """Adds a layer of one output, and gives that."""
        given = self._tensor(output, dims)
        name = name or f"layer_{len(self.layers)}:{layer_kind}"
        self.layers.append(Layer(layer_kind, name, tuple(inputs), (given,), precision, attributes, weights or {}))
        return given

    def constant(self, *dims, output="FLOAT"):
        return self.layer("CONSTANT", [], dims, output=output, weights={"values": np.zeros(dims).ravel()})

    def transpose(self, tensor, *order, **options):
        dims = [self.tensors[tensor].dims[axis] for axis in order]
        kept = (0,) * len(dims)
        return self.layer("SHUFFLE", [tensor], dims, first_transpose=order, reshape=kept, **options)

    def sigmoid(self, *tensors, **options):
        """An element by element function of one tensor or more."""
        kind = "ACTIVATION" if len(tensors) == 1 else "ELEMENTWISE"
        return self.layer(kind, tensors, self.tensors[tensors[0]].dims, type="SIGMOID", operation="SUM", **options)

    def convolution(self, tensor, maps, side=1, stride=1, groups=1, **options):
        batch, channels, height, width = self.tensors[tensor].dims
        return self.layer(
            "CONVOLUTION",
            [tensor],
            (batch, maps, height // stride, width // stride),
            weights={"kernel": np.zeros(maps * channels // groups * side * side, np.float32)},
            maps=maps,
            kernel=(side, side),
            stride=(stride, stride),
            groups=groups,
            **options,
        )

    def output(self, *tensors):
        self.outputs += tensors

    def network(self, **changes):
        facts = {
            "engine": "TRTEngineOp_000_000",
            "name": "sketch",
            "inputs": tuple(self.inputs),
            "outputs": tuple(self.outputs),
            "tensors": tuple(self.tensors),
            "layers": tuple(self.layers),
            "builder_flags": 0,
            "creation_flags": 1,
            "workspace_bytes": 0,
            "has_calibrator": False,
            "profiles": (),
        }
        return RecordedNetwork(**facts | changes)
