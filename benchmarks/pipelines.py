"""What tf.data costs or gains: `tftrt_yolo.map` beside `Predictor.stream`, from the same files, in turns.

python benchmarks/pipelines.py yolov8n_saved_model                       # prints a table
python benchmarks/pipelines.py yolov8n_saved_model --output=rates.json   # and writes every turn's rate

The files are the pictures of the tests as JPEG of quality 90, scaled to 1,280 x 960 or to --size, on the disk's cache.
Both read, decode, letterbox, run and select; `stream` ends with supervision's objects, `map` with the contract's
tensors. A turn goes through a quarter of the files and through all: the difference gives the rate of a long pass, and
what is left of the short one is the start, in which TensorFlow prepares a data set's graph anew.
"""

import argparse
import functools
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


def write_files(folder: Path, count: int, size_wh: tuple[int, int] = SIZE_WH) -> list[str]:
    """Writes each picture as a JPEG file; so many paths, which repeat if that is more."""
    paths = []
    for path in PICTURES[:count]:
        paths.append(str(folder / f"{path.stem}.jpg"))
        PIL.Image.open(path).convert("RGB").resize(size_wh).save(paths[-1], "JPEG", quality=QUALITY)
    return list(itertools.islice(itertools.cycle(paths), count))


def contestants(saved_model_dir: str, batch_size: int, calls: int) -> dict[str, Callable[[list[str]], Iterator]]:
    """Name to what gives the results of files."""
    predictor = tftrt_yolo.Predictor(saved_model_dir)

    @functools.cache
    def mapped(*paths):
        files = tf.data.Dataset.from_tensor_slices(list(paths)).map(tf.io.read_file, num_parallel_calls=calls)
        return tftrt_yolo.map(files, saved_model_dir, batch_size=batch_size, num_parallel_calls=calls)

    return {
        "Predictor.stream": lambda paths: predictor.stream(paths, batch_size=batch_size),
        "tftrt_yolo.map": lambda paths: iter(mapped(*paths)),
    }


def seconds(runs: dict[str, Callable], paths: list[str], turns: int) -> dict[str, list[tuple[float, float]]]:
    """Name to seconds of the short and of the long pass, turn by turn; every second turn goes the other way round."""
    found = {name: [] for name in runs}
    for turn in range(-1, turns):  # the first warms up
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            times = tuple(_timed(runs[name], own) for own in (paths[: len(paths) // 4], paths))
            if turn >= 0:
                found[name].append(times)
    return found


def _timed(run: Callable[[list[str]], Iterator], paths: list[str]) -> float:
    """Seconds until the last result is there."""
    start = time.perf_counter()
    assert sum(1 for _ in run(paths)) == len(paths)
    return time.perf_counter() - start


def table(found: dict[str, list[tuple[float, float]]], num_images: int) -> str:
    """Medians, spread and ratio to the first."""
    lines = ["| | images/s of a long pass | least to most | to stream | start, s |", "|---|---:|---|---:|---:|"]
    first = None
    for name, times in found.items():
        short, long = np.array(times).T
        rates = (num_images - num_images // 4) / (long - short)
        starts = short - num_images // 4 / rates
        first = rates if first is None else first
        cells = [f"`{name}`", f"{np.median(rates):.2f}", f"{rates.min():.2f} to {rates.max():.2f}"]
        cells += [f"{np.median(rates / first):.3f}", f"{np.median(starts):.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("saved_model_dir")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_parallel_calls", type=int, default=2)
    parser.add_argument("--size", default="x".join(map(str, SIZE_WH)), help="width x height of the files in pixels")
    parser.add_argument("--output")
    arguments = parser.parse_args()
    asked_wh = tuple(int(side) for side in arguments.size.split("x"))
    with tempfile.TemporaryDirectory() as made_here:
        names = write_files(Path(made_here), arguments.images, asked_wh)
        contest = contestants(arguments.saved_model_dir, arguments.batch_size, arguments.num_parallel_calls)
        measured = seconds(contest, names, arguments.turns)
    if arguments.output:
        conditions = vars(arguments) | {"tensorflow": tf.__version__}
        document = {"conditions": conditions, "seconds_of_a_quarter_and_of_all": measured}
        Path(arguments.output).write_text(json.dumps(document, indent=1))
    sys.stdout.write(table(measured, arguments.images) + "\n")
