"""Tensors of TensorFlow's graph in a draft: their axes may stand in another order there, and no transpose be needed.

    drawing = Drawing(opset=19)
    drawing.placed(tensor, NCHW)            # the name under which it stands in that order; a Transpose if it did not

TensorFlow's convolutions take (batch, height, width, channels), ONNX's (batch, channels, height, width). A tensor is
left in the order in which it was made, and what reads it is told where each axis stands: sums are taken over another
place, slices cut another one. So axes change their places at the ends alone.
"""

import dataclasses
import math

import numpy as np

from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.ground.text import shown
from tftrt_yolo.onnx_twin.drafting.draft import Draft

NCHW = (0, 3, 1, 2)  # which of TensorFlow's axes stands at each place
REMEDY = (
    "Expected what `export` writes of a network of Ultralytics. Export the checkpoint again, or file an issue with its "
    "architecture."
)
_BATCH = (1 << 61) - 1  # stands for the batch in products of sizes: a prime that no size has


@dataclasses.dataclass(frozen=True)
class Steps:
    """What a quantised constant is made of.

    Attributes:
      integers: int8, of its shape.
      step: What one of them is worth.
    """

    integers: np.ndarray
    step: np.float32


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of TensorFlow's graph.

    Attributes:
      name: Its name in the draft; "" of a constant, which gets a name where it is read.
      dims: Its shape as TensorFlow has it; None for the batch.
      order: Which of TensorFlow's axes stands at each place in the draft.
      values: Of a constant its values, in TensorFlow's order.
      steps: Of a constant that is quantised what it is made of.
    """

    name: str
    dims: tuple[int | None, ...]
    order: tuple[int, ...]
    values: np.ndarray | None = None
    steps: Steps | None = None

    @property
    def rank(self) -> int:
        """Number of its axes."""
        return len(self.dims)

    def place(self, axis: int) -> int:
        """Where an axis of TensorFlow's stands."""
        return self.order.index(axis % self.rank)


class Drawing:
    """A draft that grows, and where its tensors' axes stand.

    Attributes:
      draft: The draft.
      opset: Version of ONNX's operators that it is for.
    """

    def __init__(self, opset: int):
        """Empty."""
        self.draft, self.opset = Draft(), opset
        self._moved: dict[tuple[str, tuple[int, ...]], str] = {}

    def placed(self, tensor: Tensor, order: tuple[int, ...], label: str = "constant") -> str:
        """Name of a tensor whose axes stand in an order.

        Args:
          tensor: The tensor.
          order: Which of its axes is to stand at each place.
          label: What a constant is called.
        """
        if tensor.values is not None:
            return self.draft.constant(tensor.values.transpose(order), label)
        if tensor.order == order:
            return tensor.name
        key = tensor.name, order
        if key not in self._moved:
            self._moved[key] = self._move(tensor, order)
        return self._moved[key]

    def _move(self, tensor: Tensor, order: tuple[int, ...]) -> str:
        """Adds what brings a tensor's axes into an order; where only axes of size 1 move, that is a new shape."""
        label = f"{tensor.name}/moved"
        before, after = ([axis for axis in axes if tensor.dims[axis] != 1] for axes in (tensor.order, order))
        if before != after:
            places = [tensor.order.index(axis) for axis in order]
            return self.draft.add("Transpose", (tensor.name,), label, perm=places)
        dims = [tensor.dims[axis] for axis in order]
        return self._shaped(tensor.name, [tensor.dims[axis] for axis in tensor.order], dims, label)

    def broadcast(self, tensor: Tensor, order: tuple[int, ...], label: str) -> str:
        """Name of a tensor as one of two that meet, of which the other's axes stand in an order.

        Args:
          tensor: The tensor; it may have fewer axes, which are the last ones.
          order: Of the other.
          label: What a constant is called.
        """
        missing = len(order) - tensor.rank
        if tensor.values is not None:
            values = tensor.values.reshape((1,) * missing + tensor.values.shape)
            return self.draft.constant(values.transpose(order), label)
        if missing:
            tensor = self.reshaped(tensor, (1,) * missing + tensor.dims, label)
        return self.placed(tensor, order)

    def reshaped(self, tensor: Tensor, dims: tuple[int | None, ...], label: str) -> Tensor:
        """A tensor in another shape.

        Args:
          tensor: The tensor.
          dims: The shape, of as many elements, in TensorFlow's order of the axes.
          label: Name of the node.

        Returns:
          The same elements in the same order, as TensorFlow counts them. Where the axes that are joined do not stand
          beside each other, they are brought into TensorFlow's order before.
        """
        if dims == tensor.dims:
            return tensor
        order = _reshaped_order(tensor, dims)
        if order is None:
            plain = tuple(range(tensor.rank))
            tensor = Tensor(self.placed(tensor, plain), tensor.dims, plain)
            order = tuple(range(len(dims)))
        before, after = [tensor.dims[axis] for axis in tensor.order], [dims[axis] for axis in order]
        return Tensor(self._shaped(tensor.name, before, after, label), dims, order)

    def _shaped(self, name: str, before: list[int | None], after: list[int | None], label: str) -> str:
        """Adds a Reshape, if the shape is another."""
        if before == after:
            return name
        places = [sizes.index(None) if None in sizes else -1 for sizes in (before, after)]
        # 0 stands for what is at this place before; an empty batch leaves nothing to reckon by, as -1 does.
        batch = 0 if places[0] == places[1] else -1
        shape = np.array([batch if size is None else size for size in after], np.int64)
        return self.draft.add("Reshape", (name, self.draft.constant(shape, f"{label}/shape")), label)


