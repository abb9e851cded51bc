"""Edits of a SavedModel's files: values, names, text, the graph's message, and what stands in a file's place."""

import os
import shutil
import socket
from pathlib import Path

import numpy as np
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

_STRANGE = [
    *(None, True, False, 0, -1, 1, 7, 10**9, 10**18, 10**400, -(10**30), 0.0, 0.5, 1.5, -0.1, 1e308),
    *(
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        "640",
        "true",
        "depth",
        "pose",
        "a" * 3_000,
        "\x1b[31m\u202e",
        "\0",
    ),
    *([], {}, [[]], {"a": {}}, [64, 64], [64.0, 64], [0, 0], [10**9, 64], [64, 96], [64, 64, 64], ["64", 64]),
    *({0: "a"}, {"0": "a"}, {0: 0}, [3, 3], [3, 4], [0, 3], [17, 2], "xla", "FP16", "INT8", "tensorrt", "onednn"),
]
_OPS = ["WriteFile", "ReadFile", "PyFunc", "EagerPyFunc", "PrintV2", "NoSuchOp", "Abort", "MatchingFiles", "\x1b[31m"]
_TEXTS = [
    "[" * 100_000,
    "{a: " * 100_000,
    "- " * 100_000,
    "task: detect\n" * 50_000,
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefghi", "bcdefghij", strict=True)),
    "&a [*a]",
    "!!python/object/apply:os.system ['touch canary']",
    "!!python/name:os.system",
    "a: " + "1:" * 20_000 + "1",
    "a: " + "9" * 200_000,
    "? {a: b}\n: c",
    "a: !!float x",
    "a: !!int ''",
    "a: 2001-99-99",
    "a: !!binary '%'",
    "%YAML 9.9\n---\na: 1",
    "--- 1\n--- 2",
    "\ufeff\ufffe",
    "'" * 100_000,
    '"' * 99_999,
    "a:\n" + "".join(" " * depth + "a:\n" for depth in range(2_000)),
    "",
    "null",
    "[]",
    "5",
    "\t",
]


def pick(rng: np.random.Generator, choices):
    """One of a list, unchanged."""
    return choices[int(rng.integers(len(choices)))]


def change_values(rng: np.random.Generator, document: dict) -> str:
    """Changes one to three values anywhere: another value, none, or one too many."""
    places = []
    for _ in range(int(rng.integers(1, 4))):
        holder, place = document, []
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = pick(rng, keys)
            place.append(str(key))
            inner = holder[key]
            if isinstance(inner, (dict, list)) and inner and rng.random() < 0.7:
                holder = inner
                continue
            _change(rng, holder, key)
            break
        places.append(".".join(place))
    return ",".join(places)[:60]


def _change(rng: np.random.Generator, holder, key) -> None:
    kind = rng.random()
    if kind < 0.7:
        holder[key] = pick(rng, _STRANGE)
    elif kind < 0.85:
        del holder[key]
    elif isinstance(holder, dict):
        holder[pick(rng, ["new", 5, -1, "\x1b[2J", True, 10**30, "files", "names"])] = pick(rng, _STRANGE)


def change_names(rng: np.random.Generator, document: dict) -> str:
    """Another number of names, gaps, doubles, other types."""
    count = int(pick(rng, [0, 1, 9, 11, 80, 1_000, 20_000]))
    forms = {
        "mapping": {index: f"class {index}" for index in range(count)},
        "list": [f"class {index}" for index in range(count)],
        "gap": {2 * index: "a" for index in range(10)},
        "negative": {index - 1: "a" for index in range(10)},
        "text keys": {str(index): "a" for index in range(10)},
        "floats": {index + 0.0: "a" for index in range(10)},
        "numbers": dict.fromkeys(range(10), 5),
        "escapes": dict.fromkeys(range(10), "\x1b[31m\n\u202e"),
        "tuple": "0 1 2 3",
    }
    name = pick(rng, list(forms))
    document["names"] = forms[name]
    return f"{name} {count}"


def write_strange_text(rng: np.random.Generator, path: Path) -> str:
    """Puts a text into a YAML file, in its place, before or behind what it holds."""
    index, old = int(rng.integers(len(_TEXTS))), path.read_text()
    text = pick(rng, [_TEXTS[index], old + "\n" + _TEXTS[index], _TEXTS[index] + "\n" + old])
    path.write_text(text)
    if rng.random() < 0.1:
        path.write_bytes(path.read_bytes() + b"\xff\xfe\x00")
    return f"text {index}"


def replace(rng: np.random.Generator, model: Path, others: list[Path]) -> str:
    """Puts something else into a file's or a folder's place."""
    path = pick(rng, sorted(model.rglob("*")))
    other = pick(rng, others) / path.relative_to(model)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    kinds = ["nothing", "folder", "fifo", "zero", "nowhere", "itself", "sparse", "socket", "empty", "random", "other"]
    kind = pick(rng, kinds)
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "zero" | "nowhere" | "itself":
            path.symlink_to({"zero": "/dev/zero", "nowhere": "/nowhere", "itself": path.name}[kind])
        case "sparse":
            path.touch()
            os.truncate(path, 10 << 30)
        case "socket":
            with socket.socket(socket.AF_UNIX) as one:
                here = os.open(path.parent, os.O_RDONLY)
                one.bind(f"/proc/self/fd/{here}/{path.name}")
                os.close(here)
        case "empty":
            path.touch()
        case "random":
            path.write_bytes(rng.bytes(10_000))
        case "other" if other.is_dir():
            shutil.copytree(other, path)
        case "other" if other.exists():
            shutil.copy(other, path)
    return f"{path.name} by {kind}"


def change_graph(rng: np.random.Generator, path: Path) -> str:
    """Changes a graph's message so that TensorFlow would still take it, or should never come to see it."""
    message = SavedModel.FromString(path.read_bytes())
    [meta_graph] = message.meta_graphs
    signature = meta_graph.signature_def[pick(rng, ["serving_default", "encoded", "padded", "network"])]
    tensors = pick(rng, [signature.inputs, signature.outputs])
    tensor = tensors[pick(rng, sorted(tensors))]
    nodes = [node for function in meta_graph.graph_def.library.function for node in function.node_def]
    match kind := pick(rng, ["axis", "type", "rank", "rename", "drop", "graphs", "objects", "op", "extra", "start"]):
        case "axis" if tensor.tensor_shape.dim:
            pick(rng, tensor.tensor_shape.dim).size = pick(rng, [-1, 0, 1, 3, 4, 9, 11, 63, 96, 300, 301, 2**40])
        case "type":
            tensor.dtype = int(rng.integers(0, 130))
        case "rank":
            tensor.tensor_shape.unknown_rank = True
        case "rename":
            name = pick(rng, sorted(tensors))
            tensors["\x1b[31m"].CopyFrom(tensors[name])
            del tensors[name]
        case "drop":
            del meta_graph.signature_def[pick(rng, sorted(meta_graph.signature_def))]
        case "graphs":
            message.meta_graphs.append(meta_graph) if rng.random() < 0.5 else message.ClearField("meta_graphs")
        case "objects":
            meta_graph.ClearField("object_graph_def")
        case "op":
            pick(rng, nodes).op = pick(rng, _OPS)
        case "extra":
            meta_graph.graph_def.node.add(name="stranger", op=pick(rng, _OPS))
        case "start":
            meta_graph.collection_def["saved_model_main_op"].node_list.value.append("nowhere")
    path.write_bytes(message.SerializeToString())
    return kind
