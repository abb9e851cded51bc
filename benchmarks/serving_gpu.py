"""Measures `serve` over loopback beside `Predictor.stream` of the same JPEGs, for a machine with a GPU; prints JSON.

    python benchmarks/serving_gpu.py yolov8n_xla_saved_model photos --concurrency=64,1 --seconds=30

The server is started, client processes ask for --seconds with each concurrency, then it is ended, and `stream` runs for
as long, unless --no_stream. Clients are
plain connections of Python's http.client with the protocol's binary form, so the extra triton is not needed. The load
is bounded in time and ends by itself. The aim is 0.70 of `stream` at concurrency 64.
"""

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

WARM_SECONDS, SECONDS_TO_START = 3.0, 600


def body_of(picture: bytes) -> tuple[bytes, dict[str, str]]:
    """A request for one picture: JSON, and the bytes behind it."""
    data = len(picture).to_bytes(4, "little") + picture
    tensor = {"name": "image_bytes", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + data, {"Inference-Header-Content-Length": str(len(head))}


def ask(address: str, model: str, pictures: list[bytes], threads: int, seconds: float, results) -> None:
    """One client process: as many connections as threads, each with one request at a time."""
    bodies = [body_of(picture) for picture in pictures]
    times, failures, lock = [], [], threading.Lock()
    begin = time.perf_counter() + WARM_SECONDS
    end = begin + seconds

    def go(first: int) -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        own = []
        for index in itertools.count(first):
            start = time.perf_counter()
            if start > end:
                break
            body, headers = bodies[index % len(bodies)]
            connection.request("POST", f"/v2/models/{model}/infer", body, headers)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                failures.append(answer[:200].decode(errors="replace"))
            elif start >= begin:
                own.append(time.perf_counter() - start)
        connection.close()
        with lock:
            times.extend(own)

    workers = [threading.Thread(target=go, args=(index,)) for index in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    results.put((times, failures))


def of_server(given: argparse.Namespace, pictures: list[bytes]) -> dict[int, dict]:
    """Rate and latencies of a server, by concurrency."""
    command = [sys.executable, "-m", "tftrt_yolo", "serve", f"--saved_model_dir={given.saved_model_dir}"]
    command += ["--http_port=0", "--grpc_port=-1", "--log_format=none", f"--max_batch_size={given.batch_size}"]
    command += [f"--processes={given.processes}"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        try:
            lines = [server.stdout.readline() for _ in range(3)]
            [address] = re.findall(r"127\.0\.0\.1:\d+", "".join(lines))
            model = re.search(r"model +(\S+) version", "".join(lines))[1]
            found = {}
            for concurrency in given.concurrency:
                found[concurrency] = _asked_by_processes(given, concurrency, address, model, pictures)
                sys.stderr.write(f"serve, {concurrency}: {found[concurrency]}, {lines[2].strip()}\n")
            return found
        finally:
            server.terminate()
            server.wait(SECONDS_TO_START)


def _asked_by_processes(
    given: argparse.Namespace, concurrency: int, address: str, model: str, pictures: list[bytes]
) -> dict:
    """What client processes measured together."""
    context = multiprocessing.get_context("spawn")
    results, threads = context.Queue(), max(1, concurrency // given.clients)
    arguments = (address, model, pictures, threads, given.seconds, results)
    clients = [context.Process(target=ask, args=arguments) for _ in range(min(given.clients, concurrency))]
    for client in clients:
        client.start()
    found = [results.get(timeout=given.seconds + 300) for _ in clients]
    for client in clients:
        client.join()
    times = sorted(itertools.chain.from_iterable(times for times, _ in found))
    failures = list(itertools.chain.from_iterable(failures for _, failures in found))
    return {
        "pictures_per_second": len(times) / given.seconds,
        "p50_ms": 1e3 * statistics.median(times) if times else None,
        "p99_ms": 1e3 * times[int(0.99 * (len(times) - 1))] if times else None,
        "failures": len(failures),
        "first_failure": failures[0] if failures else "",
    }


def of_stream(given: argparse.Namespace, pictures: list[bytes]) -> dict:
    """The rate of `Predictor.stream` from the same JPEGs."""
    import tftrt_yolo

    predictor = tftrt_yolo.Predictor(given.saved_model_dir)
    predictor.warm_up((given.batch_size,))
    list(
        predictor.stream(itertools.islice(itertools.cycle(pictures), 8 * given.batch_size), batch_size=given.batch_size)
    )
    end = time.perf_counter() + given.seconds
    endless = itertools.takewhile(lambda _: time.perf_counter() < end, itertools.cycle(pictures))
    start = time.perf_counter()
    count = sum(1 for _ in predictor.stream(endless, batch_size=given.batch_size))
    return {"pictures_per_second": count / (time.perf_counter() - start), "backend": str(predictor.backend)}


def main() -> None:
    """Measures both and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved_model_dir")
    parser.add_argument("images_dir", type=Path)
    parser.add_argument("--concurrency", type=lambda text: [*map(int, text.split(","))], default=[64])
    parser.add_argument("--clients", type=int, default=8, help="processes that ask")
    parser.add_argument("--processes", type=int, default=1, help="of the server, that hold the model")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--no_stream", action="store_true")
    given = parser.parse_args()
    pictures = [path.read_bytes() for path in sorted(given.images_dir.glob("*.jpg"))[:64]]
    found = {"batch_size": given.batch_size, "processes": given.processes, "seconds": given.seconds}
    found["serve"] = of_server(given, pictures)
    if not given.no_stream:
        found["stream"] = of_stream(given, pictures)
        rate = found["stream"]["pictures_per_second"]
        found["to_stream"] = {key: one["pictures_per_second"] / rate for key, one in found["serve"].items()}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
