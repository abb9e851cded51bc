"""Layers that move a window over rows and columns: convolutions, poolings, padding; and the fully connected layer.

    spans = spans_of(layer, data.shape, window)     # how the window moves along both axes, padding resolved
    convolution(layer, data)                        # (N, C, H, W) to (N, maps, H', W')

A convolution is one matrix product for a few rows at a time: of the filters, and of what lies under the window at each
place. So BLAS does the work, and the copy of what lies under the windows stays small.

Source: NVIDIA's documentation of IConvolutionLayer, IDeconvolutionLayer, IPoolingLayer, IPaddingLayer, PaddingMode.
"""

import dataclasses

import numpy as np

from tftrt_yolo.preflighting.executor import enums
from tftrt_yolo.preflighting.recorded_network import Layer

_EXPLICIT, _SAME = "EXPLICIT_ROUND_DOWN", ("SAME_UPPER", "SAME_LOWER")
_PADDING_MODES = {mode: mode for mode in (_EXPLICIT, "EXPLICIT_ROUND_UP", *_SAME)}
_COLUMN_VALUES = 4 << 20  # numbers under the windows that are copied at a time


@dataclasses.dataclass(frozen=True)
class Span:
    """How a window moves along one axis.

    Attributes:
      before: Padding at the start; for a deconvolution what is cut off there.
      after: Padding at the end, with what rounding up needs.
      steps: Places of the window.
      stride: From one place to the next.
      dilation: From one element of the window to the next.
      window: Elements of the window.
    """

    before: int
    after: int
    steps: int
    stride: int
    dilation: int
    window: int


def spans_of(layer: Layer, shape: tuple[int, ...], window: tuple[int, int]) -> tuple[Span, Span]:
    """Resolves the padding of a convolution or a pooling.

    Args:
      layer: The layer.
      shape: Of its input, (N, C, H, W).
      window: Height and width.

    Raises:
      ValueError: If the window is larger than the padded input, or the input has another rank.
    """
    if len(shape) != 4:
        raise ValueError(f"an input of rank {len(shape)}; expected (N, C, H, W)")
    return tuple(_span(layer, axis, shape[2 + axis], window[axis]) for axis in range(2))


def convolution(layer: Layer, data: np.ndarray, kernel: np.ndarray | None = None, bias: np.ndarray | None = None):
    """(N, C, H, W) to (N, maps, H', W'); the filters, (maps, C / groups, R, S), are weights or the second input."""
    attributes, window = layer.attributes, layer.attributes["kernel"]
    groups, maps = attributes.get("groups", 1), attributes["maps"]
    rows, columns = spans_of(layer, data.shape, window)
    filters = _weights(layer, "kernel", data, kernel).reshape(maps, -1, *window)
    if filters.shape[1] * groups != data.shape[1] or maps % groups:
        raise ValueError(
            f"{maps} filters of {filters.shape[1]} channels in {groups} groups over {data.shape[1]} channels"
        )
    padded = _pad(data, (rows, columns), 0)
    result = np.empty((len(data), maps, rows.steps, columns.steps), data.dtype)
    is_depthwise = filters.shape[1] == 1
    for image, out in zip(padded, result, strict=True):
        windows = _windows(image, rows, columns)
        if is_depthwise:
            _multiply_channels(windows, filters, out)
        else:
            _multiply_groups(windows, filters, groups, out)
    return _biased(layer, result, bias)


