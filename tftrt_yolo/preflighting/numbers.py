"""The recorded network against TensorFlow, on real images: at its outputs, and convolution by convolution.

    networks = recorded_network.read(folder)
    found = compare_numbers(open_saved_model("yolov8n_saved_model"), networks, ["bus.jpg"])
    print(found)                     # boxes 0.00015 px at most, ... 71 convolutions alone: the filters of 71 equal, ...
    found.faults                     # () if everything is within its bound

What is compared with is signature `network` of the SavedModel that TF-TRT converted, with its weights as constants; for
INT8 that is the quantised one, whose rounding is the network's own.

Where outputs differ by more than their bound, the recorded network is computed in float64 as well: how far float32 is
from that says what two computations in float32 may differ by, and a fault moves neither of the two.
"""

import dataclasses
import functools
import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.contract import Metadata
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting import operations
from tftrt_yolo.preflighting.executor.execute import execute
from tftrt_yolo.preflighting.layer_by_layer import convolutions
from tftrt_yolo.preflighting.layer_by_layer.rounding import Rounding
from tftrt_yolo.preflighting.numbers_report import (
    BOUND,
    BOUND_PX,
    ConvolutionDifference,
    Numbers,
    OutputDifference,
    RoundingDifference,
)
from tftrt_yolo.preflighting.recorded_network import RecordedNetwork
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.network import frames_ahead, in_unit_range
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Quantity

_FRAMES = "frames"  # what the first engine takes


def compare_numbers(
    source: SavedModelHandle,
    networks: Sequence[RecordedNetwork],
    images: Sequence[str],
    *,
    frozen: freeze.FrozenNetwork | None = None,
) -> Numbers:
    """Computes the recorded networks and compares them with TensorFlow.

    Args:
      source: The SavedModel that was converted; for INT8 the quantised one.
      networks: What was recorded, a network an engine.
      images: Paths of images. The outputs are compared on all, the convolutions on the first.
      frozen: Its signature `network` with its weights as constants; None to freeze it.

    Returns:
      The differences.

    Raises:
      ImageError: If an image cannot be read.
      SavedModelError: If the SavedModel cannot be used.
      ValueError: Without an image.
    """
    if not images:
        raise ValueError("no images. Expected at least one to compare on.")
    graph = _Graph(frozen or freeze.freeze_network(source))
    gc.collect()  # freezing leaves copies of the weights in reference cycles
    engines = [_Engine(network, source.metadata, graph, others=_others(networks, network)) for network in networks]
    for number, frames in enumerate(frames_ahead([Path(path) for path in images], source.metadata, 1)):
        frames = in_unit_range(frames)
        fetch, handed = graph.fetching(frames), _Handed({_FRAMES: frames}, {_FRAMES: frames})
        for engine in engines:
            engine.add(handed, fetch)
            if number == 0:
                engine.compare_convolutions(fetch)
    return Numbers(
        images=len(images),
        outputs=tuple(one for engine in engines for one in engine.outputs()),
        convolutions=tuple(one for engine in engines for one in engine.convolutions),
        settled=tuple(one for engine in engines for one in engine.settled()),
        rounding=_together([engine.rounding.difference for engine in engines if engine.rounding]),
        failures=tuple(failure for engine in engines for failure in engine.failures),
        left_out=tuple(what for engine in engines for what in engine.left_out),
    )


def _others(networks: Sequence[RecordedNetwork], network: RecordedNetwork) -> list[RecordedNetwork]:
    """The networks beside one."""
    return [other for other in networks if other is not network]


@dataclasses.dataclass(frozen=True)
class _Handed:
    """What engines hand on to one another for an image, by its name in `RecordedNetwork.links`.

    Attributes:
      free: As the engines compute it.
      settled: With TensorFlow's integers in place of their own.
      is_rounded: Names of what a quantisation went into, by which ties of rounding spread.
    """

    free: dict[str, np.ndarray]
    settled: dict[str, np.ndarray]
    is_rounded: set[str] = dataclasses.field(default_factory=set)


class _Graph:
    """The frozen graph in TensorFlow, which gives any of its tensors.

    Attributes:
      convolutions: Those of its nodes that are convolutions, without the weights.
      outputs: The signature's outputs to names of tensors.
    """

    def __init__(self, frozen: freeze.FrozenNetwork):
        self._graph, self._frames_name = tf.Graph(), frozen.frames_name
        with self._graph.as_default():
            tf.graph_util.import_graph_def(frozen.graph_def, name="")
        self.outputs = frozen.outputs
        self.convolutions = GraphDef()
        self.convolutions.node.extend(node for node in frozen.graph_def.node if node.op in convolutions.DATA_INPUT)

    def fetching(self, frames: np.ndarray) -> convolutions.Fetch:
        """Takes names of tensors, or of nodes, to their values for frames (1, *size_hw, 3) float32 in [0, 1]."""

        def fetch(names: Sequence[str]) -> list[np.ndarray]:
            # A session of its own each time: one keeps the weights once more for each set of tensors that it gave. And
            # the graph as it is: what is fused or folded would be another computation, and another copy.
            config = tf.compat.v1.ConfigProto()
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            config.graph_options.optimizer_options.opt_level = -1
            with tf.compat.v1.Session(graph=self._graph, config=config) as session:
                return session.run(freeze.tensors(self._graph, names), {self._frames_name: frames})

        return fetch


