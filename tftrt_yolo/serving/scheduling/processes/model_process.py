"""One version of a model in a process of its own: this is what runs there.

with Worker("tftrt_yolo.serving.scheduling.processes.model_process") as worker:
    worker.open()
    worker.receive()                                    # None: TensorFlow is imported
    worker.send(Job("/models/digits_saved_model", ...))
    known = worker.receive()                            # of the model, which is loaded and was run
    worker.send(("encoded", [{"image_bytes": [jpeg]}], None))
    worker.receive()["outputs"]
"""

import logging
import threading
import time
import warnings
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging as absl_logging

from tftrt_yolo import contract
from tftrt_yolo.ground import assets
from tftrt_yolo.ground.placement import CROP
from tftrt_yolo.ground.text import first_line, shown
from tftrt_yolo.predictor import framing
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.serving.scheduling.processes import strings
from tftrt_yolo.serving.scheduling.processes.job import Job
from tftrt_yolo.serving.scheduling.processes.served_signatures import ServedSignatures
from tftrt_yolo.serving.scheduling.processes.warm_sizes import WarmSizes, warm_sizes
from tftrt_yolo.tasks.table import TASKS

# What TensorFlow raises of one call, after which the process is as good as before.
_OF_THE_CALL = (tf.errors.OpError, ValueError, TypeError, MemoryError)
_OF_THE_REQUEST = (tf.errors.InvalidArgumentError, ValueError, TypeError)


def work(requests: Iterator) -> Iterator[dict | None]:
    """Loads a model when it is told which, and runs what comes.

    Args:
      requests: A Job; then for each batch the signature's key, the inputs of its requests, name to array or list of
        bytes each, and a SelectionOptions or None.

    Yields:
      None as soon as there is TensorFlow; what is known of the model; then for each batch its outputs, the seconds that
      they took and the bytes of GPU memory, or a refusal's name and message.
    """
    yield None
    job = next(requests, None)
    if job is None:
        return
    served, known = loaded(job)
    yield known
    if TASKS[known["task"]].finds_objects:
        threading.Thread(target=served.prepare_selection, daemon=True).start()
    for key, parts, asked in requests:
        start = time.perf_counter()
        try:
            outputs = strings.packed(served.run(key, together(parts), asked))
        except _OF_THE_CALL as error:
            yield _refusal(error)
        else:
            yield {"outputs": outputs, "seconds": time.perf_counter() - start, "gpu_bytes": _gpu_bytes()}


def loaded(job: Job) -> tuple[ServedSignatures, dict]:
    """A model that was loaded and run, and what is known of it."""
    handle = open_saved_model(job.saved_model_dir)
    signatures, backend = load.load(handle, strict=job.strict, allow_side_effects=job.allow_side_effects)
    sizes = warm_sizes(handle, backend, job.max_batch_size)
    served = ServedSignatures(handle, signatures, backend, sizes, max_pixels=job.max_pixels)
    _say_nothing_of_pictures()
    _warm_up(served, sizes)
    return served, {
        "task": handle.metadata.task,
        "names": handle.metadata.names,
        "max_batch_size": sizes.most,
        "batch_sizes": sizes.filled,
        "backend": str(backend),
        "device": backend.device,
        "is_native": backend.reason.startswith("native segments"),
        "why_slow": "" if TASKS[handle.metadata.task].fit == CROP else framing.why_slow(),
        "signatures": served.described(),
    }


def _say_nothing_of_pictures() -> None:
    """Has nobody write of the pictures that clients send: what this process writes is kept on the disk till its end."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")


def _warm_up(served: ServedSignatures, sizes: WarmSizes) -> None:
    """Runs the model with pictures, the largest batch first: engines that are built now are built for it."""
    pictures = [path.read_bytes() for path in assets.pictures()]
    for size in reversed(sizes.warm):
        files = (pictures * -(-size // len(pictures)))[:size]
        served.run(contract.ENCODED, {"image_bytes": files}, None)
    served.run(contract.SERVING, {"images": np.zeros((1, 64, 64, 3), np.uint8)}, None)


def together(parts: list[dict]) -> dict[str, np.ndarray | list]:
    """The inputs of several requests, one behind the other."""
    if len(parts) == 1:
        return parts[0]
    inputs = {}
    for name, first in parts[0].items():
        values = [part[name] for part in parts]
        inputs[name] = [one for value in values for one in value] if isinstance(first, list) else np.concatenate(values)
    return inputs


def _refusal(error: Exception) -> dict:
    """What is said of a call that failed."""
    kind = "INVALID_ARGUMENT" if isinstance(error, _OF_THE_REQUEST) else "INTERNAL"
    return {"refusal": kind, "message": shown(first_line(error))}


def _gpu_bytes() -> int:
    """What TensorFlow holds of the GPU; 0 without one."""
    if not tf.config.list_logical_devices("GPU"):
        return 0
    return tf.config.experimental.get_memory_info("GPU:0")["current"]
