"""Measures what `batch` costs beside `Predictor.stream` on the same pictures and cores, and writes batch.md.

    python benchmarks/batch.py ~/exports             # exports are kept there, and taken from there the next time
    python benchmarks/batch.py ~/exports 100         # 100 pictures in place of 800

The two ways take turns, each in a process of its own, with all pictures and with an eighth of them: the difference is
of the others alone, without starting Ray and loading the model, and whatever is computed ahead. Processor time is of
all threads and of all processes of a job, Ray's own too.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE, RESULT = (Path(__file__).with_suffix(ending) for ending in (".md", ".json"))
WAYS, ROUNDS, IMAGES, BATCH = ("stream", "batch"), 3, 800, 8
SHARE = 8  # of the pictures, one of so many is in the small run
MARK = "TFTRT_YOLO_BENCHMARK"  # in the environment of all processes of a way
HEADER = """# Batch beside stream

What `python benchmarks/batch.py` wrote, on {cores} cores without a GPU (load average at the end {load:.1f}):
{images} pictures from files, yolov8n at 640 px with random weights, batches of {batch}, Ray {ray}.
Rounds: {rounds}, each way in a process of its own, in turns. What is told is the difference between the best run with
all pictures and the best with an eighth of them, so without Ray's and the model's start. Processor time is of all
processes, a picture: on a machine that others use it tells more than wall time.
*start* is until the first results: Ray, TensorFlow and the model.

"""
COLUMNS = ("way", "pictures/s", "processor ms a picture", "processor to stream", "start s")


def pictures(folder: Path, count: int) -> None:
    """Fills a folder with copies of the tests' pictures."""
    images = sorted((ROOT / "tests" / "data" / "images").glob("*.jpg"))
    for number in range(count):
        image = images[number % len(images)]
        (folder / f"{number:06d}.jpg").write_bytes(image.read_bytes())


def processor_seconds() -> float:
    """Processor time of all processes that have this one's mark, since they began."""
    mark, found = f"{MARK}={os.environ[MARK]}".encode(), 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                found += int(fields[11]) + int(fields[12])  # utime and stime, fields 14 and 15 of proc(5)
        except OSError:  # it has just ended
            continue
    return found / os.sysconf("SC_CLK_TCK")


class Meter:
    """Measures from the first results on."""

    def __init__(self):
        self._began, self._first, self._last = time.perf_counter(), None, None

    def tick(self, done: int, _: object = None) -> None:
        """Takes how many pictures are done."""
        self._last = done, time.perf_counter(), processor_seconds()
        self._first = self._first or self._last

    def result(self) -> dict:
        """The figures."""
        done, until, processor = self._last
        wall, start = until - self._began, self._first[1] - self._began
        return {"pictures": done, "wall": wall, "processor": processor, "start": start}


def run(way: str, exported: str, folder: str) -> dict:
    """Runs one way in this process."""
    meter = Meter()
    import tftrt_yolo

    if way == "stream":
        predictor, paths = tftrt_yolo.Predictor(exported), sorted(Path(folder).iterdir())
        for done, _ in enumerate(predictor.stream(paths, batch_size=BATCH), start=1):
            if done % (5 * BATCH) == 0 or done == len(paths):
                meter.tick(done)
        return meter.result()
    with tempfile.TemporaryDirectory() as output:
        workers = tftrt_yolo.WorkerOptions(batch_size=BATCH)
        tftrt_yolo.batch(exported, folder, Path(output) / "out", workers=workers, on_progress=meter.tick)
    return meter.result()


def difference(of_all: list[dict], of_few: list[dict]) -> dict:
    """What the best run with all pictures has more than the best with few."""
    least = [{name: min(one[name] for one in runs) for name in runs[0]} for runs in (of_all, of_few)]
    return {name: least[0][name] - least[1][name] for name in least[0]} | {"start": min(one["start"] for one in least)}


def in_process(way: str, exported: Path, folder: str) -> dict:
    """Runs one way in a process of its own."""
    environment = os.environ | {MARK: f"{os.getpid()}-{time.monotonic_ns()}", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, way, exported, folder]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(exports_dir: Path, count: int) -> None:
    """Measures both ways and writes the table."""
    import ray

    import tftrt_yolo

    exports_dir.mkdir(parents=True, exist_ok=True)
    exported = exports_dir / "yolov8n_saved_model"
    if not exported.exists():
        tftrt_yolo.export("yolov8n.yaml", exported)
    found = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as small:
        pictures(Path(large), count)
        pictures(Path(small), count // SHARE)
        for way in [*WAYS] * ROUNDS:
            found[way].append([in_process(way, exported, folder) for folder in (large, small)])
            sys.stderr.write(f"{way} {found[way][-1]}\n")
    best = {way: difference(*zip(*runs, strict=True)) for way, runs in found.items()}
    RESULT.write_text(
        json.dumps({"images": count, "cores": os.cpu_count(), "best": best, "all": found}, indent=1) + "\n"
    )
    text = HEADER.format(
        cores=os.cpu_count(), load=os.getloadavg()[0], images=count, batch=BATCH, ray=ray.__version__, rounds=ROUNDS
    )
    each = {way: 1_000 * one["processor"] / one["pictures"] for way, one in best.items()}
    rows = [
        (
            way,
            f"{one['pictures'] / one['wall']:.1f}",
            f"{each[way]:.1f}",
            f"{each[way] / each['stream']:.2f}",
            f"{one['start']:.1f}",
        )
        for way, one in best.items()
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    TABLE.write_text(text + "\n".join(lines) + "\n")
    sys.stdout.write(TABLE.read_text())


if __name__ == "__main__":
    if sys.argv[1] in WAYS:
        sys.stdout.write(json.dumps(run(*sys.argv[1:])) + "\n")
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else IMAGES)
