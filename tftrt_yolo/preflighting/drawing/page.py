"""One HTML page for the networks of a conversion: figures, picture, and every layer of every block.

    path.write_text(page([(network, summary)], title="yolov8n"), encoding="utf-8")

It holds all that it shows, runs no script and asks nothing of the network. A click on a block of the picture leads to
its layers.
"""

from collections.abc import Iterable, Sequence

from tftrt_yolo.ground.text import counted, listed
from tftrt_yolo.preflighting import shuffles
from tftrt_yolo.preflighting.drawing import blocks, svg
from tftrt_yolo.preflighting.drawing.blocks import Block
from tftrt_yolo.preflighting.drawing.svg import escaped
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR, Layer, RecordedNetwork
from tftrt_yolo.preflighting.summary import NetworkSummary, shape_text

_ZOOMS = (("fit", "fit the width"), ("half", "50 %"), ("whole", "100 %"), ("double", "200 %"))
_VERDICTS = (
    (shuffles.COPY, "TensorRT copies the tensor"),
    (shuffles.MERGED, "one copy does this transpose together with the one that it is merged with"),
    (shuffles.CANCELS, "can be left out together with its inverse: between them is nothing that cares for the order"),
    (shuffles.FREE, "a reshape, or a transpose of axes of size 1: the bytes stay where they are"),
    (shuffles.FOLDED, "works on constants: computed once, when the engine is built"),
)
_STYLE = f"""
:root {{ color-scheme: light dark; --ink: #1c2330; --soft: #5b6577; --page: #ffffff; --rule: #d5dbe5;
 --mark: #fff3c4; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e6ebf3; --soft: #9aa6b8; --page: #12161d; --rule: #313a48;
 --mark: #4a3d10; }} }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto;
 max-width: 1500px; padding: 0 1rem; }}
h1, h2, h3 {{ line-height: 1.2; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; font-size: 13px; }}
th, td {{ border-bottom: 1px solid var(--rule); padding: 3px 14px 3px 0; text-align: left; vertical-align: top; }}
code {{ font-family: {svg.FONT}; font-size: 12px; overflow-wrap: anywhere; }}
.tensor {{ white-space: nowrap; }}
.note {{ color: var(--soft); max-width: 75ch; }}
.frame {{ border: 1px solid var(--rule); overflow: auto; max-height: 92vh; resize: vertical; }}
.frame svg {{ display: block; margin: 0 auto; }}
.key {{ display: inline-block; width: 1em; height: 1em; border: 1px solid var(--rule); vertical-align: -2px; }}
details > summary {{ cursor: pointer; padding: 4px 0; }}
details table:target, details div:target {{ background: var(--mark); }}
.fit:checked ~ .frame svg {{ width: 100%; height: auto; }}
.half:checked ~ .frame svg {{ zoom: 0.5; }}
.double:checked ~ .frame svg {{ zoom: 2; }}
"""


def page(networks: Sequence[tuple[RecordedNetwork, NetworkSummary]], *, title: str) -> str:
    """Writes the page.

    Args:
      networks: Each engine's network with its summary.
      title: What was converted.

    Returns:
      An HTML document.
    """
    count = len(networks)
    engines = counted(count, "TensorRT engine")
    sections = [_section(number, count, *pair) for number, pair in enumerate(networks, start=1)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}: what TensorRT is given</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escaped(title)}: what TensorRT is given</h1>\n"
        f'<p class="note">{engines}. Recorded from TF-TRT against a stand-in for TensorRT: this is what an engine '
        "would be built from. TensorRT fuses, reorders and leaves out layers when it builds; what it makes of this is "
        "not shown here.</p>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


def _section(number: int, count: int, network: RecordedNetwork, summary: NetworkSummary) -> str:
    """All of one engine."""
    prefix, diagram = f"engine{number}-block", blocks.diagram_of(network, summary)
    picture = svg.picture(diagram, prefix=prefix)
    choices = "".join(
        f'<input type="radio" name="zoom{number}" id="zoom{number}-{name}" class="{name}"'
        f'{" checked" if name == "whole" else ""}><label for="zoom{number}-{name}">{word}</label> '
        for name, word in _ZOOMS
    )
    parts = [
        f"<h2>Engine {number} of {count}</h2>",
        f'<p class="note">{escaped(network.name)}</p>',
        _figures(summary),
        "<h3>The graph</h3>",
        _legend(),
        f'<div>{choices}<div class="frame">{picture}</div></div>',
        "<h3>Blocks and their layers</h3>",
        *(_block(f"{prefix}{place}", block, network) for place, block in enumerate(diagram.blocks) if block.layers),
        "<h3>Convolutions</h3>",
        _convolutions(summary),
        "<h3>Shuffles</h3>",
        _shuffles(summary),
    ]
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _figures(summary: NetworkSummary) -> str:
    """The summary's figures."""

    def counts(values: dict[str, int]) -> str:
        return ", ".join(f"{name} {count}" for name, count in values.items()) or "none"

    rows = [
        ("inputs", "; ".join(map(str, summary.inputs))),
        ("outputs", "; ".join(map(str, summary.outputs))),
        ("layers", f"{summary.layers}: {counts(summary.layers_by_kind)}"),
        (
            "work of an image",
            f"{summary.flops / 1e9:.3f} GFLOPs in convolutions and products, "
            f"{summary.other_operations / 1e9:.3f} G operations in all others. {summary.flops_convention}",
        ),
        ("weights", f"{summary.weights_bytes / 1e6:.2f} MB as recorded"),
        ("builder flags", ", ".join(summary.builder_flags) or "none"),
        ("network flags", ", ".join(summary.creation_flags) or "none"),
        ("precision asked for by layers", counts(summary.precisions)),
        ("types of tensors", counts(summary.tensor_types)),
        ("filters that do not fit", "; ".join(summary.misfits) or "none"),
        ("shuffles", f"{counts(summary.shuffles_by_verdict)}; the copies write {summary.copied_bytes / 1e6:.2f} MB"),
    ]
    return _table((), ((f"<b>{escaped(name)}</b>", escaped(value, 2000)) for name, value in rows))


