"""Layers that move elements and compute none: shuffle, slice, gather, concatenation, resize, and what gives shapes.

    shuffle(layer, data)                          # transpose, reshape (0 copies, -1 takes what is left), transpose
    cut(layer, data, start, size, stride)         # a slice, whose inputs win over its attributes

Source: NVIDIA's documentation of IShuffleLayer, ISliceLayer, IGatherLayer, IResizeLayer and InterpolationMode.
"""

import numpy as np

from tftrt_yolo.preflighting.executor import enums
from tftrt_yolo.preflighting.recorded_network import Layer


def constant(layer: Layer) -> np.ndarray:
    """The layer's weights in its shape."""
    return np.asarray(layer.weights["values"]).reshape(layer.attributes["dims"])


def identity(_: Layer, data: np.ndarray) -> np.ndarray:
    """What came in; the type of the output is the caller's matter."""
    return data


def shape(_: Layer, data: np.ndarray) -> np.ndarray:
    """(rank,) int32."""
    return np.array(data.shape, np.int32)


def shuffle(layer: Layer, data: np.ndarray, dims: np.ndarray | None = None) -> np.ndarray:
    """A transpose, a reshape and a transpose, each where it was asked for."""
    attributes = layer.attributes
    data = data.transpose(attributes["first_transpose"]) if "first_transpose" in attributes else data
    dims = attributes.get("reshape") if dims is None else dims.tolist()
    if dims is not None:
        if attributes.get("zero_is_placeholder", 1):
            dims = [data.shape[axis] if size == 0 else size for axis, size in enumerate(dims)]
        data = data.reshape(dims)
    return data.transpose(attributes["second_transpose"]) if "second_transpose" in attributes else data


def cut(
    layer: Layer,
    data: np.ndarray,
    start: np.ndarray | None = None,
    size: np.ndarray | None = None,
    stride: np.ndarray | None = None,
) -> np.ndarray:
    """Elements from `start` on, `size` of them, a `stride` apart, along every axis."""
    given = zip(("start", "size", "stride"), (start, size, stride), strict=True)
    rows = [layer.attributes[name] if value is None else value.tolist() for name, value in given]
    for axis, (first, count, step) in enumerate(zip(*rows, strict=True)):
        last = first + (count - 1) * step
        if count < 0 or (count and not (0 <= first < data.shape[axis] and 0 <= last < data.shape[axis])):
            raise ValueError(f"elements {first} to {last} of {data.shape[axis]} along axis {axis}")
        if step > 0:
            data = data[(slice(None),) * axis + (slice(first, first + count * step, step),)]
        else:  # 0 repeats an element
            data = np.take(data, [first + place * step for place in range(count)], axis=axis)
    return data


def concatenation(layer: Layer, *parts: np.ndarray) -> np.ndarray:
    """Joins along an axis: the last but two, or the first, if none was set."""
    return np.concatenate(parts, axis=layer.attributes.get("axis", max(parts[0].ndim - 3, 0)))


def gather(layer: Layer, data: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Takes elements along an axis; the first `elementwise_dims` axes of data and indices go together."""
    axis, paired = layer.attributes.get("axis", 0), layer.attributes.get("elementwise_dims", 0)
    axis += data.ndim if axis < 0 else 0
    if indices.size and (indices.min() < 0 or indices.max() >= data.shape[axis]):
        raise ValueError(f"indices {indices.min()} to {indices.max()} of {data.shape[axis]}")
    if not paired:
        return np.take(data, indices, axis=axis)
    if data.shape[:paired] != indices.shape[:paired] or axis < paired:
        raise ValueError(f"data {data.shape} and indices {indices.shape} that share {paired} axes before axis {axis}")
    places = list(np.ndindex(*indices.shape[:paired]))
    taken = [np.take(data[place], indices[place], axis=axis - paired) for place in places]
    return np.stack(taken).reshape(*data.shape[:paired], *taken[0].shape)


def select(_: Layer, condition: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The first where the condition holds, the second elsewhere."""
    return np.where(condition, first, second)


def resize(layer: Layer, data: np.ndarray, size: np.ndarray | None = None) -> np.ndarray:
    """Nearest or linear along every axis whose size changes."""
    mode = enums.meaning(layer, "mode", {"NEAREST": _nearest, "LINEAR": _linear}, "NEAREST")
    attributes = layer.attributes
    sizes = attributes.get("output_dims") if size is None else size.tolist()
    scales = attributes.get("scales")
    if sizes is None:
        sizes = [int(length * scale) for length, scale in zip(data.shape, scales, strict=True)]
    for axis, (length, wanted) in enumerate(zip(data.shape, sizes, strict=True)):
        if wanted not in (length, -1):
            scale = scales[axis] if scales is not None and size is None else wanted / length
            data = mode(layer, data, axis, _places(layer, length, wanted, scale))
    return data


def _places(layer: Layer, length: int, wanted: int, scale: float) -> np.ndarray:
    """Where along an axis of the input each place of the output lies, float64."""
    places = np.arange(wanted, dtype=np.float64)
    found = {
        "ALIGN_CORNERS": places * (length - 1) / max(wanted - 1, 1),
        "ASYMMETRIC": places / scale,
        "HALF_PIXEL": (places + 0.5) / scale - 0.5,
    }
    # 1 / 3 * 3 must not become less than 1, or rounding down takes another neighbour.
    return np.round(enums.meaning(layer, "coordinates", found, "ASYMMETRIC"), 9)


def _nearest(layer: Layer, data: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """The neighbour that the layer's rounding takes."""
    found = {
        "HALF_UP": np.floor(places + 0.5),
        "HALF_DOWN": np.ceil(places - 0.5),
        "FLOOR": np.floor(places),
        "CEIL": np.ceil(places),
    }
    nearest = enums.meaning(layer, "rounding", found, "FLOOR")
    return np.take(data, np.clip(nearest, 0, data.shape[axis] - 1).astype(int), axis=axis)


def _linear(_: Layer, data: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """Between the two neighbours, by their distance."""
    last = data.shape[axis] - 1
    places = np.clip(places, 0, last)
    low = np.floor(places).astype(int)
    share = (places - low).astype(data.dtype).reshape([-1] + [1] * (data.ndim - axis - 1))
    lower, upper = (np.take(data, at, axis=axis) for at in (low, np.minimum(low + 1, last)))
    return lower + (upper - lower) * share
