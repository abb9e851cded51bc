"""Draws a recorded network as SVG: a box for each block, from its inputs at the top to its outputs at the bottom.

    path.write_text(draw(network, summary), encoding="utf-8")

No script and nothing from outside: it opens in any browser and in most editors. Names come from a stranger's model:
they are escaped and cut.
"""

import html
import re
import textwrap
import unicodedata

from tftrt_yolo.ground.text import counted, listed, shown
from tftrt_yolo.preflighting.drawing import blocks, fold
from tftrt_yolo.preflighting.drawing.blocks import Block, Diagram
from tftrt_yolo.preflighting.drawing.layout import STUB, Box, Layout, arrange
from tftrt_yolo.preflighting.recorded_network import CONVOLUTIONS, RecordedNetwork
from tftrt_yolo.preflighting.summary import NetworkSummary

# Letters that are all as wide can be measured without the font: 0.602 em in DejaVu, Menlo and Courier, less in Consolas
FONT = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
EM = 0.61
_TITLE_SIZE, _SIZE, _LABEL_SIZE = 15, 11, 10  # pixels
_NO_XML = re.compile("[\ufffe\uffff]")  # what XML does not have, and `shown` leaves
_LINE, _PADDING, _WIDTH = 16, 10, 250
_LETTERS = int((_WIDTH - 2 * _PADDING) / (_SIZE * EM))  # that fit into a line
_TOOLTIP_LAYERS = 40
_MOST_LABEL = 34  # letters of an edge's label
STYLE = f"""
.preflight {{ font-family: {FONT}; --page: #ffffff; --ink: #1c2330; --soft: #5b6577; --line: #8a94a6; --halo: #ffffff;
 --unit: #eef2f8; --region: #e2ecfd; --head: #e4f4e8; --decode: #f3e9fb; --port: #ffffff; --edge: #b9c3d3;
 --copy: #b3470b; --mixed: #7327b8; background: var(--page); }}
@media (prefers-color-scheme: dark) {{ .preflight {{ --page: #12161d; --ink: #e6ebf3; --soft: #9aa6b8; --line: #67748a;
 --halo: #12161d; --unit: #1d2430; --region: #1a2b49; --head: #173524; --decode: #332243; --port: #12161d;
 --edge: #3d4858; --copy: #ff9d5c; --mixed: #cf9bff; }} }}
.preflight text {{ fill: var(--ink); font-size: {_SIZE}px; text-anchor: middle; }}
.preflight .title {{ font-size: {_TITLE_SIZE}px; font-weight: bold; }}
.preflight .soft {{ fill: var(--soft); }}
.preflight .label {{ font-size: {_LABEL_SIZE}px; fill: var(--soft); }}
.preflight .plate {{ fill: var(--halo); }}
.preflight .copies {{ fill: var(--copy); font-weight: bold; }}
.preflight .types {{ fill: var(--mixed); font-weight: bold; }}
.preflight .edge {{ fill: none; stroke: var(--line); stroke-width: 1.6; }}
.preflight .tip {{ fill: var(--line); }}
.preflight .box {{ stroke: var(--edge); stroke-width: 1.2; }}
.preflight .unit {{ fill: var(--unit); }} .preflight .region {{ fill: var(--region); }}
.preflight .head {{ fill: var(--head); }} .preflight .decode {{ fill: var(--decode); }}
.preflight .input, .preflight .output {{ fill: var(--port); stroke-dasharray: 5 4; }}
.preflight .copied {{ stroke: var(--copy); stroke-width: 2.4; }}
"""


def draw(network: RecordedNetwork, summary: NetworkSummary) -> str:
    """Draws a network.

    Args:
      network: A recorded network.
      summary: Its summary.

    Returns:
      An SVG document.
    """
    return picture(blocks.diagram_of(network, summary), prefix="")


def picture(diagram: Diagram, *, prefix: str) -> str:
    """Draws a diagram.

    Args:
      diagram: Blocks and edges.
      prefix: Of the anchors "PREFIX0" that a click on a block leads to; empty for none.

    Returns:
      An SVG document.
    """
    lines = [_lines(block) for block in diagram.blocks]
    layout = arrange(
        _widths(diagram, lines), [_height(rows) for rows in lines], [(e.source, e.target) for e in diagram.edges]
    )
    parts = [_edge(edge, route) for edge, route in zip(diagram.edges, layout.routes, strict=True)]
    parts += _labels(diagram, layout)
    for number, (block, rows, box) in enumerate(zip(diagram.blocks, lines, layout.boxes, strict=True)):
        drawn = _box(block, rows, box)
        parts.append(f'<a href="#{prefix}{number}">{drawn}</a>' if prefix and block.layers else drawn)
    size = f"{layout.width:.0f} {layout.height:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="preflight" viewBox="0 0 {size}" '
        f'width="{layout.width:.0f}" height="{layout.height:.0f}" role="img">\n<style>{STYLE}</style>\n'
        + f'<rect class="plate" width="{layout.width:.0f}" height="{layout.height:.0f}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def escaped(text: object, most: int = 300) -> str:
    """A name as a document may hold it: on one line, cut, without anything that markup or a terminal obeys."""
    return html.escape(_NO_XML.sub("\ufffd", shown(text, most)), quote=True)


def text_width(text: str, size: float) -> float:
    """Width of a text in pixels; letters of East Asian scripts take two places."""
    places = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
    return places * size * EM


def times(shape: str) -> str:
    """A shape with a proper sign between its sizes."""
    return shape.replace("x", "\u00d7")


