"""Measures what a server costs beside calls in Python, with Triton's perf_analyzer, and writes serving.md.

    python benchmarks/serving.py ~/exports                  # a quarter of an hour on two cores without other work
    python benchmarks/serving.py ~/exports --seconds=1 --rounds=1 --models=tiny

Exports are kept in that folder, and taken from there the next time. The contestants take turns, round by round, each
alone on the machine: `serve` over HTTP and gRPC, `serve --backend=pytriton` (NVIDIA's server) over both, Predictor on
the same JPEGs, and signature `encoded` called in Python, which TensorFlow Serving runs. It needs the extras serve and
triton; perf_analyzer is in tritonclient's wheel, and the libraries that it lacks are in PyTriton's.
"""

import argparse
import base64
import contextlib
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import tftrt_yolo

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).parent / "serving.md"
MODELS = {  # name to weights and side of the frame
    "digits": (ROOT / "tftrt_yolo" / "assets" / "yolov8n-digits.pt", 640),
    "tiny": (ROOT / "tests" / "data" / "yolov8n-tiny-detect.pt", 320),
}
CONCURRENCIES = (1, 8, 32)
SERVERS = {"serve": (), "pytriton": ("--backend=pytriton",)}
LEAST_ROUNDS = 3  # requests of each of perf_analyzer's threads
SECONDS_TO_START = 180
ATTEMPTS = 3  # perf_analyzer itself crashes now and then, in one of some hundred runs
SECONDS_TO_SETTLE = 10  # in which `serve` prepares thresholds of requests, beside what it answers
HEADER = """# Serving beside calls in Python

What `python benchmarks/serving.py` wrote: pictures a second and the latency of a request, medians of {rounds} rounds of
{seconds:g} s with the least and the most, on {cores} cores without a GPU. Requests are of one JPEG each, from
perf_analyzer 2.51.0 on the same machine, whose time is in them; batches are of up to 16. *Predictor* is called with one
JPEG, with 8, and its `stream` with batches of 16; *encoded* is that signature, called in Python with as many: what
TensorFlow Serving runs, which decodes and letterboxes in TensorFlow. *to Predictor* is the rate beside Predictor's of
the same column; the aim is 0.90 at concurrency 1 and 1.00 at 8. A server's first ten seconds are not measured. `digits`
is yolov8n at 640 px, `tiny` a narrow network at 320 px. The load average at the start was {load:.1f}.

"""
COLUMNS = ("model", "contestant", "concurrency", "pictures/s", "least to most", "p50 ms", "p99 ms", "to Predictor")


def pictures() -> list[bytes]:
    """The JPEGs of all requests."""
    return [path.read_bytes() for path in sorted((ROOT / "tests" / "data" / "images").glob("*.jpg"))[:8]]


def in_python(saved_model_dir: str, contestant: str, concurrency: int, seconds: float) -> dict:
    """Calls without a server, in a process of their own: rate, and milliseconds of a call."""
    import tensorflow as tf

    files, size = pictures(), {1: 1, 8: 8}.get(concurrency, 16)
    batches = itertools.cycle([[files[(start + i) % len(files)] for i in range(size)] for start in range(len(files))])
    if contestant == "Predictor":
        predictor = tftrt_yolo.Predictor(saved_model_dir)

        def call(batch):
            predictor(batch, batch_size=size)
    else:
        signature = tf.saved_model.load(saved_model_dir).signatures["encoded"]

        def call(batch):
            {name: value.numpy() for name, value in signature(image_bytes=tf.constant(batch)).items()}

    for _ in range(3):
        call(next(batches))
    if contestant == "Predictor" and concurrency > 8:
        return _streamed(predictor, files, size, seconds)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call(next(batches))
        times.append(time.perf_counter() - start)
    return {"rate": size * len(times) / sum(times), **_latencies(times)}


def _streamed(predictor, files: list[bytes], size: int, seconds: float) -> dict:
    """The rate of `stream`; its results have no latency of their own."""
    end = time.perf_counter() + seconds
    endless = itertools.takewhile(lambda _: time.perf_counter() < end, itertools.cycle(files))
    start = time.perf_counter()
    count = sum(1 for _ in predictor.stream(endless, batch_size=size))
    return {"rate": count / (time.perf_counter() - start), "p50": None, "p99": None}


@contextlib.contextmanager
def served(saved_model_dir: Path, flags: tuple[str, ...]):
    """Runs a server; gives the addresses of its doors."""
    command = [sys.executable, "-m", "tftrt_yolo", "serve", f"--saved_model_dir={saved_model_dir}"]
    command += ["--http_port=0", "--grpc_port=0", *(flags or ("--log_format=none",))]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(4)]
            found = re.findall(r"127\.0\.0\.1:\d+", "".join(lines))
            time.sleep(SECONDS_TO_SETTLE)
            yield {"http": found[0], "grpc": found[1]}
        finally:
            process.terminate()
            process.wait(SECONDS_TO_START)


