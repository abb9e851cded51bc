"""Element by element, sums and products. Where axes stand is their operands' matter: numbers are the same anywhere."""

import numpy as np

from tftrt_yolo.onnx_twin.drafting.convolutions import refused
from tftrt_yolo.onnx_twin.drafting.tensors import Drawing, Tensor, common_order, dims_of

UNARY = {
    "Abs": "Abs",
    "Cos": "Cos",
    "Elu": "Elu",
    "Erf": "Erf",
    "Exp": "Exp",
    "Log": "Log",
    "Neg": "Neg",
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Sin": "Sin",
    "Softplus": "Softplus",
    "Sqrt": "Sqrt",
    "Tanh": "Tanh",
}
BINARY = {
    "Add": "Add",
    "AddV2": "Add",
    "BiasAdd": "Add",
    "Maximum": "Max",
    "Minimum": "Min",
    "Mul": "Mul",
    "Pow": "Pow",
    "RealDiv": "Div",
    "Sub": "Sub",
}
REDUCTIONS = {"Max": "ReduceMax", "Mean": "ReduceMean", "Min": "ReduceMin", "Sum": "ReduceSum"}
_AXES_AS_INPUT = {"ReduceSum": 13, "ReduceMax": 18, "ReduceMean": 18, "ReduceMin": 18}  # since this opset


def unary(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """An operation on one tensor."""
    [given] = inputs
    return _same_places(given, to.draft.add(UNARY[op.type], (given.name,), op.name))


def leaky_relu(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A LeakyRelu."""
    [given] = inputs
    return _same_places(given, to.draft.add("LeakyRelu", (given.name,), op.name, alpha=float(op.get_attr("alpha"))))


def relu6(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A Relu6."""
    [given] = inputs
    ends = [to.draft.constant(np.array(end, np.float32), f"{op.name}/end") for end in (0, 6)]
    return _same_places(given, to.draft.add("Clip", (given.name, *ends), op.name))


def binary(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """An operation on two tensors, which TensorFlow and ONNX broadcast alike."""
    dims = dims_of(op.outputs[0])
    order = common_order(inputs, len(dims))
    operands = [to.broadcast(one, order, f"{op.name}/operand") for one in inputs]
    return Tensor(to.draft.add(BINARY[op.type], tuple(operands), op.name), dims, order)


def reduction(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A sum, mean or the like over some axes."""
    given, over = inputs
    axes = sorted({int(axis) % given.rank for axis in np.ravel(over.values)})
    keeps, kind = bool(op.get_attr("keep_dims")), REDUCTIONS[op.type]
    places = sorted(given.place(axis) for axis in axes)
    if to.opset >= _AXES_AS_INPUT[kind]:
        named = to.draft.constant(np.array(places, np.int64), f"{op.name}/axes")
        name = to.draft.add(kind, (given.name, named), op.name, keepdims=int(keeps))
    else:
        name = to.draft.add(kind, (given.name,), op.name, axes=places, keepdims=int(keeps))
    order = given.order
    if not keeps:
        left = [axis for axis in range(given.rank) if axis not in axes]
        order = tuple(left.index(axis) for axis in given.order if axis in left)
    return Tensor(name, dims_of(op.outputs[0]), order)


def softmax(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A softmax over the last axis, wherever it stands."""
    [given] = inputs
    return _same_places(given, to.draft.add("Softmax", (given.name,), op.name, axis=given.place(-1)))


def matrix_product(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A MatMul of two matrices, of which the second may be a constant."""
    flags = [op.get_attr("transpose_a"), op.get_attr("transpose_b")]
    return _product(op, inputs, flags, to)


def batch_product(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A BatchMatMulV2."""
    return _product(op, inputs, [op.get_attr("adj_x"), op.get_attr("adj_y")], to)


def _product(op, inputs: list[Tensor], flags: list[bool], to: Drawing) -> Tensor:
    """A product of matrices; (A B)' is B' A', so if both stand the wrong way round the product does, and nothing turns.

    Args:
      op: The node of TensorFlow's.
      inputs: Both factors.
      flags: Whether TensorFlow turns each of them.
      to: Where it goes.
    """
    first, second = inputs
    if first.rank != second.rank and second.values is None:
        raise refused(op, f"factors of {first.rank} and {second.rank} axes")
    plain, turned = (
        [_order(one.rank, turn ^ flag) for one, flag in zip(inputs, flags, strict=True)] for turn in (0, 1)
    )
    dims, rank = dims_of(op.outputs[0]), len(op.outputs[0].shape)
    if sum(map(_misplaced, inputs, turned)) < sum(map(_misplaced, inputs, plain)):
        names = [to.placed(one, order, f"{op.name}/factor") for one, order in zip(inputs, turned, strict=True)]
        return Tensor(to.draft.add("MatMul", tuple(names[::-1]), op.name), dims, _order(rank, True))
    names = [to.placed(one, order, f"{op.name}/factor") for one, order in zip(inputs, plain, strict=True)]
    return Tensor(to.draft.add("MatMul", tuple(names), op.name), dims, _order(rank, False))


def _order(rank: int, is_turned: bool) -> tuple[int, ...]:
    """The axes in TensorFlow's order, the last two exchanged if so."""
    *others, row, column = range(rank)
    return (*others, column, row) if is_turned else (*others, row, column)


def _misplaced(tensor: Tensor, order: tuple[int, ...]) -> bool:
    """Whether a transpose is needed to bring a tensor into an order."""
    return tensor.values is None and tensor.order != order


def _same_places(given: Tensor, name: str) -> Tensor:
    """A tensor of the same shape whose axes stand at the same places."""
    return Tensor(name, given.dims, given.order)
