"""The recorded network against TensorFlow, on real images: at its outputs, and convolution by convolution.

    networks = recorded_network.read(folder)
    found = compare_numbers(open_saved_model("yolov8n_saved_model"), networks, ["bus.jpg"])
    print(found)                     # boxes 0.00015 px at most, ... 71 convolutions alone: the filters of 71 equal, ...
    found.faults                     # () if everything is within its bound

What is compared with is signature `network` of the SavedModel that TF-TRT converted, with its weights as constants; for
INT8 that is the quantised one, whose rounding is the network's own.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.contract import Metadata
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflight import convolutions
from tftrt_yolo.preflight.executor.execute import execute
from tftrt_yolo.preflight.numbers_report import (
    BOUND,
    BOUND_PX,
    ConvolutionDifference,
    Numbers,
    OutputDifference,
    RoundingDifference,
)
from tftrt_yolo.preflight.recorded_network import RecordedNetwork
from tftrt_yolo.preflight.rounding import Rounding
from tftrt_yolo.saved_model import freeze, saved_model_pb
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.network import frames_ahead, in_unit_range
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Quantity

_ENGINE = re.compile(r"TRTEngineOp_\d+_\d+")
_OUTPUT_PREFIX = "TensorRTOutputPH_"


def compare_numbers(
    source: SavedModelHandle,
    networks: Sequence[RecordedNetwork],
    images: Sequence[str],
    *,
    outputs: Mapping[str, Mapping[str, str]] | None = None,
) -> Numbers:
    """Computes the recorded networks and compares them with TensorFlow.

    Args:
      source: The SavedModel that was converted; for INT8 the quantised one.
      networks: What was recorded, a network an engine.
      images: Paths of images. The outputs are compared on all, the convolutions on the first.
      outputs: Of each engine, TensorRT's name of an output to the signature's, as `engine_outputs` finds them. Without
        it they are told by their shapes, and by their values where two shapes are the same.

    Returns:
      The differences.

    Raises:
      PreflightError: If a network cannot be computed, or its outputs are not the signature's.
      ImageError: If an image cannot be read.
      SavedModelError: If the SavedModel cannot be used.
      ValueError: Without an image.
    """
    if not images:
        raise ValueError("no images. Expected at least one to compare on.")
    frozen = freeze.freeze_network(source)
    with _Graph(frozen) as tensorflow:
        engines = [_Engine(network, source.metadata, frozen, (outputs or {})) for network in networks]
        convolved = []
        for number, frames in enumerate(frames_ahead([Path(path) for path in images], source.metadata, 1)):
            fetch = tensorflow.fetching(in_unit_range(frames))
            for engine in engines:
                engine.add(in_unit_range(frames), fetch)
            if number == 0:
                convolved = [
                    one
                    for network in networks
                    for one in convolutions.compare_convolutions(network, frozen.graph_def, fetch)
                ]
    return Numbers(
        images=len(images),
        outputs=tuple(one for engine in engines for one in engine.outputs()),
        convolutions=tuple(one for one in convolved if isinstance(one, ConvolutionDifference)),
        settled=tuple(one for engine in engines for one in engine.settled()),
        rounding=_together([engine.rounding.difference for engine in engines if engine.rounding]),
        left_out=(
            *(engine.why_left_out for engine in engines if engine.why_left_out),
            *(one for one in convolved if isinstance(one, str)),
        ),
    )


def engine_of(network: RecordedNetwork) -> str:
    """Name of the op that a network was built for, "TRTEngineOp_000_000"; TF-TRT puts it before the layers' names."""
    names = (_ENGINE.match(layer.name) for layer in network.layers)
    return next((name.group() for name in names if name), network.name)


