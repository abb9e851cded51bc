"""Networks made by hand, and recordings of them: as the stand-in writes them, but small."""

import json

import numpy as np

from tftrt_yolo.preflighting.recorded_network import NETWORK_FILE, WEIGHTS_FILE, Layer, RecordedNetwork, Tensor

TYPE_OF = {"float32": "FLOAT", "float16": "HALF", "int8": "INT8", "int32": "INT32", "bool": "BOOL"}


class Sketch:
    """A network that grows layer by layer; tensors are numbers."""

    def __init__(self, name="sketch"):
        self.name, self.tensors, self.layers, self.inputs, self.outputs = name, [], [], [], []

    def tensor(self, dims, kind="FLOAT"):
        self.tensors.append(Tensor(f"tensor {len(self.tensors)}", kind, tuple(dims)))
        return len(self.tensors) - 1

    def input(self, *dims, kind="FLOAT"):
        self.inputs.append(self.tensor(dims, kind))
        return self.inputs[-1]

    def layer(self, kind, inputs, *outputs, weights=None, name=None, precision=None, **attributes):
        """Adds a layer; an output is its dims, or its type and dims. Gives one output's number, or several."""
        made = [self.tensor(*(out[::-1] if out and isinstance(out[0], str) else (out,))) for out in outputs]
        name = name or f"{kind} {len(self.layers)}"
        self.layers.append(Layer(kind, name, tuple(inputs), tuple(made), precision, attributes, weights or {}))
        return made[0] if len(made) == 1 else made

    def constant(self, values):
        values = np.asarray(values)
        kind = TYPE_OF[str(values.dtype)]
        return self.layer("CONSTANT", [], (kind, values.shape), weights={"values": values.ravel()}, dims=values.shape)

    def network(self, *outputs, builder_flags=385):
        return RecordedNetwork(
            name=self.name,
            engine=self.name,
            inputs=tuple(self.inputs),
            outputs=outputs,
            tensors=tuple(self.tensors),
            layers=tuple(self.layers),
            builder_flags=builder_flags,
            creation_flags=1,
            workspace_bytes=1 << 30,
            has_calibrator=False,
            profiles=(),
        )


def write(networks, folder):
    """Writes a recording of the networks."""
    folder.mkdir(exist_ok=True)
    data = bytearray()
    documents = [_document(network, data) for network in networks]
    (folder / NETWORK_FILE).write_text(json.dumps({"format": 1, "networks": documents}), encoding="utf-8")
    (folder / WEIGHTS_FILE).write_bytes(bytes(data) or b"\0")
    return folder


def _document(network, data):
    document = vars(network) | {"tensors": [vars(tensor) for tensor in network.tensors], "layers": []}
    for layer in network.layers:
        weights = {}
        for role, values in layer.weights.items():
            data.extend(bytes(-len(data) % 64))
            weights[role] = {"type": TYPE_OF[str(values.dtype)], "count": values.size, "offset": len(data)}
            data.extend(values.tobytes())
        document["layers"].append(vars(layer) | {"weights": weights})
    return document
