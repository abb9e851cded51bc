"""A network whose convolutions can be quantised one by one, at run time.

    twinned = add_twins(calibrated)
    sizes_hw, powers = measure_noise(twinned, batches)
    switched = SwitchedNetwork(twinned)
    switched(frames, [])                    # unquantised: output name to values
    switched(frames, [12])                  # layer 12 alone: what quantise(graph_def, [layers[12]], ...) computes
    switched(frames, range(71))             # what `convert` writes

Each convolution gets a twin, which `quantization.quantize` makes of it, and a switch that sends its input to the one or
to the other; the one that gets nothing is not computed. A graph a layer would do as well. But TensorFlow takes 0.8 s to
import and optimise one of yolov8n, and 0.5 s to run 8 images through it on two cores; and each would hold the weights.
With switches it is one graph of twice the weights, a run takes as long as before, and the numbers are the same.
"""

import dataclasses
from collections.abc import Collection, Iterable

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.converter.int8.calibrated import Calibrated
from tftrt_yolo.converter.int8.quantization import INPUT_INDEX, Layer
from tftrt_yolo.saved_model import freeze

_FLOAT = tf.float32.as_datatype_enum


@dataclasses.dataclass(frozen=True)
class _Twin:
    """A layer's quantised twin; both read the same tensor.

    Attributes:
      layer: The layer.
      reader: Name of the node that reads what the layer reads.
      quantizer: Name of the node that quantises its input; the same, or what comes behind the shift.
      output: Name of the node that gives what the convolution gives.
    """

    layer: Layer
    reader: str
    quantizer: str
    output: str


@dataclasses.dataclass(frozen=True)
class Twinned:
    """A network with a quantised twin beside each convolution.

    Attributes:
      graph_def: Frozen; nothing reads the twins yet.
      frames_name: Name of the tensor that the frames go into.
      outputs: Name of each output of `network` to its tensor in the graph.
      twins: In the order of the graph.
    """

    graph_def: GraphDef
    frames_name: str
    outputs: dict[str, str]
    twins: list[_Twin]


def add_twins(calibrated: Calibrated) -> Twinned:
    """Gives each convolution its twin.

    Args:
      calibrated: A network that is ready to be quantised.

    Returns:
      A new graph, without the filters from before the channels were equalised, which nothing reads.
    """
    needed = [name.partition(":")[0] for name in calibrated.outputs.values()]
    graph_def = tf.compat.v1.graph_util.extract_sub_graph(calibrated.graph_def, needed)
    twins = [_add_twin(graph_def, layer, calibrated) for layer in calibrated.layers]
    return Twinned(graph_def, calibrated.frames_name, calibrated.outputs, twins)


