"""One model in NVIDIA's own server, until it is asked to end.

    models = ModelOptions(saved_model_dir="digits_saved_model")
    serve_with_triton(models, BatchingOptions(), ListenOptions(), ObservingOptions())

It is the server of PyTriton's wheel on a model repository as `triton` writes it. PyTriton's own proxy, which would hand
every request on to this process, is left out: the model runs in the process of Triton's Python backend, thresholds are
parameters of a request, and statistics need no token.

That Triton says it is ready means little: it says so while the model's process is dead, and starts no other. So a
picture goes through the model every few seconds; where that fails, the server is ended with an error, and whatever
watches over it, such as systemd or a container's restart policy, starts it again.
"""

import contextlib
import http.client
import json
import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import logging

from tftrt_yolo import contract
from tftrt_yolo.ground.arguments import Options, argument, named_plainly, setting
from tftrt_yolo.ground.assets import PHOTO
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import first_line, shown
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.serving.ports import in_url
from tftrt_yolo.serving.protocol.datatypes import to_raw
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions
from tftrt_yolo.serving.serving_report import Serving, ServingReport
from tftrt_yolo.serving.signals import taken
from tftrt_yolo.serving.triton_repository.configuration import ModelSettings
from tftrt_yolo.serving.triton_repository.writing import write_saved_model
from tftrt_yolo.serving.triton_server import installed
from tftrt_yolo.serving.triton_server.server_process import MOST_SECONDS_TO_END, Doors, ServerProcess

_SECONDS_BETWEEN, _SECONDS_TO_ANSWER = 5.0, 60.0
_SECONDS_TO_COMPUTE = 5  # a request's batch, after it has waited for as long as it may
_FAILURES = 3  # in a row
_FULL, _DEAD = "queue", "is not healthy"  # in what Triton says where the model is busy, and where its process is gone
_NOT_TAKEN = {
    "model_repository": "one model; Triton itself serves a repository, which `tftrt-yolo triton` writes",
    "num_versions": "one version",
    "poll_seconds": "one version",
    "max_body_bytes": "no limit of bodies",
    "max_answer_bytes": "no limit of answers",
    "client_timeout_s": "no limit of a client's time",
    "tls_certificate": "no TLS",
    "tls_key": "no TLS",
    "token_file": "no token",
    "log_format": "Triton's own log",
    "trace_endpoint": "no spans",
}


def serve_with_triton(
    models: ModelOptions,
    batching: BatchingOptions,
    listen: ListenOptions,
    observing: ObservingOptions,
    *,
    on_ready: Callable[[Serving], None] | None = None,
) -> ServingReport:
    """Serves a model until TERM, INT or HUP comes; what was accepted is finished then.

    Args:
      models: Which; one SavedModel.
      batching: How Triton makes batches of requests.
      listen: Where the doors are.
      observing: Nothing of it may be given.
      on_ready: Is told where, once the model answers.

    Returns:
      What Triton counted.

    Raises:
      ValueError: If something is asked for that this server has not.
      SavedModelError: If the SavedModel is none of ours.
      ServingError: If Triton is not installed, cannot start, ends by itself, or the model does not answer any more.
      KeyboardInterrupt: If a signal came before the model was loaded, or a second one.
    """
    _check_options(models, listen, observing)
    parts = installed.find()
    handle = open_saved_model(models.saved_model_dir)
    settings = ModelSettings(
        batching=batching,
        max_pixels=listen.max_pixels,
        strict=models.strict,
        allow_side_effects=models.allow_side_effects,
    )
    doors = Doors(listen.host, listen.http_port, listen.grpc_port)
    with _ended_by_signals() as asked_to_end, tempfile.TemporaryDirectory(prefix="tftrt_yolo_triton_") as folder:
        room = Path(folder)
        name = write_saved_model(handle, room / "models", None, 1, settings).name
        process = ServerProcess(parts, room, doors, asked_to_end, seconds_to_end=_seconds_to_end(batching))
        with named_plainly(), process as server:  # clients give no flags
            if asked_to_end.is_set():
                raise KeyboardInterrupt
            start, line = time.perf_counter(), f"{name} version 1: {handle.metadata.task}, in Triton's Python backend"
            if on_ready:
                on_ready(_serving(server.doors, line))
            _watch(server, name, asked_to_end)
            requests = _counted(server, name)
        return ServingReport(requests, time.perf_counter() - start, (line,))


