"""The blocks of a picture: what each is called, what is in it, and what flows between them.

diagram = diagram_of(network, summary)
[(block.title, block.shapes, block.flops) for block in diagram.blocks]
[(diagram.blocks[edge.source], diagram.blocks[edge.target]) for edge in diagram.edges]
"""

import dataclasses
import re
from collections import Counter

from tftrt_yolo.preflighting import operations, shuffles
from tftrt_yolo.preflighting.drawing import fold
from tftrt_yolo.preflighting.drawing.graph import Graph
from tftrt_yolo.preflighting.recorded_network import CONVOLUTIONS, Layer, RecordedNetwork
from tftrt_yolo.preflighting.shuffles import Shuffle
from tftrt_yolo.preflighting.summary import NetworkSummary, shape_text

INPUT, OUTPUT = "input", "output"
_ENGINE = re.compile(r"^TRTEngineOp_\d+_\d+/")
_WRAPPERS = frozenset({"StatefulPartitionedCall", "PartitionedCall", "quantized", "model", "trunk"})
_TITLES = {
    "RESIZE": "Upsample",
    "CONCATENATION": "Concat",
    "POOLING": "Pool",
    "FULLY_CONNECTED": "Linear",
    "MATRIX_MULTIPLY": "Matrix product",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """A box of the picture.

    Attributes:
      title: What it is or looks like: "C2f", "Conv 3x3 /2", "Head box_0".
      rule: fold.UNIT, REGION, HEAD or DECODE, or INPUT or OUTPUT.
      layers: Its layers; empty for inputs and outputs.
      shapes: Shapes of what it gives to others.
      type: Type of the same.
      kinds: LayerType to count.
      flops: Of its convolutions and matrix products for one image.
      copies: Shuffles in it that TensorRT must copy for.
      types: Types in which its convolutions and products may compute: "INT8" where they take what was dequantised.
    """

    title: str
    rule: str
    layers: tuple[Layer, ...]
    shapes: tuple[tuple[int, ...], ...]
    type: str
    kinds: dict[str, int]
    flops: int
    copies: tuple[Shuffle, ...]
    types: tuple[str, ...]

    @property
    def convolutions(self) -> int:
        """How many convolutions are in it."""
        return sum(self.kinds.get(kind, 0) for kind in CONVOLUTIONS)

    @property
    def copied_bytes(self) -> int:
        """What its copies write for one image."""
        return sum(copy.bytes for copy in self.copies)


@dataclasses.dataclass(frozen=True)
class Edge:
    """Data that flows from a block to another.

    Attributes:
      source: Position of the block that gives it.
      target: Position of the block that takes it.
      shapes: Shapes of the tensors.
    """

    source: int
    target: int
    shapes: tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Diagram:
    """Blocks and edges of a network.

    Attributes:
      blocks: The blocks: inputs, then every block behind those that it takes data from, then outputs.
      edges: The edges.
    """

    blocks: tuple[Block, ...]
    edges: tuple[Edge, ...]


def diagram_of(network: RecordedNetwork, summary: NetworkSummary) -> Diagram:
    """Folds a network into blocks.

    Args:
      network: A recorded network.
      summary: Its summary, for the shuffles.

    Returns:
      Its blocks and edges.
    """
    graph, rules = fold.fold(network)
    shuffled = [layer for layer in network.layers if layer.kind == "SHUFFLE"]
    copy_of = {
        id(layer): shuffle
        for layer, shuffle in zip(shuffled, summary.shuffles, strict=True)
        if shuffle.verdict == shuffles.COPY
    }
    flows = _flows(graph)
    producers, titles = network.producers(), {}
    boxes = [_port(network, index, INPUT) for index in network.inputs]
    for place, group in enumerate(graph.order, start=len(boxes)):
        titles[group] = _title(graph, group, rules[group], titles)
        layers = tuple(network.layers[position] for position in graph.members[group])
        given = dict.fromkeys(index for index, (source, _) in flows if source == place)
        boxes.append(
            Block(
                title=titles[group],
                rule=rules[group],
                layers=layers,
                shapes=tuple(dict.fromkeys(network.tensors[index].dims for index in given)),
                type=", ".join(sorted({network.tensors[index].type for index in given})),
                kinds=dict(Counter(layer.kind for layer in layers).most_common()),
                flops=sum(operations.of_layer(network, layer).products for layer in layers),
                copies=tuple(copy_of[id(layer)] for layer in layers if id(layer) in copy_of),
                types=_types(network, producers, layers),
            )
        )
    boxes += [_port(network, index, OUTPUT) for index in network.outputs]
    merged = {}
    for index, ends in flows:
        merged.setdefault(ends, {})[network.tensors[index].dims] = None
    return Diagram(tuple(boxes), tuple(Edge(*ends, tuple(shapes)) for ends, shapes in merged.items()))


def plain_name(layer: Layer) -> list[str]:
    """The parts of the TensorFlow node's name that a layer's holds, wrappers left out."""
    path = _ENGINE.sub("", layer.name).rsplit(":", 1)[0].split("/")
    return [part for part in path if part not in _WRAPPERS]


def _flows(graph: Graph) -> list[tuple[int, tuple[int, int]]]:
    """Each tensor that goes from one block to another, with the places of both."""
    network = graph.network
    place_of = {group: place for place, group in enumerate(graph.order, start=len(network.inputs))}
    inputs = {index: place for place, index in enumerate(network.inputs)}
    found = [(index, (place_of[graph.giver[index]], place_of[taker])) for index, taker in graph.flows()]
    for group, place in place_of.items():
        taken = dict.fromkeys(index for position in graph.members[group] for index in network.layers[position].inputs)
        found += [(index, (inputs[index], place)) for index in taken if index in inputs]
    for place, index in enumerate(network.outputs, start=len(inputs) + len(place_of)):
        giver = inputs[index] if index in inputs else place_of[graph.giver[index]]
        found.append((index, (giver, place)))
    return found


def _port(network: RecordedNetwork, index: int, rule: str) -> Block:
    """An input or output as a block."""
    tensor = network.tensors[index]
    name = network.signature_outputs.get(tensor.name, tensor.name)
    return Block(f"{rule.capitalize()} {name}", rule, (), (tensor.dims,), tensor.type, {}, 0, (), ())


def _types(network: RecordedNetwork, producers: dict[int, Layer], layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Types in which the convolutions and products of a block may compute."""
    heavy = (layer for layer in layers if layer.kind in operations.HEAVY)
    return tuple(sorted({operations.computed_in(network, producers, layer) for layer in heavy}))


def _title(graph: Graph, group: int, rule: str, titles: dict[int, str]) -> str:
    """What a block is or looks like."""
    layers = [graph.network.layers[position] for position in graph.members[group]]
    if rule == fold.REGION:
        return _region_title(graph, layers)
    if rule == fold.HEAD:
        return f"Head {_own_name(layers)}".strip()
    if rule == fold.DECODE:
        heads = (titles.get(source, "") for source in graph.predecessors[group])
        names = {re.sub(r"_\d+$", "", title.removeprefix("Head ")) for title in heads if title.startswith("Head ")}
        return f"Decode {', '.join(sorted(names))}" if names else _unit_title(graph, layers)
    return _unit_title(graph, layers)


def _own_name(layers: list[Layer]) -> str:
    """What the exporter called the last convolution's result, such as "box_0"; empty if it has no such name."""
    for layer in reversed(layers):
        path = plain_name(layer)
        if len(path) > 1 and not path[-2].startswith("tf.") and layer.kind in ("ELEMENTWISE", "ACTIVATION"):
            return path[-2]
    return ""


def _unit_title(graph: Graph, layers: list[Layer]) -> str:
    """Of a layer and what belongs to it."""
    ranked = [layer for kind in (*operations.HEAVY, *_TITLES) for layer in layers if layer.kind == kind]
    if not ranked:
        main = next((layer for layer in layers if layer.kind != "CONSTANT"), layers[0])
        word = main.attributes.get("operation") or main.attributes.get("type")
        return "Add" if word == "SUM" and main.kind == "ELEMENTWISE" else str(word or main.kind).capitalize()
    main = ranked[0]
    if main.kind not in CONVOLUTIONS:
        return _TITLES[main.kind]
    kernel = "x".join(str(int(side)) for side in main.attributes["kernel"])
    step, groups = int(max(main.attributes.get("stride", (1,)))), int(main.attributes.get("groups", 1))
    channels = graph.network.tensors[main.inputs[0]].dims[1]
    kind = "Deconv" if main.kind == "DECONVOLUTION" else "DWConv" if groups == channels > 1 else "Conv"
    return f"{kind} {kernel}" + (f" /{step}" if step > 1 else "")


def _region_title(graph: Graph, layers: list[Layer]) -> str:
    """Of what lies between a fork and the place where its ways meet."""
    kinds = Counter(layer.kind for layer in layers)
    joins = [layer for layer in layers if layer.kind == "CONCATENATION"]
    joins = [layer for layer in joins if len(graph.network.tensors[layer.outputs[0]].dims) > 2]
    if kinds["MATRIX_MULTIPLY"] >= 2:
        return "Attention"
    if kinds["POOLING"] >= 2:
        return "SPPF"
    if not joins:
        return "Residual"
    if any(max(layer.attributes.get("stride", (1,))) > 1 for layer in layers if layer.kind == "CONVOLUTION"):
        return "Downsample"
    parts = len(joins[-1].inputs)
    return ("C2f" if parts > 2 else "C3") + (f", {len(joins) - 1} inside" if len(joins) > 1 else "")


def shapes_text(shapes: tuple[tuple[int, ...], ...]) -> str:
    """Shapes as a picture shows them."""
    return ", ".join(map(shape_text, shapes))
