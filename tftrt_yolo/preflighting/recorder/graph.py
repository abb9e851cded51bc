"""A graph on its way from the process that freezes a network to the one that records it."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Graph:
    """What TF-TRT converts by itself: a network, or a part of one.

    Attributes:
      file: The graph, frozen and serialised.
      precision_mode: "FP32", "FP16" or "INT8".
      inputs: Name of each input to the graph's tensor: "frames", or what an earlier part gives.
      outputs: Name of each output to the graph's tensor: the signature's, or what a later part takes.
      convolutions: How many a part has; None of a whole network.
      shapes: Name of each input to its shape without the batch; empty of a whole network.
    """

    file: Path
    precision_mode: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    convolutions: int | None = None
    shapes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A network with its weights as constants, whole or in parts.

    Attributes:
      graphs: What TF-TRT converts, in the order in which they run.
      outputs: Names of the signature's outputs.
    """

    graphs: tuple[Graph, ...]
    outputs: tuple[str, ...]
