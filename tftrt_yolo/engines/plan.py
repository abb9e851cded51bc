"""What the bytes of a plan say of it, where there is no GPU to open it on.

    found = read(plan)
    found.version, found.compute_capability, found.tensors, found.profiles
    disagreements(found, facts)                  # none: TensorRT built what it was asked for

TensorRT opens a plan on a GPU only: its deserialisation asks for the CUDA driver first. The form of a plan is not
documented. What is read here was found in plans of TensorRT-RTX 1.7 of networks with telling numbers: behind the name
of each input and output stand its data type, shape and direction, and the shapes of an optimisation profile stand one
behind the other. Whatever is not found is None, and said to be unread; nothing is guessed.
"""

import dataclasses
import re
import struct
from collections.abc import Iterator

from tftrt_yolo.engines.engine_file import UNTOLD_GPU, EngineFacts
from tftrt_yolo.ground.text import printable
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.profiles import Profile

# The file's mark, which stands twice: at the beginning, and behind the four parts of the version.
_MARK = b"vtrt"
_VERSION = re.compile(rb"(.{4})vtrt", re.DOTALL)
_TARGET = re.compile(rb"accelerators=\{sm(\d+)(\d) \}")
_TYPES = ("FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "FP8", "BF16", "INT64", "INT4")  # TensorRT's DataType
_MOST_OPEN = 1_000  # a size that is left open has a small negative number, which differs from plan to plan
_MOST_RANK = 8  # TensorRT's Dims::MAX_DIMS
# A value follows two bytes that tell its kind, 0x8001 and a zero; a text its length.
_SHAPE = re.compile(rb"\x07\x80\x01\x00(.{4})\x01\x80\x09\x80\x01\x00(.{8})", re.DOTALL)
_TYPE = re.compile(rb"\x15\x80\x01\x00\x07\x80\x01\x00(.{4})", re.DOTALL)
_DIRECTION = re.compile(rb"\x28\x80\x01\x00\x07\x80\x01\x00(.{4})", re.DOTALL)
_PROFILE = re.compile(rb"\x01\x80\x59\x80\x01\x00\x03\x00{7}")  # three shapes
_RECORD_BYTES = 400  # from a tensor's name to the last that is read of it


@dataclasses.dataclass(frozen=True)
class PlanFacts:
    """What could be read of a plan.

    Attributes:
      version: Of the TensorRT that built it; None if unread.
      compute_capability: Of the GPU that it is for; None if unread.
      tensors: Its inputs and outputs; None if unread.
      profiles: The least, tuned-for and largest shape of each optimisation profile of its one open input; None if
        unread.
    """

    version: str | None
    compute_capability: str | None
    tensors: tuple[IOTensor, ...] | None
    profiles: tuple[Profile, ...] | None

    @property
    def unread(self) -> tuple[str, ...]:
        """What could not be read."""
        return tuple(field.name for field in dataclasses.fields(self) if getattr(self, field.name) is None)


def read(plan: bytes, names: tuple[str, ...]) -> PlanFacts:
    """Reads what a plan says of itself.

    Args:
      plan: The plan.
      names: Names of inputs and outputs to look for.

    Returns:
      What was found.
    """
    tensors = {name: tensor for name in names if (tensor := _tensor(plan, name)) is not None}
    is_whole = len(tensors) == len(names)
    target = _TARGET.search(plan)
    return PlanFacts(
        version=_version(plan),
        compute_capability=f"{int(target[1])}.{int(target[2])}" if target else None,
        tensors=tuple(tensors.values()) if is_whole else None,
        profiles=_profiles(plan, [tensor for tensor in tensors.values() if tensor.is_input]) if is_whole else None,
    )


def disagreements(found: PlanFacts, asked: EngineFacts) -> tuple[str, ...]:
    """Compares what was read with what was asked for; what is unread is compared with nothing.

    Args:
      found: Of the plan.
      asked: What the header says.

    Returns:
      A sentence for each difference.
    """
    profiles = tuple(profile for of_input in asked.profiles.values() for profile in of_input)
    known_gpu = None if asked.compute_capability == UNTOLD_GPU else found.compute_capability
    pairs = {
        "the version": (_as_told(found.version, asked.builder_version), asked.builder_version),
        "the compute capability": (known_gpu, asked.compute_capability),
        "the tensors": (_in_words(found.tensors), _in_words(asked.tensors)),
        "the profiles": (_in_words(found.profiles), _in_words(profiles)),
    }
    return tuple(
        printable(f"{what} in the plan: {one}; asked for: {other}")
        for what, (one, other) in pairs.items()
        if one is not None and one != other
    )


def _as_told(version: str | None, told: str) -> str | None:
    """A version, as it is told if it only goes on behind that: TensorRT's module may call 10.0.1.6 "10.0.1"."""
    return told if version is not None and version.startswith(f"{told}.") else version


def _in_words(things: tuple | None) -> str | None:
    """Tensors or profiles as a text, in no order."""
    return None if things is None else ", ".join(sorted(map(str, things))) or "none"


def _version(plan: bytes) -> str | None:
    """The version of TensorRT, four numbers in the plan's first bytes."""
    found = _VERSION.search(plan, len(_MARK), 64) if plan.startswith(_MARK) else None
    return ".".join(map(str, found[1])) if found else None


def _tensor(plan: bytes, name: str) -> IOTensor | None:
    """An input or output by its name; None if what stands behind no such name is one's record."""
    for start in _ends_of_name(plan, name.encode()):
        record = plan[start : start + _RECORD_BYTES]
        kind, direction = (pattern.search(record) for pattern in (_TYPE, _DIRECTION))
        shape = next((dims for dims in _shapes(record)), None)
        if kind is None or direction is None or shape is None or _int(direction[1]) not in (0, 1):
            continue
        if 0 <= _int(kind[1]) < len(_TYPES):
            return IOTensor(name, _TYPES[_int(kind[1])], shape, _int(direction[1]) == 0)
    return None


def _ends_of_name(plan: bytes, name: bytes) -> Iterator[int]:
    """Where a text of this name ends in the plan."""
    for found in re.finditer(_text(name), plan):
        yield found.end()


def _text(name: bytes) -> bytes:
    """A pattern for a text."""
    length = struct.pack("<q", len(name))
    return re.escape(b"\x13\x80\x01\x00" + length + b"\x01\x80\x0c\x80\x01\x00" + length + name)


def _shapes(data: bytes) -> Iterator[tuple[int, ...]]:
    """The shapes in some bytes, in order, of sizes of 64 bits."""
    for found in _SHAPE.finditer(data):
        rank, again = _int(found[1]), struct.unpack("<q", found[2])[0]
        sizes = data[found.end() : found.end() + 8 * rank] if rank == again and 1 <= rank <= _MOST_RANK else b""
        if sizes and len(sizes) == 8 * rank:
            dims = struct.unpack(f"<{rank}q", sizes)
            if min(dims) > -_MOST_OPEN:
                yield tuple(max(size, -1) for size in dims)


def _profiles(plan: bytes, inputs: list[IOTensor]) -> tuple[Profile, ...] | None:
    """The optimisation profiles of one open input; none where its shape is fixed."""
    if not any(-1 in tensor.dims for tensor in inputs):
        return ()
    if len(inputs) != 1:  # in which order they would stand was not seen
        return None
    found = []
    for match in _PROFILE.finditer(plan):
        shapes = list(_shapes(plan[match.end() : match.end() + _RECORD_BYTES]))[:3]
        if len(shapes) == 3 and all(len(shape) == len(inputs[0].dims) for shape in shapes):
            found.append(Profile(*shapes))
    return tuple(found) or None


def _int(data: bytes) -> int:
    """A whole number of 32 bits."""
    return struct.unpack("<i", data)[0]
