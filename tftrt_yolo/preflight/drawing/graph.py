"""Groups of layers, and how data flows between them.

    graph = Graph(network, group_of)              # a group for each layer that computes on data
    graph.order, graph.successors[group], graph.members[group]

What does not depend on the values of an input, constants and arithmetic on shapes, is in no group.
"""

from tftrt_yolo.preflight.recorded_network import RecordedNetwork

NO_GROUP = -1
END = -2  # what all outputs lead to


class Graph:
    """Groups of layers as nodes of a graph without circles.

    Attributes:
      network: The network.
      group_of: Group of each layer, NO_GROUP for what is in none.
      members: Group to the positions of its layers.
      successors: Group to the groups that take its data.
      predecessors: Group to the groups whose data it takes.
      ends: Groups that give an output of the network.
      order: All groups, each behind those that it takes data from.
    """

    def __init__(self, network: RecordedNetwork, group_of: list[int]) -> None:
        """Makes the graph.

        Args:
          network: The network.
          group_of: Group of each layer.
        """
        self.network, self.group_of = network, group_of
        self.members = {}
        for position, group in enumerate(group_of):
            if group != NO_GROUP:
                self.members.setdefault(group, []).append(position)
        giver = {index: group_of[position] for position, layer in enumerate(network.layers) for index in layer.outputs}
        self.successors = {group: [] for group in self.members}
        self.predecessors = {group: [] for group in self.members}
        for group, positions in self.members.items():
            taken = (index for position in positions for index in network.layers[position].inputs)
            sources = dict.fromkeys(giver.get(index, NO_GROUP) for index in taken)
            for source in sources:
                if source not in (NO_GROUP, group):
                    self.predecessors[group].append(source)
                    self.successors[source].append(group)
        self.ends = {giver[index] for index in network.outputs if giver.get(index, NO_GROUP) != NO_GROUP}
        self.order = self._sorted()

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
        return Graph(self.network, [renamed.get(group, group) for group in self.group_of])

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
