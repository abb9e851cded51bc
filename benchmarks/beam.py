"""Measures Beam's RunInference beside `Predictor.stream` from the same files, and prints the table of the page on it.

    .venv-beam/bin/python benchmarks/beam.py yolov8n_saved_model            # 5 rounds of 400 files
    .venv-beam/bin/python benchmarks/beam.py yolov8n_saved_model 3 200

Each way runs in a process of its own, and the ways take turns. A rate is that of the second half of the results, in the
order in which they come, so that neither start-up nor what is on its way at the end counts; batches of 8. Processor
time is that of all threads of the whole process, a file. The files are the tests' pictures at 640 x 480, as JPEG of
quality 90.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SIZE, QUALITY, BATCH = (640, 480), 90, 8
WAYS = ("stream", "RunInference", "RunInference from MatchFiles")


def write_files(folder: Path, count: int) -> None:
    """Writes the pictures."""
    import PIL.Image

    pictures = sorted((ROOT / "tests" / "data" / "images").glob("*.jpg"))
    for number in range(count):
        picture = PIL.Image.open(pictures[number % len(pictures)]).convert("RGB").resize(SIZE)
        picture.save(folder / f"{number:06}.jpg", quality=QUALITY)


def note(_: object, log: str) -> None:
    """Notes when a result comes."""
    with open(log, "a") as file:
        file.write(f"{time.monotonic()}\n")


def read(path: str) -> tuple[str, bytes]:
    """A file with its path."""
    return path, Path(path).read_bytes()


def run_stream(model: str, paths: list[str], log: str) -> None:
    """What is compared with."""
    import tftrt_yolo

    for result in tftrt_yolo.Predictor(model).stream(paths, batch_size=BATCH):
        note(result, log)


def run_beam(model: str, paths: list[str], log: str, *, is_matched: bool) -> None:
    """A pipeline in this process: the runner that DirectRunner takes where it cannot download another."""
    import apache_beam as beam
    from apache_beam.io import fileio
    from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    from tftrt_yolo.beam import ModelHandler

    handler = KeyedModelHandler(ModelHandler(model, max_batch_size=BATCH))
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        if is_matched:
            matched = pipeline | fileio.MatchFiles(str(Path(paths[0]).parent / "*.jpg")) | fileio.ReadMatches()
            files = matched | beam.Map(lambda file: (file.metadata.path, file.read()))
        else:
            files = pipeline | beam.Create(paths) | beam.Map(read)
        _ = files | RunInference(handler) | beam.Map(note, log)


def run(way: str, model: str, folder: str) -> None:
    """Runs one way here, and prints what it took."""
    paths = sorted(map(str, Path(folder).glob("*.jpg")))
    with tempfile.NamedTemporaryFile() as log:
        if way == "stream":
            run_stream(model, paths, log.name)
        else:
            run_beam(model, paths, log.name, is_matched=way.endswith("MatchFiles"))
        times = sorted(map(float, Path(log.name).read_text().split()))
    assert len(times) == len(paths), f"{len(times)} results of {len(paths)} files"
    half = len(times) // 2
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "rate": (len(times) - half) / (times[-1] - times[half - 1]),
        "processor_ms": (used.ru_utime + used.ru_stime) * 1e3 / len(times),
        "peak_mb": used.ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(found) + "\n")


def measure(model: str, rounds: int, count: int) -> list[str]:
    """The lines of the table."""
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), count)
        for number in range(rounds):
            for way in WAYS if number % 2 == 0 else reversed(WAYS):
                command = [sys.executable, __file__, "--way", way, model, folder]
                environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
                ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if ended.returncode:
                    sys.exit(ended.stderr)
                found[way].append(json.loads(ended.stdout.splitlines()[-1]))
                sys.stderr.write(f"{way} {found[way][-1]}\n")
    lines = ["| way | files/s: median, least, most | to `stream` in its round: median | processor ms | peak MB |"]
    lines.append("|---|---|---:|---:|---:|")
    for way, runs in found.items():
        rates = [one["rate"] for one in runs]
        ratios = [rate / other["rate"] for rate, other in zip(rates, found["stream"], strict=True)]
        medians = [statistics.median(one[name] for one in runs) for name in ("processor_ms", "peak_mb")]
        rate = f"{statistics.median(rates):.1f}, {min(rates):.1f}, {max(rates):.1f}"
        lines.append(f"| {way} | {rate} | {statistics.median(ratios):.2f} | {medians[0]:.0f} | {medians[1]:,.0f} |")
    return lines


if __name__ == "__main__":
    if sys.argv[1] == "--way":
        run(*sys.argv[2:])
    else:
        rounds, count = (int(text) for text in (*sys.argv[2:], *("5", "400")[len(sys.argv) - 2 :]))
        sys.stdout.write("\n".join(measure(os.path.abspath(sys.argv[1]), rounds, count)) + "\n")
