"""An ONNX graph on its way: nodes and constants, before there is a file.

    draft = Draft()
    halves = draft.constant(np.full((1,), 0.5, np.float32), "half")
    name = draft.add("Mul", ("images", halves), "network/halved")

ONNX itself is not imported: what is here are names, arrays and attributes.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
      op: ONNX's name of the operator.
      name: Its own.
      inputs: Names of the tensors that it reads; "" for one that is left out.
      outputs: Names of those that it gives.
      attributes: Numbers, texts, lists of numbers and arrays.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, object] = dataclasses.field(default_factory=dict)


class Draft:
    """Nodes in an order in which each comes behind what it reads, and the constants that they read.

    Attributes:
      nodes: The nodes.
      constants: Name to values, in the type that the file is to have.
    """

    def __init__(self):
        """Empty."""
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self._names: set[str] = set()

    def reserve(self, name: str) -> str:
        """A name that no tensor has yet, the given one if it is free."""
        free, number = name, 0
        while free in self._names:
            number += 1
            free = f"{name}_{number}"
        self._names.add(free)
        return free

    def constant(self, values: np.ndarray, name: str) -> str:
        """Adds a constant; returns its name."""
        name = self.reserve(name)
        self.constants[name] = np.ascontiguousarray(values)
        return name

    def add(self, op: str, inputs: tuple[str, ...], name: str, **attributes) -> str:
        """Adds a node that gives one tensor; returns the tensor's name."""
        [given] = self.add_several(op, inputs, name, 1, **attributes)
        return given

    def add_several(self, op: str, inputs: tuple[str, ...], name: str, count: int, **attributes) -> tuple[str, ...]:
        """As `add`, of a node that gives several."""
        outputs = tuple(self.reserve(name if count == 1 else f"{name}:{index}") for index in range(count))
        self.nodes.append(Node(op, outputs[0], tuple(inputs), outputs, attributes))
        return outputs

    def rename(self, before: str, after: str) -> None:
        """Gives a tensor that a node gives another name, wherever it stands."""
        self._names.add(after)

        def renamed(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(after if name == before else name for name in names)

        self.nodes = [
            dataclasses.replace(node, inputs=renamed(node.inputs), outputs=renamed(node.outputs)) for node in self.nodes
        ]

    def producers(self) -> dict[str, int]:
        """Name of each tensor that a node gives to the node's place."""
        return {name: place for place, node in enumerate(self.nodes) for name in node.outputs}

    def readers(self) -> dict[str, list[int]]:
        """Name of each tensor that is read to the places of its readers, once for each input."""
        found: dict[str, list[int]] = {}
        for place, node in enumerate(self.nodes):
            for name in node.inputs:
                found.setdefault(name, []).append(place)
        return found

    def keep_needed(self, outputs: tuple[str, ...]) -> None:
        """Drops nodes and constants that no output is computed of."""
        wanted, kept = set(outputs), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(node.inputs)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = {name: values for name, values in self.constants.items() if name in wanted}


@dataclasses.dataclass(frozen=True)
class Port:
    """An input or output of the network.

    Attributes:
      name: Its name.
      dims: Its shape; None for the batch.
      type: ONNX's name of its type.
    """

    name: str
    dims: tuple[int | None, ...]
    type: str = "FLOAT"


@dataclasses.dataclass(frozen=True)
class Quantized:
    """A tensor that is quantised where the network runs.

    Attributes:
      source: Name of the tensor of TensorFlow's that is.
      result: Name of TensorFlow's that is quantised and dequantised.
      integers: Name of the integers in the draft.
      dims: Their shape; None for the batch.
      order: Which of TensorFlow's axes stands at each place of these.
      step: What one of them is worth.
    """

    source: str
    result: str
    integers: str
    dims: tuple[int | None, ...]
    order: tuple[int, ...]
    step: np.float32


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A network as a draft.

    Attributes:
      draft: Nodes and constants, float32 but for what is quantised.
      inputs: `images`, channels first.
      outputs: Under the names and in the shapes of the frozen network's.
      quantized: The tensors that are quantised where the network runs.
    """

    draft: Draft
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    quantized: tuple[Quantized, ...]
