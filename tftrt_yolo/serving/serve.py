"""Serving: one server for HTTP and gRPC before models in processes of their own.

report = tftrt_yolo.serve("digits_saved_model")          # until TERM or INT comes
report = tftrt_yolo.serve(
    ModelOptions(model_repository="models"),
    batching=BatchingOptions(max_batch_size=8),
    listen=ListenOptions(http_port=0),
)
"""

import asyncio
import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.serving.page.page_options import PageOptions
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions
from tftrt_yolo.serving.serving_report import Serving, ServingReport
from tftrt_yolo.serving.triton_server.serve_with_triton import serve_with_triton

# What the doors cannot do without, by the name of the package that has it.
_NEEDED = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "prometheus_client": "prometheus-client",
    "grpc": "grpcio",
    "tritonclient": "tritonclient",
    "tensorflow_serving": "tensorflow-serving-api",
}


def serve(
    models: str | Path | ModelOptions | None = None,
    *,
    batching: BatchingOptions | None = None,
    listen: ListenOptions | None = None,
    observing: ObservingOptions | None = None,
    page: PageOptions | None = None,
    backend: Literal["pytriton"] | None = None,
    on_ready: Callable[[Serving], None] | None = print,
) -> ServingReport:
    """Serves models over HTTP and gRPC until TERM or INT comes.

    Requests are those of the Open Inference Protocol (Triton's clients), of TensorFlow Serving, and pictures as they
    are at POST /predict. At the first signal what is accepted is finished and the rest refused; at a second it ends at
    once.

    Args:
      models: A SavedModel that `export` or `convert` wrote; with `ModelOptions` also several, with versions.
      batching: How requests become batches, and how many may wait.
      listen: Where the doors are, and what they let in.
      observing: What an operator sees beside the metrics.
      page: Whether there is a page to try the models on.
      backend: "pytriton" for NVIDIA's own server, Triton, with one model; None for this package's.
      on_ready: Called once when the models are loaded and the doors are open, with where they are.

    Returns:
      Counts, and what ran.

    Raises:
      ValueError: If an option is out of its range.
      TypeError: If batching, listen, observing or page is something else than its options.
      SavedModelError: If a model is damaged or not ours, or has side effects that are not allowed.
      TensorRTUnavailableError: If strict, and the engines cannot run here.
      ServingError: If the extra is not installed, a port in use, a token or a certificate unusable, or no model there.
      KeyboardInterrupt: If a signal came before the models were loaded, or a second one.
    """
    BatchingOptions.check_is("batching", batching)
    ListenOptions.check_is("listen", listen)
    ObservingOptions.check_is("observing", observing)
    PageOptions.check_is("page", page)
    if not isinstance(models, ModelOptions):
        models = ModelOptions(saved_model_dir=models)
    options = models, batching or BatchingOptions(), listen or ListenOptions(), observing or ObservingOptions()
    if backend == "pytriton":
        return serve_with_triton(*options, on_ready=on_ready)
    if backend is not None:
        raise ValueError(f"{argument('backend')} is {quoted(backend)}; expected pytriton, or none for our own server.")
    _check_extra()
    _check_no_loop()
    if page is not None and page.page:
        from tftrt_yolo.serving.page import mounting

        mounting.check_library()
    from tftrt_yolo.serving import running  # with the extra's packages

    return running.run(running.Settings(*options, page or PageOptions()), on_ready)


def _check_extra() -> None:
    """Refuses to begin without the packages of the extra."""
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        are = "are" if len(missing) > 1 else "is"
        raise ServingError(
            f"{', '.join(missing)} {are} not installed, which a server needs. Install with "
            "`pip install 'tftrt_yolo[serve]'`."
        )


def _check_no_loop() -> None:
    """Refuses to begin where an event loop runs already, which would wait for it."""
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise ServingError(
            "serve() was called where an event loop runs already, as in a notebook. Start `tftrt-yolo serve` as a "
            "process of its own, or call serve() in a thread."
        )
