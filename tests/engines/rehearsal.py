"""Engines without TensorRT: the preflight's executor behind the seam, and TensorRT's Python API played by it.

Nothing here is TensorRT. What it computes speaks for the network and for our lines around TensorRT.
"""

import ctypes
import dataclasses
import json

import numpy as np

from tests.preflighting.sketches import Sketch
from tftrt_yolo.contract import Metadata
from tftrt_yolo.engines.engine_file import EngineFacts
from tftrt_yolo.preflighting.executor.execute import execute
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.selection import Selection

SIDE, ANCHORS, CLASSES = 32, 40, 3


class ExecutorRuntime:
    """A network in Ultralytics' layout, computed by the preflight's executor."""

    name, device = "the preflight's executor", "CPU"

    def __init__(self, network, profiles=None):
        self._network, self.profiles, self.batches = network, profiles or {}, []
        rows = [(index, True) for index in network.inputs] + [(index, False) for index in network.outputs]
        named = ((network.tensors[index], is_input) for index, is_input in rows)
        self.tensors = tuple(IOTensor(one.name, one.type, one.dims, is_input) for one, is_input in named)

    def run(self, images):
        self.batches.append(len(images))
        return execute(self._network, {"images": images})


def metadata(task, *, keypoint_shape=None, is_end_to_end=False, **others):
    names = {index: f"class {index}" for index in range(CLASSES)}
    shape = keypoint_shape or ((4, 3) if task == "pose" else None)
    return Metadata(task, names, (SIDE, SIDE), 32, Selection(), "model.pt", shape, is_end_to_end, **others)


def recorded(model):
    """A network whose outputs are picked from the pixels, so that every value is another, in no fixed order."""
    sketch = Sketch("TRTEngineOp_000_000")
    frames = sketch.input(-1, SIDE, SIDE, 3)
    flat = sketch.layer("SHUFFLE", [frames], (-1, SIDE * SIDE * 3), reshape=(0, SIDE * SIDE * 3))
    places = iter(np.random.default_rng(1).permutation(SIDE * SIDE * 3).astype(np.int32))
    numbers, names = [], {}
    for name, shape in reversed(_shapes(model).items()):
        chosen = np.array([next(places) for _ in range(int(np.prod(shape)))], np.int32)
        picked = sketch.layer("GATHER", [flat, sketch.constant(chosen)], (-1, len(chosen)), axis=1)
        numbers.append(sketch.layer("SHUFFLE", [picked], (-1, *shape), reshape=(0, *shape)))
        if name == "boxes":  # pixels of the frame
            side = sketch.constant(np.full((1, 1, 1), SIDE, np.float32))
            numbers[-1] = sketch.layer("ELEMENTWISE", [numbers[-1], side], (-1, *shape), operation="PROD")
        names[sketch.tensors[numbers[-1]].name] = name
    return dataclasses.replace(sketch.network(*numbers), signature_outputs=names)


