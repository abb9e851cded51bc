"""What decoding a JPEG costs, by decoder: on one thread, on all cores together, and whether the pixels are Pillow's.

python benchmarks/decoders.py                          # pictures of the tests; prints a table in Markdown
python benchmarks/decoders.py ~/photos --threads=16    # JPEG files of a folder, by so many threads
python benchmarks/decoders.py --scaling                # decoded and letterboxed, by 1, 2, 4 ... threads, and processes

Those that are not installed are left out: torchvision, TurboJPEG (with its library), simplejpeg. Each runs five times
in turn with the others; the medians count. One thread is measured in processor time, which other programs on the
machine change little; all cores by the clock.

With --scaling it is what Predictor does with each file: by threads, which take turns with Python's lock a few times for
each picture, and by processes, which do not. How often a thread waited, mostly for the lock, is beside it: on a virtual
machine that is far from free, for a core that has gone to sleep is woken by the host.
"""

import argparse
import importlib
import io
import itertools
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL.Image

from tftrt_yolo.ground.files import jpegs
from tftrt_yolo.ground.files.image_files import Scratch, read_image
from tftrt_yolo.predictor import framing

BY_PILLOW = "read_image without simplejpeg"
PICTURES = Path(__file__).parents[1] / "tests" / "data" / "images"
TURNS, LEAST_SECONDS = 5, 0.5  # how often each is measured, and how long at least
FRAME_HW = (640, 640)


def decoders() -> dict[str, Callable[[bytes], np.ndarray]]:
    """Name to function; those of packages that are not here are left out."""
    memory, buffers = Scratch(), Scratch()
    found = {
        "Pillow": lambda data: np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")),
        BY_PILLOW: read_image,
        "read_image": read_image,
        "read_image, same memory": lambda data: read_image(data, memory=memory),
    }

    def of_simplejpeg(simplejpeg):
        def into_memory(data):
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            return simplejpeg.decode_jpeg(data, "RGB", buffer=buffers.take((height, width)))

        return {"simplejpeg": lambda data: simplejpeg.decode_jpeg(data, "RGB"), "simplejpeg, same memory": into_memory}

    def of_opencv(cv2):
        def decode(data):
            bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

        return {"OpenCV": decode}

    def of_torchvision(torchvision):
        import torch

        def decode(data):
            return torchvision.decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8)).permute(1, 2, 0)

        return {"torchvision": lambda data: decode(data).numpy()}

    def of_turbojpeg(turbojpeg):
        decoder = turbojpeg.TurboJPEG()
        return {"TurboJPEG": lambda data: decoder.decode(data, pixel_format=turbojpeg.TJPF_RGB)}

    def of_tensorflow(tensorflow):
        def decode(data, **options):
            return tensorflow.io.decode_jpeg(data, channels=3, **options).numpy()

        accurate = {"dct_method": "INTEGER_ACCURATE"}
        return {"TensorFlow": decode, "TensorFlow, accurate": lambda data: decode(data, **accurate)}

    modules = {
        **{"simplejpeg": of_simplejpeg, "cv2": of_opencv, "torchvision.io": of_torchvision},
        **{"turbojpeg": of_turbojpeg, "tensorflow": of_tensorflow},
    }
    for module, functions in modules.items():
        try:
            found |= functions(importlib.import_module(module))
        except (ImportError, OSError, RuntimeError) as error:  # TurboJPEG finds its library late
            sys.stderr.write(f"{module} is left out: {error}\n")
    return found


def rate(decode: Callable, files: list[bytes], threads: int, clock: Callable[[], float]) -> float:
    """Files a second, of all threads together."""

    def work(_):
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < LEAST_SECONDS:
            for data in files:
                decode(data)
            count += len(files)
        return count

    start = clock()
    if threads == 1:
        return work(0) / (clock() - start)
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / (clock() - start)


