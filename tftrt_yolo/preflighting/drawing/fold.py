"""Folds the layers of a network into the blocks that a person would draw.

    graph, rules = fold(network)
    rules[group]                     # by which rule a group came to be

TF-TRT's names of layers hold TensorFlow's nodes, and no PyTorch modules, so that only the structure is left to go by:

1. UNIT: a layer that works element by element joins the layer whose result it takes, if it takes no other: a
   convolution, its bias, its activation, its quantisation. What pads, shuffles or quantises for one layer alone joins
   that one.
2. REGION: what lies between a fork and the place where all its ways meet again, if nothing else leads in or out and
   all convolutions give one height and width: C2f, C3k2, SPPF, an attention. A concatenation takes the 1x1 convolution
   behind it along, and the 1x1 convolution before the fork joins too.
3. HEAD: a chain of units that ends in a convolution behind which there is none.
4. DECODE: what is behind the last convolutions and hangs together.
"""

from collections.abc import Iterable

from tftrt_yolo.preflighting import operations
from tftrt_yolo.preflighting.drawing.graph import END, NO_GROUP, Graph
from tftrt_yolo.preflighting.recorded_network import CONVOLUTIONS, NO_TENSOR, Layer, RecordedNetwork

UNIT, REGION, HEAD, DECODE = "unit", "region", "head", "decode"
_LIGHT = frozenset({"ELEMENTWISE", "ACTIVATION", "UNARY", "IDENTITY", "QUANTIZE", "DEQUANTIZE", "SELECT"})
_BEFORE = _LIGHT | {"PADDING", "SHUFFLE"}  # what joins the layer that it is done for


def fold(network: RecordedNetwork) -> tuple[Graph, dict[int, str]]:
    """Folds a network.

    Args:
      network: A recorded network.

    Returns:
      The graph of the blocks, every layer in one of them, and each block's rule.
    """
    origins = operations.origins(network)
    graph = _glued_forward(Graph(network, origins, _glued_back(network, origins)))
    regions = _regions(graph)
    graph = graph.merged(regions)
    rules = {min(region): REGION for region in regions}
    heads = _heads(graph, rules)
    graph = graph.merged(heads)
    rules |= {min(head): HEAD for head in heads}
    ends = _decodes(graph, rules)
    graph = graph.merged(ends)
    rules |= {min(end): rules.get(min(end), DECODE) for end in ends}
    graph = Graph(network, origins, _with_constants(network, graph.group_of))
    return graph, {group: rules.get(group, UNIT) for group in graph.members}


def is_pointwise(layer: Layer) -> bool:
    """Whether a layer is a 1x1 convolution that leaves height and width."""
    sides = (*layer.attributes.get("kernel", ()), *layer.attributes.get("stride", ()))
    return layer.kind == "CONVOLUTION" and set(sides) == {1}


def _glued_back(network: RecordedNetwork, origins: tuple[str, ...]) -> list[int]:
    """A group for each layer on data, named by its first layer: what works element by element joins its source."""
    group_of, giver = [], {}
    for position, layer in enumerate(network.layers):
        if not layer.outputs or origins[layer.outputs[0]] != "data":
            group_of.append(NO_GROUP)
            continue
        taken = (index for index in layer.inputs if index != NO_TENSOR and origins[index] == "data")
        given = {giver.get(index, NO_GROUP) for index in taken}
        source = given.pop() if len(given) == 1 else NO_GROUP
        group_of.append(source if layer.kind in _LIGHT and source != NO_GROUP else position)
        giver.update(dict.fromkeys(layer.outputs, group_of[-1]))
    return group_of


def _glued_forward(graph: Graph) -> Graph:
    """What is done for one layer alone joins it."""
    joined = {}
    for group in reversed(graph.order):
        targets = {joined.get(target, target) for target in graph.successors[group]}
        is_for_one = len(targets) == 1 and len(graph.predecessors[group]) <= 1 and group not in graph.ends
        if is_for_one and _BEFORE.issuperset(graph.kinds(group)):
            joined[group] = targets.pop()
    return Graph(graph.network, graph.origins, [joined.get(group, group) for group in graph.group_of])


def _scales(graph: Graph, groups: Iterable[int]) -> set[tuple[int, ...]]:
    """Heights and widths that the convolutions of some groups give."""
    layers = (graph.network.layers[position] for group in groups for position in graph.members[group])
    return {graph.network.tensors[layer.outputs[0]].dims[2:] for layer in layers if layer.kind in CONVOLUTIONS}


