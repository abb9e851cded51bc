"""Which convolutions stay in float: by their names, by what they give, or by what a sensitivity report says of them.

    wanted = FloatLayers(("head", "convolution_12"))
    choose(wanted, graph_def, layers, outputs, metadata)          # names of the convolutions' nodes

A convolution gives an output of `network` if no other convolution stands between them: of YOLOv8 one for each level and
branch. Those are the layers that Ultralytics keeps in float, for what they give is rounded and not computed with any
more: distances in cells, and the logits of scores.

Every check refuses; none changes what was asked for.
"""

import difflib
from collections.abc import Mapping, Sequence

from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.contract import Metadata
from tftrt_yolo.converter.int8.in_float.float_layers import HEAD, FloatLayers
from tftrt_yolo.converter.int8.quantization import INPUT_INDEX, Layer
from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ConversionError
from tftrt_yolo.ground.text import counted, quoted, shown

_SHOWN = 8  # names, in a message


def short_name(layer: Layer) -> str:
    """A convolution's name as a sensitivity report prints it, such as "convolution_12"."""
    return layer.label.rpartition(".")[2]


def choose(
    wanted: FloatLayers | None,
    graph_def: GraphDef,
    layers: Sequence[Layer],
    outputs: Mapping[str, str],
    metadata: Metadata,
) -> frozenset[str]:
    """Finds the convolutions that stay in float.

    Args:
      wanted: What was asked for; None for nothing.
      graph_def: A frozen graph.
      layers: Its convolutions.
      outputs: Name of each output of `network` to its tensor.
      metadata: The model's.

    Returns:
      Names of their nodes; empty if nothing was asked for.

    Raises:
      ConversionError: If a name is unknown, the sensitivity report is of another model, or no convolution is left to
        quantise.
    """
    if wanted is None:
        return frozenset()
    by_name = {short_name(layer): layer.name for layer in layers}
    giving = {output: _last_convolutions(graph_def, tensor) for output, tensor in outputs.items()}
    chosen = set()
    for name in wanted.asked:
        if name == HEAD:
            chosen |= set().union(*giving.values())
        elif name in giving:
            chosen |= giving[name]
        elif name in by_name:
            chosen.add(by_name[name])
        else:
            raise ConversionError(_unknown(name, by_name, giving))
    if wanted.report is not None:
        _check_report(wanted, layers, metadata)
        chosen |= {by_name[layer.name] for layer in wanted.report.costliest(wanted.costliest)}
    if len(chosen) == len(layers):
        raise ConversionError(
            f"{argument('float_layers')} leave nothing to quantise: all {counted(len(layers), 'convolution')} of the "
            "network would stay in float. Name fewer of them, or convert to FP16."
        )
    return frozenset(chosen)


def _last_convolutions(graph_def: GraphDef, tensor: str) -> set[str]:
    """The convolutions that a tensor is computed from without another convolution in between."""
    nodes = {node.name: node for node in graph_def.node}
    found, seen, waiting = set(), set(), [tensor]
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in seen:
            continue
        seen.add(name)
        if nodes[name].op in INPUT_INDEX:
            found.add(name)
        else:
            waiting += nodes[name].input
    return found


def _unknown(name: str, by_name: Mapping[str, str], giving: Mapping[str, set[str]]) -> str:
    """What is said of a name that nobody knows, with those that are near."""
    near = difflib.get_close_matches(name, [HEAD, *giving, *by_name], n=_SHOWN, cutoff=0.7)
    words = ", ".join((HEAD, *giving))
    names = list(by_name)
    return (
        f"{argument('float_layers')} names {quoted(name)}, which is no convolution of the network. "
        + (f"Near are {', '.join(near)}. " if near else "")
        + f"Known are {words}, and {counted(len(names), 'convolution')} from {names[0]} to {names[-1]}, as "
        "`tftrt-yolo sensitivity` prints them."
    )


def _check_report(wanted: FloatLayers, layers: Sequence[Layer], metadata: Metadata) -> None:
    """Refuses a sensitivity report of another model.

    Raises:
      ConversionError: If it says so of its checkpoint, or has other layers, another task or another size of frames.
    """
    report, found = wanted.report, ""
    rows = [(short_name(layer), layer.kernel.shape) for layer in layers]
    theirs = [(layer.name, layer.kernel_shape) for layer in report.layers]
    if (report.task, report.image_size_hw) != (metadata.task, metadata.image_size_hw):
        height, width = report.image_size_hw
        found = f"for {quoted(report.task)} at {width} x {height} px"
    elif len(theirs) != len(rows):
        found = f"with {counted(len(theirs), 'convolution')}, and this one has {len(rows)}"
    elif theirs != rows:
        other, own = next(pair for pair in zip(theirs, rows, strict=True) if pair[0] != pair[1])
        found = f"whose {quoted(other[0])} has a filter {list(other[1])}, and here {own[0]} has {list(own[1])}"
    elif None not in (report.weights_sha256, metadata.weights_sha256) and (
        report.weights_sha256 != metadata.weights_sha256
    ):
        found = "with other weights, though of the same layers"
    if found:
        raise ConversionError(
            f"{shown(wanted.report_path)} is the sensitivity report of another model, {found} "
            f"({shown(report.saved_model_dir)}). Run `tftrt-yolo sensitivity` on this one."
        )
