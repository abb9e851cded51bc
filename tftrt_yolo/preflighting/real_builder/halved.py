"""A network in FP16, as TensorRT 8.6 would be free to make one with kFP16, for a builder that has no such flag.

    halved(network)       # FLOAT tensors and weights are HALF, with casts behind its inputs and before its outputs

TensorRT 8.6 chooses layer by layer what is quicker; here all of it is FP16. Strongly typed builders take no flags.
"""

import dataclasses

import numpy as np

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.preflighting.operations import HEAVY
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR, Layer, RecordedNetwork, Tensor

_QUANTISATIONS = ("QUANTIZE", "DEQUANTIZE")


def halved(network: RecordedNetwork, *, keeps_decode: bool = False) -> RecordedNetwork:
    """The same network in FP16.

    Args:
      network: One without quantisations.
      keeps_decode: Whether all that no convolution or product comes behind stays FP32: the decode of boxes, whose
        pixels FP16 rounds to halves beyond 512.

    Returns:
      A network with the same inputs and outputs. IDENTITY layers between tensors of different type are casts.

    Raises:
      PreflightError: If it has quantisations, or a weight is beyond FP16's range.
    """
    if quantizes(network):
        raise PreflightError(
            "The network has quantisations, whose types are INT8's own. Build it as it was recorded, not in FP16."
        )
    change = _Change(network, _decode(network) if keeps_decode else frozenset())
    for index in network.inputs:
        change.take(index)
    for layer in network.layers:
        change.add(layer)
    outputs = tuple(change.give(index) for index in network.outputs)
    return dataclasses.replace(network, tensors=tuple(change.tensors), layers=tuple(change.layers), outputs=outputs)


def quantizes(network: RecordedNetwork) -> bool:
    """Whether a network has quantisations."""
    return any(layer.kind in _QUANTISATIONS for layer in network.layers)


def _decode(network: RecordedNetwork) -> frozenset[int]:
    """Numbers of the tensors that no convolution or product comes behind, nor is one theirs."""
    leads_on, found = set(), set()
    for layer in reversed(network.layers):
        if layer.kind in HEAVY or leads_on.intersection(layer.outputs):
            leads_on.update(layer.inputs)
        else:
            found.update(layer.outputs)
    return frozenset(found)


class _Change:
    """A network on its way into FP16.

    Attributes:
      tensors: Its tensors, those that casts give at the end.
      layers: Its layers so far.
    """

    def __init__(self, network: RecordedNetwork, kept: frozenset[int]):
        """Begins.

        Args:
          network: The network in FP32.
          kept: Numbers of the tensors that stay as they are.
        """
        self._before, self._kept = network.tensors, kept
        self.tensors = [
            tensor if index in kept else dataclasses.replace(tensor, type=_half(tensor.type))
            for index, tensor in enumerate(network.tensors)
        ]
        self.layers, self._as_half, self._as_float = [], {}, {}

    def take(self, index: int) -> None:
        """An input, which stays FP32, with a cast behind it."""
        if self._before[index].type == "FLOAT" != self.tensors[index].type:
            half = dataclasses.replace(self.tensors[index], name=f"{self.tensors[index].name} in FP16")
            self.tensors[index] = self._before[index]
            self._as_half[index] = self._cast(index, half)

    def add(self, layer: Layer) -> None:
        """A layer, in FP16 unless what it gives stays FP32."""
        is_kept = self._kept.issuperset(layer.outputs)
        seen = self._float if is_kept else lambda index: self._as_half.get(index, index)
        inputs = tuple(index if index == NO_TENSOR else seen(index) for index in layer.inputs)
        weights = layer.weights if is_kept else {role: _half_weights(layer, one) for role, one in layer.weights.items()}
        self.layers.append(dataclasses.replace(layer, inputs=inputs, weights=weights))

    def give(self, index: int) -> int:
        """An output, which stays FP32 under its name; its number."""
        source = self._as_half.get(index, index)
        if self.tensors[source].type == self._before[index].type:
            return source
        if source == index:
            name = f"{self.tensors[index].name} in FP16"
            self.tensors[index] = dataclasses.replace(self.tensors[index], name=name)
        return self._cast(source, self._before[index])

    def _float(self, index: int) -> int:
        """A tensor as a layer takes it that stays FP32."""
        if self.tensors[index].type == self._before[index].type:
            return index
        if index not in self._as_float:
            name = f"{self._before[index].name} in FP32"
            self._as_float[index] = self._cast(index, dataclasses.replace(self._before[index], name=name))
        return self._as_float[index]

    def _cast(self, source: int, result: Tensor) -> int:
        """Adds a cast; the number of what it gives."""
        self.tensors.append(result)
        name = f"{self.tensors[source].name} to {result.type}"
        self.layers.append(Layer("IDENTITY", name, (source,), (len(self.tensors) - 1,), None, {}, {}))
        return len(self.tensors) - 1


def _half(kind: str) -> str:
    """FP16 for FP32; other types stay."""
    return "HALF" if kind == "FLOAT" else kind


def _half_weights(layer: Layer, values: np.ndarray) -> np.ndarray:
    """Weights in FP16."""
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if np.isinf(half).any() and not np.isinf(values).any():
        raise PreflightError(
            f"Layer {quoted(layer.name)} has weights up to {np.abs(values).max():.3g}; FP16 ends at 65504. "
            f"Convert the model with {setting('precision_mode', 'FP32')}."
        )
    return half