def _lines(block: Block) -> list[tuple[str, str, int]]:
    """What stands in a box: class, text and size of each line, cut to its width."""
    rows = [("title", block.title, _TITLE_SIZE)]
    shapes = times(blocks.shapes_text(block.shapes)) or "no data"
    rows.append(("", f"{shapes} {block.type}".strip(), _SIZE))
    if block.layers:
        facts = [counted(len(block.layers), "layer"), f"{block.convolutions} conv"]
        rows.append(("soft", " · ".join([*facts, flops_text(block.flops)] if block.flops else facts[:1]), _SIZE))
        named = sorted(block.kinds.items(), key=lambda item: item[0] == "CONSTANT")  # constants last
        kinds = [f"{number} {kind.lower().replace('_', ' ')}" for kind, number in named if kind not in CONVOLUTIONS]
        rows += [
            ("soft", text, _SIZE) for text in textwrap.wrap(", ".join(kinds), _LETTERS, max_lines=2, placeholder="…")
        ]
    if block.copies:
        rows.append(("copies", copies_text(block), _SIZE))
    if len(block.types) > 1:
        rows.append(("types", f"mixed: computes in {listed(block.types)}", _SIZE))
    elif block.types and block.types != ("FLOAT",):
        rows.append(("types", f"computes in {block.types[0]}", _SIZE))
    return [(name, _cut(shown(text), size), size) for name, text, size in rows if text]


def copies_text(block: Block) -> str:
    """A block's copies for a reader."""
    return f"{counted(len(block.copies), 'copy', 'copies')}, {block.copied_bytes / 1e6:.2f} MB"


def flops_text(flops: int) -> str:
    """Operations for a reader."""
    return f"{flops / 1e9:.2f} GFLOPs" if flops >= 1e8 else f"{flops / 1e6:.1f} MFLOPs"


def _cut(text: str, size: float) -> str:
    """A text that fits into a box."""
    room = _WIDTH - 2 * _PADDING
    if text_width(text, size) <= room:
        return text
    while text and text_width(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip(" ,") + "…"


def _height(rows: list[tuple[str, str, int]]) -> float:
    """Height of a box."""
    return len(rows) * _LINE + 2 * _PADDING


def _widths(diagram: Diagram, lines: list[list[tuple[str, str, int]]]) -> list[float]:
    """Width of each box: its text, and the labels of the edges that come in, side by side."""
    needed = [max(_WIDTH, *(text_width(text, size) + 2 * _PADDING for _, text, size in rows)) for rows in lines]
    for place in range(len(diagram.blocks)):
        labels = [text_width(_label(edge), _LABEL_SIZE) for edge in diagram.edges if edge.target == place]
        needed[place] = max(needed[place], len(labels) * (max(labels, default=0.0) + 14))
    return needed


def _label(edge: blocks.Edge) -> str:
    """What stands at an edge."""
    text = times(blocks.shapes_text(edge.shapes))
    return text if len(text) <= _MOST_LABEL else f"{text[: _MOST_LABEL - 1]}…"


def _labels(diagram: Diagram, layout: Layout) -> list[str]:
    """The shapes of edges, each above the box that the edge leads to."""
    parts = []
    for edge, route in zip(diagram.edges, layout.routes, strict=True):
        (x, y), text = route[-1], _label(edge)
        width = text_width(text, _LABEL_SIZE) + 6
        parts.append(
            f'<rect class="plate" x="{x - width / 2:.1f}" y="{y - STUB + 4:.1f}" width="{width:.1f}" height="15"/>'
            f'<text class="label" x="{x:.1f}" y="{y - STUB + 15:.1f}">{escaped(text)}</text>'
        )
    return parts


def _edge(edge: blocks.Edge, route: tuple[tuple[float, float], ...]) -> str:
    """An edge's line and its tip."""
    (x, y), *rest = route
    parts = [f"M{x:.1f} {y:.1f}"]
    for place, (to_x, to_y) in enumerate(rest):
        if place % 2 == 0:
            parts.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            middle = (y + to_y) / 2
            parts.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    tip = f"{x - 4:.1f},{y - 8:.1f} {x + 4:.1f},{y - 8:.1f} {x:.1f},{y:.1f}"
    ends = f'data-source="{edge.source}" data-target="{edge.target}"'
    return f'<path class="edge" {ends} d="{"".join(parts)}"/><polygon class="tip" points="{tip}"/>'


def _box(block: Block, rows: list[tuple[str, str, int]], box: Box) -> str:
    """A block's rectangle and text."""
    names = [f"{layer.kind} {layer.name}" for layer in block.layers[:_TOOLTIP_LAYERS]]
    more = len(block.layers) - len(names)
    tooltip = "\n".join([block.title, *names, *([f"and {more} more"] if more else [])])
    tooltip = "\n".join(escaped(line) for line in tooltip.splitlines())
    copied = " copied" if block.copies else ""
    parts = [
        f'<g class="block"><title>{tooltip}</title><rect class="box {block.rule}{copied}" x="{box.x:.1f}" '
        f'y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="7"/>'
    ]
    x, y = box.x + box.width / 2, box.y + _PADDING
    for number, (name, text, _) in enumerate(rows):
        parts.append(f'<text class="{name}" x="{x:.1f}" y="{y + number * _LINE + 12:.1f}">{escaped(text)}</text>')
    return "".join(parts) + "</g>"


LEGEND = {
    fold.UNIT: "a layer with its bias, activation, padding and quantisation",
    fold.REGION: "all between a fork and the place where its ways meet, at one height and width",
    fold.HEAD: "a chain that ends in a last convolution",
    fold.DECODE: "what is behind the last convolutions",
}
