"""Which shuffles of a recorded network TensorRT has to copy a tensor for.

    for shuffle in shuffles.examine(network):
        shuffle.verdict, shuffle.name, shuffle.bytes

A shuffle is a transpose, a reshape and a transpose. A reshape of a tensor that lies in memory without gaps moves
nothing, and neither does a transpose that moves only axes of size 1. A transpose that another one undoes can be left
out together with it, if between them there are only layers that do not care for the order of the axes; under the same
condition two transposes need one copy. What is left is copied. What TensorRT does in truth, only TensorRT knows: this
is the least that it must do if it leaves out all it can.
"""

import dataclasses

from tftrt_yolo.preflighting import operations
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR, Layer, RecordedNetwork

FREE = "moves nothing"
FOLDED = "of constants"  # computed once, when the engine is built
CANCELS = "cancels"
MERGED = "merged"
COPY = "copy"

_AGNOSTIC = frozenset(
    {"ELEMENTWISE", "ACTIVATION", "UNARY", "CONCATENATION", "IDENTITY", "QUANTIZE", "DEQUANTIZE", "SELECT"}
)
_REASONS = (  # a part of the layer's name; why it is there
    ("-to_pad", "TF-TRT turns height and width of what TensorFlow pads in NHWC: it pads in NCWH"),
    ("-from_pad", "back from the NCWH in which TF-TRT pads"),
    ("-to_NCHW", "TF-TRT resizes in NCHW what TensorFlow resizes in NHWC"),
    ("-to_NHWC", "back from the NCHW in which TF-TRT resizes"),
    ("DepthToSpace", "a transposed convolution, exported as a convolution and depth_to_space"),
    ("SpaceToDepth", "space_to_depth moves pixels into channels"),
    ("TransposeNHWCToNCHW-LayoutOptimizer", "TensorFlow's layout pass enters NCHW"),
    ("TransposeNCHWToNHWC-LayoutOptimizer", "TensorFlow's layout pass leaves NCHW for a node that wants NHWC"),
    ("MatMul", "TF-TRT makes a matrix product a fully connected layer"),
    ("transpose", "a transpose of the model, as attention has them"),
    ("-shuffle", "a reshape of the model"),
)


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """One shuffle.

    Attributes:
      name: The layer's name.
      verdict: FREE, FOLDED, CANCELS, MERGED or COPY.
      dims: Shape of what goes in; -1 where the batch decides.
      permutation: Of the first transpose, or the second where the first moves nothing; for a copy that others are
        merged into, of all of them together.
      bytes: What a copy for one image writes, in the recorded type; 0 unless the verdict is COPY.
      partners: Names of the layers that it cancels or is merged with.
      reason: Why the shuffle is there, as far as its name tells.
    """

    name: str
    verdict: str
    dims: tuple[int, ...]
    permutation: tuple[int, ...]
    bytes: int
    partners: tuple[str, ...]
    reason: str


def examine(network: RecordedNetwork) -> tuple[Shuffle, ...]:
    """Judges every shuffle.

    Args:
      network: A recorded network.

    Returns:
      A row for each shuffle, in the order of the layers.
    """
    everywhere = _Surroundings(network)
    partners = _cancelling(everywhere)
    merged = _merged(everywhere, partners)
    into = {id(layer): head for head, others in merged for layer in others}
    heads = {id(head): others for head, others in merged}
    rows = []
    for layer in everywhere.shuffles:
        permutation = _moving(network, layer)
        if everywhere.origins[layer.outputs[0]] != "data":
            verdict, others = FOLDED, []
        elif not permutation:
            verdict, others = FREE, []
        elif id(layer) in partners:
            verdict, others = CANCELS, partners[id(layer)]
        elif id(layer) in into:
            verdict, others = MERGED, [into[id(layer)]]
        else:
            verdict, others = COPY, heads.get(id(layer), [])
            for other in others:
                permutation = tuple(permutation[axis] for axis in _moving(network, other))
        rows.append(_row(network, layer, verdict, permutation, [other.name for other in others]))
    return tuple(rows)


def is_transpose(network: RecordedNetwork, layer: Layer) -> bool:
    """Whether a layer is a shuffle that only transposes, once.

    Args:
      network: The network that holds it.
      layer: One of its layers.

    Returns:
      True if what the transpose gives has the shape of the output, so that a reshape behind it, if there is one,
      changes nothing; of two sizes that the batch decides that cannot be said.
    """
    attributes = layer.attributes
    if layer.kind != "SHUFFLE" or "first_transpose" not in attributes or "second_transpose" in attributes:
        return False
    before, order = network.tensors[layer.inputs[0]].dims, [int(axis) for axis in attributes["first_transpose"]]
    if sorted(order) != list(range(len(before))):
        return False
    turned = tuple(before[axis] for axis in order)
    is_reshaped = len(layer.inputs) > 1 or any(attributes.get("reshape", ()))
    return turned == network.tensors[layer.outputs[0]].dims and not (is_reshaped and turned.count(-1) > 1)


