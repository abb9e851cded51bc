"""A network that is ready to be quantised, by what images showed of it or by what its training has chosen.

graph_def = calibrated.quantized()
"""

import dataclasses

from tensorflow.core.framework.graph_pb2 import GraphDef

from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.converter.int8.histogram import Range


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """A network that is ready to be quantised.

    Attributes:
      graph_def: Frozen, float32, its channels equalised.
      frames_name: Name of the tensor that the frames go into.
      outputs: Name of each output of `network` to its tensor in the graph.
      layers: Those of its convolutions that are to be quantised, `quantization.Layer`.
      ranges: What each of them reads to the values that are kept.
      readable: Paths of the images that could be read.
      unreadable: Why the others could not.
      cache: The file that the ranges were read from; None if the images were run.
      filters: Name of each convolution to its filter, fitted to the images; of those that are not there, weights are
        rounded to the nearest step.
      rounding: How filters were rounded, "calibrated" or "nearest"; None where the training has chosen their steps.
      grids: Name of each convolution to the `quantization.Grid` that its training has chosen, and then no ranges; empty
        where images were measured.
      float_layers: The other convolutions, which stay in float.
    """

    graph_def: object
    frames_name: str
    outputs: dict[str, str]
    layers: list
    ranges: dict[str, Range]
    readable: list[str]
    unreadable: list[str]
    cache: str | None = None
    filters: dict[str, quantization.Filter] = dataclasses.field(default_factory=dict)
    rounding: str | None = None
    grids: dict[str, quantization.Grid] = dataclasses.field(default_factory=dict)
    float_layers: tuple = ()

    def quantized(self) -> GraphDef:
        """A new graph with the quantisations."""
        return quantization.quantize(self.graph_def, self.layers, self.ranges, self.filters, grids=self.grids)
