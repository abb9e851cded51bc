"""Convolutions: filters (height, width, in, out) become (out, in, height, width), padding becomes numbers.

A filter that is quantised is kept as the integers that it is made of, with a DequantizeLinear behind, as TensorRT takes
quantised filters: the file has a quarter of the size, and nothing is rounded a second time.
"""

from collections.abc import Callable

import numpy as np

from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.ground.text import shown
from tftrt_yolo.onnx_twin.drafting.tensors import NCHW, REMEDY, Drawing, Tensor, dims_of


def plain(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A Conv2D; its groups show in the filter's size."""
    features, kernel = inputs
    groups = features.dims[3] // kernel.dims[2]
    return _convolution(op, features, to, _filter(kernel, _out_in, f"{op.name}/filter", to), kernel.dims[:2], groups)


def depthwise(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A DepthwiseConv2dNative: a convolution with as many groups as channels."""
    features, kernel = inputs
    filters = _filter(kernel, _each_channel, f"{op.name}/filter", to)
    return _convolution(op, features, to, filters, kernel.dims[:2], features.dims[3])


def transposed(op, inputs: list[Tensor], to: Drawing) -> Tensor:
    """A Conv2DBackpropInput: a transposed convolution, whose filter is (height, width, out, in)."""
    _, kernel, features = inputs
    dims, strides = dims_of(op.outputs[0]), _spatial(op, "strides")
    if _spatial(op, "dilations") != (1, 1) or op.get_attr("padding") == b"EXPLICIT":
        raise refused(op, "dilations or explicit padding")
    # What the sum over all places has beyond the output is cut off, half of it at each side.
    beyond = [
        (features.dims[axis] - 1) * stride + kernel.dims[axis - 1] - dims[axis]
        for axis, stride in zip((1, 2), strides, strict=True)
    ]
    if min(beyond) < 0:
        raise refused(op, "an output beyond its products")
    pads = [size // 2 for size in beyond]
    name = to.draft.add(
        "ConvTranspose",
        (to.placed(features, NCHW), _filter(kernel, _in_out, f"{op.name}/filter", to, 1)),
        op.name,
        kernel_shape=list(kernel.dims[:2]),
        strides=list(strides),
        pads=[*pads, *(size - pad for size, pad in zip(beyond, pads, strict=True))],
    )
    return Tensor(name, dims, NCHW)


def window_pads(op, dims: tuple[int | None, ...], window: tuple[int, int], strides: tuple[int, int]) -> list[int]:
    """The rows and columns that a window's input is padded by, as ONNX has them: top, left, bottom, right.

    Args:
      op: A convolution or a pooling of TensorFlow's.
      dims: Shape of its input.
      window: Height and width of the window, with its gaps.
      strides: Its steps.
    """
    padding = op.get_attr("padding")
    if padding == b"VALID":
        return [0, 0, 0, 0]
    if padding == b"EXPLICIT":
        (top, bottom), (left, right) = np.reshape(op.get_attr("explicit_paddings"), (4, 2)).tolist()[1:3]
        return [top, left, bottom, right]
    missing = [
        max((-(-size // stride) - 1) * stride + side - size, 0)
        for size, side, stride in zip(dims[1:3], window, strides, strict=True)
    ]
    before = [size // 2 for size in missing]
    return [*before, *(size - first for size, first in zip(missing, before, strict=True))]


def refused(op, found: str) -> OnnxError:
    """An error about what a node of TensorFlow's has and nothing here takes."""
    return OnnxError(f"{shown(op.name, 100)} is a {shown(op.type, 40)} with {found}, which is not translated. {REMEDY}")


def check_channels_last(op) -> None:
    """Refuses a node of another layout."""
    if op.get_attr("data_format") != b"NHWC":
        raise refused(op, f"the layout {shown(op.get_attr('data_format').decode(errors='replace'), 20)}")


def _convolution(op, features: Tensor, to: Drawing, filters: str, window: tuple[int, int], groups: int) -> Tensor:
    """A Conv."""
    check_channels_last(op)
    strides, dilations = _spatial(op, "strides"), _spatial(op, "dilations")
    extent = tuple((side - 1) * gap + 1 for side, gap in zip(window, dilations, strict=True))
    name = to.draft.add(
        "Conv",
        (to.placed(features, NCHW), filters),
        op.name,
        kernel_shape=list(window),
        strides=list(strides),
        dilations=list(dilations),
        group=groups,
        pads=window_pads(op, features.dims, extent, strides),
    )
    return Tensor(name, dims_of(op.outputs[0]), NCHW)


def _spatial(op, name: str) -> tuple[int, int]:
    """The two numbers of an attribute that stand for height and width."""
    return tuple(op.get_attr(name)[1:3])


def _filter(
    kernel: Tensor, arranged: Callable[[np.ndarray], np.ndarray], label: str, to: Drawing, axis: int = 0
) -> str:
    """Name of a filter in ONNX's arrangement, whose output channels are an axis of it."""
    if kernel.values is None:
        raise OnnxError(f"{shown(label, 100)} is no constant. {REMEDY}")
    if kernel.steps is None:
        return to.draft.constant(arranged(kernel.values), label)
    integers = arranged(kernel.steps.integers)
    channels = integers.shape[axis]
    # A step for each output channel: factors that stand behind the convolution are multiplied into them (`folding`).
    steps = to.draft.constant(np.full(channels, kernel.steps.step, np.float32), f"{label}/steps")
    zeros = to.draft.constant(np.zeros(channels, np.int8), f"{label}/zeros")
    return to.draft.add(
        "DequantizeLinear", (to.draft.constant(integers, f"{label}/integers"), steps, zeros), label, axis=axis
    )


def _out_in(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(3, 2, 0, 1)


def _in_out(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(3, 2, 0, 1)  # of a transposed convolution: (height, width, out, in) to (in, out, ...)


def _each_channel(kernel: np.ndarray) -> np.ndarray:
    height, width, channels, outputs = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * outputs, 1, height, width)
