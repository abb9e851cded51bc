"""Many requests, some of them bad or cut, while processes are killed and versions come: what became of each.

    python -m tests.serving.soak --requests=100000 --bad=0.01 --cut=0.01 --kill_seconds=30 --reload_seconds=60

It starts `tftrt-yolo serve` with a small model, asks it over HTTP and gRPC, compares every answer with what Predictor
gives, and writes the counts as JSON. A request is right, refused by a clear status, cut by its own client, lost (no
answer, or one that is no answer) or mixed up (another request's answer).
"""

import argparse
import collections
import contextlib
import dataclasses
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import tftrt_yolo
from tests.conftest import IMAGES, TINY_WEIGHTS

MODEL = "digits"
TIMEOUT = 90.0  # seconds that a client waits
OUTPUTS = ("num_detections", "boxes", "scores", "classes", "status")
_EXPECTED = (  # where the machine is slow, or the queue full
    "HTTP 503",
    "HTTP 504",
    "gRPC StatusCode.UNAVAILABLE",
    "gRPC StatusCode.DEADLINE_EXCEEDED",
)
JUNK = (b"", b"no image", b"\xff\xd8\xff\xe0 cut short")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a soak goes.

    Attributes:
      requests: How many.
      clients: Threads that send them; every other speaks gRPC.
      bad: Share of them that are no picture.
      cut: Share of them whose client goes away.
      kill_seconds: After which one of the models' processes is killed; 0 for never.
      reload_seconds: After which a new version comes; 0 for never.
      seed: Of what is chosen by chance.
    """

    requests: int = 2_000
    clients: int = 8
    bad: float = 0.01
    cut: float = 0.01
    kill_seconds: float = 30.0
    reload_seconds: float = 60.0
    seed: int = 0


class Soak:
    """One run."""

    def __init__(self, plan: Plan, saved_model_dir: Path, folder: Path):
        """Prepares the repository and what is expected."""
        self._plan, self._source, self._repository = plan, saved_model_dir, folder / "models"
        (self._repository / MODEL).mkdir(parents=True)
        self._version = 0
        self._reload()
        self._files = [path.read_bytes() for path in IMAGES]
        predictor = tftrt_yolo.Predictor(saved_model_dir)
        self._expected = predictor(self._files)
        self._counts, self._seconds, self._lock = collections.Counter(), [], threading.Lock()
        self._left, self._is_over = plan.requests, threading.Event()
        self._seen_versions, self._strange, self._kills, self._right = set(), [], 0, 0

    def run(self) -> dict:
        """Runs it; what became of the requests."""
        command = [sys.executable, "-m", "tftrt_yolo", "serve", f"--model_repository={self._repository}"]
        command += ["--http_port=0", "--grpc_port=0", "--poll_seconds=0.5", "--max_batch_size=8"]
        with (
            open(self._repository.parent / "server.log", "wb") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
        ):
            try:
                self._http, self._grpc = _doors(server)
                memory = [_memory(server.pid)]
                threads = [threading.Thread(target=self._client, args=(index,)) for index in range(self._plan.clients)]
                beside = [
                    threading.Thread(target=self._every, args=(self._plan.kill_seconds, self._kill, server.pid)),
                    threading.Thread(target=self._every, args=(self._plan.reload_seconds, self._reload)),
                ]
                start = time.monotonic()
                for thread in (*threads, *beside):
                    thread.start()
                while any(thread.is_alive() for thread in threads):
                    threads[0].join(1.0) if threads[0].is_alive() else time.sleep(1.0)
                    memory.append(_memory(server.pid))
                seconds = time.monotonic() - start
                self._is_over.set()
                for thread in beside:
                    thread.join()
                server.send_signal(signal.SIGTERM)
                status = server.wait(90)
            finally:
                self._is_over.set()
                server.kill()
        return self._report(seconds, memory, status)

    def _report(self, seconds: float, memory: list[int], status: int) -> dict:
        waits = np.array(self._seconds or [0.0]) * 1_000
        step = max(1, len(memory) // 20)
        return {
            "plan": dataclasses.asdict(self._plan),
            "counts": dict(sorted(self._counts.items())),
            "answered": sum(self._counts.values()),
            "strange": self._strange[:20],
            "versions": len(self._seen_versions),
            "kills": self._kills,
            "seconds": seconds,
            "requests_a_second": self._plan.requests / seconds,
            "latency_ms": {str(share): float(np.percentile(waits, share)) for share in (50, 90, 99, 100)},
            "server_bytes": {"after_a_tenth": memory[len(memory) // 10], "end": memory[-1], "all": memory[::step]},
            "status": status,
        }

    def _client(self, index: int) -> None:
        """Sends requests until none is left."""
        chance = random.Random(f"{self._plan.seed} {index}")
        door = _Grpc(self._grpc) if index % 2 else _Http(self._http)
        with contextlib.closing(door):
            while True:
                with self._lock:
                    if not self._left:
                        return
                    self._left -= 1
                    number = self._left
                kind = self._ask(door, number, chance)
                with self._lock:
                    self._counts[kind] += 1

    def _ask(self, door, number: int, chance: random.Random) -> str:
        """Sends one request; what became of it."""
        row = chance.randrange(len(self._files))
        draw = chance.random()
        if draw < self._plan.cut:
            door.cut(self._files[row])
            return "cut"
        is_bad = draw < self._plan.cut + self._plan.bad
        file = chance.choice([*JUNK, self._files[row][: len(self._files[row]) // 3]]) if is_bad else self._files[row]
        start = time.monotonic()
        try:
            outputs, identifier, version = door.ask(file, str(number))
        except _Refused as refused:
            if refused.args[0] not in _EXPECTED:
                self._strange.append(": ".join(refused.args)[:300])
            time.sleep(1.0)  # as Retry-After says
            return f"refused: {refused.args[0]}"
        except Exception as error:  # noqa: BLE001 - whatever it is, there was no answer
            self._strange.append(f"{door.name}: {type(error).__name__}: {str(error)[:200]}")
            return "lost"
        self._seconds.append(time.monotonic() - start)
        self._seen_versions.add(version)
        if identifier != str(number):
            return "mixed up"
        if is_bad:
            return "bad and said so" if outputs["status"][0] else "mixed up"
        return "right" if _is_right(outputs, self._expected[row]) else "mixed up"

    def _every(self, seconds: float, act, *arguments) -> None:
        """Does something again and again."""
        while seconds and not self._is_over.wait(seconds):
            act(*arguments)

    def _kill(self, server: int) -> None:
        """Kills the largest of the server's processes, which has a model, if one answered since the last was killed."""
        if self._counts["right"] < self._right + 2 * self._plan.clients:
            return
        self._right = self._counts["right"]
        children = [pid for pid in _children(server) if b"model_process" in _command(pid)]
        if children:
            with contextlib.suppress(OSError, StopIteration):
                os.kill(max(children, key=_memory), signal.SIGKILL)
                self._kills += 1

    def _reload(self) -> None:
        """Puts a new version into the repository, and takes those away that are three behind."""
        self._version += 1
        place = self._repository / MODEL
        shutil.copytree(self._source, place / f".{self._version}")
        (place / f".{self._version}").rename(place / str(self._version))
        old = place / str(self._version - 3)
        if old.exists():
            shutil.rmtree(old)


