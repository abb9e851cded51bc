"""What tf.data costs or gains: `tftrt_yolo.map` beside `Predictor.stream`, from the same files, in turns.

python benchmarks/pipelines.py yolov8n_saved_model                       # prints a table
python benchmarks/pipelines.py yolov8n_saved_model --output=rates.json   # and writes every turn's rate

The files are the pictures of the tests as JPEG of quality 90, scaled to 1,280 x 960, on the disk's cache. Both read,
decode, letterbox, run and select; `stream` ends with supervision's objects, `map` with the contract's tensors.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf

import tftrt_yolo

PICTURES = sorted(Path(__file__).parents[1].joinpath("tests", "data", "images").glob("*.jpg"))
SIZE_WH, QUALITY = (1_280, 960), 90


def write_files(folder: Path, count: int) -> list[str]:
    """So many JPEG files; their paths."""
    paths = []
    for index, path in zip(range(count), itertools.cycle(PICTURES), strict=False):
        paths.append(str(folder / f"{index:06}.jpg"))
        PIL.Image.open(path).convert("RGB").resize(SIZE_WH).save(paths[-1], "JPEG", quality=QUALITY)
    return paths


def contestants(
    saved_model_dir: str, paths: list[str], batch_size: int, calls: int
) -> dict[str, Callable[[], Iterator]]:
    """Name to what gives the results of all files."""
    predictor = tftrt_yolo.Predictor(saved_model_dir)
    files = tf.data.Dataset.from_tensor_slices(paths).map(tf.io.read_file, num_parallel_calls=2)
    found = tftrt_yolo.map(files, saved_model_dir, batch_size=batch_size, num_parallel_calls=calls)
    return {
        "Predictor.stream": lambda: predictor.stream(paths, batch_size=batch_size),
        "tftrt_yolo.map": lambda: iter(found),
    }


def rates(runs: dict[str, Callable[[], Iterator]], turns: int) -> dict[str, list[float]]:
    """Name to images a second, turn by turn; every second turn goes the other way round."""
    found = {name: [] for name in runs}
    for turn in range(-1, turns):  # the first warms up
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            count = sum(1 for _ in runs[name]())
            if turn >= 0:
                found[name].append(count / (time.perf_counter() - start))
    return found


def table(found: dict[str, list[float]]) -> str:
    """Medians, spread and ratio to the first."""
    first = np.array(next(iter(found.values())))
    lines = ["| | images/s, median | least to most | to stream, median of the turns |", "|---|---:|---|---:|"]
    for name, values in found.items():
        ratio = np.median(np.array(values) / first)
        lines.append(f"| `{name}` | {np.median(values):.2f} | {min(values):.2f} to {max(values):.2f} | {ratio:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("saved_model_dir")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_parallel_calls", type=int, default=2)
    parser.add_argument("--output")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        names = write_files(Path(made), arguments.images)
        runs = contestants(arguments.saved_model_dir, names, arguments.batch_size, arguments.num_parallel_calls)
        measured = rates(runs, arguments.turns)
    if arguments.output:
        conditions = vars(arguments) | {"tensorflow": tf.__version__, "size_wh": SIZE_WH}
        Path(arguments.output).write_text(json.dumps({"conditions": conditions, "images_per_s": measured}, indent=1))
    sys.stdout.write(table(measured) + "\n")
