"""Data sets of every form with a damaged file in them, calibration caches and reports."""

import json
import math
from pathlib import Path

import numpy as np
import PIL.Image

from tests.conftest import DATA, IMAGES
from tests.evaluation.digits import TASKS, data_yaml, model
from tests.fuzz import damages
from tftrt_yolo import BenchmarkError, DataOptions, DatasetError, EvaluationError, ImageError, SensitivityError
from tftrt_yolo.converter.int8 import calibration_cache
from tftrt_yolo.converter.int8.histogram import BINS, Histogram

_TASKS = (*TASKS, "semantic")  # this of polygons
_SIZES_HW = [PIL.Image.open(path).size[::-1] for path in IMAGES[:3]]
_SIZE_HW = list(_SIZES_HW[0])
REFUSALS = (DatasetError, ImageError, BenchmarkError, EvaluationError, SensitivityError, calibration_cache.CacheError)
_WORDS = (
    *(
        "nan",
        "inf",
        "-inf",
        "1e400",
        "-1",
        "1e9",
        "0x10",
        "1_0",
        "9" * 400,
        "-0",
        "",
        "cat",
        "\x1b[31m",
        "\u202e",
        "\0",
    ),
    *(
        "٣",
        "1,5",
        "1.5.5",
        "true",
        "null",
        "~",
        "9223372036854775808",
        "1e-400",
        "../../etc/passwd",
        "/",
        "..",
        "\ufeff",
    ),
)
_YAML = (
    *("*a", "&a [*a]", "!!python/object/apply:os.system ['touch x']", "[" * 500, "{" * 40, "? [a]\n: b", "<<: *a", "|"),
    *(
        "0x" + "f" * 4_000,
        ":".join(["59"] * 300),
        "2001-01-01",
        ".inf",
        ".nan",
        "!!binary aGk=",
        "!!set {a, b}",
        "--- a",
    ),
    *(
        "x" * 5_000,
        "'",
        '"',
        "%TAG ! x",
        "[a, b]",
        "{a: b}",
        "",
        "null",
        "[]",
        "-1",
        "1e999",
        "y: " * 50,
        "/proc",
        "\t- a",
    ),
)
_JSON = (
    *(
        None,
        True,
        -1,
        0,
        1e300,
        1e12,
        10**30,
        10**400,
        "",
        "x" * 5_000,
        "\x1b[2J",
        "\ud800",
        "../x.jpg",
        "/dev/zero",
        [],
    ),
    *(
        {},
        [[]],
        [None],
        [1, 2],
        {"size": 5},
        {"size": _SIZE_HW, "counts": [2**63 - 1, 2**63 - 1, math.prod(_SIZE_HW) + 2]},
        [10**400] * 4,
    ),
    *(
        {"size": _SIZE_HW, "counts": "o" * 500},
        {"size": _SIZE_HW, "counts": [[1], [1, 2]]},
        [1e300] * 6,
        float("nan"),
    ),
)


def _run_lengths(size_hw):
    return {"size": list(size_hw), "counts": [100, math.prod(size_hw) - 100]}


def prepare(folder: Path):
    document = {
        "images": [
            {"id": i, "file_name": IMAGES[i].name, "height": height, "width": width}
            for i, (height, width) in enumerate(_SIZES_HW)
        ],
        "annotations": [
            {
                **{"id": i, "image_id": i % 3, "category_id": i % 10, "bbox": [10, 20, 30, 40], "area": 600.0},
                "iscrowd": i % 2,
                "segmentation": _run_lengths(_SIZES_HW[i % 3]) if i % 2 else [[10, 20, 40, 20, 40, 60]],
                "keypoints": [10, 20, 2, 40, 60, 1, 0, 0, 0],
            }
            for i in range(6)
        ],
        "categories": [{"id": i, "name": str(i)} for i in range(10)],
    }
    path = folder / f"calibration_{'0' * 64}.npz"
    if not path.exists():
        histogram = Histogram(np.ones(BINS, np.int64), 1.0, 0.0, 1.0)
        names = [f"layer{index}" for index in range(3)]
        maxima = {name: np.ones(4, np.float32) for name in names}
        found = calibration_cache.Observations(maxima, dict.fromkeys(names, histogram), np.ones(3, bool))
        calibration_cache.write(path, found)
    return json.dumps(document), path


def case(prepared, rng: np.random.Generator, folder: Path):
    way = str(rng.choice(["label", "label", "yaml", "yaml", "coco", "coco", "list", "cache", "report", "places"]))
    label, bring = globals()[f"_{way}"](prepared, rng, folder)
    return f"{way} {label}", bring


def _options(rng):
    return DataOptions(
        boxes_only=bool(rng.integers(2)),
        skip_missing_images=bool(rng.integers(2)),
        skip_bad_labels=bool(rng.integers(2)),
    )


def _opened(path, task, options):
    from tftrt_yolo.evaluation.datasets.dataset import open_dataset

    def bring():
        for example in open_dataset(path, model(task), options).examples:
            if not example.is_in_pixels:
                example.truth.in_pixels((100, 200))

    return bring