def measure_noise(twinned: Twinned, batches: Iterable[tf.Tensor]) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Sums up signal and quantisation noise of each layer, whose input is that of the unquantised network.

    Args:
      twinned: The network.
      batches: Frames (batch, S, S, 3) float32 in [0, 1].

    Returns:
      Height and width of what each layer gives, in cells; and (layers, 4) float64, sums of squares: the input, what
      quantisation adds to it, the output, and what quantising input and filter adds to that.
    """
    network = _importer(twinned.graph_def, twinned.frames_name, lambda graph: _powers(graph, twinned.twins))
    outputs = freeze.tensors(network.graph, [twin.layer.name for twin in twinned.twins])
    powers = np.zeros((len(twinned.twins), 4))
    for frames in batches:
        powers += np.stack([sums.numpy() for sums in network(frames)])
    return [tuple(output.shape[1:3]) for output in outputs], powers


class SwitchedNetwork:
    """Signature `network` of an export, with a switch a convolution."""

    def __init__(self, twinned: Twinned):
        """Puts the switches in.

        Args:
          twinned: The network.
        """
        self._outputs, self._num_layers = twinned.outputs, len(twinned.twins)
        self._network = _importer(
            _add_switches(twinned.graph_def, twinned.twins),
            twinned.frames_name,
            lambda graph: freeze.tensors(graph, twinned.outputs.values()),
            [f"{twin.layer.name}/switch" for twin in twinned.twins],
        )

    def __call__(self, frames: tf.Tensor, quantized: Collection[int]) -> dict[str, np.ndarray]:
        """Runs the network.

        Args:
          frames: (batch, S, S, 3) float32 in [0, 1].
          quantized: Indices of the layers that are quantised, in the order of the graph.

        Returns:
          The dense outputs, by name.
        """
        positions = [tf.constant(index in quantized) for index in range(self._num_layers)]
        values = self._network(frames, *positions)
        return {name: value.numpy() for name, value in zip(self._outputs, values, strict=True)}


def _add_twin(graph_def: GraphDef, layer: Layer, calibrated: Calibrated) -> _Twin:
    """Adds the quantised twin of a layer, in place; nothing reads it yet."""
    alone = GraphDef()
    alone.node.extend(node for node in graph_def.node if node.name == layer.name)
    alone = quantization.quantize(alone, [layer], calibrated.ranges, calibrated.filters)
    names = {node.name: f"{layer.name}/twin/{node.name}" for node in alone.node}
    for node in alone.node:
        node.name = names[node.name]
        for index, reference in enumerate(node.input):
            node.input[index] = names.get(reference, reference)
        graph_def.node.append(node)
    [reader] = [node.name for node in alone.node if layer.source in node.input]
    [convolution] = [node for node in alone.node if node.name == names[layer.name]]
    quantizer = convolution.input[INPUT_INDEX[convolution.op]]
    return _Twin(layer, reader, quantizer, names[quantization.output_of(layer, names)])


def _add_switches(with_twins: GraphDef, twins: list[_Twin]) -> GraphDef:
    """A graph in which each layer's input goes to the layer or to its twin, and the output comes from that one.

    Args:
      with_twins: A graph with the twins.
      twins: The twins.

    Returns:
      A new graph with a boolean placeholder "<layer>/switch" a layer: true for the twin.
    """
    switched, merged = GraphDef(), {}
    switched.CopyFrom(with_twins)
    nodes = {node.name: node for node in switched.node}
    for twin in twins:
        for name in (twin.layer.name, f"{twin.layer.name}:0"):
            merged[name] = f"{twin.layer.name}/merged"
    for node in switched.node:
        for index, reference in enumerate(node.input):
            node.input[index] = merged.get(reference, reference)
    for twin in twins:
        layer, switch = twin.layer, f"{twin.layer.name}/switch"
        placeholder = switched.node.add(name=switch, op="Placeholder")
        placeholder.attr["dtype"].type = tf.bool.as_datatype_enum
        placeholder.attr["shape"].shape.SetInParent()  # a scalar
        node = nodes[layer.name]
        source = node.input[INPUT_INDEX[node.op]]  # which may have become the output of another switched layer
        branch = switched.node.add(name=f"{layer.name}/branch", op="Switch", input=[source, switch])
        branch.attr["T"].type = _FLOAT
        node.input[INPUT_INDEX[node.op]] = branch.name
        nodes[twin.reader].input[0] = f"{branch.name}:1"
        merge = switched.node.add(name=f"{layer.name}/merged", op="Merge", input=[layer.name, twin.output])
        merge.attr["T"].type, merge.attr["N"].i = _FLOAT, 2
    return switched


def _importer(graph_def: GraphDef, frames_name: str, outputs, switches: Collection[str] = ()):
    """A function of frames, and of switches, that gives what `outputs` finds in the graph."""

    def imported(frames, *positions):
        given = {frames_name: frames} | {
            f"{name}:0": position for name, position in zip(switches, positions, strict=True)
        }
        tf.graph_util.import_graph_def(graph_def, given, name="")
        return outputs(tf.compat.v1.get_default_graph())

    [node] = [node for node in graph_def.node if node.name == frames_name.partition(":")[0]]
    shape = tf.TensorShape(node.attr["shape"].shape)
    signature = [tf.TensorSpec(shape, tf.float32), *[tf.TensorSpec((), tf.bool)] * len(switches)]
    return tf.compat.v1.wrap_function(imported, signature)


def _powers(graph: tf.Graph, twins: list[_Twin]) -> list[tf.Tensor]:
    """Sums of squares of each layer, as `measure_noise`."""

    def power(tensor: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.square(tensor))

    rows = []
    for twin in twins:
        names = (twin.layer.source, twin.quantizer, twin.layer.name, twin.output)
        source, rounded, plain, quantized = freeze.tensors(graph, names)
        noise = rounded - rounded.op.inputs[0]
        rows.append(tf.stack([power(source), power(noise), power(plain), power(quantized - plain)]))
    return rows