def analyzed(room: Path, model: str, protocol: str, address: str, concurrency: int, requests: int) -> dict:
    """What perf_analyzer saw of a server in so many requests: their times, for its own rates are of whole seconds."""
    report = room / "report.json"
    report.unlink(missing_ok=True)
    command = [str(Path(sysconfig.get_path("scripts")) / "perf_analyzer"), "-m", model, "-i", protocol, "-u", address]
    command += [f"--input-data={room / 'pictures.json'}", f"--concurrency-range={concurrency}"]
    command += [f"--request-count={requests}", f"--profile-export-file={report}"]
    environment = os.environ | {"LD_LIBRARY_PATH": str(room)}
    for _ in range(ATTEMPTS):
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS_TO_START)
        if result.returncode >= 0:
            break
        sys.stderr.write(f"perf_analyzer died of signal {-result.returncode}; once more\n")
    if not report.exists():
        raise RuntimeError(f"perf_analyzer ended with status {result.returncode}:\n{result.stdout}{result.stderr}")
    text = report.read_text(encoding="utf-8", errors="replace")  # the pictures stand in it as they are
    [experiment] = json.loads(text, strict=False)["experiments"]
    pairs = [(one["timestamp"], one["response_timestamps"][-1]) for one in experiment["requests"]]
    seconds = (max(end for _, end in pairs) - min(start for start, _ in pairs)) / 1e9
    return {"rate": len(pairs) / seconds, **_latencies([(end - start) / 1e9 for start, end in pairs])}


def _latencies(seconds: list[float]) -> dict[str, float]:
    """The median and the 99th percentile, in ms."""
    ordered = sorted(seconds)
    return {"p50": 1e3 * statistics.median(ordered), "p99": 1e3 * ordered[int(0.99 * (len(ordered) - 1))]}


def prepare(room: Path) -> None:
    """Writes perf_analyzer's input, and links the libraries that it lacks."""
    import pytriton

    libraries = Path(pytriton.__file__).parents[1] / "nvidia_pytriton.libs"
    for name, pattern in (("libb64.so.0d", "libb64-*"), ("libcudart.so.12", "libcudart-*")):
        (room / name).symlink_to(next(libraries.glob(pattern)))
    rows = []
    for file in pictures():
        data = len(file).to_bytes(4, "little") + file  # a string of Triton's has its length before it
        rows.append({"image_bytes": {"b64": base64.b64encode(data).decode()}})
    (room / "pictures.json").write_text(json.dumps({"data": rows}), encoding="utf-8")


def measure(name: str, exported: Path, room: Path, seconds: float, rounds: int) -> list[dict]:
    """Measures every contestant with every concurrency, in turns."""
    found, model = defaultdict(list), exported.resolve().name.removesuffix("_saved_model")
    for number in range(rounds):
        for contestant, concurrency in itertools.product(("encoded", "Predictor"), CONCURRENCIES):
            command = [
                sys.executable,
                __file__,
                f"--child={exported},{contestant},{concurrency}",
                f"--seconds={seconds}",
            ]
            result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS_TO_START)
            found[contestant, concurrency].append(json.loads(result.stdout.splitlines()[-1]))
        for server, flags in SERVERS.items():
            with served(exported, flags) as addresses:
                for (protocol, address), concurrency in itertools.product(addresses.items(), CONCURRENCIES):
                    analyzed(room, model, protocol, address, concurrency, concurrency)  # not counted
                    rate = found["Predictor", concurrency][-1]["rate"]
                    requests = max(LEAST_ROUNDS * concurrency, round(rate * seconds))
                    one = analyzed(room, model, protocol, address, concurrency, requests)
                    found[f"{server}, {protocol}", concurrency].append(one)
        sys.stderr.write(f"{name}: round {number + 1} of {rounds}\n")
    own = {key: statistics.median(one["rate"] for one in found["Predictor", key]) for key in CONCURRENCIES}
    return [_row(name, *key, values, own[key[1]]) for key, values in found.items()]


def _row(name: str, contestant: str, concurrency: int, values: list[dict], own: float) -> dict[str, str]:
    """A line of the table."""
    rates = [one["rate"] for one in values]
    latencies = {
        key: "" if values[0][key] is None else f"{statistics.median(one[key] for one in values):.1f}"
        for key in ("p50", "p99")
    }
    return {
        "model": name,
        "contestant": contestant,
        "concurrency": str(concurrency),
        "pictures/s": f"{statistics.median(rates):.1f}",
        "least to most": f"{min(rates):.1f} to {max(rates):.1f}",
        "p50 ms": latencies["p50"],
        "p99 ms": latencies["p99"],
        "to Predictor": f"{statistics.median(rates) / own:.2f}",
    }


def main(exports_dir: Path, names: list[str], seconds: float, rounds: int) -> None:
    """Measures the models and writes the table."""
    load, rows = os.getloadavg()[0], []
    for name in names:
        weights, side = MODELS[name]
        exported = exports_dir / f"{name}_saved_model"
        if not exported.exists():
            tftrt_yolo.export(weights, exported, image_size=side)
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder))
            rows += measure(name, exported, Path(folder), seconds, rounds)
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(row[column] for column in COLUMNS)} |" for row in rows]
    header = HEADER.format(rounds=rounds, seconds=seconds, cores=os.cpu_count(), load=load)
    TABLE.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exports_dir", type=Path, nargs="?", default=Path("runs/serving"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        saved_model, who, how_many = given.child.rsplit(",", 2)
        sys.stdout.write(json.dumps(in_python(saved_model, who, int(how_many), given.seconds)) + "\n")
    else:
        main(given.exports_dir, given.models.split(","), given.seconds, given.rounds)
