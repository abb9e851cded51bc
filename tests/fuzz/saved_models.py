"""SavedModel directories that were damaged or edited, through `inspect` and through `Predictor` on a picture.

Most damage finds the SHA-256 of every file in metadata.yaml. Where these are removed or made anew, an edit that is made
on purpose meets what stands behind them: the types of metadata.yaml and conversion.json, and their agreement with the
graph. Bits that flipped in a graph are left to the digests: TensorFlow itself does not survive all of them.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml

import tftrt_yolo
from tests.fuzz import saved_model_edits as edits

REFUSALS = (tftrt_yolo.SavedModelError,)
_DATA = Path(__file__).parents[1] / "data"
_IMAGE = _DATA / "images" / "000000.jpg"
_TASKS = ("detect", "segment", "pose", "obb", "classify")
_CONVERSIONS = {"tensorrt": "detect_tensorrt", "onednn": "classify_onednn"}
_SIZE = 64  # pixels of a frame
_MOST_FLIPS = 64


def prepare(folder: Path) -> list[Path]:
    """The SavedModels: an export of every task, and two conversions."""
    for task in _TASKS:
        _made(folder, task, lambda path, task=task: _export(task, path))
    for accelerator, name in _CONVERSIONS.items():
        source = folder / f"{name.partition('_')[0]}_saved_model"
        _made(folder, name, lambda path, s=source, a=accelerator: tftrt_yolo.convert(s, path, accelerator=a))
    return sorted(folder.glob("*_saved_model"))


def _made(folder: Path, name: str, make: Callable[[Path], object]) -> None:
    if not (folder / f"{name}_saved_model").exists():
        make(folder / f"{name}_saved_model")


def _export(task: str, path: Path) -> None:
    tftrt_yolo.export(_DATA / f"yolov8n-tiny-{task}.pt", path, image_size=_SIZE)


def case(prepared: list[Path], rng: np.random.Generator, folder: Path) -> tuple[str, Callable[[], object]]:
    """One damaged directory; the label names the model, the damage and the file."""
    source = prepared[rng.integers(len(prepared))]
    model = shutil.copytree(source, folder / "a_saved_model")
    damages = {
        "bits": _flip,
        "cut": _cut,
        "swap": _swap,
        "replaced": lambda rng, model: edits.replace(rng, model, prepared),
        "values": _edit_metadata,
        "names": lambda rng, model: _edit(model, lambda document: edits.change_names(rng, document)),
        "text": lambda rng, model: edits.write_strange_text(rng, model / "metadata.yaml"),
        "conversion": _edit_conversion,
        "graph": _edit_graph,
    }
    name = str(rng.choice(list(damages)))
    what = damages[name](rng, model)
    return f"{source.name} {name} {what}", lambda: _use(model)


def _use(model: Path) -> None:
    tftrt_yolo.Predictor(model)(_IMAGE)
    str(tftrt_yolo.inspect(model))


def _any_file(rng: np.random.Generator, model: Path) -> Path:
    return edits.pick(rng, sorted(path for path in model.rglob("*") if path.is_file()))


def _flip(rng: np.random.Generator, model: Path) -> str:
    path = _any_file(rng, model)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, 8 * len(data), rng.integers(1, _MOST_FLIPS)):
        data[at // 8] ^= 1 << (at % 8)
    path.write_bytes(data)
    return path.name


def _cut(rng: np.random.Generator, model: Path) -> str:
    path = _any_file(rng, model)
    os.truncate(path, int(rng.integers(0, path.stat().st_size)))
    return path.name


def _swap(rng: np.random.Generator, model: Path) -> str:
    """Two stretches of a file change places."""
    path = _any_file(rng, model)
    data = path.read_bytes()
    first, second, third = sorted(int(at) for at in rng.integers(0, len(data) + 1, 3))
    path.write_bytes(data[:first] + data[second:third] + data[first:second] + data[third:])
    return path.name


def _edit_metadata(rng: np.random.Generator, model: Path) -> str:
    return _edit(model, lambda document: edits.change_values(rng, document))


def _edit(model: Path, change: Callable[[dict], str]) -> str:
    """Changes metadata.yaml, which no digest covers."""
    path = model / "metadata.yaml"
    document = yaml.safe_load(path.read_text())
    what = change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return what


def _edit_conversion(rng: np.random.Generator, model: Path) -> str:
    """Changes conversion.json, or puts one beside an export, and makes its digest anew or takes all away."""
    path = model / "conversion.json"
    document = json.loads(path.read_text()) if path.exists() else {"accelerator": "xla", "precision_mode": "FP16"}
    what = edits.change_values(rng, document) if rng.random() < 0.8 else "made up"
    path.write_text(json.dumps(document))
    _reseal(rng, model)
    return what


def _edit_graph(rng: np.random.Generator, model: Path) -> str:
    """Changes signatures, counts and operations of a graph that stays one, and its digest too."""
    what = edits.change_graph(rng, model / "saved_model.pb")
    _reseal(rng, model)
    return what


def _reseal(rng: np.random.Generator, model: Path) -> None:
    """As an older version would have left the directory, without digests, or as somebody who means it."""

    def change(document: dict) -> str:
        files = {path: path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
        digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for path, name in files.items()}
        document["tftrt_yolo"]["files"] = {name: digests[name] for name in digests if name != "metadata.yaml"}
        if rng.random() < 0.5:
            del document["tftrt_yolo"]["files"]
        return ""

    _edit(model, change)