def _changed(path, rng, words):
    """Damages a text file: a word, a line, bytes, its encoding or its size."""
    way = str(rng.choice(["word", "word", "word", "bytes", "encoding", "long", "many", "whole"]))
    text = path.read_text(encoding="utf-8")
    if way == "word":
        for _ in range(rng.integers(1, 4)):
            parts = text.split(" ")
            parts[rng.integers(len(parts))] = words[rng.integers(len(words))]
            text = " ".join(parts)
    elif way == "long":
        text += "\n" + words[rng.integers(len(words))] * int(rng.choice([10, 10_000, 100_000]))
    elif way == "many":
        text = (text + "\n") * min(int(rng.choice([2, 100, 5_000])), 30_000_000 // len(text) + 1)
    data = text.encode("utf-8", errors="surrogatepass")
    if way == "encoding":
        data = text.encode(str(rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7"])), errors="replace")
    elif way == "bytes":
        data = damages.ALL[rng.integers(len(damages.ALL))](data, rng)
    path.write_bytes(data)
    return way


def _label(prepared, rng, folder):
    task, other = str(rng.choice(_TASKS)), str(rng.choice(_TASKS))
    path = data_yaml(folder / "set", task, num_images=2)
    way = _changed(folder / "set" / "labels" / "000000.txt", rng, _WORDS)
    return f"{task} {way}", _opened(path, task if rng.integers(3) else other, _options(rng))


def _yaml(prepared, rng, folder):
    task = str(rng.choice(_TASKS))
    path = data_yaml(folder / "set", task, num_images=2)
    if rng.integers(2):
        document = json.loads(path.read_text())
        path.write_text("".join(f"{key}: {json.dumps(value)} \n" for key, value in document.items()))
    way = _changed(path, rng, _YAML + _WORDS)
    if rng.integers(4) == 0:
        from tftrt_yolo.converter.int8.calibration_images import find_images

        return f"{task} {way} calibration", lambda: find_images(path)
    return f"{task} {way}", _opened(path, task, _options(rng))


def _coco(prepared, rng, folder):
    document, task = json.loads(prepared[0]), str(rng.choice(["detect", "segment", "pose", "obb"]))
    path, way = folder / "instances.json", "whole"
    for _ in range(rng.integers(0, 3)):
        entries = document[str(rng.choice(["images", "annotations", "annotations", "categories"]))]
        if not isinstance(entries, list) or not entries:
            continue
        index, value = rng.integers(len(entries)), _JSON[rng.integers(len(_JSON))]
        if rng.integers(8) == 0 or not isinstance(entries[index], dict):
            entries[index], way = value, "entry"
        else:
            key = str(rng.choice(list(entries[index])))
            entries[index] |= {key: value} if rng.integers(4) else {}
            way = f"value of {key}"
    if rng.integers(10) == 0:
        document[str(rng.choice(list(document)))], way = _JSON[rng.integers(len(_JSON))], "list"
    text = json.dumps(document)
    path.write_bytes(text.encode(errors="surrogatepass"))
    if rng.integers(4) == 0:
        way = _changed(path, rng, (*_WORDS, "[" * 500, "{" * 40, "1" * 5_000, "NaN", "Infinity"))
    options = DataOptions(images_dir=DATA / "images", skip_missing_images=bool(rng.integers(2)))
    return f"{task} {way}", _opened(path, task, options)


def _list(prepared, rng, folder):
    path = data_yaml(folder / "set", "detect", num_images=2, val="some.txt")
    (folder / "set" / "some.txt").write_text("images/000000.jpg \nimages/000001.jpg \n")
    return _changed(folder / "set" / "some.txt", rng, _WORDS), _opened(path, "detect", _options(rng))


def _places(prepared, rng, folder):
    """A fifo, a folder, a device or a long name where a file should be."""
    import os

    path = data_yaml(folder / "set", "detect", num_images=2)
    place = [path, folder / "set" / "labels" / "000000.txt", folder / "set" / "images" / "000000.jpg"][rng.integers(3)]
    way = str(rng.choice(["fifo", "folder", "device", "loop", "gone"]))
    place.unlink()
    match way:
        case "fifo":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "device":
            place.symlink_to("/dev/zero")
        case "loop":
            place.symlink_to(place)
    return f"{way} {place.suffix}", _opened(path, "detect", _options(rng))


def _cache(prepared, rng, folder):
    path = folder / prepared[1].name
    data = prepared[1].read_bytes()
    for _ in range(rng.integers(0, 3)):
        data = damages.ALL[rng.integers(len(damages.ALL))](data, rng)
    path.write_bytes(data)
    return "bytes", lambda: calibration_cache.read(path)


def _report(prepared, rng, folder):
    """A benchmark of this repository, changed."""
    from tftrt_yolo.benchmarking.results.benchmark_report import BenchmarkReport

    sources = sorted((Path(__file__).parents[2] / "benchmarks").glob("*/benchmark.json"))
    path = folder / "benchmark.json"
    path.write_text(sources[rng.integers(len(sources))].read_text(encoding="utf-8"), encoding="utf-8")
    words = (*_WORDS, '"\\u001b[31m":', "[" * 500, "{", "null,", "1e999,", "1" * 5_000, '"x": 1,', "NaN,", "[],", "{},")
    way = _changed(path, rng, words)
    return way, lambda: str(BenchmarkReport.read(path))
