"""An INT8 network with its ties of rounding settled as TensorFlow settles them.

    settled = Rounding(network, graph_def)
    outputs = execute(network, feeds, replace=settled.replacing(fetch))    # as exact as FP16's outputs
    settled.share, settled.largest_steps                                   # 2e-06, 1

Two computations of one INT8 network differ from the first tie on: a number an ulp below the middle of a step goes down
in one and up in the other, and a whole step is what the next layer sees. So every quantisation's result is replaced by
TensorFlow's, after it was counted how many numbers differ and by how many steps. What is left must agree.
"""

from collections.abc import Callable

import numpy as np
from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.preflight import convolutions
from tftrt_yolo.preflight.convolutions import DATA_INPUT, Fetch
from tftrt_yolo.preflight.executor import arithmetic
from tftrt_yolo.preflight.recorded_network import RecordedNetwork


class Rounding:
    """Counts how a network's quantisations differ from TensorFlow's, each fed what TensorFlow's rounding left.

    Attributes:
      values: Numbers that were quantised.
      differing: How many of them TensorFlow has another integer for.
      largest_steps: The largest difference of the integers.
    """

    def __init__(self, network: RecordedNetwork, graph_def: GraphDef):
        """Finds the quantisations before convolutions.

        Args:
          network: What was recorded.
          graph_def: The frozen graph that was converted.
        """
        self.values = self.differing = self.largest_steps = 0
        nodes = {node.name: node for node in graph_def.node if node.op in DATA_INPUT}
        producers, self._network, self._found = network.producers(), network, {}
        for layer in network.layers:
            quantize, path = (
                convolutions.quantization_of(producers, layer) if layer.kind in convolutions.KINDS else (None, [])
            )
            node = nodes.get(convolutions.node_of(layer))
            if quantize is not None and node is not None:
                scale = convolutions.from_constants(producers, quantize.inputs[1])
                self._found[network.tensors[quantize.outputs[0]].name] = (layer, node, quantize, path, scale)

    def replacing(self, fetch: Fetch) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """TensorFlow's integers for one image.

        Args:
          fetch: Takes names of tensors to TensorFlow's values of them; it is called a few times.

        Returns:
          What `execute` takes as `replace`: name of each quantised tensor to what counts and replaces its values.
        """
        of_layer = {id(row[0]): (name, row) for name, row in self._found.items()}
        integers = {}
        for batch in convolutions.in_batches(self._network, [row[0] for row in self._found.values()]):
            rows = [of_layer[id(layer)] for layer in batch]
            values = fetch([node.input[DATA_INPUT[node.op]] for _, (_, node, *_) in rows])
            for (name, (_, node, quantize, path, scale)), value in zip(rows, values, strict=True):
                data = convolutions.untransposed(convolutions.nchw(node, value), path)
                integers[name] = arithmetic.quantize(quantize, data, scale)
        return {name: lambda own, integer=integer: self._counted(own, integer) for name, integer in integers.items()}

    @property
    def share(self) -> float:
        """Share of the numbers that differ."""
        return self.differing / max(self.values, 1)

    def _counted(self, own: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Takes in a quantisation, and gives TensorFlow's instead."""
        steps = np.abs(own.astype(np.int16) - expected)
        self.values += own.size
        self.differing += int(np.count_nonzero(steps))
        self.largest_steps = max(self.largest_steps, int(steps.max(initial=0)))
        return expected