def difference(decode: Callable, files: list[bytes]) -> str:
    """How far pixels are from Pillow's, in words."""
    most = 0
    for data in files:
        expected = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int16)
        most = max(most, int(np.abs(decode(data) - expected).max()))
    return "equal" if most == 0 else f"up to {most}"


def decode_and_letterbox(files: list, seconds: float) -> tuple[int, float, int]:
    """Goes through files, paths or bytes, for so long: how many, in what time, and how often the thread waited."""
    memory, frame, count = Scratch(), np.empty((*FRAME_HW, 3), np.uint8), 0
    given = itertools.cycle(files)
    for _ in range(len(files) // 4 + 1):  # the memory is there, then
        framing.letterbox(read_image(next(given), memory=memory), frame)
    before, start = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw, time.perf_counter()
    while time.perf_counter() - start < seconds:
        framing.letterbox(read_image(next(given), memory=memory), frame)
        count += 1
    elapsed = time.perf_counter() - start
    return count, elapsed, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before


def scaling(files: dict[str, list], most: int) -> list[str]:
    """Lines of Markdown: pictures a second by 1, 2, 4 ... threads and processes, the median of the turns."""
    lines = [
        "| from | workers | threads, pictures/s | waits a picture | processes, pictures/s |",
        "|---|---|---|---|---|",
    ]
    numbers = [*itertools.takewhile(lambda number: number < most, (1 << power for power in range(16))), most]
    for (name, given), number in itertools.product(files.items(), numbers):
        arguments = [given] * number, [LEAST_SECONDS] * number
        found = {ThreadPoolExecutor: [], ProcessPoolExecutor: []}
        for executor, rates in found.items():
            context = {"mp_context": multiprocessing.get_context("spawn")} if executor is ProcessPoolExecutor else {}
            with executor(number, **context) as pool:
                list(pool.map(decode_and_letterbox, *arguments))  # processes have started, then
                for _ in range(TURNS):
                    rows = [*pool.map(decode_and_letterbox, *arguments)]
                    waits = sum(row[2] for row in rows) / sum(row[0] for row in rows)
                    rates.append((sum(count / elapsed for count, elapsed, _ in rows), waits))
        (threads, waits), (processes, _) = (
            (statistics.median(column) for column in zip(*rates, strict=True)) for rates in found.values()
        )
        lines.append(f"| {name} | {number} | {threads:,.0f} | {waits:.1f} | {processes:,.0f} |")
    return lines


def table(files: list[bytes], threads: int) -> list[str]:
    """Lines of Markdown."""
    functions = decoders()
    one, all_cores = {name: [] for name in functions}, {name: [] for name in functions}
    fast = jpegs.simplejpeg
    for _ in range(TURNS):
        for name, decode in functions.items():
            jpegs.simplejpeg = None if name == BY_PILLOW else fast
            one[name].append(rate(decode, files, 1, time.process_time))
            all_cores[name].append(rate(decode, files, threads, time.perf_counter))
    lines = [f"| decoder | ms a picture, one thread | pictures/s, {threads} threads | pixels |", "|---|---|---|---|"]
    for name, decode in functions.items():
        own, together = statistics.median(one[name]), statistics.median(all_cores[name])
        lines.append(f"| {name} | {1e3 / own:.2f} | {together:,.0f} | {difference(decode, files)} |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--scaling", action="store_true")
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.jpg"))[:64]
    pictures = [path.read_bytes() for path in paths]
    sizes = [PIL.Image.open(io.BytesIO(data)).size for data in pictures]
    pixels, length = np.prod(sizes, axis=1).mean(), np.mean([len(data) for data in pictures])
    sys.stdout.write(f"{len(pictures)} files of {length / 1e3:.0f} kB and {pixels / 1e6:.2f} megapixels on average\n\n")
    if arguments.scaling:
        rows = scaling({"bytes": pictures, "files": paths}, arguments.threads)
    else:
        rows = table(pictures, arguments.threads)
    sys.stdout.write("\n".join(rows) + "\n")
