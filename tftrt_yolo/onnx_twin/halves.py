"""A draft in FP16, strongly typed: TensorRT 10 takes types as they are written, and 11 knows nothing else.

    halve(drawn.draft, inputs={"images"}, outputs={"boxes", "scores"})

Inputs and outputs stay float32, with casts behind and before them, and so does all that no convolution or product comes
behind: the decode, whose pixels FP16 would round to halves beyond 512.
"""

import dataclasses
from collections.abc import Collection

import numpy as np

from tftrt_yolo.ground.arguments import setting
from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.onnx_twin.drafting.draft import Draft, Node

_HEAVY = frozenset({"Conv", "ConvTranspose", "MatMul"})
_FLOAT, _HALF = 1, 10  # onnx.TensorProto's numbers of the types
_ALWAYS_FLOAT = {"Resize": (1, 2)}  # inputs whose type no operator leaves open: the scales


def halve(draft: Draft, inputs: Collection[str], outputs: Collection[str]) -> None:
    """Puts a draft into FP16, in place.

    Args:
      draft: One in float32; integers in it stay.
      inputs: Names of its inputs.
      outputs: Names of its outputs.

    Raises:
      OnnxError: If a constant is beyond FP16's range.
    """
    kept = _decode(draft)
    change = _Change(draft, set(inputs))
    for node in draft.nodes:
        change.add(node, is_kept=not kept.isdisjoint(node.outputs), outputs=outputs)
    draft.nodes = change.nodes


def _decode(draft: Draft) -> set[str]:
    """Names of the tensors that no convolution or product comes behind, nor is one theirs."""
    leads_on: set[str] = set()
    found: set[str] = set()
    for node in reversed(draft.nodes):
        if node.op in _HEAVY or leads_on.intersection(node.outputs):
            leads_on.update(node.inputs)
        else:
            found.update(node.outputs)
    return found


class _Change:
    """A draft on its way into FP16.

    Attributes:
      nodes: Those so far.
    """

    def __init__(self, draft: Draft, inputs: set[str]):
        self.nodes: list[Node] = []
        self._draft, self._floats, self._halves = draft, set(inputs), set()
        self._cast: dict[tuple[str, int], str] = {}

    def add(self, node: Node, *, is_kept: bool, outputs: Collection[str]) -> None:
        """Adds a node, in FP16 unless it is kept."""
        wanted, fixed = _FLOAT if is_kept else _HALF, _ALWAYS_FLOAT.get(node.op, ())
        read = [name if place in fixed else self._as(name, wanted, node) for place, name in enumerate(node.inputs)]
        node = dataclasses.replace(node, inputs=tuple(read))
        if node.op == "QuantizeLinear":  # it gives integers
            self.nodes.append(node)
            return
        given = self._floats if is_kept else self._halves
        given.update(node.outputs)
        ends = [] if is_kept else [name for name in node.outputs if name in outputs]
        for name in ends:  # an output stays float32 under its name
            half = self._draft.reserve(f"{name}/half")
            node = dataclasses.replace(node, outputs=tuple(half if one == name else one for one in node.outputs))
            self._halves.add(half)
        self.nodes.append(node)
        for name in ends:
            self._halves.discard(name)
            self._floats.add(name)
            self.nodes.append(Node("Cast", f"{name}/cast", (node.outputs[0],), (name,), {"to": _FLOAT}))

    def _as(self, name: str, kind: int, node: Node) -> str:
        """Name of a tensor in a type; one that is neither FP32 nor FP16 keeps its own."""
        values = self._draft.constants.get(name)
        is_other = (values is not None and values.dtype == np.float32 and kind == _HALF) or (
            name in (self._halves if kind == _FLOAT else self._floats)
        )
        if not is_other:
            return name
        if (name, kind) not in self._cast:
            if values is not None:
                self._cast[name, kind] = self._draft.constant(_half(node, values), f"{name}/half")
            else:
                label = self._draft.reserve(f"{name}/{'float' if kind == _FLOAT else 'half'}")
                self.nodes.append(Node("Cast", label, (name,), (label,), {"to": kind}))
                self._cast[name, kind] = label
        return self._cast[name, kind]


def _half(node: Node, values: np.ndarray) -> np.ndarray:
    """A node's constant in FP16."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    is_lost = np.isinf(half) & ~np.isinf(values)
    if node.op == "DequantizeLinear":  # a step of 0 would make everything 0
        is_lost |= (half == 0) & (values != 0)
    if is_lost.any():
        raise OnnxError(
            f"{quoted(node.name)} has numbers such as {values[is_lost].flat[0]:.3g}, which FP16 does not hold: it "
            f"reaches from 6e-08 to 65504. Write the model with {setting('precision_mode', 'FP32')}, or in INT8 with "
            f"{setting('float_type', 'FP32')}."
        )
    return half