class _Refused(Exception):
    """A clear status in place of an answer."""


class _Http:
    """The door for HTTP, with the Open Inference Protocol's binary extension."""

    name = "HTTP"

    def __init__(self, address: str):
        self._address, self._connection = address, None

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def ask(self, file: bytes, identifier: str) -> tuple[dict, str, str]:
        connection = self._open()
        body, headers = _v2_request(file, identifier)
        try:
            connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except BaseException:
            self.close()
            raise
        if answer.status != 200:
            raise _Refused(f"HTTP {answer.status}", data.decode(errors="replace"))
        document = json.loads(data)
        outputs = {tensor["name"]: np.array(tensor["data"]).reshape(tensor["shape"]) for tensor in document["outputs"]}
        return outputs, document.get("id", ""), document["model_version"]

    def cut(self, file: bytes) -> None:
        """Sends a request, or a part of it, and closes."""
        self.close()
        body, headers = _v2_request(file, "cut")
        connection = self._open()
        connection.putrequest("POST", f"/v2/models/{MODEL}/infer")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        with contextlib.suppress(OSError):
            connection.send(body[: random.choice((len(body) // 2, len(body)))])
        self.close()


class _Grpc:
    """The door for gRPC."""

    name = "gRPC"

    def __init__(self, address: str):
        import tritonclient.grpc

        self._package = tritonclient.grpc
        self._client = tritonclient.grpc.InferenceServerClient(address)

    def close(self) -> None:
        self._client.close()

    def _inputs(self, file: bytes) -> list:
        tensor = self._package.InferInput("image_bytes", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([file], object))
        return [tensor]

    def ask(self, file: bytes, identifier: str) -> tuple[dict, str, str]:
        wanted = [self._package.InferRequestedOutput(name) for name in OUTPUTS]
        try:
            result = self._client.infer(
                MODEL, self._inputs(file), request_id=identifier, outputs=wanted, client_timeout=TIMEOUT
            )
        except self._package.InferenceServerException as error:
            raise _Refused(f"gRPC {error.status()}", str(error.message())) from error
        answer = result.get_response()
        return {name: result.as_numpy(name) for name in OUTPUTS}, answer.id, answer.model_version

    def cut(self, file: bytes) -> None:
        """Sends a request and cancels it."""
        done = threading.Event()
        call = self._client.async_infer(MODEL, self._inputs(file), callback=lambda result, error: done.set())
        time.sleep(random.random() * 0.05)
        call.cancel()
        done.wait(TIMEOUT)


def _v2_request(file: bytes, identifier: str) -> tuple[bytes, dict[str, str]]:
    """A request's body and headers."""
    tensor = {"name": "image_bytes", "shape": [1], "datatype": "BYTES"}
    tensor["parameters"] = {"binary_data_size": 4 + len(file)}
    document = {"id": identifier, "inputs": [tensor], "outputs": [{"name": name} for name in OUTPUTS]}
    head = json.dumps(document).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    return head + len(file).to_bytes(4, "little") + file, headers


def _is_right(outputs: dict, expected) -> bool:
    """Whether an answer is what Predictor gives; other batches round in other ways."""
    count = int(outputs["num_detections"][0])
    if count != len(expected) or outputs["status"][0]:
        return False
    boxes, scores = outputs["boxes"][0][:count], outputs["scores"][0][:count]
    return (
        [int(one) for one in outputs["classes"][0][:count]] == expected.class_id.tolist()
        and np.allclose(boxes, expected.xyxy, atol=0.5)
        and np.allclose(scores, expected.confidence, atol=0.01)
    )


def _doors(server: subprocess.Popen) -> tuple[str, str]:
    """Addresses of a server that says where it is."""
    found = {}
    for line in server.stdout:
        words = line.split()
        if len(words) == 2 and words[0] in ("http", "grpc"):
            found[words[0]] = words[1].removeprefix("http://")
        if len(found) == 2:
            return found["http"], found["grpc"]
    raise RuntimeError(f"the server ended with {server.wait()}")


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _memory(pid: int) -> int:
    """Resident memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    """Runs a soak as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for field in dataclasses.fields(Plan):
        parser.add_argument(f"--{field.name}", type=type(field.default), default=field.default)
    parser.add_argument("--saved_model_dir", type=Path, help="of a model that finds digits; the small one by default")
    parser.add_argument("--output", type=Path, default=Path("soak.json"))
    arguments = vars(parser.parse_args())
    output, source = arguments.pop("output"), arguments.pop("saved_model_dir")
    with tempfile.TemporaryDirectory() as folder:
        if source is None:
            source = Path(folder) / "tiny_saved_model"
            tftrt_yolo.export(TINY_WEIGHTS, source, image_size=320)
        report = Soak(Plan(**arguments), source, Path(folder)).run()
    output.write_text(json.dumps(report, indent=2) + "\n")
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
