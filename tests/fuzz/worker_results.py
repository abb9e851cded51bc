"""What a worker gives back, damaged as by one that a stranger's file took over: bytes changed, cut, doubled, calls."""

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.calls import Calls
from tftrt_yolo.contract import HeadSpec, ModelFacts
from tftrt_yolo.ground.errors import CheckpointError
from tftrt_yolo.ground.workers import results

REFUSALS = (results.NotTakenError, EOFError)
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


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
    way = str(rng.choice(list(ways)))
    data = ways[way](prepared, rng, folder)
    return way, lambda: results.unpacked(io.BytesIO(data))


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
    call = pickle.dumps(Calls(function, text), protocol=int(rng.integers(0, 5)))
    at = int(rng.integers(2, len(data)))
    return call if rng.random() < 0.5 else data[:at] + call[2:-1] + data[at:]
