"""Measures what a user waits for: one picture, part by part, and streams of JPEG files; prints JSON, line by line.

    python benchmarks/from_files.py yolov8n_saved_model photos
    python benchmarks/from_files.py yolov8n_saved_model photos --weights=yolov8n.pt --batch_sizes=1,8 > from_files.jsonl
    taskset -c 0,1 python benchmarks/from_files.py yolov8n_xla_saved_model photos --batch_sizes=1,32,64

Each line is printed as soon as it is known. Parts are the medians of one call each, in ms, with the 5th and the 95th
percentile: what runs on a GPU is waited for. The limit is how many files a second all threads decode and lay into
frames, without any network: what a stream could reach at most. With `--weights` Ultralytics' `predict` reads the same
files, where it and its torchvision work beside TensorFlow.
"""

import argparse
import functools
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

import tftrt_yolo
from tftrt_yolo import contract
from tftrt_yolo.ground.files import image_files, jpegs
from tftrt_yolo.predictor import framing
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model

CALLS, CALLS_BEFORE = 200, 40  # of each part; the first are not counted
WINDOWS = 3


def say(**line) -> None:
    """Prints one result."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def times_of(call: Callable[[int], object], count: int = CALLS) -> dict[str, float]:
    """Milliseconds of a call: median, 5th and 95th percentile."""
    for index in range(CALLS_BEFORE):
        call(index)
    found = []
    for index in range(count):
        start = time.perf_counter()
        call(index)
        found.append(1e3 * (time.perf_counter() - start))
    found.sort()
    rows = {"p50": statistics.median(found), "p05": found[count // 20], "p95": found[-1 - count // 20]}
    return {name: round(value, 3) for name, value in rows.items()}


def one_picture(saved_model_dir: str, files: list[bytes]) -> None:
    """One picture as an array and as a file, and the parts of that."""
    arrays = [image_files.read_image(data) for data in files]
    predictor = tftrt_yolo.Predictor(saved_model_dir)
    predictor.warm_up((1,))
    say(what="model", backend=str(predictor.backend), decoder=jpegs.decoder(), picture=list(arrays[0].shape))
    say(what="array", **times_of(lambda index: predictor(arrays[index % len(arrays)])))
    say(what="JPEG bytes", **times_of(lambda index: predictor(files[index % len(files)])))
    say(what="part: decode", **times_of(lambda index: image_files.read_image(files[index % len(files)])))
    size_hw, fit = predictor.metadata.image_size_hw, framing.fit_of(is_cropped=predictor.task.is_cropped)
    frame = np.empty((1, *size_hw, 3), np.uint8)
    say(what="part: letterbox", **times_of(lambda index: fit(arrays[index % len(arrays)], frame[0])))
    signatures, backend = load.load(open_saved_model(saved_model_dir), strict=False)
    sizes, place = tf.constant([arrays[0].shape[:2]]), "/GPU:0" if backend.uses_gpu else "/CPU:0"
    host = tf.constant(frame)

    def there(tensor: tf.Tensor) -> None:
        """Waits for a tensor."""
        tf.reshape(tensor, (-1,))[:1].numpy()

    def up(_: int) -> None:
        with tf.device(place):
            there(tf.identity(host))

    if backend.uses_gpu:
        say(what="part: up", **times_of(up))
    with tf.device(place):
        frames = tf.identity(host)
        dense = tf.cast(frames, tf.float32) / 255.0
    network, framed = signatures[contract.NETWORK], signatures[contract.FRAMED]
    say(what="part: network", **times_of(lambda _: there(next(iter(network(frames=dense).values())))))
    both = functools.partial(framed, frames=frames, sizes=sizes)
    say(what="part: network and selection", **times_of(lambda _: there(next(iter(both().values())))))
    say(what="part: and outputs back", **times_of(lambda _: [value.numpy() for value in both().values()]))


def rates_of(items: Iterable, run: Callable[[Iterable], Iterable], seconds: float, warm: int) -> dict:
    """Items a second: the median of windows, the least and the most."""
    rates = []
    for _ in range(WINDOWS):
        end = float("inf")

        def until():
            for item in itertools.cycle(items):
                if time.perf_counter() > end:  # noqa: B023 - set below, before this window ends
                    return
                yield item

        results = iter(run(until()))
        for _ in range(warm):
            next(results)
        start = time.perf_counter()
        end = start + seconds
        count = sum(1 for _ in results)
        rates.append(count / (time.perf_counter() - start))
    return {"rate": round(statistics.median(rates), 1), "least": round(min(rates), 1), "most": round(max(rates), 1)}


def limit(size_hw: tuple[int, int], files: list[bytes], seconds: float) -> dict:
    """Files a second that all threads decode and lay into frames."""
    memory, cores = jpegs.Scratch(), len(os.sched_getaffinity(0))

    def work(end: float) -> int:
        frame, count = np.empty((*size_hw, 3), np.uint8), 0
        for data in itertools.cycle(files):
            if time.perf_counter() > end:
                return count
            framing.letterbox(image_files.read_image(data, memory=memory), frame)
            count += 1
        return count

    with ThreadPoolExecutor(cores) as pool:
        rates = []
        for _ in range(WINDOWS):
            start = time.perf_counter()
            counts = list(pool.map(work, [start + seconds] * cores))
            rates.append(sum(counts) / (time.perf_counter() - start))
    return {"rate": round(statistics.median(rates), 1), "least": round(min(rates), 1), "most": round(max(rates), 1)}


def streams(saved_model_dir: str, paths: list[Path], batch_sizes: list[int], seconds: float) -> None:
    """Streams of files and of arrays."""
    predictor = tftrt_yolo.Predictor(saved_model_dir)
    predictor.warm_up(batch_sizes)
    sources = {"files": paths, "arrays": [image_files.read_image(path) for path in paths]}
    for (name, items), size in itertools.product(sources.items(), batch_sizes):
        run = functools.partial(predictor.stream, batch_size=size)
        say(what=f"stream of {name}", batch_size=size, **rates_of(items, run, seconds, 3 * size))


def ultralytics(weights: str, paths: list[Path], size_hw: tuple[int, int], batch_sizes: list[int], seconds: float):
    """Ultralytics' predict on the same files."""
    try:
        from ultralytics import YOLO
    except (ImportError, RuntimeError) as error:  # torchvision's where it was built for another torch
        say(what="Ultralytics predict", error=str(error))
        return
    model = YOLO(weights)
    for size in batch_sizes:

        def run(items: Iterable, size: int = size) -> Iterable:
            while some := list(itertools.islice(items, size)):
                yield from model.predict([str(path) for path in some], imgsz=size_hw, batch=size, verbose=False)

        say(what="Ultralytics predict of files", batch_size=size, **rates_of(paths, run, seconds, 3 * size))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved_model_dir")
    parser.add_argument("images_dir", type=Path)
    parser.add_argument("--batch_sizes", default="1,8")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a window")
    parser.add_argument("--weights", help="a checkpoint for Ultralytics")
    given = parser.parse_args()
    paths = sorted(given.images_dir.resolve().glob("*.jpg"))[:64]
    files, sizes = [path.read_bytes() for path in paths], [int(size) for size in given.batch_sizes.split(",")]
    size_hw = open_saved_model(given.saved_model_dir).metadata.image_size_hw
    say(what="machine", cores=len(os.sched_getaffinity(0)), load=round(os.getloadavg()[0], 1), files=len(files))
    say(what="limit: decode and letterbox", **limit(size_hw, files, given.seconds))
    one_picture(given.saved_model_dir, files)
    streams(given.saved_model_dir, paths, sizes, given.seconds)
    if given.weights:
        ultralytics(given.weights, paths, size_hw, sizes, given.seconds)


if __name__ == "__main__":
    main()
