"""TF-TRT's detour: where an engine cannot be built or run, it quietly has TensorFlow run the engine's native segment.

    with native_segments.disallowed():
        predictor(images)           # tf.errors.AbortedError where an engine does not run

Source: tensorflow/compiler/tf2tensorrt/kernels/trt_engine_op.cc, which asks the environment each time.
"""

import contextlib
import os
from collections.abc import Iterator

_VARIABLE = "TF_TRT_ALLOW_ENGINE_NATIVE_SEGMENT_EXECUTION"


@contextlib.contextmanager
def disallowed(is_disallowed: bool = True) -> Iterator[None]:
    """Closes the detour in this process, so that what was computed was computed by engines.

    Args:
      is_disallowed: False leaves all as it is, for a model whose engines were not built.
    """
    before = os.environ.get(_VARIABLE)
    if is_disallowed:
        os.environ[_VARIABLE] = "false"
    try:
        yield
    finally:
        if is_disallowed:
            del os.environ[_VARIABLE]
            os.environ |= {} if before is None else {_VARIABLE: before}
