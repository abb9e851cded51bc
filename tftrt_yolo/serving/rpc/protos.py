"""TensorFlow Serving's messages, without the half gigabyte and the seconds that importing TensorFlow takes.

protos = protos.tensorflow_serving()
protos.predict_pb2.PredictRequest()

The messages live in modules below `tensorflow`, whose own `__init__` loads all of it. Where TensorFlow is not loaded
anyway, an empty module stands in for it while they are imported; whoever imports TensorFlow later gets the whole.
"""

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator

_ROOT = "tensorflow"
_APIS = (
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "model_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_service_pb2_grpc",
)
_MESSAGES = ("meta_graph_pb2",)


@functools.cache
def tensorflow_serving() -> types.SimpleNamespace:
    """The modules of TensorFlow Serving's API and of TensorFlow's messages, by their last name.

    Raises:
      ModuleNotFoundError: If tensorflow-serving-api or TensorFlow is not installed.
    """
    with _without_loading_all():
        found = {name: importlib.import_module(f"tensorflow_serving.apis.{name}") for name in _APIS}
        found |= {name: importlib.import_module(f"tensorflow.core.protobuf.{name}") for name in _MESSAGES}
    return types.SimpleNamespace(**found)


@contextlib.contextmanager
def _without_loading_all() -> Iterator[None]:
    """An empty module in place of TensorFlow's, if that is not loaded yet."""
    spec = None if _ROOT in sys.modules else importlib.util.find_spec(_ROOT)
    if spec is None:
        yield
        return
    stand_in = types.ModuleType(_ROOT)
    stand_in.__path__, stand_in.__spec__ = list(spec.submodule_search_locations), spec
    sys.modules[_ROOT] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(_ROOT) is stand_in:
            del sys.modules[_ROOT]
