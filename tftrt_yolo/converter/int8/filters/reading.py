"""What convolutions read of the calibration images once their input is quantised: a sample of places.

    sample = Sample(node, layer, threshold=3.1, offset=2.8)
    sample.add(activations, places=40, rng=rng)         # batch after batch
    sample.moments(), sample.mean_error()

A place is what one cell of the output is computed from, kernel height * kernel width * channels numbers, and with a few
thousand of them a filter's error is known well enough to choose its steps. They are kept as the integers that they are
quantised to: of yolov8n 0.2 GB in all.
"""

import numpy as np
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.converter.int8.quantization import Layer


class Sample:
    """Places of a convolution's input.

    Attributes:
      layer: The convolution.
      is_product: Whether each cell of the output is one product of what it reads and the filter. A transposed
        convolution whose filter is larger than its stride adds up several, and is not sampled.
    """

    def __init__(self, node: NodeDef, layer: Layer, *, threshold: float, offset: float):
        """Starts without any.

        Args:
          node: The convolution.
          layer: The same.
          threshold: The range of its input's quantisation, from `quantization.shift`.
          offset: What is taken off before it, likewise.
        """
        self.layer, self._threshold, self._offset = layer, threshold, offset
        self._is_transposed = node.op == "Conv2DBackpropInput"
        self._stride_hw = tuple(node.attr["strides"].list.i)[1:3]
        self._spread_hw = tuple(node.attr["dilations"].list.i)[1:3] or (1, 1)
        self._pads = node.attr["padding"].s == b"SAME" and not self._is_transposed
        sides = layer.kernel.shape[:2]
        fits = all(side <= stride for side, stride in zip(sides, self._stride_hw, strict=True))
        self.is_product = node.op == "Conv2D" or (self._is_transposed and fits)
        self._steps, self._sums = [], 0.0

    def add(self, activations: np.ndarray, *, places: int, rng: np.random.Generator) -> None:
        """Takes places of a batch at random.

        Args:
          activations: (batch, height, width, channels) float32, what the convolution reads in floating point.
          places: How many of each image.
          rng: Says which.
        """
        plain = self._read(activations, places, rng)
        shifted = plain - np.float32(self._offset)
        self._steps.append(quantization.integers(shifted, self._threshold).astype(np.int8))
        self._sums = self._sums + plain.sum(axis=0, dtype=np.float64)

    def weights(self) -> np.ndarray:
        """The filter as the matrix that a place is multiplied by, (inputs, outputs) float64."""
        kernel = self.layer.kernel.astype(np.float64)
        if self._is_transposed:  # (height, width, outputs, inputs)
            return kernel.transpose(3, 0, 1, 2).reshape(kernel.shape[3], -1)
        return kernel.reshape(-1, kernel.shape[3])

    def filter_of(self, matrix: np.ndarray) -> np.ndarray:
        """A matrix such as `weights` gives as a filter again."""
        height, width, *channels = self.layer.kernel.shape
        if self._is_transposed:
            return matrix.reshape(channels[1], height, width, channels[0]).transpose(1, 2, 3, 0)
        return matrix.reshape(self.layer.kernel.shape)

    def moments(self) -> np.ndarray:
        """Mean of x x' of what is read, quantised, less its mean: (inputs, inputs) float64."""
        quantized = self._quantized()
        quantized -= quantized.mean(axis=0)
        return quantized.T @ quantized / len(quantized)

    def mean_error(self, matrix: np.ndarray) -> np.ndarray:
        """How much too large outputs are on average.

        Args:
          matrix: (inputs, outputs) float64, the quantised filter in place of `weights`.

        Returns:
          (outputs,) float64: mean of the quantised input's products with it, less that of the input's with `weights`.
        """
        quantized = self._quantized()
        return quantized.mean(axis=0) @ matrix - self._sums / len(quantized) @ self.weights()

    def _quantized(self) -> np.ndarray:
        """What is read, as it is behind the quantisation and without the shift, (places, inputs) float64."""
        steps = np.concatenate(self._steps).astype(np.float64)
        return steps * (float(np.float32(self._threshold)) / quantization.LEVELS) + self._offset

    def _read(self, activations: np.ndarray, places: int, rng: np.random.Generator) -> np.ndarray:
        """Places at random, (batch * places, inputs)."""
        sides = (1, 1) if self._is_transposed else self.layer.kernel.shape[:2]
        batch, sources = np.repeat(np.arange(len(activations)), places)[:, np.newaxis, np.newaxis], []
        pads = []
        for axis in (0, 1):
            stride = 1 if self._is_transposed else self._stride_hw[axis]
            reach, size = (sides[axis] - 1) * self._spread_hw[axis] + 1, activations.shape[1 + axis]
            cells = -(-size // stride) if self._pads else (size - reach) // stride + 1
            missing = max((cells - 1) * stride + reach - size, 0) if self._pads else 0
            pads.append((missing // 2, missing - missing // 2))
            starts = rng.integers(0, cells, batch.size) * stride
            sources.append(starts[:, np.newaxis] + np.arange(sides[axis]) * self._spread_hw[axis])
        if any(map(any, pads)):
            activations = np.pad(activations, ((0, 0), *pads, (0, 0)))
        rows, columns = sources[0][:, :, np.newaxis], sources[1][:, np.newaxis, :]
        return activations[batch, rows, columns].reshape(batch.size, -1)
