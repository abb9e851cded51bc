"""Measures the memory of a server whose answers are large: what 64 clients at once cost, and 64 that do not read.

    python benchmarks/serving_answers.py ~/exports                   # some minutes; writes serving_answers.md
    python benchmarks/serving_answers.py ~/exports --clients=8 --table=/dev/stdout

Exports of the tests' models at 320 px are kept in that folder, and taken from there the next time. The server runs in a
process of its own, whose memory is read every 20 ms; it is ended where it takes more than `--most_gb`. Each row begins
with a new server. A request has a few pictures of 8 x 8 pixels: a kilobyte, whose answer is megabytes.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).parent / "serving_answers.md"
MODELS = {"segment": "yolov8n-tiny-segment", "semantic": "yolo26n-tiny-semantic", "depth": "yolo26n-tiny-depth"}
LARGEST = "segment"  # whose answers nobody reads, too
IMAGE_SIZE = 320
PICTURES = 4  # of a request: those of 64 fit into the queue
SECONDS_TO_START = 120
SECONDS_UNREAD = 40.0  # before as many clients more come that do not read, and that all are watched then
HEADER = """# Memory of large answers

What `python benchmarks/serving_answers.py` wrote: the server's own process while {clients} clients each send one
request of {pictures} pictures at once, on {cores} cores without a GPU; models of the tests at {size} px. Its memory is
the greatest of what was seen every 20 ms, less what it had before. *Unread*: twice as many clients, the second half
{seconds:g} s behind the first, which read nothing. *Live* is the longest that `/v2/health/live` took meanwhile, asked
every 50 ms. The load average at the start was {load:.1f}.

"""
COLUMNS = ("model", "form", "an answer, MB", "memory, MB", "seconds", "answers", "live, ms")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--most_gb", type=float, default=6.0)
    parser.add_argument("--forms", default="v2,v2-binary,v1,grpc,v2-unread,grpc-unread")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--flags", default="", help="more flags of serve, divided by blanks")
    parser.add_argument("--table", type=Path, default=TABLE)
    return parser.parse_args()


def main() -> None:
    """Measures and writes."""
    options, load = parse(), os.getloadavg()[0]
    rows = []
    for model in options.models.split(","):
        exported = export(options.exports, model)
        for form in options.forms.split(","):
            if form.endswith("-unread") and model != LARGEST:
                continue
            rows.append(measured(exported, model, form, options))
            sys.stderr.write(" | ".join(rows[-1]) + "\n")
    head = HEADER.format(
        clients=options.clients,
        pictures=PICTURES,
        cores=len(os.sched_getaffinity(0)),
        size=IMAGE_SIZE,
        seconds=SECONDS_UNREAD,
        load=load,
    )
    lines = ["| " + " | ".join(cells) + " |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    options.table.write_text(head + "\n".join(lines) + "\n")


def export(folder: Path, model: str) -> Path:
    """A model's SavedModel, written if it is not there."""
    exported = folder / f"{model}_saved_model"
    if not exported.exists():
        import tftrt_yolo

        tftrt_yolo.export(ROOT / "tests" / "data" / f"{MODELS[model]}.pt", exported, image_size=IMAGE_SIZE)
    return exported