def _pointwise(graph: Graph, group: int) -> bool:
    """Whether a group is a 1x1 convolution with what belongs to it."""
    layers = [graph.network.layers[position] for position in graph.members[group]]
    heavy = [layer for layer in layers if layer.kind in operations.HEAVY]
    return len(heavy) == 1 and is_pointwise(heavy[0])


def _regions(graph: Graph) -> list[set[int]]:
    """Sets of groups between a fork and the place where all its ways meet."""
    meeting, behind, taken, found = graph.post_dominators(), _heavy_behind(graph), set(), []
    for entry in graph.order:
        leave = meeting[entry]
        if len(graph.successors[entry]) < 2 or leave == END or not (behind[leave] or _is_heavy(graph, leave)):
            continue
        region = graph.between(entry, leave) | {leave}
        sources = {source for group in region for source in graph.predecessors[group]}
        kinds = {kind for group in region for kind in graph.kinds(group)}
        if taken & region or not sources <= region | {entry} or "RESIZE" in kinds:
            continue
        if "CONCATENATION" in graph.kinds(leave) and len(graph.successors[leave]) == 1:
            target = graph.successors[leave][0]
            if _pointwise(graph, target) and leave not in graph.ends and len(graph.predecessors[target]) == 1:
                region.add(target)
        if len(_scales(graph, region)) > 1:
            continue
        if _pointwise(graph, entry) and entry not in taken and len(_scales(graph, region | {entry})) == 1:
            region.add(entry)
        taken |= region
        found.append(region)
    return found


def _is_heavy(graph: Graph, group: int) -> bool:
    """Whether a group has a convolution or a product in it."""
    return not set(operations.HEAVY).isdisjoint(graph.kinds(group))


def _heavy_behind(graph: Graph) -> dict[int, bool]:
    """Whether there is a convolution or a product behind a group."""
    found = {}
    for group in reversed(graph.order):
        found[group] = any(found[target] or _is_heavy(graph, target) for target in graph.successors[group])
    return found


def _heads(graph: Graph, rules: dict[int, str]) -> list[set[int]]:
    """Chains of units that end in a last convolution."""
    behind, found = _heavy_behind(graph), []
    for last in graph.order:
        if behind[last] or not _is_heavy(graph, last) or last in rules:
            continue
        chain = [last]
        while len(graph.predecessors[chain[-1]]) == 1:
            before = graph.predecessors[chain[-1]][0]
            is_fork = len(graph.successors[before]) > 1 or before in graph.ends
            if is_fork or before in rules or len(graph.predecessors[before]) > 1 or _shrinks(graph, before):
                break
            chain.append(before)
        found.append(set(chain))
    return found


def _shrinks(graph: Graph, group: int) -> bool:
    """Whether a group has a convolution with a step above 1."""
    layers = (graph.network.layers[position] for position in graph.members[group])
    return any(max(layer.attributes.get("stride", (1,))) > 1 for layer in layers if layer.kind == "CONVOLUTION")


def _decodes(graph: Graph, rules: dict[int, str]) -> list[set[int]]:
    """What hangs together behind the last convolutions; with its head, if it has only one and that has only it."""
    behind = _heavy_behind(graph)
    late = {group for group in graph.order if not behind[group] and not _is_heavy(graph, group) and group not in rules}
    if len(late) == len(graph.order):  # there is no convolution at all
        return []
    found = []
    while late:
        together, waiting = set(), [min(late)]
        while waiting:
            group = waiting.pop()
            if group in late:
                late.discard(group)
                together.add(group)
                waiting += graph.successors[group] + graph.predecessors[group]
        sources = {source for group in together for source in graph.predecessors[group]} - together
        if len(sources) == 1:
            head = next(iter(sources))
            if rules.get(head) == HEAD and together.issuperset(graph.successors[head]) and head not in graph.ends:
                together.add(head)
        found.append(together)
    return found


def _with_constants(network: RecordedNetwork, group_of: list[int]) -> list[int]:
    """Gives constants and shapes to the first group that takes them; one that nobody takes is a group of its own."""
    takers = {}
    for position, layer in reversed(list(enumerate(network.layers))):
        if group_of[position] == NO_GROUP:
            found = [takers[index] for index in layer.outputs if index in takers]
            group_of[position] = found[0] if found else position
        for index in layer.inputs:
            takers[index] = group_of[position]
    return group_of
