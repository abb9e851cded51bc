"""What a recorded network computes for one image, counted from shapes.

    counted = operations.of_layer(network, layer)
    counted.products                      # 2 x multiply-accumulates of a convolution or a matrix product
    counted.other                         # operations of everything else

A batch that is decided later counts as one image. A bias that is an elementwise layer of its own counts there, one
inside a convolution does not count.
"""

import dataclasses
import math

import numpy as np

from tftrt_yolo.preflighting.recorded_network import CONVOLUTIONS, DTYPES, NO_TENSOR, Layer, RecordedNetwork

CONVENTION = (
    "One image; a multiply-accumulate of a convolution, a fully connected layer or a matrix product counts as two. "
    "Every other layer counts one operation an output element, a pooling its window and a reduction its input."
)
HEAVY = (*CONVOLUTIONS, "FULLY_CONNECTED", "MATRIX_MULTIPLY")
_MOVES = {
    "CONCATENATION",
    "CONSTANT",
    "GATHER",
    "IDENTITY",
    "PADDING",
    "RESIZE",
    "SELECT",
    "SHAPE",
    "SHUFFLE",
    "SLICE",
    "TOPK",
}  # kinds that move or compare values and do not calculate


@dataclasses.dataclass(frozen=True)
class Operations:
    """Operations of one layer, for one image.

    Attributes:
      products: 2 x multiply-accumulates; 0 but for HEAVY layers.
      other: Of all other layers.
    """

    products: int
    other: int


def of_layer(network: RecordedNetwork, layer: Layer) -> Operations:
    """Counts the operations of a layer.

    Args:
      network: The network that holds it.
      layer: One of its layers.

    Returns:
      Its operations for one image.
    """
    if layer.kind in HEAVY:
        return Operations(2 * _multiply_accumulates(network, layer), 0)
    if layer.kind in _MOVES or not layer.outputs:
        return Operations(0, 0)
    counted = elements(network, layer.outputs[0])
    if layer.kind == "POOLING":
        counted *= math.prod(int(side) for side in layer.attributes.get("window", ()))
    elif layer.kind == "REDUCE" and layer.inputs:
        counted = elements(network, layer.inputs[0])
    return Operations(0, counted)


def elements(network: RecordedNetwork, tensor: int) -> int:
    """Elements of a tensor for one image."""
    return math.prod(1 if size < 0 else size for size in network.tensors[tensor].dims)


def tensor_bytes(network: RecordedNetwork, tensor: int) -> int:
    """Bytes of a tensor for one image, in the type that it was recorded with."""
    return elements(network, tensor) * np.dtype(DTYPES[network.tensors[tensor].type]).itemsize


def kernel_shape(network: RecordedNetwork, layer: Layer) -> tuple[int, ...]:
    """Filters of a convolution as TensorRT keeps them.

    Args:
      network: The network that holds it.
      layer: A convolution, or a deconvolution, whose first two axes are swapped.

    Returns:
      (output maps, input channels of a group, *sides).
    """
    channels, maps = network.tensors[layer.inputs[0]].dims[1], int(layer.attributes["maps"])
    groups = int(layer.attributes.get("groups", 1))
    sides = tuple(int(side) for side in layer.attributes["kernel"])
    if layer.kind == "DECONVOLUTION":
        return channels, maps // groups, *sides
    return maps, channels // groups, *sides


def _multiply_accumulates(network: RecordedNetwork, layer: Layer) -> int:
    """Of a layer of HEAVY."""
    if layer.kind == "CONVOLUTION":
        return elements(network, layer.outputs[0]) * math.prod(kernel_shape(network, layer)[1:])
    if layer.kind == "DECONVOLUTION":
        return elements(network, layer.inputs[0]) * math.prod(kernel_shape(network, layer)[1:])
    if layer.kind == "FULLY_CONNECTED":  # over the three last axes
        return elements(network, layer.outputs[0]) * math.prod(network.tensors[layer.inputs[0]].dims[-3:])
    inner = network.tensors[layer.inputs[0]].dims[-2 if layer.attributes.get("first") == "TRANSPOSE" else -1]
    return elements(network, layer.outputs[0]) * max(inner, 1)


def computed_in(network: RecordedNetwork, producers: dict[int, Layer], layer: Layer) -> str:
    """The type in which a layer may compute: INT8 if what it takes was just dequantised.

    Args:
      network: The network that holds it.
      producers: As of the network.
      layer: One of its layers.

    Returns:
      TensorRT's DataType; the builder may choose a higher precision.
    """
    source = producers.get(layer.inputs[0]) if layer.inputs else None
    while source is not None and source.kind in ("SHUFFLE", "IDENTITY"):
        source = producers.get(source.inputs[0])
    if source is not None and source.kind == "DEQUANTIZE":
        return network.tensors[source.inputs[0]].type
    return layer.precision or network.tensors[layer.outputs[0]].type


def origins(network: RecordedNetwork) -> tuple[str, ...]:
    """Which tensors depend on the network's inputs.

    Args:
      network: A recorded network.

    Returns:
      For each tensor "data", "shape" (it depends on an input's shape alone) or "constant".
    """
    found = ["constant"] * len(network.tensors)
    for index in network.inputs:
        found[index] = "data"
    for layer in network.layers:
        given = {found[index] for index in layer.inputs if index != NO_TENSOR}
        origin = next((origin for origin in ("data", "shape") if origin in given), "constant")
        for index in layer.outputs:
            found[index] = "shape" if layer.kind == "SHAPE" and origin == "data" else origin
    return tuple(found)
