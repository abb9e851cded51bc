"""What stands around a convolution and ONNX's can take in: pads before it, factors of its channels, sums behind it.

    fold(drawn.draft, keep={"boxes", "scores"})

Nothing else is simplified: what TensorRT merges by itself, it merges.
"""

import dataclasses
from collections.abc import Collection

import numpy as np

from tftrt_yolo.onnx_twin.drafting.draft import Draft, Node

_SMALLEST_STEP = float(np.finfo(np.float16).tiny)  # a smaller one would lose digits in FP16


def fold(draft: Draft, keep: Collection[str]) -> None:
    """Folds into convolutions what can be, in place.

    Args:
      draft: The draft.
      keep: Names of tensors that must stay, for they are outputs.

    A pad of zeros before convolutions alone becomes their own. A quantised filter's factors, which TF-TRT needs behind
    the convolution because it knows one step a tensor, become a step for each channel; and what is added to each
    channel becomes the bias. Numbers stay the same but for the rounding of float32.
    """
    _fold_pads(draft)
    nodes: list[Node | None] = list(draft.nodes)
    readers = draft.readers()
    for place, node in enumerate(nodes):
        if node is None or node.op != "Conv":
            continue
        while True:
            [result] = node.outputs
            behind = readers.get(result, [])
            if len(behind) != 1 or result in keep:
                break
            taken = _taken_in(draft, node, nodes[behind[0]])
            if taken is None:
                break
            node = nodes[place] = dataclasses.replace(taken, outputs=nodes[behind[0]].outputs)
            nodes[behind[0]] = None
    draft.nodes = [node for node in nodes if node is not None]


def _fold_pads(draft: Draft) -> None:
    """Gives zeros around a tensor to the convolutions that read it."""
    readers, nodes = draft.readers(), list(draft.nodes)
    for pad in draft.nodes:
        behind = readers.get(pad.outputs[0], [])
        if pad.op != "Pad" or not behind or any(nodes[place].op != "Conv" for place in behind):
            continue
        pads, value = (draft.constants[name] for name in pad.inputs[1:])
        first, last = pads.reshape(2, -1)
        if value != 0 or first.size != 4 or (pads < 0).any() or [*first[:2], *last[:2]] != [0, 0, 0, 0]:
            continue
        for place in behind:
            node = nodes[place]
            around = [int(one) for one in np.add(node.attributes["pads"], [*first[2:], *last[2:]])]
            inputs = (pad.inputs[0], *node.inputs[1:])
            nodes[place] = dataclasses.replace(node, inputs=inputs, attributes={**node.attributes, "pads": around})
    draft.nodes = [node for node in nodes if node.op != "Pad" or set(node.outputs) & _read(nodes)]


def _read(nodes: list[Node]) -> set[str]:
    """Names of the tensors that some nodes read."""
    return {name for node in nodes for name in node.inputs}


def _taken_in(draft: Draft, convolution: Node, behind: Node) -> Node | None:
    """The convolution with what stands behind it taken in; None if that cannot be."""
    if behind.op not in ("Mul", "Add"):
        return None
    others = [name for name in behind.inputs if name != convolution.outputs[0]]
    numbers = draft.constants.get(others[0]) if len(others) == 1 else None
    filters = convolution.inputs[1]
    if numbers is None or numbers.ndim != 4 or numbers.size != numbers.shape[1]:
        return None
    if behind.op == "Add":
        channels = _channels(draft, filters)
        bias = np.broadcast_to(numbers.ravel(), (channels,))
        if len(convolution.inputs) > 2:
            bias = bias + draft.constants[convolution.inputs[2]]
        name = draft.constant(bias.astype(np.float32), f"{convolution.name}/bias")
        return dataclasses.replace(convolution, inputs=(*convolution.inputs[:2], name))
    source = next((node for node in draft.nodes if filters in node.outputs), None)
    if source is None or len(convolution.inputs) > 2:
        return None
    steps = draft.constants[source.inputs[1]] * numbers.ravel()
    if steps.min() < _SMALLEST_STEP:
        return None
    draft.constants[source.inputs[1]] = steps
    return convolution


def _channels(draft: Draft, filters: str) -> int:
    """How many channels a convolution gives."""
    if filters in draft.constants:
        return draft.constants[filters].shape[0]
    source = next(node for node in draft.nodes if filters in node.outputs)
    return draft.constants[source.inputs[0]].shape[0]
