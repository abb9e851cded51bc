"""Where the boxes of a picture stand and how its edges run: Sugiyama's method.

    layout = arrange(widths, heights, ends)
    layout.boxes[0].x, layout.boxes[0].y
    layout.routes[0]                              # points that the first edge passes, from its source to its target

Boxes stand in rows, each as low as what takes its data allows, so that heads come to stand side by side. An edge that
passes rows gets a lane in each, and edges from one box share their lanes until they part. The order in a row is that
with the fewest crossings that sweeps of barycentres and swaps of neighbours find. Along its row a box goes to the
middle of what it is tied to, as far as its neighbours let it.

Source: K. Sugiyama, S. Tagawa, M. Toda, Methods for Visual Understanding of Hierarchical System Structures, 1981.
"""

import dataclasses
import itertools
import statistics

GAP = 26.0  # pixels between neighbours of a row
ROW_GAP = 72.0  # pixels between two rows
STUB = 30.0  # pixels that an edge runs straight down before it meets a box; its label stands there
LEAD = 10.0  # pixels that it runs straight down when it has left one
_LANE = 12.0  # pixels that an edge takes in a row that it passes
_STIFFNESS = 8.0  # how much more a box counts than a lane when they push each other aside
_MARGIN = 24.0
_DIRECT = 4  # how many edges that pass rows an edge between neighbouring rows outweighs
_ORDER_SWEEPS, _PLACE_SWEEPS = 24, 60


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle.

    Attributes:
      x: Left side, in pixels.
      y: Upper side.
      width: Pixels.
      height: Pixels.
    """

    x: float
    y: float
    width: float
    height: float


@dataclasses.dataclass(frozen=True)
class Layout:
    """A picture's places.

    Attributes:
      width: Of the whole, in pixels.
      height: Of the whole.
      boxes: In the order of the nodes.
      routes: For each edge the points that it passes: straight down within each pair, in a curve between two pairs.
    """

    width: float
    height: float
    boxes: tuple[Box, ...]
    routes: tuple[tuple[tuple[float, float], ...], ...]


def arrange(widths: list[float], heights: list[float], ends: list[tuple[int, int]]) -> Layout:
    """Lays out a graph from top to bottom.

    Args:
      widths: Width of each node's box, in pixels.
      heights: Height of each.
      ends: Source and target of each edge; sources have lower numbers than their targets.

    Returns:
      The layout.
    """
    rows, chains = _rows(len(widths), ends)
    links = list(dict.fromkeys(pair for chain in chains for pair in itertools.pairwise(chain)))
    rows = _ordered(rows, links)
    sizes = list(widths) + [_LANE] * (sum(map(len, rows)) - len(widths))
    centers = _centers(rows, sizes, links)
    left = min((centers[node] - size / 2 for node, size in enumerate(sizes)), default=0.0) - _MARGIN
    right = max((centers[node] + size / 2 for node, size in enumerate(sizes)), default=0.0) + _MARGIN
    boxes, lanes, bottoms, y = {}, {}, {}, _MARGIN
    for row in rows:
        height = max(heights[node] for node in row if node < len(widths))
        bottoms.update(dict.fromkeys(row, y + height))
        for node in row:
            if node < len(widths):
                boxes[node] = Box(centers[node] - left - widths[node] / 2, y, widths[node], heights[node])
            else:
                lanes[node] = (centers[node] - left, y)
        y += height + ROW_GAP
    in_order = tuple(boxes[node] for node in range(len(widths)))
    routes = _routes(in_order, lanes, bottoms, chains)
    return Layout(right - left, y - ROW_GAP + _MARGIN if rows else 2 * _MARGIN, in_order, tuple(routes))


def _rows(count: int, ends: list[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of nodes, and for each edge the nodes it passes; numbers from `count` on are lanes."""
    targets = {}
    for source, target in ends:
        targets.setdefault(source, []).append(target)
    above_bottom = [0] * count
    for node in reversed(range(count)):
        above_bottom[node] = max((above_bottom[target] + 1 for target in targets.get(node, ())), default=0)
    level = [max(above_bottom, default=0) - above for above in above_bottom]
    rows = [[] for _ in range(max(level, default=-1) + 1)]
    for node, at in enumerate(level):
        rows[at].append(node)
    lanes, chains = {}, []
    for source, target in ends:
        passed = range(level[source] + 1, level[target])
        for at in passed:
            if (source, at) not in lanes:
                lanes[source, at] = count + len(lanes)
                rows[at].append(lanes[source, at])
        chains.append([source, *(lanes[source, at] for at in passed), target])
    return rows, chains