class _Surroundings:
    """A network with what is looked up again and again."""

    def __init__(self, network: RecordedNetwork) -> None:
        self.network = network
        self.origins = operations.origins(network)
        self.producers = network.producers()
        self.consumers = network.consumers()
        self.shuffles = [layer for layer in network.layers if layer.kind == "SHUFFLE"]
        # of pure transposes that move something
        self.permutations = {
            id(layer): _moving(network, layer)
            for layer in self.shuffles
            if is_transpose(network, layer) and self.origins[layer.outputs[0]] == "data" and _moving(network, layer)
        }


def _row(
    network: RecordedNetwork, layer: Layer, verdict: str, permutation: tuple[int, ...], partners: list[str]
) -> Shuffle:
    """A shuffle's row."""
    return Shuffle(
        name=layer.name,
        verdict=verdict,
        dims=network.tensors[layer.inputs[0]].dims,
        permutation=permutation,
        bytes=operations.tensor_bytes(network, layer.outputs[0]) if verdict == COPY else 0,
        partners=tuple(partners),
        reason=next((reason for part, reason in _REASONS if part in layer.name), "a transpose or reshape of the model"),
    )


def _moving(network: RecordedNetwork, layer: Layer) -> tuple[int, ...]:
    """The first of a shuffle's transposes that moves anything; empty if none does."""
    before, after = network.tensors[layer.inputs[0]].dims, network.tensors[layer.outputs[0]].dims
    first = tuple(int(axis) for axis in layer.attributes.get("first_transpose", range(len(before))))
    second = tuple(int(axis) for axis in layer.attributes.get("second_transpose", range(len(after))))
    if len(first) == len(before) and _moves(first, before):
        return first
    between = [1] * len(second)
    for axis, size in zip(second, after, strict=False):
        between[axis] = size
    return second if _moves(second, tuple(between)) else ()


def _moves(permutation: tuple[int, ...], dims: tuple[int, ...]) -> bool:
    """Whether a transpose changes the order of anything: axes of size 1 may go where they like."""
    order = [axis for axis in permutation if dims[axis] != 1]
    return order != sorted(order)


def _inverse(permutation: tuple[int, ...]) -> tuple[int, ...]:
    """What undoes a transpose."""
    return tuple(permutation.index(axis) for axis in range(len(permutation)))


def _cancelling(everywhere: _Surroundings) -> dict[int, list[Layer]]:
    """Shuffles that can be left out, each with those that have to go with it."""
    found = {}
    for layer in everywhere.shuffles:
        if id(layer) not in everywhere.permutations or id(layer) in found:
            continue
        permutation = everywhere.permutations[id(layer)]
        turns = {key: turn for key, turn in everywhere.permutations.items() if key not in found}
        group = _around(everywhere, layer, *(_turned_by(turns, by) for by in (permutation, _inverse(permutation))))
        found.update({id(member): [other for other in group if other is not member] for member in group})
    return found


def _merged(everywhere: _Surroundings, cancelled: dict[int, list[Layer]]) -> list[tuple[Layer, list[Layer]]]:
    """Chains of transposes that one copy can do together: the first, and those behind it."""
    left = {key for key in everywhere.permutations if key not in cancelled}
    chains, taken = [], set()
    for layer in everywhere.shuffles:
        if id(layer) not in left or id(layer) in taken:
            continue
        chain = [layer]
        while True:
            group = _around(everywhere, chain[-1], {id(chain[-1])}, left)
            if len(group) != 2:  # the transpose itself, and the one behind it
                break
            chain.append(group[1])
        taken.update(map(id, chain))
        if len(chain) > 1:
            chains.append((chain[0], chain[1:]))
    return chains


def _turned_by(turns: dict[int, tuple[int, ...]], by: tuple[int, ...]) -> set[int]:
    """The transposes that turn in one way."""
    return {key for key, turn in turns.items() if turn == by}


def _around(everywhere: _Surroundings, start: Layer, entries: set[int], exits: set[int]) -> list[Layer]:
    """The transposes round the layers behind `start` that do not care for the order of the axes.

    Args:
      everywhere: The network.
      start: A transpose.
      entries: The transposes that may lead in, by their id.
      exits: Those that may lead out.

    Returns:
      `start` and the others; empty if anything else leads in or out.
    """
    group, seen, waiting = {id(start): start}, set(), [start.outputs[0]]
    while waiting:
        tensor = waiting.pop()
        if tensor in seen or everywhere.origins[tensor] == "constant":
            continue
        seen.add(tensor)
        producer = everywhere.producers.get(tensor)
        if producer is None or tensor in everywhere.network.outputs or everywhere.origins[tensor] == "shape":
            return []
        if id(producer) in entries:
            group[id(producer)] = producer
        elif producer.kind in _AGNOSTIC:
            waiting += [index for index in producer.inputs if index != NO_TENSOR]
        else:
            return []
        for consumer in everywhere.consumers[tensor]:
            if id(consumer) in exits:
                group[id(consumer)] = consumer
            elif consumer.kind in _AGNOSTIC:
                waiting += consumer.outputs
            else:
                return []
    return list(group.values())
