"""What an engine has, in the layout in which the stand-in's C++ holds it: bindings, shapes and profiles.

    described = Description.from_address(address)
    description.fill(described, network)                # ValueError if it has more than there is room for

Source: stand_in/runtime.h (Description), stand_in/nvinfer.h (Dims).
"""

import ctypes
from collections.abc import Sequence

from tftrt_yolo.preflighting.recorded_network import RecordedNetwork, Tensor

_MOST_DIMS, _MOST_BINDINGS, _MOST_PROFILES, _NAME_BYTES = 8, 64, 32, 256
_SELECTORS = ("min", "opt", "max")  # in the order of TensorRT's OptProfileSelector
TYPES = ("FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8")  # in the order of its DataType


class Dims(ctypes.Structure):
    """TensorRT's Dims: a shape."""

    _fields_ = (("count", ctypes.c_int32), ("at", ctypes.c_int32 * _MOST_DIMS))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape; ValueError if the rank is none."""
        if not 0 <= self.count <= _MOST_DIMS:
            raise ValueError(f"a shape has the rank {self.count}; expected 0 to {_MOST_DIMS}")
        return tuple(self.at[: self.count])

    @classmethod
    def of(cls, shape: Sequence[int]) -> "Dims":
        """A shape as TensorRT holds it; ValueError if its rank is too high."""
        if len(shape) > _MOST_DIMS:
            raise ValueError(f"a shape has the rank {len(shape)}; expected at most {_MOST_DIMS}")
        return cls(len(shape), (ctypes.c_int32 * _MOST_DIMS)(*shape))


class Binding(ctypes.Structure):
    """An input or an output."""

    _fields_ = (
        ("name", ctypes.c_char * _NAME_BYTES),
        ("is_input", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("dims", Dims),
        ("profiles", (Dims * len(_SELECTORS)) * _MOST_PROFILES),
    )


class Description(ctypes.Structure):
    """An engine."""

    _fields_ = (
        ("name", ctypes.c_char * _NAME_BYTES),
        ("layers", ctypes.c_int32),
        ("bindings", ctypes.c_int32),
        ("profiles", ctypes.c_int32),
        ("of", Binding * _MOST_BINDINGS),
    )


def tensors_of(network: RecordedNetwork) -> list[Tensor]:
    """A network's bindings in TensorRT's order: its inputs, then its outputs."""
    return [network.tensors[index] for index in (*network.inputs, *network.outputs)]


def fill(described: Description, network: RecordedNetwork) -> None:
    """Describes an engine.

    Args:
      described: What to fill; its profiles are at least one, as in TensorRT.
      network: The engine's network.

    Raises:
      ValueError: If it has more bindings or profiles than there is room for, or a profile does not fit the network.
    """
    tensors = tensors_of(network)
    if len(tensors) > _MOST_BINDINGS or len(network.profiles) > _MOST_PROFILES:
        raise ValueError(
            f"an engine has {len(tensors)} inputs and outputs and {len(network.profiles)} profiles; expected at most "
            f"{_MOST_BINDINGS} and {_MOST_PROFILES}"
        )
    described.name = network.name.encode()[: _NAME_BYTES - 1]
    described.layers, described.bindings = len(network.layers), len(tensors)
    described.profiles = max(1, len(network.profiles))
    for number, tensor in enumerate(tensors):
        binding = described.of[number]
        if len(tensor.name.encode()) >= _NAME_BYTES:
            raise ValueError(f"an input or output is called {tensor.name[:40]}...; expected a shorter name")
        binding.name, binding.is_input = tensor.name.encode(), number < len(network.inputs)
        binding.type, binding.dims = TYPES.index(tensor.type), Dims.of(tensor.dims)
        if binding.is_input:
            _fill_profiles(binding, tensor, network)


def _fill_profiles(binding: Binding, tensor: Tensor, network: RecordedNetwork) -> None:
    """What each profile says of an input; of one that is fixed, its shape."""
    if not network.profiles:
        if -1 in tensor.dims:
            raise ValueError(f"{tensor.name} is {tensor.dims} and no profile says how large; expected one at least")
        binding.profiles[0] = _triple([tensor.dims] * len(_SELECTORS))
    for number, entries in enumerate(network.profiles):
        shapes = {entry["selector"]: tuple(entry["dims"]) for entry in entries if entry["input"] == tensor.name}
        if not shapes and -1 not in tensor.dims:
            shapes = dict.fromkeys(_SELECTORS, tensor.dims)
        found = [shapes.get(selector, ()) for selector in _SELECTORS]
        if not all(_fits(tensor.dims, shape) for shape in found) or not _rises(found):
            raise ValueError(
                f"profile {number} gives {tensor.name} {', '.join(map(str, found))}; expected a least shape, an "
                f"optimum and a largest of {tensor.dims}"
            )
        binding.profiles[number] = _triple(found)


def _triple(shapes: Sequence[tuple[int, ...]]) -> ctypes.Array:
    """Three shapes in a row."""
    return (Dims * len(_SELECTORS))(*map(Dims.of, shapes))


def _fits(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape is one that a tensor can have."""
    return len(dims) == len(shape) and all(
        found > 0 and size in (-1, found) for size, found in zip(dims, shape, strict=True)
    )


def _rises(shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether no size falls from one shape to the next."""
    return all(list(sizes) == sorted(sizes) for sizes in zip(*shapes, strict=True))