def deconvolution(layer: Layer, data: np.ndarray, kernel: np.ndarray | None = None, bias: np.ndarray | None = None):
    """The transpose of a convolution; filters (C, maps / groups, R, S)."""
    attributes, window = layer.attributes, layer.attributes["kernel"]
    groups, maps, channels = attributes.get("groups", 1), attributes["maps"], data.shape[1]
    if any(step != 1 for step in attributes.get("dilation", (1, 1))):
        raise ValueError("a dilated deconvolution; expected dilation 1")
    filters = _weights(layer, "kernel", data, kernel).reshape(channels, maps // groups, *window)
    spans = [_deconvolved(layer, axis, data.shape[2 + axis], window[axis]) for axis in range(2)]
    full = [(size - 1) * span.stride + span.window for size, span in zip(data.shape[2:], spans, strict=True)]
    result = np.zeros((len(data), maps, *full), data.dtype)
    parts = data.reshape(len(data), groups, channels // groups, -1)
    for i, j in np.ndindex(*window):
        taps = filters[:, :, i, j].reshape(groups, channels // groups, -1).swapaxes(1, 2)
        steps = tuple(
            slice(at, at + (size - 1) * span.stride + 1, span.stride)
            for at, size, span in zip((i, j), data.shape[2:], spans, strict=True)
        )
        result[(..., *steps)] += (taps @ parts).reshape(len(data), maps, *data.shape[2:])
    cut = tuple(slice(span.before, span.before + span.steps) for span in spans)
    return _biased(layer, np.ascontiguousarray(result[(..., *cut)]), bias)


def pooling(layer: Layer, data: np.ndarray) -> np.ndarray:
    """The largest or the mean under each window; the mean counts padding only where it was told to."""
    spans = spans_of(layer, data.shape, layer.attributes["window"])
    if enums.meaning(layer, "type", {"MAX": True, "AVERAGE": False}):
        lowest = -np.inf if data.dtype.kind == "f" else np.iinfo(data.dtype).min
        return _folded(_pad(data, spans, lowest), spans, np.maximum)
    counted = [_counted(layer, axis, data.shape[2 + axis], span).astype(data.dtype) for axis, span in enumerate(spans)]
    counts = _folded(np.multiply.outer(*counted)[np.newaxis, np.newaxis], spans, np.add)
    return _folded(_pad(data, spans, 0), spans, np.add) / counts


def padding(layer: Layer, data: np.ndarray) -> np.ndarray:
    """Zeros around the last two axes; a negative size cuts off."""
    pairs = list(zip(layer.attributes["pre_padding"], layer.attributes["post_padding"], strict=True))
    outside = [(0, 0)] * (data.ndim - 2)
    padded = np.pad(data, outside + [(max(before, 0), max(after, 0)) for before, after in pairs])
    cut = [
        slice(max(-before, 0), size - max(-after, 0))
        for (before, after), size in zip(pairs, padded.shape[-2:], strict=True)
    ]
    return np.ascontiguousarray(padded[(..., *cut)])


def fully_connected(layer: Layer, data: np.ndarray) -> np.ndarray:
    """(..., C, H, W) to (..., maps, 1, 1); filters (maps, C * H * W)."""
    maps = layer.attributes["maps"]
    flat = data.reshape(*data.shape[:-3], -1)
    result = flat @ _weights(layer, "kernel", data).reshape(maps, -1).T
    if "bias" in layer.weights:
        result += _weights(layer, "bias", data)
    return result.reshape(*data.shape[:-3], maps, 1, 1)


def _weights(layer: Layer, role: str, data: np.ndarray, given: np.ndarray | None = None) -> np.ndarray:
    """Weights of a layer, or the input that stands for them, in the type that is computed in."""
    values = layer.weights[role] if given is None else given
    return np.asarray(values).astype(data.dtype, copy=False)


def _biased(layer: Layer, result: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """Adds the bias, if there is one."""
    if bias is not None or "bias" in layer.weights:
        result += _weights(layer, "bias", result, bias).reshape(-1, 1, 1)
    return result


def _span(layer: Layer, axis: int, size: int, window: int) -> Span:
    """How a window moves along one axis of an input of some size."""
    attributes = layer.attributes
    stride, dilation = (attributes.get(name, (1, 1))[axis] for name in ("stride", "dilation"))
    _check_steps(window, stride, dilation)
    reach, mode = dilation * (window - 1) + 1, enums.meaning(layer, "padding_mode", _PADDING_MODES, _EXPLICIT)
    if mode in _SAME:
        steps = -(-size // stride)
        total = max((steps - 1) * stride + reach - size, 0)
        before = total // 2 if mode == "SAME_UPPER" else total - total // 2
        return Span(before, total - before, steps, stride, dilation, window)
    before, after = (attributes.get(name, (0, 0))[axis] for name in ("pre_padding", "post_padding"))
    room = size + before + after - reach
    if room < 0:
        raise ValueError(f"a window that reaches over {reach} of {size + before + after} rows or columns")
    steps = (-(-room // stride) if mode == "EXPLICIT_ROUND_UP" else room // stride) + 1
    return Span(before, max(after, (steps - 1) * stride + reach - size - before), steps, stride, dilation, window)


def _deconvolved(layer: Layer, axis: int, size: int, window: int) -> Span:
    """What is kept of one axis of a deconvolution: `steps` rows or columns from `before` on."""
    attributes = layer.attributes
    stride = attributes.get("stride", (1, 1))[axis]
    _check_steps(window, stride, 1)
    mode = enums.meaning(layer, "padding_mode", _PADDING_MODES, _EXPLICIT)
    full = (size - 1) * stride + window
    if mode in _SAME:
        total = max(window - stride, 0)  # a smaller window leaves nothing to cut off, and nothing is added
        before = total // 2 if mode == "SAME_UPPER" else total - total // 2
        return Span(before, total - before, full - total, stride, 1, window)
    before, after = (attributes.get(name, (0, 0))[axis] for name in ("pre_padding", "post_padding"))
    if before + after >= full:
        raise ValueError(f"a deconvolution of which padding cuts off {before + after} of {full} rows or columns")
    return Span(before, after, full - before - after, stride, 1, window)


def _check_steps(window: int, stride: int, dilation: int) -> None:
    """Refuses what moves nowhere.

    Raises:
      ValueError: If one of them is below 1.
    """
    if min(window, stride, dilation) < 1:
        raise ValueError(f"a window of {window}, stride {stride} and dilation {dilation}; expected 1 or more of each")


def _pad(data: np.ndarray, spans: tuple[Span, Span], value: float) -> np.ndarray:
    """Pads rows and columns; the data themselves where there is nothing to pad."""
    pairs = [(span.before, span.after) for span in spans]
    if not any(map(any, pairs)):
        return np.ascontiguousarray(data)
    return np.pad(data, [(0, 0), (0, 0), *pairs], constant_values=value)


def _counted(layer: Layer, axis: int, size: int, span: Span) -> np.ndarray:
    """1 for each row or column that a mean counts, 0 for padding unless it counts too.

    What rounding up adds behind the padding that was set never counts, as in Caffe and PyTorch.
    """
    counts = np.zeros(span.before + size + span.after, np.int32)
    counts[span.before : span.before + size] = 1
    if not layer.attributes.get("average_excludes_padding", 1):
        is_same = layer.attributes.get("padding_mode") in _SAME
        after = span.after if is_same else layer.attributes.get("post_padding", (0, 0))[axis]
        counts[: span.before + size + after] = 1
    return counts


def _windows(image: np.ndarray, rows: Span, columns: Span) -> np.ndarray:
    """What lies under the window, (C, R, S, H', W'): a view of a padded image (C, H, W)."""
    channel, row, column = image.strides
    return np.lib.stride_tricks.as_strided(
        image,
        (len(image), rows.window, columns.window, rows.steps, columns.steps),
        (channel, row * rows.dilation, column * columns.dilation, row * rows.stride, column * columns.stride),
        writeable=False,
    )


def _multiply_groups(windows: np.ndarray, filters: np.ndarray, groups: int, out: np.ndarray) -> None:
    """Matrix products, group by group, for as many rows at a time as are copied at a time."""
    maps, (channels, *window) = len(filters) // groups, filters.shape[1:]
    height, width = out.shape[1:]
    rows = max(1, _COLUMN_VALUES // (channels * window[0] * window[1] * width))
    for group in range(groups):
        matrix = filters[group * maps : (group + 1) * maps].reshape(maps, -1)
        under = windows[group * channels : (group + 1) * channels]
        for top in range(0, height, rows):
            part = under[..., top : top + rows, :]
            product = matrix @ part.reshape(matrix.shape[1], -1)
            out[group * maps : (group + 1) * maps, top : top + rows] = product.reshape(maps, -1, width)


def _multiply_channels(windows: np.ndarray, filters: np.ndarray, out: np.ndarray) -> None:
    """A depthwise convolution: every channel by itself, an element of the window at a time."""
    channels, (height, width) = len(windows), out.shape[1:]
    out[:] = 0
    sums = out.reshape(channels, -1, height, width)
    taps = filters.reshape(channels, -1, *filters.shape[2:], 1, 1)
    for i, j in np.ndindex(*filters.shape[2:]):
        sums += taps[:, :, i, j] * windows[:, np.newaxis, i, j]


def _folded(values: np.ndarray, spans: tuple[Span, Span], operation: np.ufunc) -> np.ndarray:
    """An operation over what lies under each window, one axis after the other."""
    for axis, span in zip((2, 3), spans, strict=True):
        result = None
        for at in range(span.window):
            piece = values[(slice(None),) * axis + (slice(at, at + (span.steps - 1) * span.stride + 1, span.stride),)]
            result = piece.copy() if result is None else operation(result, piece, out=result)
        values = result
    return values
