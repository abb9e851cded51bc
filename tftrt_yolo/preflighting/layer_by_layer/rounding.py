"""An INT8 network with its ties of rounding settled as TensorFlow settles them.

    rounding = Rounding(network, graph_def)
    outputs = execute(network, feeds, replace=rounding.replacing(fetch))   # as near to TensorFlow's as FP16's are
    print(rounding.difference)               # 231 of 19,127,500 quantised numbers differ, by 1 step at most

Two computations of one INT8 network differ from the first tie on: a number an ulp below the middle of a step goes down
in one and up in the other, and a whole step is what the next layer sees. So every quantisation's result is replaced by
TensorFlow's, after it was counted how many numbers differ and by how many steps. What is left must agree.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.preflighting.executor import arithmetic
from tftrt_yolo.preflighting.layer_by_layer import convolutions
from tftrt_yolo.preflighting.layer_by_layer.convolutions import DATA_INPUT, Fetch
from tftrt_yolo.preflighting.numbers_report import RoundingDifference
from tftrt_yolo.preflighting.recorded_network import CONVOLUTIONS, Layer, RecordedNetwork


class Rounding:
    """Counts how a network's quantisations differ from TensorFlow's, each fed what TensorFlow's rounding left."""

    def __init__(self, network: RecordedNetwork, graph_def: GraphDef):
        """Finds the quantisations before convolutions.

        Args:
          network: What was recorded.
          graph_def: The frozen graph that was converted.
        """
        self._network, self._found = network, {}
        self._values = self._differing = self._largest_steps = 0
        nodes = {node.name: node for node in graph_def.node if node.op in DATA_INPUT}
        producers = network.producers()
        for layer in network.layers:
            if layer.kind in CONVOLUTIONS and convolutions.node_of(layer) in nodes:
                quantize, path = convolutions.quantization_of(network, layer)
                if quantize is not None:
                    scale = convolutions.from_constants(producers, quantize.inputs[1])
                    node = nodes[convolutions.node_of(layer)]
                    self._found[quantize.outputs[0]] = _Quantization(layer, node, quantize, path, scale)

    def __bool__(self) -> bool:
        """Whether the network quantises anything."""
        return bool(self._found)

    @property
    def difference(self) -> RoundingDifference:
        """What was counted."""
        return RoundingDifference(self._values, self._differing, self._largest_steps)

    def replacing(self, fetch: Fetch) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """TensorFlow's integers for one image.

        Args:
          fetch: Takes names of tensors to TensorFlow's values of them; it is called a few times.

        Returns:
          What `execute` takes as `replace`: name of each quantised tensor to what counts and replaces its values.
        """
        of_layer = {id(found.layer): (index, found) for index, found in self._found.items()}
        replaced = {}
        for batch in convolutions.in_batches(self._network, [found.layer for found in self._found.values()]):
            rows = [of_layer[id(layer)] for layer in batch]
            values = fetch([found.node.input[DATA_INPUT[found.node.op]] for _, found in rows])
            for (index, found), value in zip(rows, values, strict=True):
                replaced[self._network.tensors[index].name] = functools.partial(self._counted, found.integers(value))
        return replaced

    def _counted(self, expected: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Takes in a quantisation, and gives TensorFlow's instead."""
        if own.shape == expected.shape:  # otherwise `execute` refuses what is given
            steps = np.abs(own.astype(np.int16) - expected)
            self._values += own.size
            self._differing += int(np.count_nonzero(steps))
            self._largest_steps = max(self._largest_steps, int(steps.max(initial=0)))
        return expected


class _Quantization(NamedTuple):
    """A quantisation before a convolution.

    Attributes:
      layer: The convolution.
      node: TensorFlow's.
      quantize: The QUANTIZE layer.
      path: What stands between the two layers.
      scale: Size of a step.
    """

    layer: Layer
    node: NodeDef
    quantize: Layer
    path: list[Layer]
    scale: np.ndarray

    def integers(self, value: np.ndarray) -> np.ndarray:
        """TensorFlow's input of the convolution, int8 in the layout of the QUANTIZE layer."""
        data = convolutions.untransposed(convolutions.nchw(self.node, value), self.path)
        return arithmetic.quantize(self.quantize, data, self.scale)