def _shapes(model):
    if model.task == "classify":
        return {"probabilities": (CLASSES,)}
    if model.task == "semantic":
        return {"logits": (SIDE // 8, SIDE // 8, CLASSES)}
    if model.task == "depth":
        return {"depth": (SIDE // 4, SIDE // 4)}
    shapes = {"boxes": (ANCHORS, 4), "scores": (ANCHORS, CLASSES)}
    if model.task == "segment":
        shapes |= {"mask_coefficients": (ANCHORS, 8), "prototypes": (4, 4, 8)}
    if model.task == "pose":
        shapes |= {"keypoints": (ANCHORS, model.keypoint_shape[0], 3)}
    if model.task == "obb":
        shapes |= {"boxes_xywhr": (ANCHORS, 5)}
    return shapes


def facts(tensors, plan=b"a plan", *, batch_sizes=(1,), profiles=None, **others):
    """What a header says of a plan."""
    import hashlib

    return EngineFacts(
        **{
            "weights": "model.pt",
            "weights_sha256": "a" * 64,
            "selection": Selection(score_threshold=0.5),
            "builder": "TensorRT-RTX",
            "builder_version": "1.7.1.116",
            "compute_capability": "8.9",
            "precision_mode": "FP16",
            "batch_sizes": batch_sizes,
            "tensors": tuple(tensors),
            "profiles": profiles or {},
            "plan_bytes": len(plan),
            "plan_sha256": hashlib.sha256(plan).hexdigest(),
        }
        | others
    )


def profile(least, most):
    return Profile(*((size, 3, SIDE, SIDE) for size in (least, most, most)))


def rewritten(path, target, change):
    """A copy of an engine file whose header's document was changed."""
    data = path.read_bytes()
    length = int.from_bytes(data[:4], "little")
    document = json.loads(data[4 : 4 + length])
    change(document)
    text = json.dumps(document).encode()
    target.write_bytes(len(text).to_bytes(4, "little") + text + data[4 + length :])
    return target


class HostMemory:
    """The GPU's memory, played by the host's."""

    compute_capability, stream = "8.9", 7

    def upload(self, array):
        array = np.ascontiguousarray(array)
        return array.ctypes.data, array

    def room(self, shape, dtype):
        return self.upload(np.zeros(shape, dtype))

    def download(self, owner, shape, dtype):
        return owner.astype(dtype).reshape(shape)


class TensorRT:
    """TensorRT's Python API as far as we use it, of engines that are networks; `fails` names what gives nothing."""

    __version__ = "1.7.1.116"

    class ILogger:
        class Severity:
            INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

        def __init__(self):
            pass

    class TensorIOMode:
        INPUT, OUTPUT = "INPUT", "OUTPUT"

    def __init__(self, network, profiles=(), fails=()):
        self._engine = _Engine(network, profiles, fails)
        self.fails = fails

    def Runtime(self, logger):
        self._logger = logger
        return None if "runtime" in self.fails else self

    def deserialize_cuda_engine(self, plan):
        if "open" in self.fails:
            self._logger.log(self.ILogger.Severity.ERROR, "the plan was built by another version")
            return None
        return self._engine


class _Engine:
    def __init__(self, network, profiles, fails):
        self.network, self.profiles, self.fails = network, profiles, fails
        self.named = {
            network.tensors[index].name: network.tensors[index] for index in (*network.inputs, *network.outputs)
        }
        self.num_io_tensors, self.num_optimization_profiles = len(self.named), max(len(profiles), 1)

    def get_tensor_name(self, index):
        return list(self.named)[index]

    def get_tensor_mode(self, name):
        return "INPUT" if name == "images" else "OUTPUT"

    def get_tensor_dtype(self, name):
        return type("DataType", (), {"name": self.named[name].type})

    def get_tensor_shape(self, name):
        return self.named[name].dims

    def get_tensor_profile_shape(self, name, index):
        dims = self.named[name].dims
        return list(dataclasses.astuple(self.profiles[index])) if self.profiles else [dims] * 3

    def create_execution_context(self):
        return None if "context" in self.fails else _Context(self)


class _Context:
    def __init__(self, engine):
        self._engine, self._addresses, self._profile, self._shape = engine, {}, 0, None

    def set_optimization_profile_async(self, index, stream):
        self._profile = index
        return stream == HostMemory.stream

    def set_input_shape(self, name, shape):
        least, _, most = self._engine.get_tensor_profile_shape(name, self._profile)
        self._shape = shape
        return all(low <= size <= high for low, size, high in zip(least, shape, most, strict=True))

    def get_tensor_shape(self, name):
        return (self._shape[0], *self._engine.named[name].dims[1:])

    def set_tensor_address(self, name, address):
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream):
        if "run" in self._engine.fails:
            raise RuntimeError("out of memory")
        images = _at(self._addresses["images"], self._shape)
        for name, values in execute(self._engine.network, {"images": images}).items():
            _at(self._addresses[name], values.shape)[...] = values
        return True


def _at(address, shape):
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), tuple(map(int, shape)))


class SettledRuntime(ExecutorRuntime):
    """An INT8 network that rounds as TensorFlow rounds: ties fall where TensorFlow's fall (layer_by_layer.rounding)."""

    def __init__(self, network, metadata, quantized_dir):
        """Takes the recorded network and the quantised SavedModel that it was recorded of."""
        from tftrt_yolo.engines.ultralytics_layout import with_ultralytics_layout
        from tftrt_yolo.preflighting import numbers
        from tftrt_yolo.preflighting.layer_by_layer.rounding import Rounding
        from tftrt_yolo.saved_model import freeze
        from tftrt_yolo.saved_model.handle import open_unfinished

        super().__init__(with_ultralytics_layout(network, metadata, batch_size=1))
        self._graph = numbers._Graph(freeze.freeze_network(open_unfinished(quantized_dir)))
        self.rounding = Rounding(network, self._graph.convolutions)
        self.metadata = metadata

    def run(self, images):
        fetch = self._graph.fetching(images.transpose(0, 2, 3, 1))
        return execute(self._network, {"images": images}, replace=self.rounding.replacing(fetch))

    def expected(self, images):
        """What TensorFlow computes, in Ultralytics' layout."""
        import tensorflow as tf

        from tftrt_yolo.tasks.table import TASKS

        names = self._graph.outputs
        values = self._graph.fetching(images.transpose(0, 2, 3, 1))(list(names.values()))
        dense = dict(zip(names, map(tf.constant, values), strict=True))
        found = TASKS[self.metadata.task].ultralytics(dense, self.metadata)
        rows, *prototypes = found if isinstance(found, list) else [found]
        turned = [one.numpy().transpose(0, 3, 1, 2) for one in prototypes]
        return dict(zip(("output0", "output1"), [rows.numpy(), *turned], strict=False))