def measured(exported: Path, model: str, form: str, options: argparse.Namespace) -> list[str]:
    """A row of the table."""
    with served(exported, options.flags.split()) as server, concurrent.futures.ThreadPoolExecutor(256) as pool:
        ask = CLIENTS[form.removesuffix("-unread")]
        length, _ = ask(server, model, reads=True)  # it has everything that it needs
        watch = Watch(server, options.most_gb * 1e9)
        start = time.perf_counter()
        reads = not form.endswith("-unread")
        count = options.clients if reads else 2 * options.clients
        found = list(
            pool.map(lambda index: ask(server, model, reads=reads, wave=index // options.clients), range(count))
        )
        seconds = time.perf_counter() - start
        memory, live = watch.end()
        counts = collections.Counter(status for _, status in found)
    answers = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return [model, form, f"{length / 1e6:.1f}", f"{memory / 1e6:,.0f}", f"{seconds:.1f}", answers, f"{live * 1e3:.0f}"]


class Server:
    """A server that runs: its process and its ports."""

    def __init__(self, process: subprocess.Popen, http: int, grpc: int):
        self.process, self.http, self.grpc = process, http, grpc

    def memory(self) -> int:
        """Bytes that its own process has; 0 if it is gone."""
        with contextlib.suppress(OSError):
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def is_live(self) -> bool:
        """Whether it answers at all."""
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/v2/health/live", timeout=60).status == 200
        return False


@contextlib.contextmanager
def served(exported: Path, flags: list[str]):
    """A server that is ready."""
    http, grpc = free_port(), free_port()
    command = [
        Path(sys.executable).with_name("tftrt-yolo"),
        "serve",
        f"--saved_model_dir={exported}",
        f"--http_port={http}",
    ]
    command += [f"--grpc_port={grpc}", "--log_format=none", *flags]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            server, end = Server(process, http, grpc), time.monotonic() + SECONDS_TO_START
            ready = f"http://127.0.0.1:{http}/v2/health/ready"
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(ready, timeout=60)
                    break
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise SystemExit(f"serve did not start:\n{log.read().decode()}")
                time.sleep(0.2)
            yield server
        finally:
            process.kill()


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Watch:
    """Reads a server's memory and its health until the end."""

    def __init__(self, server: Server, most: float):
        self._server, self._most, self._is_over = server, most, False
        self._before = self._peak = server.memory()
        self._live = 0.0
        self._threads = [threading.Thread(target=work) for work in (self._weigh, self._ask)]
        for thread in self._threads:
            thread.start()

    def end(self) -> tuple[int, float]:
        """Bytes that came beyond those before, and the longest seconds of an answer about health."""
        self._is_over = True
        for thread in self._threads:
            thread.join()
        return self._peak - self._before, self._live

    def _weigh(self) -> None:
        while not self._is_over:
            self._peak = max(self._peak, self._server.memory())
            if self._peak > self._most:
                self._server.process.kill()
            time.sleep(0.02)

    def _ask(self) -> None:
        while not self._is_over:
            start = time.perf_counter()
            self._server.is_live()
            self._live = max(self._live, time.perf_counter() - start)
            time.sleep(0.05)


def images() -> np.ndarray:
    """The pictures of a request."""
    return np.random.default_rng(0).integers(0, 256, (PICTURES, 8, 8, 3), np.uint8)


def over_http(
    server: Server, path: str, body: bytes, headers: dict[str, str], *, reads: bool, wave: int = 0
) -> tuple[int, str]:
    """Length of an answer, and its status; of one that is not read what came of it is not known."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Connection: close", f"Content-Length: {len(body)}"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())]).encode()
    time.sleep(wave * SECONDS_UNREAD)
    try:
        with socket.create_connection(("127.0.0.1", server.http), timeout=300) as connection:
            connection.sendall(head + b"\r\n\r\n" + body)
            if not reads:
                time.sleep((2 - wave) * SECONDS_UNREAD)
                return 0, "unread"
            length, first = 0, b""
            while part := connection.recv(1 << 20):
                first, length = first or part, length + len(part)
            return length, first[9:12].decode() or "none"
    except OSError:
        return 0, "cut"


def v2(server: Server, model: str, *, reads: bool, wave: int = 0, is_binary: bool = False) -> tuple[int, str]:
    """The Open Inference Protocol, its answer as JSON or as binary data."""
    array = images()
    tensor = {
        "name": "images",
        "datatype": "UINT8",
        "shape": array.shape,
        "parameters": {"binary_data_size": array.nbytes},
    }
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": is_binary}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    return over_http(server, f"/v2/models/{model}/infer", text + array.tobytes(), headers, reads=reads, wave=wave)


def v2_binary(server: Server, model: str, *, reads: bool, wave: int = 0) -> tuple[int, str]:
    """The same as binary data."""
    return v2(server, model, reads=reads, wave=wave, is_binary=True)


def v1(server: Server, model: str, *, reads: bool, wave: int = 0) -> tuple[int, str]:
    """TensorFlow Serving's REST."""
    body = json.dumps({"inputs": images().tolist()}).encode()
    return over_http(server, f"/v1/models/{model}:predict", body, {}, reads=reads, wave=wave)


def over_grpc(server: Server, model: str, *, reads: bool, wave: int = 0) -> tuple[int, str]:
    """The Open Inference Protocol over gRPC; who does not read leaves as soon as the answer begins to come."""
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    array = images()
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[array.tobytes()])
    request.inputs.add(name="images", datatype="UINT8", shape=array.shape)
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    if not reads:
        return unread_grpc(server, request.SerializeToString(), wave)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}", options=options) as channel:
        try:
            answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=300)
        except grpc.RpcError as error:
            return 0, error.code().name
    return answer.ByteSize(), "OK"


def unread_grpc(server: Server, message: bytes, wave: int) -> tuple[int, str]:
    """A call in frames of HTTP/2, by hand: a client of gRPC's reads whether it is asked to or not."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    path = "/inference.GRPCInferenceService/ModelInfer"
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "a", "te": "trailers"}
    headers["content-type"] = "application/grpc"
    packed = b"".join(b"\0" + text(name) + text(value) for name, value in headers.items())
    data = b"\0" + len(message).to_bytes(4, "big") + message
    frames = [frame(0, 0, 1, data[first : first + 16_384]) for first in range(0, len(data), 16_384)]
    time.sleep(wave * SECONDS_UNREAD)
    try:
        with socket.create_connection(("127.0.0.1", server.grpc), timeout=300) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, packed))
            connection.sendall(b"".join(frames) + frame(0, 1, 1, b""))
            time.sleep((2 - wave) * SECONDS_UNREAD)
    except OSError:
        return 0, "cut"
    return 0, "unread"


CLIENTS = {"v2": v2, "v2-binary": v2_binary, "v1": v1, "grpc": over_grpc}

if __name__ == "__main__":
    main()
