"""Groups of layers, and how data flows between them.

    graph = Graph(network, operations.origins(network), group_of)              # a group for each layer
    graph.order, graph.successors[group], graph.members[group]

Constants and arithmetic on shapes may be in a group, but make no edge.
"""

from tftrt_yolo.preflighting.recorded_network import RecordedNetwork

NO_GROUP = -1
END = -2  # what all outputs lead to


class Graph:
    """Groups of layers as nodes of a graph without circles.

    Attributes:
      network: The network.
      origins: What each tensor depends on, as of operations.origins.
      group_of: Group of each layer, NO_GROUP for what is in none.
      members: Group to the positions of its layers.
      successors: Group to the groups that take its data.
      predecessors: Group to the groups whose data it takes.
      giver: Tensor to the group that gives it.
      ends: Groups that give an output of the network.
      order: All groups, each behind those that it takes data from.
    """

    def __init__(self, network: RecordedNetwork, origins: tuple[str, ...], group_of: list[int]) -> None:
        """Makes the graph.

        Args:
          network: The network.
          origins: What each tensor depends on.
          group_of: Group of each layer.
        """
        self.network, self.origins, self.group_of = network, origins, group_of
        self.members = {}
        for position, group in enumerate(group_of):
            if group != NO_GROUP:
                self.members.setdefault(group, []).append(position)
        self.giver = {index: group_of[place] for place, layer in enumerate(network.layers) for index in layer.outputs}
        self.successors = {group: [] for group in self.members}
        self.predecessors = {group: [] for group in self.members}
        for source, group in dict.fromkeys((self.giver[index], taker) for index, taker in self.flows()):
            self.predecessors[group].append(source)
            self.successors[source].append(group)
        self.ends = {self.giver[index] for index in network.outputs if self.giver.get(index, NO_GROUP) != NO_GROUP}
        self.order = self._sorted()

    def flows(self) -> list[tuple[int, int]]:
        """Each tensor of data that leaves its group, with a group that takes it."""
        found = {}
        for group, positions in self.members.items():
            for layer in (self.network.layers[position] for position in positions):
                if layer.outputs and self.origins[layer.outputs[0]] == "data":
                    found |= dict.fromkeys((index, group) for index in layer.inputs if self._leaves(index, group))
        return list(found)

    def _leaves(self, index: int, group: int) -> bool:
        """Whether a tensor is data of another group."""
        source = self.giver.get(index, NO_GROUP)
        return source not in (NO_GROUP, group) and self.origins[index] == "data"

    def kinds(self, group: int) -> list[str]:
        """Kinds of a group's layers."""
        return [self.network.layers[position].kind for position in self.members[group]]

    def merged(self, sets: list[set[int]]) -> "Graph":
        """The graph with some groups made one.

        Args:
          sets: Groups that become one, each set on its own.

        Returns:
          The new graph; a set keeps its least number.
        """
        renamed = {group: min(together) for together in sets for group in together}
        return Graph(self.network, self.origins, [renamed.get(group, group) for group in self.group_of])

    def post_dominators(self) -> dict[int, int]:
        """The first group that all ways from a group to the outputs lead through; END if there is none."""
        parent, depth = {END: END}, {END: 0}
        for group in reversed(self.order):
            targets = list(self.successors[group])
            if group in self.ends or not targets:
                targets.append(END)
            common = targets[0]
            for other in targets[1:]:
                while common != other:
                    if depth[common] >= depth[other]:
                        common = parent[common]
                    else:
                        other = parent[other]
            parent[group], depth[group] = common, depth[common] + 1
        return parent

    def between(self, entry: int, leave: int) -> set[int]:
        """The groups behind `entry` and before `leave`."""
        inside, waiting = set(), list(self.successors[entry])
        while waiting:
            group = waiting.pop()
            if group != leave and group not in inside:
                inside.add(group)
                waiting += self.successors[group]
        return inside

    def _sorted(self) -> list[int]:
        """Groups, each behind those that it takes data from."""
        missing = {group: len(sources) for group, sources in self.predecessors.items()}
        ready, order = [group for group, count in missing.items() if not count], []
        for group in ready:
            order.append(group)
            for target in self.successors[group]:
                missing[target] -= 1
                if not missing[target]:
                    ready.append(target)
        return order