def _check_options(*options: Options) -> None:
    """Refuses what Triton has not, or not here."""
    for one in options:
        for name in one.given:
            if name in _NOT_TAKEN and getattr(one, name) is not None:
                raise ValueError(
                    f"{argument(name)} is given, and {setting('backend', 'pytriton')} has {_NOT_TAKEN[name]}. Leave it "
                    "out, or leave the backend out."
                )
    if options[0].saved_model_dir is None:
        raise ValueError(f"{argument('saved_model_dir')} is missing; expected a SavedModel.")


def _seconds_to_end(batching: BatchingOptions) -> int:
    """How long what was accepted may take at the end: no longer than a request waits, and is computed."""
    return min(MOST_SECONDS_TO_END, math.ceil(batching.request_timeout_s) + _SECONDS_TO_COMPUTE)


def _serving(doors: Doors, line: str) -> Serving:
    """Where it answers."""
    host = in_url(doors.host)
    grpc = f"{host}:{doors.grpc_port}" if doors.grpc_port >= 0 else None
    metrics = f"Triton's metrics: http://{host}:{doors.metrics_port}/metrics"
    return Serving(f"http://{host}:{doors.http_port}", grpc, (line, metrics))


def _counted(server: ServerProcess, name: str) -> dict[str, int]:
    """How many requests ended how; those of the watch are among them."""
    statistics = _asked(server.http_address, "GET", f"/v2/models/{name}/stats")["model_stats"][0]["inference_stats"]
    return {word: statistics[key]["count"] for word, key in (("ok", "success"), ("failed", "fail"))}


def _watch(server: ServerProcess, name: str, asked_to_end: threading.Event) -> None:
    """Puts a picture through the model every few seconds.

    Raises:
      ServingError: If the server ended, or the model does not answer.
    """
    failures = 0
    while not asked_to_end.wait(_SECONDS_BETWEEN):
        server.check_alive()
        try:
            _infer(server.http_address, name)
        except Exception as error:  # of the socket, of what came: none is an answer
            if _FULL in str(error):
                continue
            failures += 1
            logging.warning("model %s did not answer: %s", name, shown(first_line(error)))
            server.check_alive()
            if failures == _FAILURES or _DEAD in str(error):
                raise ServingError(
                    f"Model {name} does not answer, though Triton calls itself ready: {shown(first_line(error))} The "
                    f"server was ended; start it again. Its last words:\n  {server.last_words()}"
                ) from error
        else:
            failures = 0


def _infer(address: str, name: str) -> None:
    """One inference of a packaged picture.

    Raises:
      OSError, HTTPException: If the server does not answer.
      ServingError: If it answers that it could not.
    """
    data = to_raw(np.array([PHOTO.read_bytes()], object))
    picture = {
        "name": "image_bytes",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"inputs": [picture], "outputs": [{"name": contract.STATUS}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = _asked(address, "POST", f"/v2/models/{name}/infer", head + data, headers)
    if "error" in answer:
        raise ServingError(str(answer["error"]))
    [status] = answer["outputs"][0]["data"]
    if status:
        raise ServingError(f"the packaged picture could not be read: {status}")


def _asked(address: str, *request) -> dict:
    """What Triton answers to a request over HTTP."""
    connection = http.client.HTTPConnection(address, timeout=_SECONDS_TO_ANSWER)
    try:
        connection.request(*request)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[threading.Event]:
    """Gives an event that a signal sets, and a second one interrupts; outside the main thread nobody sets it."""
    event = threading.Event()

    def came(*_):
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    with taken(came):
        yield event
