"""Checkpoints: the bits, the steps of the pickle, the attributes and the YAML, damaged or made to attack."""

import copy
import os
import pickle
import pickletools
import struct
from pathlib import Path

import numpy as np

from tests.calls import Calls
from tests.exporter.checkpoint import files
from tftrt_yolo.ground.errors import CheckpointError

REFUSALS = (CheckpointError,)
_MOST_EDITS = 4
_VALUES = (
    *(None, True, False, 0, 1, -1, 2, 7, 255, 10**6, 10**9, -(10**9), 1 << 70, 0.5, -1.0, 1e308),
    *(float("nan"), float("inf"), "", "nc", "Detect", "Conv", "nn.Identity", "os.system", "\x1b[31m", "é" * 1_000),
    *("x" * 100_000, b"", b"\xff" * 100, (), [], {}, [[]], {"a": 1}, [1, 2, 3], (1, 1)),
)
_METHODS = ("float", "eval", "fuse", "modules", "forward", "state_dict", "named_modules", "to", "train", "__class__")


def prepare(folder: Path):
    from tftrt_yolo.exporter.checkpoint.load import load

    network = files.toy_network(folder)
    weights = files.save(folder / "base.pt", model=network, train_args={"imgsz": 64}, epoch=-1)
    load(weights)  # the undamaged one is accepted, and the libraries are warm
    return pickle.dumps(network), Path(weights).read_bytes(), files.parts(weights)


def case(prepared, rng: np.random.Generator, folder: Path):
    from tftrt_yolo.exporter.checkpoint.load import load

    name, damage = _DAMAGES[rng.integers(len(_DAMAGES))]
    path = folder / f"{rng.choice(['a', 'best', 'yolov8n'])}.pt"
    damage(path, prepared, rng)
    return name, lambda: load(str(path))


def _bits(path, prepared, rng):
    data = bytearray(prepared[1])
    for _ in range(2 ** int(rng.integers(8))):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def _pieces(path, prepared, rng):
    path.write_bytes(_edited(prepared[1], rng))


def _edited(data: bytes, rng) -> bytes:
    """Cuts, doubles, moves, blanks or inserts a piece."""
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 2 ** int(rng.integers(1, 17))))
    piece = data[start : start + length]
    other = int(rng.integers(len(data)))
    return [
        data[:start],
        data[:start] + data[start + length :],
        data[:start] + piece + data[start:],
        data[:other] + piece + data[other:],
        data[:start] + bytes(len(piece)) + data[start + length :],
        data[:start] + rng.bytes(length) + data[start + length :],
    ][rng.integers(6)]


def _pickle_bits(path, prepared, rng):
    """As `_bits`, in the pickle, with a checksum that is right."""
    data = bytearray(prepared[2]["data.pkl"])
    for _ in range(2 ** int(rng.integers(6))):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    files.pack(path, prepared[2] | {"data.pkl": bytes(data)})


def _pickle_pieces(path, prepared, rng):
    files.pack(path, prepared[2] | {"data.pkl": _edited(prepared[2]["data.pkl"], rng)})


def _pickle_steps(path, prepared, rng):
    """Other steps in place of some, each whole: constants, calls, numbers, names."""
    data = prepared[2]["data.pkl"]
    steps = [position for _, _, position in pickletools.genops(data)]
    steps.append(len(data))
    chosen = sorted(rng.choice(len(steps) - 1, int(rng.integers(1, 6)), replace=False), reverse=True)
    for index in chosen:
        data = data[: steps[index]] + _step(rng, path.parent) + data[steps[index + 1] :]
    files.pack(path, prepared[2] | {"data.pkl": data})


def _step(rng, folder: Path) -> bytes:
    harm = str(folder / "harm").encode()
    text = b"X" + struct.pack("<I", len(harm)) + harm
    names = (b"os\nmkdir\n", b"builtins\neval\n", b"torch\nload\n", b"ultralytics.nn.tasks\nDetectionModel\n")
    choices = [
        *(b"N", b"\x88", b"K\x03", b"J\xff\xff\xff\x7f", b"G" + struct.pack(">d", float("nan")), b"}", b"]", b")"),
        *(b"(", b"t", b"0", b"R", b"\x81", b"b", b"s", b"u", b"a", b"e", b"Q", b"h\x01", b"q\x01", b"\x85", b"."),
        *(b"c" + name for name in names),
        b"cos\nmkdir\n" + text + b"\x85R",
        b"\x8a\x09" + bytes(8) + b"\x01",
    ]
    return choices[rng.integers(len(choices))]


def _attributes(path, prepared, rng):
    """Attributes of modules deleted, changed, or in place of methods."""
    network = pickle.loads(prepared[0])
    modules = list(network.modules())
    for _ in range(int(rng.integers(1, _MOST_EDITS))):
        target = vars(modules[rng.integers(len(modules))] if rng.random() < 0.6 else network)
        names = sorted(target)
        how = rng.integers(4)
        if how == 0:
            target.pop(names[rng.integers(len(names))])
        elif how == 1:
            target[names[rng.integers(len(names))]] = _value(rng, path.parent)
        elif how == 2:
            target[_METHODS[rng.integers(len(_METHODS))]] = modules[rng.integers(len(modules))]
        else:
            target["extra"] = _value(rng, path.parent)
    _save(path, rng, network)


