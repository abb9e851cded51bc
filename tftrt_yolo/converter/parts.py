"""A network with convolutions in INT8 and in float, divided into parts of one kind each, for an engine a part.

    parts = divide(calibrated)                  # what `calibration.calibrate` gave: a body in INT8, a tail in float
    piece = write(parts[0], Path("part_1"))     # a SavedModel, for TF-TRT to convert in parts[0].precision_mode
    chain([function_1, function_2], pieces, outputs)(frames)

TF-TRT asks for a quantised filter of every convolution of a graph that holds a quantisation (ConvertConv2DHelper), and
what stays in float would be left to TensorFlow. So a graph of quantised convolutions alone and one of float ones alone
are converted each by itself. What one gives the next goes through the GPU's memory, in float32 and channels last, as
TF-TRT's engines take it.

Along the flow a convolution that follows one of the other kind begins a new part. Convolutions in float at the end of
the network make a second engine; one in the midst a second and a third; one at the beginning comes before the first.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo import contract
from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.quantization import INPUT_INDEX

FLOAT, INT8 = "FP16", "INT8"  # TF-TRT's precision of the parts
FRAMES = "frames"  # the input of the first part
# Stages of what comes before all parts: what does not depend on the frames, and is there wherever it is needed, and the
# frames themselves.
_CONSTANT, _FRAMES = -2, -1


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a network.

    Attributes:
      graph_def: Its graph, quantised where it is INT8; what it takes are placeholders.
      precision_mode: "INT8" or "FP16".
      convolutions: How many it has.
      inputs: Name of each input to its tensor: "frames", or an output of an earlier part.
      outputs: Name of each output to its tensor: an output of `network`, or what later parts take.
      shapes: Name of each input to its shape without the batch.
    """

    graph_def: GraphDef
    precision_mode: str
    convolutions: int
    inputs: dict[str, str]
    outputs: dict[str, str]
    shapes: dict[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Piece:
    """What TF-TRT converts by itself: a network, or a part of one.

    Attributes:
      directory: A SavedModel with signature `network`.
      precision_mode: "FP32", "FP16" or "INT8".
      inputs: Name of each input to its shape without the batch.
      convolutions: How many a part has; None of a whole network.
    """

    directory: Path
    precision_mode: str
    inputs: dict[str, tuple[int, ...]]
    convolutions: int | None = None


def divide(calibrated: Calibrated) -> list[Part]:
    """Divides a network.

    Args:
      calibrated: A network that is ready to be quantised, of which some layers stay in float.

    Returns:
      Its parts, each behind those that give it something.
    """
    nodes = {node.name: node for node in calibrated.graph_def.node}
    order = _in_order(nodes, calibrated.outputs.values())
    frames = _node(calibrated.frames_name)
    stages = _stages(order, frames, {layer.name for layer in calibrated.layers})
    crossing = _crossing(order, stages, calibrated)
    shapes = _shapes(calibrated.graph_def, [calibrated.frames_name, *crossing])
    names = {calibrated.frames_name: FRAMES} | {tensor: f"cut_{at}" for at, tensor in enumerate(crossing, 1)}
    parts = []
    for stage in sorted({stages[node.name] for node in order if node.op in INPUT_INDEX}):
        members = [node for node in order if stages[node.name] == stage]
        constants = [node for node in order if stages[node.name] == _CONSTANT]
        taken = _taken(members, stages, stage)
        given = {name: tensor for name, tensor in calibrated.outputs.items() if stages[_node(tensor)] == stage}
        given |= {names[tensor]: tensor for tensor in crossing if stages[_node(tensor)] == stage}
        graph_def, inputs = _cut(members + constants, taken, shapes)
        layers = [layer for layer in calibrated.layers if stages[layer.name] == stage]
        if layers:
            graph_def = _quantized(graph_def, layers, calibrated, inputs)
            given = _behind_corrections(graph_def, layers, given)
        given = _ended(graph_def, given)
        parts.append(
            Part(
                _needed(graph_def, given.values()),
                INT8 if layers else FLOAT,
                sum(node.op in INPUT_INDEX for node in members),
                {names[tensor]: name for tensor, name in inputs.items()},
                given,
                {names[tensor]: shapes[tensor] for tensor in taken},
            )
        )
    return parts


def write(part: Part, output_dir: Path) -> Piece:
    """Writes a part as a SavedModel with signature `network` alone.

    Args:
      part: The part.
      output_dir: A directory to make.

    Returns:
      What TF-TRT is to convert.
    """
    specs = [tf.TensorSpec((None, *part.shapes[name]), tf.float32, name=name) for name in part.inputs]

    @tf.function(input_signature=specs, autograph=False)
    def run(*tensors):
        given = dict(zip(part.inputs.values(), tensors, strict=True))
        found = tf.graph_util.import_graph_def(part.graph_def, given, list(part.outputs.values()), name="")
        return dict(zip(part.outputs, found, strict=True))

    tf.saved_model.save(tf.Module(), str(output_dir), signatures={contract.NETWORK: run.get_concrete_function()})
    return Piece(output_dir, part.precision_mode, part.shapes, part.convolutions)


def chain(
    functions: Sequence[Callable[..., dict[str, tf.Tensor]]], pieces: Sequence[Piece], outputs: Collection[str]
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Runs pieces one behind the other.

    Args:
      functions: For each piece what takes its inputs by name to its outputs.
      pieces: The pieces.
      outputs: Names of the outputs of `network`.

    Returns:
      Takes frames to these outputs.
    """

    def network(frames: tf.Tensor) -> dict[str, tf.Tensor]:
        values = {FRAMES: frames}
        for function, piece in zip(functions, pieces, strict=True):
            values |= function(**{name: values[name] for name in piece.inputs})
        return {name: values[name] for name in outputs}

    return network


def _node(reference: str) -> str:
    """Name of the node of a tensor or of an input."""
    return reference.removeprefix("^").partition(":")[0]


def _tensor(reference: str) -> str:
    """An input as a tensor's name, with its number."""
    return reference if ":" in reference else f"{reference}:0"


def _data(node: NodeDef) -> Iterator[str]:
    """The tensors that a node takes; what only orders nodes is left out, for nothing here has side effects."""
    return (_tensor(reference) for reference in node.input if not reference.startswith("^"))


def _in_order(nodes: Mapping[str, NodeDef], outputs) -> list[NodeDef]:
    """What the outputs need, each node behind those that it takes from."""
    order, seen, waiting = [], set(), [(name, False) for name in sorted(map(_node, outputs), reverse=True)]
    while waiting:
        name, is_ready = waiting.pop()
        if is_ready:
            order.append(nodes[name])
        elif name not in seen:
            seen.add(name)
            waiting.append((name, True))
            waiting += [(_node(tensor), False) for tensor in _data(nodes[name]) if _node(tensor) not in seen]
    return order


def _stages(order: list[NodeDef], frames: str, in_int8: set[str]) -> dict[str, int]:
    """Name of each node to its stage, even in float and odd in INT8: the least that comes behind what it takes."""
    stages = {}
    for node in order:
        before = max((stages[_node(tensor)] for tensor in _data(node)), default=_CONSTANT)
        stage = _FRAMES if node.name == frames else 0 if before == _FRAMES else before
        if node.op in INPUT_INDEX and stage % 2 != (node.name in in_int8):
            stage += 1
        stages[node.name] = stage
    if not any(stages[node.name] == 0 and node.op in INPUT_INDEX for node in order):
        stages |= {name: 1 for name, stage in stages.items() if stage == 0}
    _postpone(order, stages)
    return stages


def _postpone(order: list[NodeDef], stages: dict[str, int]) -> None:
    """Lets what only prepares the input of later convolutions, pads and factors, be done with these, in place.

    A pad would be copied from engine to engine, and a factor beside what others read as it is.
    """
    first_reader = {}
    for node in reversed(order):
        stage = stages[node.name]
        prepares = node.op == "Pad" or node.name.endswith("/equalized")
        if prepares and stage != _CONSTANT and first_reader.get(node.name, stage) > stage:
            stages[node.name] = stage = first_reader[node.name]
        for tensor in _data(node):
            name = _node(tensor)
            first_reader[name] = min(first_reader.get(name, stage), stage)


def _taken(members: list[NodeDef], stages: Mapping[str, int], stage: int) -> list[str]:
    """The tensors that a stage takes of earlier ones, or of the frames, in the order in which they are read."""
    read = [tensor for node in members for tensor in _data(node)]
    return list(dict.fromkeys(tensor for tensor in read if _CONSTANT < stages[_node(tensor)] < stage))


def _crossing(order: list[NodeDef], stages: dict[str, int], calibrated: Calibrated) -> list[str]:
    """The tensors that go from one stage to a later one, but for the frames; these are then before every stage."""
    crossing = {}
    for node in order:
        for tensor in _data(node):
            if _CONSTANT < stages[_node(tensor)] < stages[node.name] and tensor != calibrated.frames_name:
                crossing[tensor] = None
    return list(crossing)


def _shapes(graph_def: GraphDef, tensors: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors without the batch."""
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
    return {tensor: tuple(graph.get_tensor_by_name(tensor).shape[1:].as_list()) for tensor in tensors}


def _cut(
    nodes: list[NodeDef], taken: list[str], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[GraphDef, dict[str, str]]:
    """A graph of some nodes, with placeholders for what they take, and each of these to its placeholder's tensor.

    A placeholder has the name of the node whose first output it stands for: what else refers to it stays as it is.
    """
    graph_def, inputs = GraphDef(), {}
    for tensor in taken:
        name, _, index = tensor.partition(":")
        placeholder = graph_def.node.add(name=name if index == "0" else f"{name}/output_{index}", op="Placeholder")
        placeholder.attr["dtype"].type = tf.float32.as_datatype_enum
        placeholder.attr["shape"].shape.CopyFrom(tf.TensorShape((None, *shapes[tensor])).as_proto())
        inputs[tensor] = f"{placeholder.name}:0"
    for node in nodes:
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        copy.device = ""
        copy.input[:] = [inputs.get(tensor, tensor).removesuffix(":0") for tensor in _data(node)]
    return graph_def, inputs


def _quantized(graph_def: GraphDef, layers: list, calibrated: Calibrated, inputs: Mapping[str, str]) -> GraphDef:
    """A part with quantisations before its convolutions; what it takes has the names of its placeholders."""
    sources = {layer.source: inputs.get(_tensor(layer.source), layer.source).removesuffix(":0") for layer in layers}
    renamed = [dataclasses.replace(layer, source=sources[layer.source]) for layer in layers]
    ranges = {sources[name]: calibrated.ranges[name] for name in sources if name in calibrated.ranges}
    return quantization.quantize(graph_def, renamed, ranges, calibrated.filters, grids=calibrated.grids)


def _behind_corrections(graph_def: GraphDef, layers: list, given: Mapping[str, str]) -> dict[str, str]:
    """What a part gives, where that is a convolution's own output: quantised, it comes from behind its corrections."""
    by_name, names = {layer.name: layer for layer in layers}, {node.name for node in graph_def.node}
    return {
        name: f"{quantization.output_of(by_name[_node(tensor)], names)}:0" if _node(tensor) in by_name else tensor
        for name, tensor in given.items()
    }


def _ended(graph_def: GraphDef, given: Mapping[str, str]) -> dict[str, str]:
    """Adds an identity for each output, in place: TF-TRT takes no node into an engine that is an output itself."""
    ended = {}
    for name, tensor in given.items():
        node = graph_def.node.add(name=f"given/{name}", op="Identity", input=[tensor.removesuffix(":0")])
        node.attr["T"].type = tf.float32.as_datatype_enum
        ended[name] = f"{node.name}:0"
    return ended


def _needed(graph_def: GraphDef, outputs) -> GraphDef:
    """What the outputs need."""
    return tf.compat.v1.graph_util.extract_sub_graph(graph_def, [_node(tensor) for tensor in outputs])