class _Engine:
    """A recorded network that is compared, image by image.

    Attributes:
      rounding: Its quantisations; false if it has none.
      convolutions: Differences of those that were compared.
      failures: What could not be computed, or should have been compared and was not.
      left_out: What was not compared.
    """

    def __init__(self, network: RecordedNetwork, metadata: Metadata, graph: _Graph, *, others: list[RecordedNetwork]):
        self._network, self._graph, quantities = network, graph, TASKS[metadata.task].quantities
        self.rounding = Rounding(network, graph.convolutions)
        self._is_quantized = self._spreads = _quantizes_data(network)
        self._free, self._settled = _Sums(quantities), _Sums(quantities)
        self.convolutions, self.failures, self.left_out = [], [], []
        tensors = [network.tensors[index] for index in network.inputs]
        unlinked = [tensor.dims[1:] for tensor in tensors if tensor.name not in network.links]
        takes_frames = unlinked == ([] if network.links else [(*metadata.image_size_hw, 3)])
        self._takes = {tensor.name: network.links.get(tensor.name, _FRAMES) for tensor in tensors}
        self._is_computed = takes_frames and bool(network.signature_outputs or network.links)
        wanted = {*graph.outputs, *(quantity.output for quantity in quantities)}
        if network.links:  # the parts of a network, which give its outputs together
            wanted.difference_update(*(other.signature_outputs.values() for other in others))
        if not takes_frames:
            self.left_out.append(f"the outputs of {network.engine}, whose inputs are not the frames alone")
        elif missing := _missing(network, wanted):
            if not others:
                self.failures.append(f"not compared: {missing}")
            else:  # another may give it, of what this one gives
                self.left_out.append(missing)
        if self._is_computed and self._is_quantized and not self.rounding:
            self.failures.append(
                f"{network.engine} quantises, and no quantisation stands before a convolution of TensorFlow's graph: "
                "nothing bounds its outputs. Run the preflight again, and report it with its network.json."
            )

    def add(self, handed: _Handed, fetch: convolutions.Fetch) -> None:
        """Takes in an image, for the outputs; adds to what is handed on what later engines take of this one."""
        if not self._is_computed:
            return
        expected = dict(zip(self._graph.outputs, fetch(list(self._graph.outputs.values())), strict=True))
        missing = sorted(set(self._takes.values()) - set(handed.settled))
        if missing:
            self.left_out.append(f"the outputs of {self._network.engine}, for no engine before it gives {missing[0]}")
            self._is_computed = False
            return
        try:
            is_fed_rounded = not self._is_quantized and bool(handed.is_rounded.intersection(self._takes.values()))
            is_bound = not (self._is_quantized or is_fed_rounded)
            found = self._added(self._free, handed.free, expected, {}, is_bound=is_bound)
            handed.free.update(found)
            if self.rounding or is_fed_rounded:
                replaced = self.rounding.replacing(fetch) if self.rounding else {}
                found = self._added(self._settled, handed.settled, expected, replaced, is_bound=True)
            handed.settled.update(found)
            self._spreads |= self._is_quantized or is_fed_rounded
            handed.is_rounded.update(found if self._spreads else ())
        except PreflightError as error:
            self.failures.append(str(error))
            self._is_computed = False

    def compare_convolutions(self, fetch: convolutions.Fetch) -> None:
        """Compares each convolution alone, on one image."""
        found = list(convolutions.compare_convolutions(self._network, self._graph.convolutions, fetch))
        self.convolutions = [one for one in found if isinstance(one, ConvolutionDifference)]
        self.left_out += [one for one in found if isinstance(one, str)]
        if found and not self.convolutions:
            self.failures.append(
                f"no convolution of {self._network.engine} was compared: of {len(found)} none has the name of one in "
                "TensorFlow's graph. Run the preflight again, and report it with its network.json."
            )

    def outputs(self) -> tuple[OutputDifference, ...]:
        """The differences; only reported if ties of rounding are among them."""
        return self._free.differences(is_bound=not self._spreads)

    def settled(self) -> tuple[OutputDifference, ...]:
        """The differences with TensorFlow's integers in place of an INT8 network's own."""
        return self._settled.differences(is_bound=True)

    def _added(
        self,
        sums: "_Sums",
        given: dict[str, np.ndarray],
        expected: dict[str, np.ndarray],
        replace: dict,
        *,
        is_bound: bool,
    ) -> dict[str, np.ndarray]:
        """What is computed of an image, after its differences were added up."""
        found = self._computed(given, expected, replace)
        exact = functools.partial(self._computed, given, expected, replace, np.float64) if is_bound else None
        sums.add(expected, found, exact)
        return found

    def _computed(
        self, given: dict[str, np.ndarray], expected: dict[str, np.ndarray], replace: dict, dtype: type = np.float32
    ) -> dict[str, np.ndarray]:
        """The network's outputs under the signature's names, and under theirs what later engines take."""
        feeds = {name: given[link] for name, link in self._takes.items()}
        values = execute(self._network, feeds, dtype=dtype, replace=replace)
        names = self._network.signature_outputs
        _check_shapes(names, values, expected)
        named = names.items() | {(name, link) for name, link in self._network.links.items() if name not in self._takes}
        return {output: values[name] for name, output in named}


