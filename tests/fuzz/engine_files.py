"""Engine files with damaged bytes, and with other values in their headers; and damaged plans, of which all is read."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.engines.rehearsal import ExecutorRuntime, facts, metadata, profile, recorded
from tests.fuzz import damages
from tftrt_yolo.engines import engine_file, plan, tensors
from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
from tftrt_yolo.ground.errors import EngineError

REFUSALS = (EngineError,)
_VALUES = (
    *(None, True, -1, 0, 1, 1 << 31, 1 << 62, 10**400, 0.5, float("nan"), float("inf"), "", "x" * 5_000, "\x1b[2J"),
    *([], {}, [[]], {"a": [{}]}, ["images"], "FLOAT", [-1, 3, 32, 32], {"0": "a"}, "pose", [[[[[[[[]]]]]]]], "\ud800"),
)
# As a plan has them: texts, shapes, types, profiles.
_LENGTH = b"\x06" + bytes(7)
_NAME = b"\x13\x80\x01\0" + _LENGTH + b"\x01\x80\x0c\x80\x01\0" + _LENGTH + b"images"
_SHAPE = b"\x07\x80\x01\0\x02\0\0\0\x01\x80\x09\x80\x01\0" + b"".join(bytes([size, *bytes(7)]) for size in (2, 3, 5))
_KIND = b"\x15\x80\x01\0\x07\x80\x01\0\0\0\0\0\x28\x80\x01\0\x07\x80\x01\0\0\0\0\0"
_PROFILE = b"\x01\x80\x59\x80\x01\0\x03" + bytes(7) + _SHAPE * 3
_PLAN = b"vtrt" + bytes(20) + b"\x01\x07\x01\x74vtrt" + _NAME + _SHAPE + _KIND + _PROFILE + b"accelerators={sm89 }"


def prepare(folder: Path) -> dict[str, bytes]:
    """A file for each task."""
    files = {}
    for task in ("detect", "segment", "pose", "obb", "classify"):
        model, profiles = metadata(task), {"images": (profile(1, 8),)}
        runtime = ExecutorRuntime(with_ultralytics_layout(recorded(model), model))
        path = folder / f"{task}.engine"
        path.unlink(missing_ok=True)
        found = facts(runtime.tensors, _PLAN, batch_sizes=(1, 8), profiles=profiles)
        engine_file.write(path, model, found, _PLAN)
        files[task] = path.read_bytes()
    return files


def case(prepared: dict[str, bytes], rng: np.random.Generator, folder: Path) -> tuple[str, Callable[[], object]]:
    """Damages a file in one way.

    Args:
      prepared: What `prepare` gave.
      rng: Everything random comes from it.
      folder: Where the file goes.

    Returns:
      The way, and what reads the file.
    """
    data = prepared[str(rng.choice(list(prepared)))]
    way = str(rng.choice(["bytes", "value", "value", "plan"]))
    if way == "plan":
        damaged = damages.ALL[rng.integers(len(damages.ALL))](_PLAN, rng)
        return way, lambda: plan.read(damaged, ("images", "output0"))
    damage = damages.ALL[rng.integers(len(damages.ALL))] if way == "bytes" else _with_values
    data = damage(data, rng)
    (folder / "a.engine").write_bytes(data)
    return way, lambda: _bring(folder / "a.engine")


def _bring(path: Path) -> None:
    """All that is done with a file before TensorRT sees its plan."""
    file = engine_file.read(path)
    str(file.metadata)
    if file.facts:
        tensors.check(file.facts.tensors, file.metadata, file.given)
        tensors.batch_ranges(file.facts.tensors, file.facts.profiles)
    plan.read(file.plan(), ("images", "output0"))


def _with_values(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to three values of the header in place of others."""
    length = int.from_bytes(data[:4], "little")
    document = json.loads(data[4 : 4 + length])
    for _ in range(rng.integers(1, 4)):
        place = document
        while isinstance(place, (dict, list)) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[rng.integers(len(keys))]
            if not isinstance(place[key], (dict, list)) or not place[key] or rng.random() < 0.3:
                place[key] = copy.deepcopy(_VALUES[rng.integers(len(_VALUES))])  # it may be changed in turn
                break
            place = place[key]
    text = json.dumps(document).encode()
    return len(text).to_bytes(4, "little") + text + data[4 + length :]
