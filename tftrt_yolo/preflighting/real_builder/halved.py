"""A network in FP16, as TensorRT 8.6 would be free to make one with kFP16, for a builder that has no such flag.

    halved(network)       # FLOAT tensors and weights are HALF, with casts behind its inputs and before its outputs

TensorRT 8.6 chooses layer by layer what is quicker; here all of it is FP16. Strongly typed builders take no flags.
"""

import dataclasses

import numpy as np

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR, Layer, RecordedNetwork, Tensor

_QUANTISATIONS = ("QUANTIZE", "DEQUANTIZE")


def halved(network: RecordedNetwork) -> RecordedNetwork:
    """The same network in FP16.

    Args:
      network: One without quantisations.

    Returns:
      A network with the same inputs and outputs. IDENTITY layers between tensors of different type are casts.

    Raises:
      PreflightError: If it has quantisations, or a weight is beyond FP16's range.
    """
    if any(layer.kind in _QUANTISATIONS for layer in network.layers):
        raise PreflightError(
            "The network has quantisations, whose types are INT8's own. Build it as it was recorded, not in FP16."
        )
    tensors = [dataclasses.replace(tensor, type=_half(tensor.type)) for tensor in network.tensors]
    inside = {}  # an input's number to that of its cast
    casts_in, casts_out, outputs = [], [], []
    for index in network.inputs:
        if tensors[index].type == "HALF" and network.tensors[index].type == "FLOAT":
            inside[index] = len(tensors)
            tensors.append(dataclasses.replace(tensors[index], name=f"{tensors[index].name} in FP16"))
            tensors[index] = network.tensors[index]
            casts_in.append(_cast(tensors, index, inside[index]))
    for index in network.outputs:
        source = inside.get(index, index)
        if network.tensors[index].type == "FLOAT":
            tensors.append(network.tensors[index])
            if source == index:
                tensors[index] = dataclasses.replace(tensors[index], name=f"{tensors[index].name} in FP16")
            casts_out.append(_cast(tensors, source, len(tensors) - 1))
            source = len(tensors) - 1
        outputs.append(source)
    layers = [
        dataclasses.replace(
            layer,
            inputs=tuple(index if index == NO_TENSOR else inside.get(index, index) for index in layer.inputs),
            weights={role: _half_weights(layer, values) for role, values in layer.weights.items()},
        )
        for layer in network.layers
    ]
    return dataclasses.replace(
        network, tensors=tuple(tensors), layers=(*casts_in, *layers, *casts_out), outputs=tuple(outputs)
    )


def _half(kind: str) -> str:
    """FP16 for FP32; other types stay."""
    return "HALF" if kind == "FLOAT" else kind


def _cast(tensors: list[Tensor], source: int, result: int) -> Layer:
    """A layer that changes a tensor's type."""
    name = f"{tensors[source].name} to {tensors[result].type}"
    return Layer("IDENTITY", name, (source,), (result,), None, {}, {})


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
