"""The network that TF-TRT gave to TensorRT's builder, as the stand-in wrote it down.

    for network in recorded_network.read(folder):
        network.digest                                   # equal for two recordings of one conversion
        for layer in network.layers:                     # in an order in which they can be computed
            layer.kind, layer.attributes.get("stride"), [network.tensors[i].dims for i in layer.outputs]

A tensor is referred to by its number in `tensors`. TensorRT's own words are kept: kinds of layers, names of enums, and
names of parameters where TensorRT has one.
"""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from tftrt_yolo.ground.errors import PreflightError

WEIGHTS_FILE, NETWORK_FILE = "weights.bin", "network.json"
_FORMAT = 1
CONVOLUTIONS = ("CONVOLUTION", "DECONVOLUTION")  # kinds of layers that have filters
NO_TENSOR = -1  # an input that a layer may have and has not
_COMMUTATIVE = frozenset({"SUM", "PROD", "MAX", "MIN", "AND", "OR", "XOR", "EQUAL"})
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor between layers.

    Attributes:
      name: Its name in the network.
      type: "FLOAT", "HALF", "INT8", "INT32", "BOOL" or "UINT8".
      dims: Its shape; -1 where the batch decides.
    """

    name: str
    type: str
    dims: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One layer.

    Attributes:
      kind: TensorRT's LayerType, such as "CONVOLUTION".
      name: Its name, which TF-TRT makes of the TensorFlow node's.
      inputs: Numbers of its input tensors; NO_TENSOR for one that is left out.
      outputs: Numbers of its output tensors.
      precision: The type that setPrecision asked for; None if it was not called.
      attributes: Name of each parameter to a number, a tuple of numbers, or the name of an enum's value.
      weights: "kernel", "bias" or "values" to the flat array, in TensorRT's order.
    """

    kind: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    precision: str | None
    attributes: dict[str, float | str | tuple[float, ...]]
    weights: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedNetwork:
    """What one engine would be built from.

    Attributes:
      engine: Name of the TRTEngineOp that it was recorded from.
      name: The name that TF-TRT gives it: versions and options.
      inputs: Numbers of the network's input tensors.
      outputs: Numbers of its output tensors.
      tensors: All tensors.
      layers: All layers, each behind those whose outputs it takes.
      builder_flags: Bit mask of TensorRT's BuilderFlag.
      creation_flags: Bit mask of TensorRT's NetworkDefinitionCreationFlag.
      workspace_bytes: Memory that the builder may use.
      has_calibrator: Whether TensorRT is to calibrate by itself.
      profiles: Optimisation profiles that reached the builder; each a list of what was set.
      signature_outputs: Names of its outputs to the outputs of signature `network` that they are; an output that
        TensorFlow goes on with is not there.
      links: Of a network that was divided into parts, names of inputs and outputs to what they are between the parts:
        what an earlier engine gives and a later one takes, and "frames".
    """

    engine: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    builder_flags: int
    creation_flags: int
    workspace_bytes: int
    has_calibrator: bool
    profiles: tuple[tuple[dict, ...], ...]
    signature_outputs: dict[str, str] = dataclasses.field(default_factory=dict)
    links: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 over what is computed: parameters, weights and ancestry of each layer, not names or their order."""
        of_tensor = {
            index: _digest("input", str(rank), *_facts(self.tensors[index])) for rank, index in enumerate(self.inputs)
        }
        of_layers = []
        for layer in self.layers:
            ancestors = [of_tensor.get(index, "none") for index in layer.inputs]
            if layer.attributes.get("operation") in _COMMUTATIVE:
                ancestors.sort()  # Grappler swaps operands by the names of their nodes
            weights = [f"{role} {hashlib.sha256(values).hexdigest()}" for role, values in layer.weights.items()]
            own = _digest(
                layer.kind, str(layer.precision), repr(sorted(layer.attributes.items())), *weights, *ancestors
            )
            of_layers.append(own)
            for rank, index in enumerate(layer.outputs):
                of_tensor[index] = _digest(own, str(rank), *_facts(self.tensors[index]))
        results = sorted(  # TF-TRT numbers them in no fixed order
            _digest(of_tensor[index], self.signature_outputs.get(self.tensors[index].name, ""))
            for index in self.outputs
        )
        return _digest(str(self.builder_flags), str(self.creation_flags), *results, *sorted(of_layers))

    def producers(self) -> dict[int, Layer]:
        """Number of each tensor to the layer that gives it."""
        return {index: layer for layer in self.layers for index in layer.outputs}

    def consumers(self) -> dict[int, list[Layer]]:
        """Number of each tensor to the layers that take it."""
        found = {index: [] for index in range(len(self.tensors))}
        for layer in self.layers:
            for index in layer.inputs:
                if index != NO_TENSOR:
                    found[index].append(layer)
        return found


def read(folder: str | Path) -> tuple[RecordedNetwork, ...]:
    """Reads a recording.

    Args:
      folder: Where network.json and weights.bin lie.

    Returns:
      One network for each engine.

    Raises:
      PreflightError: If there is no recording, or it is damaged.
    """
    folder = Path(folder)
    try:
        document = json.loads((folder / NETWORK_FILE).read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']}, expected {_FORMAT}")
        weights = folder / WEIGHTS_FILE
        is_empty = not weights.stat().st_size  # a network without weights, which cannot be mapped
        data = np.empty(0, np.uint8) if is_empty else np.memmap(weights, dtype=np.uint8, mode="r")
        return tuple(parsed(network, data) for network in document["networks"])
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise PreflightError(
            f"{folder} holds no whole recording ({type(error).__name__}: {error}). Expected {NETWORK_FILE} and "
            f"{WEIGHTS_FILE}; run the preflight again."
        ) from error


def join(
    folder: Path, outputs: dict[str, dict[str, str]] | None = None, links: dict[str, dict[str, str]] | None = None
) -> int:
    """Makes one network.json of what the stand-in wrote for each engine.

    Args:
      folder: Where it wrote.
      outputs: Name of each engine to its outputs' names in the network, each to the signature's output that it is.
      links: Name of each engine to `RecordedNetwork.links`.

    Returns:
      How many networks there are.
    """
    parts = sorted(folder.glob("network.*.json"), key=_number)
    networks = [json.loads(path.read_text(encoding="utf-8")) for path in parts]
    for network in networks:
        network["engine"] = engine_of(network)
        network["signature_outputs"] = (outputs or {}).get(network["engine"], {})
        network["links"] = (links or {}).get(network["engine"], {})
    whole = json.dumps({"format": _FORMAT, "networks": networks}, ensure_ascii=False)
    (folder / NETWORK_FILE).write_text(whole, encoding="utf-8")
    for path in parts:
        path.unlink()
    return len(parts)


def engine_of(document: dict) -> str:
    """Name of the engine in what the stand-in wrote: TF-TRT's names of its layers begin by it."""
    return document["layers"][0]["name"].split("/")[0]