def _tables(path, prepared, rng):
    """Modules, parameters and buffers put elsewhere, into themselves, or replaced."""
    network = pickle.loads(prepared[0])
    modules = list(network.modules())
    for _ in range(int(rng.integers(1, _MOST_EDITS))):
        one, other = (modules[rng.integers(len(modules))] for _ in range(2))
        table = vars(one)[["_modules", "_parameters", "_buffers", "_forward_hooks"][rng.integers(4)]]
        names = [*table, "extra"]
        name = names[rng.integers(len(names))]
        table[name] = other if rng.random() < 0.5 else _value(rng, path.parent)
    _save(path, rng, network)


def _yaml(path, prepared, rng):
    network = pickle.loads(prepared[0])
    network.yaml = _changed(copy.deepcopy(network.yaml), rng, path.parent)
    _save(path, rng, network)


def _names(path, prepared, rng):
    network = pickle.loads(prepared[0])
    network.names = _changed(copy.deepcopy(network.names), rng, path.parent)
    _save(path, rng, network)


def _document(path, prepared, rng):
    """What stands beside the network, and in its place."""
    import torch

    network = pickle.loads(prepared[0])
    values = (network, _value(rng, path.parent), torch.zeros(2), torch.nn.DataParallel(network), {"model": network})
    keys = ["model", "ema", "train_args", "optimizer", "modelopt", "epoch"]
    document = {key: values[rng.integers(len(values))] for key in keys if rng.random() < 0.5}
    torch.save(document if rng.random() < 0.9 else values[rng.integers(len(values))], path)


def _entries(path, prepared, rng):
    """Entries of the archive that are missing, longer, shorter, of others, or compressed."""
    entries = dict(prepared[2])
    for _ in range(int(rng.integers(1, _MOST_EDITS))):
        names = list(entries)
        name, other = (names[rng.integers(len(names))] for _ in range(2))
        how = rng.integers(5)
        if how == 0:
            del entries[name]
        elif how == 1:
            entries[name] = entries[other]
        elif how == 2:
            entries[name] = entries[name] + rng.bytes(int(rng.integers(1, 100)))
        elif how == 3:
            entries[name] = entries[name][: int(rng.integers(len(entries[name]) + 1))]
        else:
            entries[f"{name}{rng.integers(9)}"] = rng.bytes(int(rng.integers(1, 10_000)))
        if not entries:
            break
    files.pack(path, entries, compression=0 if rng.random() < 0.9 else 8)


def _weights(path, prepared, rng):
    """Numbers of the weights: any, so NaN and infinity too."""
    entries = dict(prepared[2])
    names = [name for name in entries if name.startswith("data/")]
    name = names[rng.integers(len(names))]
    entries[name] = rng.bytes(len(entries[name]))
    files.pack(path, entries)


def _unchanged(path, prepared, rng):
    path.write_bytes(prepared[1])


def _changed(document: object, rng, folder: Path) -> object:
    """A document with some of its values changed, at any depth."""
    for _ in range(int(rng.integers(1, _MOST_EDITS))):
        at = document
        while True:
            if not isinstance(at, (dict, list)) or not at:
                return _value(rng, folder)
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            key = keys[rng.integers(len(keys))]
            if isinstance(at[key], (dict, list)) and at[key] and rng.random() < 0.8:
                at = at[key]
                continue
            break
        how = rng.integers(4)
        if how == 0:
            del at[key]
        elif how == 1 and isinstance(at, list):
            at.insert(key, copy.copy(at[key]))
        elif how == 2 and isinstance(at, dict):
            at[_hashable(rng)] = at[key]
        else:
            at[key] = _value(rng, folder)
    return document


def _hashable(rng) -> object:
    values = [value for value in _VALUES if not isinstance(value, (list, dict))]
    values = [value for value in values if not (isinstance(value, tuple) and value)]
    return [*values, "activation", "scale", "scales", "kpt_shape", "reg_max"][rng.integers(len(values) + 5)]


def _value(rng, folder: Path) -> object:
    harm = str(folder / "harm")
    calls = (
        Calls(os.mkdir, harm),
        Calls(eval, f"__import__('os').mkdir({harm!r})"),
        Calls(os.system, f"mkdir {harm}"),
        f"__import__('os').mkdir({harm!r})",
    )
    values = (*_VALUES, *calls)
    return values[rng.integers(len(values))]


def _save(path: Path, rng, network) -> None:
    import torch

    key = ["model", "ema"][rng.integers(2)]
    torch.save({key: network}, path, pickle_protocol=int(rng.choice([2, 2, 2, 4])))


_DAMAGES = [
    (damage.__name__.strip("_"), damage)
    for damage in (
        *(_bits, _pieces, _pickle_bits, _pickle_pieces, _pickle_steps, _pickle_steps, _attributes, _tables, _yaml),
        *(_yaml, _names, _document, _entries, _weights, _unchanged),
    )
]