class _Sums:
    """Differences of a task's quantities, added up over images."""

    def __init__(self, quantities: tuple[Quantity, ...]):
        self._quantities = quantities
        self._largest, self._total, self._magnitude, self._count = np.zeros((4, len(quantities)))
        self._rounding = np.full(len(quantities), np.nan)

    def add(
        self,
        expected: dict[str, np.ndarray],
        found: dict[str, np.ndarray],
        exact: Callable[[], dict[str, np.ndarray]] | None,
    ) -> None:
        """Takes in the outputs of one image, and what `exact` computes in float64 where one is beyond its bound."""
        is_beyond = False
        for row, quantity in enumerate(self._quantities):
            if quantity.output not in found:  # told before
                continue
            one, other = (_of(quantity, values) for values in (found, expected))
            differences, magnitude = np.abs(one - other), np.abs(other).max()
            largest = differences.max()
            self._largest[row] = np.maximum(self._largest[row], largest)  # not a number stays
            self._total[row] += differences.sum()
            self._count[row] += differences.size
            self._magnitude[row] = max(self._magnitude[row], magnitude)
            is_beyond |= bool(largest > _bound(quantity) * _scale(quantity, magnitude))
        if is_beyond and exact is not None:
            in_double = exact()
            for row, quantity in enumerate(self._quantities):
                if quantity.output in found:
                    moved = np.abs(_of(quantity, found) - _of(quantity, in_double)).max()
                    self._rounding[row] = np.fmax(self._rounding[row], moved)

    def differences(self, *, is_bound: bool) -> tuple[OutputDifference, ...]:
        """The quantities that were seen."""
        figures = (self._largest, self._total, self._magnitude, self._count, self._rounding)
        found = []
        for quantity, largest, total, magnitude, count, rounding in zip(self._quantities, *figures, strict=True):
            if count:
                scale = _scale(quantity, magnitude)
                found.append(
                    OutputDifference(
                        quantity.label,
                        quantity.unit,
                        float(largest / scale),
                        float(total / count / scale),
                        _bound(quantity) if is_bound else None,
                        float(rounding / scale) if is_bound and np.isfinite(rounding) else None,
                    )
                )
        return tuple(found)


def _of(quantity: Quantity, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """A quantity's numbers, float64."""
    return outputs[quantity.output][..., slice(*quantity.columns)].astype(np.float64)


def _bound(quantity: Quantity) -> float:
    """What a quantity may differ by, in its unit."""
    return BOUND_PX if quantity.unit == "px" else BOUND


def _scale(quantity: Quantity, magnitude: float) -> float:
    """What a quantity's unit is."""
    return max(magnitude, 1e-6) if quantity.unit == "relative" else 1.0


def _quantizes_data(network: RecordedNetwork) -> bool:
    """Whether a network quantises what depends on its inputs, where ties of rounding may come; filters have none."""
    origins = operations.origins(network)
    return any(layer.kind == "QUANTIZE" and origins[layer.outputs[0]] == "data" for layer in network.layers)


def _missing(network: RecordedNetwork, outputs: set[str]) -> str:
    """Which of the signature's outputs a network does not give, in words; "" if it gives all."""
    missing = sorted(outputs.difference(network.signature_outputs.values()))
    if not missing:
        return ""
    return f"{', '.join(missing)} of the signature, which {network.engine} does not give"


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
                f"{name} of the recorded network is {shapes[0]} and {output} of the signature {shapes[1]}. Expected "
                "one shape; compare with the SavedModel that was converted."
            )
