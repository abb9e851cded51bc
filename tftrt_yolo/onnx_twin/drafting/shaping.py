"""What moves numbers and computes nothing: shapes, slices, concatenations, pads, windows of pooling, enlargement."""

import numpy as np

from tftrt_yolo.onnx_twin.drafting.convolutions import check_channels_last, refused, window_pads
from tftrt_yolo.onnx_twin.drafting.tensors import NCHW, Drawing, Tensor, common_order, dims_of

_WHOLE = slice(None)


def passed(_op, inputs: list[Tensor], _to: Drawing) -> Tensor:
    """What an Identity gives, and others that change nothing at inference."""
    return inputs[0]


def all_passed(_op, inputs: list[Tensor], _to: Drawing) -> list[Tensor]:
    """What an IdentityN gives."""
    return inputs


def reshape(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A Reshape, ExpandDims or Squeeze, whose result TensorFlow knows the shape of."""
    return to.reshaped(inputs[0], dims_of(op.outputs[0]), op.name)


def transpose(op, inputs: list[Tensor], _to: Drawing) -> Tensor:
    """A Transpose: the axes get other numbers and stay where they stand."""
    given, permutation = inputs[0], [int(axis) for axis in inputs[1].values]
    order = tuple(permutation.index(axis) for axis in given.order)
    return Tensor(given.name, dims_of(op.outputs[0]), order)


def concatenation(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A ConcatV2, whose axis is its last input."""
    *parts, axis = inputs
    order = common_order(parts, parts[0].rank)
    names = [to.placed(part, order, f"{op.name}/part") for part in parts]
    place = order.index(int(axis.values) % len(order))
    return Tensor(to.draft.add("Concat", tuple(names), op.name, axis=place), dims_of(op.outputs[0]), order)


def pieces(op, inputs: list[Tensor], to: Drawing) -> list[Tensor]:
    """A Split, whose axis is its first input, or a SplitV."""
    given, axis = (inputs[1], inputs[0]) if op.type == "Split" else (inputs[0], inputs[2])
    dims = [dims_of(output) for output in op.outputs]
    axis = int(axis.values) % given.rank
    sizes = to.draft.constant(np.array([one[axis] for one in dims], np.int64), f"{op.name}/sizes")
    names = to.draft.add_several("Split", (given.name, sizes), op.name, len(dims), axis=given.place(axis))
    return [Tensor(name, one, given.order) for name, one in zip(names, dims, strict=True)]


def cut(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A Slice: begin and size of each axis."""
    given, begin, size = inputs
    ends = [
        slice(int(first), None if count < 0 else int(first + count))
        for first, count in zip(begin.values, size.values, strict=True)
    ]
    return Tensor(_sliced(given, ends, op.name, to), dims_of(op.outputs[0]), given.order)


def strided_cut(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A StridedSlice: as NumPy's, with a bit in a mask for each place where an end is left out."""
    given, begin, end, step = inputs
    slices = []
    for place in range(len(begin.values)):
        if _bit(op, "ellipsis_mask", place):
            rest = range(place + 1, len(begin.values))
            named = len(slices) + sum(not _bit(op, "new_axis_mask", later) for later in rest)
            slices += [_WHOLE] * (given.rank - named)
        elif not _bit(op, "new_axis_mask", place):
            first, stop, stride = (int(one.values[place]) for one in (begin, end, step))
            if _bit(op, "shrink_axis_mask", place):
                slices.append(slice(first, first + 1 or None))
                continue
            first = None if _bit(op, "begin_mask", place) else first
            stop = None if _bit(op, "end_mask", place) else stop
            slices.append(slice(first, stop, stride))
    slices += [_WHOLE] * (given.rank - len(slices))
    if slices[0] not in (_WHOLE, slice(None, None, 1)) and given.dims[0] is None:
        raise refused(op, "a part of the batch")
    sizes = [
        size if size is None else len(range(*one.indices(size))) for size, one in zip(given.dims, slices, strict=True)
    ]
    found = Tensor(_sliced(given, slices, op.name, to), tuple(sizes), given.order)
    return to.reshaped(found, dims_of(op.outputs[0]), f"{op.name}/shaped")


def padding(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A Pad, of zeros, or PadV2, of a number."""
    given, pads = inputs[:2]
    value = np.float32(inputs[2].values) if len(inputs) > 2 else np.float32(0)
    pads = np.asarray(pads.values, np.int64)[list(given.order)]
    names = [
        to.draft.constant(pads.T.ravel(), f"{op.name}/pads"),
        to.draft.constant(np.array(value, np.float32), f"{op.name}/value"),
    ]
    return Tensor(to.draft.add("Pad", (given.name, *names), op.name), dims_of(op.outputs[0]), given.order)


def pooling(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A MaxPool or AvgPool; what is padded counts in neither."""
    [given] = inputs
    check_channels_last(op)
    window, strides = (tuple(op.get_attr(name)[1:3]) for name in ("ksize", "strides"))
    kind = {"MaxPool": "MaxPool", "AvgPool": "AveragePool"}[op.type]
    name = to.draft.add(
        kind,
        (to.placed(given, NCHW),),
        op.name,
        kernel_shape=list(window),
        strides=list(strides),
        pads=window_pads(op, given.dims, window, strides),
    )
    return Tensor(name, dims_of(op.outputs[0]), NCHW)


def enlargement(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A ResizeNearestNeighbor to a multiple of the size: each number is repeated, whatever its attributes say."""
    if op.get_attr("align_corners"):
        raise refused(op, "align_corners")
    return _enlarged(
        op, inputs[0], to, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


def interpolation(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A ResizeBilinear to a multiple of the size at which the corners keep their places, as heads for depth have it."""
    if not op.get_attr("align_corners"):
        raise refused(op, "corners that move")
    return _enlarged(op, inputs[0], to, mode="linear", coordinate_transformation_mode="align_corners")


def _enlarged(op, given: Tensor, to: Drawing, **attributes) -> Tensor:
    """A Resize by whole factors."""
    dims = dims_of(op.outputs[0])
    factors = [1 if after is None else after / before for before, after in zip(given.dims, dims, strict=True)]
    if any(factor < 1 or factor != int(factor) for factor in factors):
        raise refused(op, f"sides from {given.dims[1:3]} to {dims[1:3]}")
    scales = to.draft.constant(np.array([factors[axis] for axis in NCHW], np.float32), f"{op.name}/scales")
    return Tensor(to.draft.add("Resize", (to.placed(given, NCHW), "", scales), op.name, **attributes), dims, NCHW)


def depth_to_space(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A DepthToSpace, whose channels come after the places in the block in both."""
    check_channels_last(op)
    name = to.draft.add(
        "DepthToSpace", (to.placed(inputs[0], NCHW),), op.name, blocksize=op.get_attr("block_size"), mode="DCR"
    )
    return Tensor(name, dims_of(op.outputs[0]), NCHW)


def _bit(op, mask: str, place: int) -> bool:
    """A place's bit in a mask of StridedSlice."""
    return bool(op.get_attr(mask) >> place & 1)


def _sliced(given: Tensor, slices: list[slice], label: str, to: Drawing) -> str:
    """Name of the part of a tensor that a slice of each axis leaves."""
    rows = []
    for place, axis in enumerate(given.order):
        first, stop, step = slices[axis].start, slices[axis].stop, slices[axis].step or 1
        if given.dims[axis] is None:
            continue
        first, stop, step = slice(first, stop, step).indices(given.dims[axis])
        if (first, stop, step) != (0, given.dims[axis], 1):
            rows.append((first, stop if stop >= 0 else -(given.dims[axis] + 1), place, step))
    if not rows:
        return given.name
    names = ("starts", "ends", "axes", "steps")
    columns = zip(names, np.array(rows, np.int64).T, strict=True)
    inputs = [to.draft.constant(column, f"{label}/{name}") for name, column in columns]
    return to.draft.add("Slice", (given.name, *inputs), label)