def parsed(document: dict, data: np.ndarray) -> RecordedNetwork:
    """Reads one network.

    Args:
      document: What the stand-in wrote of it as JSON.
      data: The weights as bytes, uint8; the network's are views of them.

    Returns:
      The network.

    Raises:
      ValueError: If it refers to what is not there; so do the other errors that a document of another form raises.
    """
    tensors = tuple(Tensor(row["name"], row["type"], tuple(row["dims"])) for row in document["tensors"])
    layers = [
        Layer(
            kind=row["kind"],
            name=row["name"],
            inputs=tuple(row["inputs"]),
            outputs=tuple(row["outputs"]),
            precision=row["precision"],
            attributes={
                name: tuple(value) if isinstance(value, list) else value for name, value in row["attributes"].items()
            },
            weights={role: _array(place, data) for role, place in row["weights"].items()},
        )
        for row in document["layers"]
    ]
    inputs = tuple(document["inputs"])
    named = {*inputs, *document["outputs"], *(index for layer in layers for index in (*layer.inputs, *layer.outputs))}
    if unknown := named - {NO_TENSOR, *range(len(tensors))}:
        raise ValueError(f"tensor {unknown.pop()} of {len(tensors)}")
    return RecordedNetwork(
        engine=document["engine"],
        name=document["name"],
        signature_outputs=dict(document["signature_outputs"]),
        links=dict(document.get("links", {})),  # earlier versions wrote none
        inputs=inputs,
        outputs=tuple(document["outputs"]),
        tensors=tensors,
        layers=tuple(_sorted(layers, inputs)),
        profiles=tuple(tuple(profile) for profile in document["profiles"]),
        **{key: document[key] for key in ("builder_flags", "creation_flags", "workspace_bytes", "has_calibrator")},
    )


def _number(path: Path) -> int:
    """Which engine a file of the stand-in is about."""
    return int(path.name.split(".")[1])


def _array(place: dict, data: np.ndarray) -> np.ndarray:
    """Weights where they lie in the file; flat."""
    dtype = np.dtype(DTYPES[place["type"]])
    start, end = place["offset"], place["offset"] + place["count"] * dtype.itemsize
    if not 0 <= start <= end <= data.size:
        raise ValueError(f"weights at {start} to {end} of {data.size} bytes")
    return data[start:end].view(dtype)


def _sorted(layers: list[Layer], given: tuple[int, ...]) -> list[Layer]:
    """Brings layers into an order in which they can be computed; TF-TRT sets some inputs after later layers exist.

    Raises:
      ValueError: If a layer takes what nobody gives.
    """
    known, rest, ordered = {NO_TENSOR, *given}, layers, []
    while rest:
        waiting = []
        for layer in rest:
            if known.issuperset(layer.inputs):
                known.update(layer.outputs)
                ordered.append(layer)
            else:
                waiting.append(layer)
        if len(waiting) == len(rest):
            raise ValueError(f"layer {waiting[0].name} takes a tensor that no layer gives")
        rest = waiting
    return ordered


def _facts(tensor: Tensor) -> tuple[str, str]:
    """What of a tensor counts for the network's digest."""
    return tensor.type, str(tensor.dims)


def _digest(*parts: str) -> str:
    """SHA-256 of some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