def _ties(links: list[tuple[int, int]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """What each node is tied to in the row above, and in the row below."""
    above, below = {}, {}
    for source, target in links:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    return above, below


def _ordered(rows: list[list[int]], links: list[tuple[int, int]]) -> list[list[int]]:
    """Rows with the order of their nodes that crosses the fewest links."""
    above, below = _ties(links)
    best, fewest = rows, _crossings(rows, above)
    for sweep in range(_ORDER_SWEEPS):
        ties, downwards = (above, True) if sweep % 2 == 0 else (below, False)
        rank = {node: place for row in rows for place, node in enumerate(row)}
        placed = []
        for row in rows if downwards else reversed(rows):
            key = {node: statistics.fmean(rank[other] for other in ties.get(node, [node])) for node in row}
            row = _swapped(sorted(row, key=key.get), ties, rank)
            rank.update({node: place for place, node in enumerate(row)})
            placed.append(row)
        rows = placed if downwards else placed[::-1]
        crossings = _crossings(rows, above)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _swapped(row: list[int], ties: dict[int, list[int]], rank: dict[int, int]) -> list[int]:
    """A row with neighbours swapped as long as that takes crossings away."""
    row, better = list(row), True
    while better:
        better = False
        for place in range(len(row) - 1):
            first, second = (ties.get(node, []) for node in row[place : place + 2])
            kept = sum(rank[a] > rank[b] for a in first for b in second)
            if kept > sum(rank[a] < rank[b] for a in first for b in second):
                row[place], row[place + 1] = row[place + 1], row[place]
                better = True
    return row


def _crossings(rows: list[list[int]], above: dict[int, list[int]]) -> int:
    """How many pairs of links cross."""
    total, rank = 0, {node: place for row in rows for place, node in enumerate(row)}
    for row in rows:
        ends = [rank[other] for node in row for other in sorted(above.get(node, []), key=rank.get)]
        total += sum(left > right for place, left in enumerate(ends) for right in ends[place + 1 :])
    return total


def _centers(rows: list[list[int]], sizes: list[float], links: list[tuple[int, int]]) -> dict[int, float]:
    """Where each node stands in its row: near the middle of those it is tied to, without touching its neighbours."""
    links = [link for link in links for _ in range(1 if _LANE in (sizes[link[0]], sizes[link[1]]) else _DIRECT)]
    above, below = _ties(links)
    both = {node: above.get(node, []) + below.get(node, []) for node in range(len(sizes))}
    centers = {}
    for row in rows:
        centers.update(zip(row, _spread([0.0] * len(row), row, sizes), strict=True))
    for sweep in range(_PLACE_SWEEPS):
        order, ties = (rows, above) if sweep % 2 == 0 else (rows[::-1], below)
        ties = both if sweep >= _PLACE_SWEEPS // 2 else ties
        for row in order:
            wanted = [
                statistics.median(centers[other] for other in ties[node]) if ties.get(node) else centers[node]
                for node in row
            ]
            centers.update(zip(row, _spread(wanted, row, sizes), strict=True))
    return centers


def _spread(wanted: list[float], row: list[int], sizes: list[float]) -> list[float]:
    """Places in a row that are nearest to those that are wanted, in the least squares, and do not overlap."""
    offsets, total = [], 0.0
    for place, node in enumerate(row):
        total += (sizes[row[place - 1]] + sizes[node]) / 2 + GAP if place else 0.0
        offsets.append(total)
    pools = []  # of neighbours that touch: the weighted sum of what they want without offsets, weight and count
    for place, offset, node in zip(wanted, offsets, row, strict=True):
        weight = 1.0 if sizes[node] == _LANE else _STIFFNESS
        pools.append(((place - offset) * weight, weight, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            last, before = pools.pop(), pools.pop()
            pools.append(tuple(map(sum, zip(before, last, strict=True))))
    places = [total / weight for total, weight, count in pools for _ in range(count)]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]


def _routes(
    boxes: tuple[Box, ...], lanes: dict[int, tuple[float, float]], bottoms: dict[int, float], chains: list[list[int]]
) -> list[tuple[tuple[float, float], ...]]:
    """The points that each edge passes: it leaves a row straight down, so that it meets no box that is higher."""
    center = {node: lane[0] for node, lane in lanes.items()}
    center |= {node: box.x + box.width / 2 for node, box in enumerate(boxes)}
    out, into = {}, {}
    for chain in chains:
        out.setdefault(chain[0], {})[chain[1]] = center[chain[1]]
        into.setdefault(chain[-1], {})[chain[-2]] = center[chain[-2]]
    leaves, enters = _ports(boxes, out), _ports(boxes, into)
    routes = []
    for chain in chains:
        source, target = boxes[chain[0]], boxes[chain[-1]]
        x = leaves[chain[0], chain[1]]
        points = [(x, source.y + source.height), (x, bottoms[chain[0]] + LEAD)]
        for node in chain[1:-1]:
            x, y = lanes[node]
            points += [(x, y - STUB), (x, bottoms[node] + LEAD)]
        x = enters[chain[-1], chain[-2]]
        routes.append((*points, (x, target.y - STUB), (x, target.y)))
    return routes


def _ports(boxes: tuple[Box, ...], tied: dict[int, dict[int, float]]) -> dict[tuple[int, int], float]:
    """Where edges meet a box: spread along its side, in the order of the nodes that they go to or come from."""
    found = {}
    for node, others in tied.items():
        step = boxes[node].width / len(others)
        for rank, other in enumerate(sorted(others, key=others.get)):
            found[node, other] = boxes[node].x + (rank + 0.5) * step
    return found
