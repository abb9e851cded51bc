"""Layers and networks made by hand."""

import dataclasses

import numpy as np

from tftrt_yolo.preflighting.recorded_network import Layer, RecordedNetwork, Tensor


def layer(kind, *, name=None, inputs=(), outputs=(), weights=None, **attributes):
    """A layer as the recording has it; its tensors' numbers count in networks only."""
    weights = {role: np.ascontiguousarray(values).reshape(-1) for role, values in (weights or {}).items()}
    return Layer(kind, name or f"a/{kind.lower()}:{kind}", tuple(inputs), tuple(outputs), None, attributes, weights)


def network(tensors, layers, *, inputs, outputs):
    """A network; tensors are name, type and dims."""
    return RecordedNetwork(
        engine="TRTEngineOp_000_000",
        name="network",
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        tensors=tuple(Tensor(*row) for row in tensors),
        layers=tuple(layers),
        builder_flags=0,
        creation_flags=1,
        workspace_bytes=0,
        has_calibrator=False,
        profiles=(),
    )


def numbers(*shape, seed=0, dtype=np.float32):
    """Numbers around 0."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def changed(recorded, pick, **changes):
    """A network with another layer.

    Args:
      recorded: The network.
      pick: Takes a layer to whether it is the one; the first is taken.
      changes: Fields; attributes and weights are added to those that it has, and one that is None is left out.
    """
    layers, place = list(recorded.layers), next(i for i, one in enumerate(recorded.layers) if pick(one))
    for field in ("attributes", "weights"):
        values = {**getattr(layers[place], field), **changes.get(field, {})}
        changes[field] = {name: value for name, value in values.items() if value is not None}
    layers[place] = dataclasses.replace(layers[place], **changes)
    return dataclasses.replace(recorded, layers=tuple(layers))
