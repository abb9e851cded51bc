"""A recorded network, said again to a real TensorRT, with every tensor compared.

replayed = replay(network, trt, builder, words)
replayed.differences                 # none: TensorRT infers the shapes and types that TF-TRT was told
"""

import collections
import dataclasses
from types import ModuleType

from tftrt_yolo.ground.text import quoted
from tftrt_yolo.preflighting.real_builder import layers
from tftrt_yolo.preflighting.real_builder.words import Words
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR, RecordedNetwork, Tensor

REMEDY = (
    "TensorRT 8.6.1 may refuse it too. If the SavedModel was changed after its export, export it again; else leave the "
    "layer's op to TensorFlow (TF_TRT_OP_DENYLIST in the environment), or file an issue with network.json."
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """A tensor that TensorRT sees in another way.

    Attributes:
      layer: Kind and name of the layer that gives it.
      tensor: Its name.
      recorded: Type and shape as recorded, "FLOAT (-1, 64, 80, 80)"; -1 is what the batch decides.
      found: The same as TensorRT has it.
    """

    layer: str
    tensor: str
    recorded: str
    found: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.tensor} of {self.layer}: recorded {self.recorded}, found {self.found}"


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A network in TensorRT.

    Attributes:
      definition: TensorRT's INetworkDefinition.
      weights: What it points into; must live until the engine is built.
      tensor_types: Type to how many of the compared tensors have it in TensorRT.
      differences: What was different.
    """

    definition: object
    weights: list
    tensor_types: dict[str, int]
    differences: tuple[Difference, ...]


def replay(
    network: RecordedNetwork, trt: ModuleType, builder: object, words: Words, *, remedy: str = REMEDY
) -> Replayed:
    """Rebuilds a network, strongly typed: TensorRT takes the types as they were recorded.

    Args:
      network: The recorded network.
      trt: The TensorRT module.
      builder: Its Builder, made with the logger of `words`.
      words: What it says.
      remedy: What to do where it refuses.

    Returns:
      The definition, and what was compared: every tensor.

    Raises:
      PreflightError: If TensorRT refuses a layer, an input or an output: its own words, and what the layer takes.
    """
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    to = layers.Target(trt, builder.create_network(strongly_typed))
    tensors, types, differences = {NO_TENSOR: None}, collections.Counter(), []
    for index in network.inputs:
        given = network.tensors[index]
        with layers.as_recorded(f"Input {quoted(given.name)}"):
            tensors[index] = to.definition.add_input(given.name, getattr(trt.DataType, given.type), given.dims)
        words.check(f"the input {quoted(given.name)}, {_described(given)}", remedy, fails=tensors[index] is None)
        types[given.type] += 1
    for position, layer in enumerate(network.layers, start=1):
        added = _added(network, position, tensors, to, words, remedy)
        for index, tensor in zip(layer.outputs, added, strict=True):
            recorded, found = network.tensors[index], Tensor("", tensor.dtype.name, tuple(tensor.shape))
            if _described(found) != _described(recorded):
                named = f"{layer.kind} {quoted(layer.name)}"
                differences.append(Difference(named, quoted(recorded.name), _described(recorded), _described(found)))
            tensors[index] = tensor
            types[found.type] += 1
    for index in network.outputs:
        name = network.tensors[index].name
        with layers.as_recorded(f"Output {quoted(name)}"):
            tensors[index].name = name
            to.definition.mark_output(tensors[index])
        words.check(f"the output {quoted(name)}", remedy)
    return Replayed(to.definition, to.weights, dict(types), tuple(differences))


def _added(
    network: RecordedNetwork, position: int, tensors: dict, to: layers.Target, words: Words, remedy: str
) -> list:
    """Adds the layer at a position, from 1, and has TensorRT infer the shapes of its outputs, which it gives.

    Raises:
      PreflightError: If TensorRT refuses it.
    """
    layer = network.layers[position - 1]
    types = tuple(network.tensors[index].type for index in layer.outputs)
    outputs = layers.add(layer, [tensors[index] for index in layer.inputs], types, to)
    fails = len(outputs) != len(layer.outputs)
    try:
        for output in outputs:
            len(output.shape)
    except (RuntimeError, ValueError):  # "Could not get tensor shape.": the logger has the reason
        fails = True
    given = ", ".join("none" if i == NO_TENSOR else _described(network.tensors[i]) for i in layer.inputs) or "nothing"
    what = f"layer {position} of {len(network.layers)}, {layer.kind} {quoted(layer.name)} of {given}"
    words.check(what, remedy, fails=fails)
    return outputs


def _described(tensor: Tensor) -> str:
    """Type and shape."""
    return f"{tensor.type} {tensor.dims}"