def dims_of(tensor) -> tuple[int | None, ...]:
    """Shape of a tensor of TensorFlow's; None for the batch.

    Raises:
      OnnxError: If another axis than the first is not known.
    """
    rank = tensor.shape.rank
    dims = None if rank is None else tuple(tensor.shape.as_list())
    if dims is None or None in dims[1:]:
        raise OnnxError(
            f"{shown(tensor.op.name, 100)} ({shown(tensor.op.type, 40)}) gives a tensor of the shape {tensor.shape}; "
            f"expected one of which all but the batch is known. {REMEDY}"
        )
    return dims


def common_order(tensors: list[Tensor], rank: int) -> tuple[int, ...]:
    """The order of the axes in which tensors meet: that of the largest which has them all, for others move sooner."""
    whole = [one for one in tensors if one.values is None and one.rank == rank]
    sizes = [_count(one.dims, list(range(rank))) for one in whole]
    return whole[sizes.index(max(sizes))].order if whole else tuple(range(rank))


def constant(values: np.ndarray) -> Tensor:
    """A constant."""
    return Tensor("", values.shape, tuple(range(values.ndim)), values)


def _reshaped_order(tensor: Tensor, dims: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """Where the axes of a reshaped tensor stand; None if those that are joined stand apart."""
    groups = _groups(tensor.dims, dims)
    standing = [axis for axis in tensor.order if tensor.dims[axis] != 1]
    order: list[int] = []
    while standing:
        joined, made = groups.get(standing[0], ([], []))
        if not joined or standing[: len(joined)] != joined:
            return None
        order += made
        del standing[: len(joined)]
    for axis in range(len(dims)):  # those of size 1 stand behind the one before them
        if axis not in order:
            order.insert(order.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(order)


def _groups(before: tuple[int | None, ...], after: tuple[int | None, ...]) -> dict[int, tuple[list[int], list[int]]]:
    """First axis of each group to the axes that are joined, and those that they become; without those of size 1."""
    left, right = ([axis for axis, size in enumerate(dims) if size != 1] for dims in (before, after))
    groups = {}
    while left and right:
        joined, made = [left.pop(0)], [right.pop(0)]
        while (one := _count(before, joined)) != (other := _count(after, made)):
            grows, axes = (left, joined) if one < other else (right, made)
            if not grows:
                raise OnnxError(f"The shape {before} cannot become {after}. {REMEDY}")
            axes.append(grows.pop(0))
        groups[joined[0]] = joined, made
    if left or right:
        raise OnnxError(f"The shape {before} cannot become {after}. {REMEDY}")
    return groups


def _count(dims: tuple[int | None, ...], axes: list[int]) -> int:
    """Elements of some axes."""
    return math.prod(_BATCH if dims[axis] is None else dims[axis] for axis in axes)
