"""What a worker gives back, damaged as by one that a stranger's file took over: bytes, values, opcodes, frames."""

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.calls import Calls, without_memory
from tftrt_yolo.contract import HeadSpec, ModelFacts
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.workers import results

REFUSALS = (results.NotTakenError, EOFError)
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
# What stands in a result in place of something else: sizes that are none, or multiply to gigabytes, and odd texts.
_VALUES = (
    *(None, True, -1, 1 << 20, 1 << 31, 1 << 62, 10**400, float("nan"), (1 << 40,), (0, 1 << 40), (b"x", 1 << 30)),
    *("", "x" * 5_000, "\x1b[2J", "\ud800", "U999999999", b"", b"x" * 5_000, (), [], {}, set(), {"a": [{}]}),
)


def prepare(_: Path) -> bytes:
    """A result with one of each kind in it."""
    facts = ModelFacts("detect", {0: "a"}, HeadSpec((8, 16, 32), 16, "Detect", 1), 32, 10)
    return results.packed([facts, {"scores": np.ones((2, 3), np.float32), "path": Path("/a")}, CheckpointError("text")])


def case(prepared: bytes, rng: np.random.Generator, folder: Path) -> tuple[str, Callable[[], object]]:
    """Damages the result in one way.

    Args:
      prepared: What `prepare` gave.
      rng: Everything random comes from it.
      folder: Where a call that is made would write.

    Returns:
      The way, and what reads the result.
    """
    ways = {"bytes": _bytes, "cut": _cut, "opcodes": _opcodes, "spliced": _spliced, "call": _call}
    ways |= {"frames": _frames, "value": _value}
    way = str(rng.choice(list(ways)))
    data = ways[way](prepared, rng, folder)
    if way == "frames":
        return way, lambda: _read_as_sent(data, prepared)
    return way, lambda: results.unpacked(io.BytesIO(data))


def _read_as_sent(data: bytes, sent: bytes) -> None:
    """Reads what is no other result than was sent, and must not be refused."""
    try:
        found = results.unpacked(io.BytesIO(data))
    except REFUSALS as error:
        raise AssertionError("a result that is none the worse is refused") from error
    if results.packed(found) != sent:
        raise AssertionError(f"another result than was sent: {found!r}")


def _bytes(data: bytes, rng: np.random.Generator, _: Path) -> bytes:
    damaged = bytearray(data)
    for at in rng.integers(0, len(data), rng.integers(1, 6)):
        damaged[at] = rng.integers(0, 256)
    return bytes(damaged)


def _cut(data: bytes, rng: np.random.Generator, _: Path) -> bytes:
    return data[: rng.integers(0, len(data))]


def _opcodes(data: bytes, rng: np.random.Generator, _: Path) -> bytes:
    at = int(rng.integers(2, len(data)))
    return data[:at] + b"".join(rng.choice(_OPCODES, rng.integers(1, 5))) + data[at:]


def _spliced(data: bytes, rng: np.random.Generator, _: Path) -> bytes:
    start, end = sorted(rng.integers(2, len(data), 2))
    at = int(rng.integers(2, len(data)))
    return data[:at] + data[start:end] + data[at:]


def _call(data: bytes, rng: np.random.Generator, folder: Path) -> bytes:
    """A call of a builtin, whole or in the midst of the result."""
    text = f"open({str(folder / 'canary')!r}, 'w')"
    function = (eval, exec, __import__, compile, getattr)[rng.integers(5)]
    dumps = (pickle.dumps, without_memory)[rng.integers(2)]
    call = dumps(Calls(function, text), int(rng.integers(0, 5)))
    at = int(rng.integers(2, len(data)))
    return call if rng.random() < 0.5 else data[:at] + call[2:-1] + data[at:]


def _frames(data: bytes, rng: np.random.Generator, _: Path) -> bytes:
    """A result as it was, but for frames of any length, of which none may change what is read."""
    for _ in range(rng.integers(0, 4)):
        at = int(rng.choice([position for _, _, position in pickletools.genops(data)][1:]))
        length = int(rng.integers(0, 100)) if rng.random() < 0.8 else 1 << int(rng.integers(63))
        data = data[:at] + b"\x95" + struct.pack("<Q", length) + data[at:]
    return data


def _value(data: bytes, rng: np.random.Generator, _: Path) -> bytes:
    """Up to three values in place of others."""
    for _ in range(rng.integers(1, 4)):
        steps = list(pickletools.genops(data))
        index = int(rng.choice([index for index, (opcode, _, _) in enumerate(steps) if _is_value(opcode)]))
        value = without_memory(_VALUES[rng.integers(len(_VALUES))])[2:-1]
        data = data[: steps[index][2]] + value + data[steps[index + 1][2] :]
    return data


def _is_value(opcode: pickletools.OpcodeInfo) -> bool:
    return not opcode.stack_before and opcode.stack_after not in ([], [pickletools.markobject])
