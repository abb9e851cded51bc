"""How TensorFlow Serving makes batches, as the text of its BatchingParameters.

    batching_parameters.text((1, 8))                       # batches of at most 8, filled up to 1 or 8

A server has one such file for all models (--batching_parameters_file), and each version its own, which count where the
server is started with --enable_per_model_batching_parameters.
"""

import os
from pathlib import Path

from tftrt_yolo.ground.files import reading

FILE = "batching_parameters.txt"
OF_A_VERSION = "batching_params.pbtxt"  # tensorflow_serving/servables/tensorflow/bundle_factory_util.cc
_MOST_BYTES = 1 << 16
_TIMEOUT_MICROS = 1_000  # that a batch waits to be filled
_MOST_WAITING = 64  # batches; requests beyond are refused with UNAVAILABLE
_THREADS = 2  # batches at once: one computes while the other is made


def text(batch_sizes: tuple[int, ...]) -> str:
    """The parameters for batch sizes.

    Args:
      batch_sizes: Rising; the server fills a batch up to the next of them, by repeating rows that it cuts off again.

    Returns:
      BatchingParameters in protobuf's text form.
    """
    lines = [
        "# Written by tftrt-yolo tf_serving.",
        f"max_batch_size {{ value: {batch_sizes[-1]} }}",
        f"batch_timeout_micros {{ value: {_TIMEOUT_MICROS} }}",
        f"max_enqueued_batches {{ value: {_MOST_WAITING} }}",
        f"num_batch_threads {{ value: {_THREADS} }}",
        "pad_variable_length_inputs: false",
        *(f"allowed_batch_sizes: {size}" for size in batch_sizes),
    ]
    return "\n".join(lines) + "\n"


def is_ours(base_path: Path) -> bool:
    """Whether the file of a server is missing, or what one of the base's versions has: nobody has changed it.

    Args:
      base_path: The folder of the versions.

    Returns:
      Whether it may be replaced.
    """
    if not os.path.lexists(base_path / FILE):
        return True
    found = read(base_path)
    return found is not None and any(found == _text_of(one) for one in base_path.glob(f"*/{OF_A_VERSION}"))


def read(base_path: Path) -> str | None:
    """The text of the file of a server; None where there is none."""
    return _text_of(base_path / FILE)


def _text_of(path: Path) -> str | None:
    """The text of a file; None where it is none."""
    try:
        return reading.read_text(path, _MOST_BYTES)
    except (OSError, reading.UnreadableError):
        return None
