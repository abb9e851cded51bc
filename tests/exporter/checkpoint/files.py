"""Checkpoints for tests: the toy's, saved in every way, and with a pickle of one's own."""

import copy
import zipfile
from pathlib import Path

import torch

from tests import toy

NUM_CLASSES = 10
NAMES = {index: f"class {index}" for index in range(NUM_CLASSES)}


def toy_network(folder: Path) -> torch.nn.Module:
    """The toy's network, unpickled by PyTorch: it is our own file."""
    path = folder / "toy.pt"
    if not path.exists():
        toy.write_weights(path)
    network = torch.load(path, weights_only=False)["model"]
    network.names = copy.copy(NAMES)
    return network


def save(path: Path, **document) -> str:
    """Saves a dictionary as `torch.save` does."""
    torch.save(document, path)
    return str(path)


def parts(path: str | Path) -> dict[str, bytes]:
    """The entries of a checkpoint by their names, without the folder."""
    with zipfile.ZipFile(path) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def pack(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> str:
    """Writes entries as a checkpoint, with checksums that are right."""
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(f"archive/{name}", data)
    return str(path)


def with_pickle(path: Path, data: bytes) -> str:
    """A checkpoint that holds a pickle and no tensors."""
    return pack(path, {"data.pkl": data, "version": b"3\n", "byteorder": b"little"})


def renamed(weights: str, old: bytes, new: bytes) -> str:
    """Changes names in the pickle, in place: `b"module\\nname\\n"`."""
    entries = parts(weights)
    assert old in entries["data.pkl"]
    return pack(Path(weights), entries | {"data.pkl": entries["data.pkl"].replace(old, new)})
