"""Histograms of magnitudes, and the range that a method reads from one.

histogram = Histogram()
for activations in batches:
    histogram.add(activations)
histogram.range("mse")          # Range(low=-0.28, high=11.5)
"""

from typing import NamedTuple

import numpy as np

METHODS = ("max", "percentile", "mse")
BINS = 2_048
_PERCENTILE = 99.99  # of the magnitudes
_STEPS = 253  # between the ends of a range; see quantization.quantize
_SHARES = np.linspace(0.05, 1.0, 96)  # of the largest magnitude, which "mse" tries


class Range(NamedTuple):
    """The values of a tensor that are kept; what lies outside becomes one of the ends.

    Attributes:
      low: The least, at most 0.
      high: The largest, at least 0.
    """

    low: float
    high: float

    @property
    def threshold(self) -> float:
        """The larger magnitude of the two."""
        return max(-self.low, self.high)


class Histogram:
    """A histogram of magnitudes whose range doubles as they grow.

    Attributes:
      counts: (2048,) int64.
      width: Width of a bin; 0 as long as everything was 0.
      low: The least value, or 0.
      high: The largest value, or 0.
    """

    def __init__(self, counts: np.ndarray | None = None, width: float = 0.0, low: float = 0.0, high: float = 0.0):
        """Empty, or with what an earlier one held."""
        self.counts = np.zeros(BINS, np.int64) if counts is None else counts
        self.width, self.low, self.high = width, low, high

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(-self.low, self.high)

    def add(self, values: np.ndarray) -> None:
        """Adds a tensor's values."""
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        magnitudes = np.abs(values).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if largest == 0:
            return
        if self.width == 0:
            self.width = float(2.0 ** np.ceil(np.log2(largest))) / BINS
        while largest > self.width * BINS:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2, np.int64)])
            self.width *= 2
        bins = (magnitudes * np.float32(1 / self.width)).astype(np.int32)
        self.counts += np.bincount(np.minimum(bins, BINS - 1, out=bins), minlength=BINS)

    def range(self, method: str) -> Range:
        """The values that are kept.

        Args:
          method: "max" clips nothing, "percentile" the 0.01 % of the largest magnitude, "mse" so that the mean squared
            error of the quantisation is the least.
        """
        threshold = self._threshold(method)
        return Range(max(self.low, -threshold), min(self.high, threshold))

    def _threshold(self, method: str) -> float:
        """The magnitude at which values are clipped."""
        if method == "max":
            return self.largest
        if method == "percentile":
            shares = np.cumsum(self.counts) / self.counts.sum()
            return min((int(np.searchsorted(shares, _PERCENTILE / 100)) + 1) * self.width, self.largest)
        used = np.nonzero(self.counts)[0]
        centers, weights = (used + 0.5) * self.width, self.counts[used]
        thresholds = self.largest * _SHARES
        thresholds = thresholds[:, np.newaxis]
        steps = (np.minimum(thresholds, self.high) + np.minimum(thresholds, -self.low)) / _STEPS
        rounded = np.minimum(np.round(centers / steps) * steps, thresholds)
        errors = ((rounded - centers) ** 2 * weights).sum(axis=1)
        return float(thresholds[int(np.argmin(errors)), 0])
