"""One version of a model in a process of its own: this is what runs there."""

import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.serving.scheduling.inference import Signature, TensorSpec


def work(saved_model_dir: str, strict: bool, allow_side_effects: bool, requests: Iterator) -> Iterator[dict]:
    """Loads the model and runs what comes.

    Args:
      saved_model_dir: Where it lies.
      strict: As `ModelOptions`.
      allow_side_effects: As `ModelOptions`.
      requests: Signature key, and name to array.

    Yields:
      What is known of the model, then the outputs of each request and the seconds that they took.
    """
    handle = open_saved_model(saved_model_dir)
    signatures, backend = load.load(handle, strict=strict, allow_side_effects=allow_side_effects)
    yield {
        "task": handle.metadata.task,
        "names": handle.metadata.names,
        "backend": str(backend),
        "device": backend.device,
        "is_native": backend.reason.startswith("native segments"),
        "signatures": {key: _described(function) for key, function in signatures.items()},
    }
    for key, inputs in requests:
        start = time.perf_counter()
        given = {name: tf.constant(_strings(value)) for name, value in inputs.items()}
        outputs = {name: value.numpy() for name, value in signatures[key](**given).items()}
        outputs = {name: _strings(value) for name, value in outputs.items()}  # as workers' results may be
        yield {"outputs": outputs, "seconds": time.perf_counter() - start}


def _strings(value: np.ndarray) -> np.ndarray | list:
    """Strings as a list, or lists in one; other values as they are."""
    return value.tolist() if value.dtype == object else value


def _described(function) -> Signature:
    """What a signature takes and gives."""

    def specs(tensors):
        return {name: TensorSpec(_dtype(spec.dtype), tuple(spec.shape.as_list())) for name, spec in tensors.items()}

    return Signature(specs(function.structured_input_signature[1]), specs(function.structured_outputs))


def _dtype(dtype: tf.DType) -> str:
    """As `TensorSpec` names it."""
    return "object" if dtype == tf.string else dtype.name