def engine_outputs(graph_def: GraphDef, outputs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Finds which outputs of the engines are the signature's.

    Args:
      graph_def: A converted graph.
      outputs: The signature's outputs to names of tensors of the graph.

    Returns:
      Engine to TensorRT's name of an output, "TensorRTOutputPH_0", to the signature's. An output that TensorFlow
      computes of others is not among them.
    """
    nodes, found = {node.name: node for node in graph_def.node}, {}
    for output, tensor in outputs.items():
        name, _, index = tensor.partition(":")
        while name in nodes and nodes[name].op == "Identity":
            name, _, index = nodes[name].input[0].partition(":")
        if name in nodes and nodes[name].op == saved_model_pb.ENGINE_OP:
            engine = _ENGINE.match(name)
            of_engine = found.setdefault(engine.group() if engine else name, {})
            of_engine[f"{_OUTPUT_PREFIX}{index or 0}"] = output
    return found


class _Graph:
    """The frozen graph in a session of TensorFlow, which gives any of its tensors."""

    def __init__(self, frozen: freeze.FrozenNetwork):
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(frozen.graph_def, name="")
        self._session = tf.compat.v1.Session(graph=graph)
        self._frames_name = frozen.frames_name

    def __enter__(self) -> "_Graph":
        return self

    def __exit__(self, *_) -> None:
        self._session.close()

    def fetching(self, frames: np.ndarray) -> convolutions.Fetch:
        """Takes names of tensors, or of nodes, to their values for frames (1, *size_hw, 3) float32 in [0, 1]."""

        def fetch(names: Sequence[str]) -> list[np.ndarray]:
            return self._session.run(freeze.tensors(self._session.graph, names), {self._frames_name: frames})

        return fetch


class _Engine:
    """A recorded network whose outputs are compared, image by image."""

    def __init__(
        self,
        network: RecordedNetwork,
        metadata: Metadata,
        frozen: freeze.FrozenNetwork,
        outputs: Mapping[str, Mapping[str, str]],
    ):
        self._network, self._frozen = network, frozen
        self._names = outputs.get(engine_of(network))
        self.rounding = Rounding(network, frozen.graph_def)
        self._is_quantized = any(layer.kind == "QUANTIZE" for layer in network.layers)
        self._free, self._settled = (_Sums(TASKS[metadata.task].quantities) for _ in range(2))
        takes_frames = [network.tensors[index].dims[1:] for index in network.inputs] == [(*metadata.image_size_hw, 3)]
        self.why_left_out = "" if takes_frames else f"the outputs of {engine_of(network)}, whose inputs are not frames"

    def add(self, frames: np.ndarray, fetch: convolutions.Fetch) -> None:
        """Takes in an image."""
        if self.why_left_out:
            return
        outputs = self._frozen.outputs
        expected = dict(zip(outputs, fetch(list(outputs.values())), strict=True))
        self._free.add(expected, self._computed(frames, expected, {}))
        if self.rounding:
            self._settled.add(expected, self._computed(frames, expected, self.rounding.replacing(fetch)))

    def outputs(self) -> tuple[OutputDifference, ...]:
        """The differences; only reported if ties of rounding are among them."""
        return self._free.differences(is_bound=not self._is_quantized)

    def settled(self) -> tuple[OutputDifference, ...]:
        """The differences with TensorFlow's integers in place of an INT8 network's own."""
        return self._settled.differences(is_bound=True)

    def _computed(self, frames: np.ndarray, expected: dict[str, np.ndarray], replace: dict) -> dict[str, np.ndarray]:
        """The network's outputs under the signature's names."""
        [index] = self._network.inputs
        values = execute(self._network, {self._network.tensors[index].name: frames}, replace=replace)
        names = _matched(values, expected) if self._names is None else self._names
        _check_shapes(names, values, expected)
        return {output: values[name] for name, output in names.items()}


class _Sums:
    """Differences of a task's quantities, added up over images."""

    def __init__(self, quantities: tuple[Quantity, ...]):
        self._quantities = quantities
        self._largest, self._total, self._magnitude, self._count = np.zeros((4, len(quantities)))

    def add(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
        """Takes in the outputs of one image."""
        for row, quantity in enumerate(self._quantities):
            if quantity.output not in found:
                continue
            columns = slice(*quantity.columns)
            one, other = (values[quantity.output][..., columns].astype(np.float64) for values in (found, expected))
            differences = np.abs(one - other)
            self._largest[row] = np.maximum(self._largest[row], differences.max())  # not a number stays
            self._total[row] += differences.sum()
            self._count[row] += differences.size
            self._magnitude[row] = max(self._magnitude[row], np.abs(other).max())

    def differences(self, *, is_bound: bool) -> tuple[OutputDifference, ...]:
        """The quantities that were seen."""
        rows = zip(self._quantities, self._largest, self._total, self._magnitude, self._count, strict=True)
        found = []
        for quantity, largest, total, magnitude, count in rows:
            if count:
                scale = max(magnitude, 1e-6) if quantity.unit == "relative" else 1.0
                bound = (BOUND_PX if quantity.unit == "px" else BOUND) if is_bound else None
                found.append(
                    OutputDifference(
                        quantity.label, quantity.unit, float(largest / scale), float(total / count / scale), bound
                    )
                )
        return tuple(found)


def _together(found: list[RoundingDifference]) -> RoundingDifference | None:
    """What several engines quantise; None if none does."""
    if not found:
        return None
    return RoundingDifference(
        sum(one.values for one in found), sum(one.differing for one in found), max(one.largest_steps for one in found)
    )


def _check_shapes(names: Mapping[str, str], values: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Refuses outputs that are not the signature's.

    Raises:
      PreflightError: If one is missing on either side, or has another shape.
    """
    for name, output in names.items():
        shapes = [of[key].shape if key in of else "missing" for of, key in ((values, name), (expected, output))]
        if shapes[0] != shapes[1] or "missing" in shapes:
            raise PreflightError(
                f"{name} of the recorded network is {shapes[0]} and {output} of the signature {shapes[1]}. Expected one "
                "shape; compare with the SavedModel that was converted."
            )


def _matched(values: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> dict[str, str]:
    """Which output of a network is which of the signature's: that of the same shape whose values are nearest.

    Raises:
      PreflightError: If one has no counterpart.
    """
    free, names = dict(expected), {}
    for name, value in values.items():
        same = {output: np.abs(value - other).mean() for output, other in free.items() if other.shape == value.shape}
        if not same:
            shapes = ", ".join(f"{output} {other.shape}" for output, other in free.items())
            raise PreflightError(
                f"{name} of the recorded network has shape {value.shape}. Expected one of {shapes or 'no more outputs'}"
                "; compare with the SavedModel that was converted."
            )
        names[name] = min(same, key=same.get)
        del free[names[name]]
    return names