def _legend() -> str:
    """What the colours say and how layers were folded."""
    keys = "; ".join(
        f'<span class="preflight"><svg class="key" viewBox="0 0 9 9"><rect class="box {rule}" width="9" height="9"/>'
        f"</svg></span> {escaped(rule)}: {escaped(meaning)}"
        for rule, meaning in svg.LEGEND.items()
    )
    return (
        f'<p class="note">{keys}. A thick border: TensorRT must copy a tensor in there. "Computes in" is the type that '
        "convolutions may compute in, INT8 where they take what was dequantised. Layers were folded by the graph's "
        "structure alone, as TF-TRT keeps no names of PyTorch modules: names such as C2f, C3 or SPPF say what a block "
        'looks like, and "2 inside" that two concatenations are nested in it. Labels at edges are shapes, N is the '
        "batch. Constants and arithmetic on shapes belong to the block that takes them, and make no edge.</p>"
    )


def _block(anchor: str, block: Block, network: RecordedNetwork) -> str:
    """A block and its layers, to be unfolded."""
    facts = [counted(len(block.layers), "layer"), svg.times(blocks.shapes_text(block.shapes)), block.type]
    if block.flops:
        facts += [counted(block.convolutions, "convolution"), svg.flops_text(block.flops)]
    facts += [f"computes in {listed(block.types)}"] if block.types else []
    facts += [svg.copies_text(block)] if block.copies else []
    header = ("kind", "name", "inputs", "outputs", "parameters", "precision")
    table = _table(header, (_layer(layer, network) for layer in block.layers))
    return (
        f"<details><summary><b>{escaped(block.title)}</b> "
        f'<span class="note">{escaped("; ".join(fact for fact in facts if fact))}</span></summary>'
        f'<div id="{anchor}">{table}</div></details>'
    )


def _layer(layer: Layer, network: RecordedNetwork) -> tuple[str, ...]:
    """A layer's row."""

    def tensors(indices: tuple[int, ...]) -> str:
        found = [network.tensors[index] for index in indices if index != NO_TENSOR]
        words = (escaped(f"{shape_text(tensor.dims)} {tensor.type}") for tensor in found)
        return "<br>".join(f'<span class="tensor">{word}</span>' for word in words)

    parameters = [f"{name} {_value(value)}" for name, value in layer.attributes.items()]
    parameters += [f"{role}: {counted(values.size, 'value')}" for role, values in layer.weights.items()]
    name = f"<code>{escaped(layer.name)}</code>"
    texts = escaped("; ".join(parameters), 1000), escaped(layer.precision or "")
    return escaped(layer.kind), name, tensors(layer.inputs), tensors(layer.outputs), *texts


def _value(value: object) -> str:
    """A parameter's value: whole numbers without a fraction."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _convolutions(summary: NetworkSummary) -> str:
    """A row for each geometry."""
    header = ("kind", "kernel", "step", "groups", "count", "quantised", "GFLOPs", "filters arrive as", "filters")
    rows = (
        (
            row.kind.lower(),
            "x".join(map(str, row.kernel_hw)),
            "x".join(map(str, row.stride_hw)),
            str(row.groups),
            str(row.count),
            str(row.quantized),
            f"{row.flops / 1e9:.3f}",
            "; ".join(f"{layout}: {count}" for layout, count in row.layouts.items()),
            ", ".join(f"{shape} ({count})" for shape, count in row.filters.items()),
        )
        for row in summary.convolutions
    )
    return _table(header, (tuple(escaped(cell, 3000) for cell in row) for row in rows))


def _shuffles(summary: NetworkSummary) -> str:
    """What each verdict means, and the shuffles, those that are copied first."""
    order = [verdict for verdict, _ in _VERDICTS]
    meanings = "".join(f"<li>{escaped(verdict)}: {escaped(meaning)}</li>" for verdict, meaning in _VERDICTS)
    listed = sorted(summary.shuffles, key=lambda shuffle: (order.index(shuffle.verdict), -shuffle.bytes))
    rows = (
        (
            escaped(shuffle.verdict),
            f"<code>{escaped(shuffle.name)}</code>",
            escaped(shape_text(shuffle.dims)),
            escaped(list(shuffle.permutation) or "-"),
            escaped(f"{shuffle.bytes / 1e6:.2f}" if shuffle.bytes else "-"),
            "<br>".join(f"<code>{escaped(name)}</code>" for name in shuffle.partners) or "-",
            escaped(shuffle.reason),
        )
        for shuffle in listed
    )
    header = ("verdict", "name", "shape", "transpose", "MB written", "together with", "why it is there")
    return f"<ul>{meanings}</ul>\n{_table(header, rows)}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of cells that are HTML already."""
    head = f"<thead><tr>{''.join(f'<th>{escaped(name)}</th>' for name in header)}</tr></thead>" if header else ""
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}<tbody>\n{body}\n</tbody></table>"
