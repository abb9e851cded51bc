"""What comparing a recorded network with TensorFlow found: figures, bounds and faults. `numbers` measures them."""

import dataclasses
import math

from tftrt_yolo.ground.text import counted

# Issue: what an FP16 network may differ by, computed in float32; boxes and key points, and everything else.
BOUND_PX, BOUND = 0.01, 1e-4
# What an output that is beyond its bound may differ by instead: so many times what float32 itself moves it by, for two
# computations round in two ways (of yolo26n-sem up to 3.5 times was measured). A sharp softmax behind products of
# thousands, as attention has them with random weights, makes 1e-4 of 1e-6. And never more than so many bounds, or
# nothing would be compared.
ROUNDINGS, MOST_BOUNDS = 10, 100
# A convolution of the same numbers, of its largest output: float32 has 24 bits, the sums are of up to some ten thousand
# products in another order. A wrong filter, stride or padding changes a layer's output by some per cent at least.
CONVOLUTION_BOUND = 1e-5
# Share of the quantised numbers that may round to the other side: what is an ulp or a few off a tie. One of a hundred
# thousand was seen.
ROUNDING_BOUND = 1e-4


@dataclasses.dataclass(frozen=True)
class OutputDifference:
    """How far one quantity of the network's outputs lies from TensorFlow's.

    Attributes:
      label: The task's name of the quantity.
      unit: "px", "rad", "" for a plain number, or "relative" for a share of the largest magnitude.
      largest: The largest absolute difference.
      mean: The mean.
      bound: What is allowed; None where ties of rounding spread, and the difference is only reported.
      rounding: How far the recorded network's own output in float32 lies from that in float64; None where that was not
        computed, for nothing was beyond the bound.
    """

    label: str
    unit: str
    largest: float
    mean: float
    bound: float | None
    rounding: float | None = None

    @property
    def allowed(self) -> float | None:
        """The bound, or what the network's rounding makes of it; None where there is none."""
        if self.bound is None or self.rounding is None:
            return self.bound
        return min(max(self.bound, ROUNDINGS * self.rounding), MOST_BOUNDS * self.bound)

    @property
    def is_within(self) -> bool:
        """Whether it is allowed; where there is no bound, whether it is a number at all."""
        return math.isfinite(self.largest) if self.bound is None else self.largest <= self.allowed

    def __str__(self) -> str:
        """The figures with their unit."""
        unit = f" {self.unit}".rstrip()
        bound = "reported only" if self.bound is None else f"{self.allowed:.3g}{unit} allowed"
        if self.rounding is not None:
            bound += f", for float32 alone moves it by {self.rounding:.2g}{unit}"
        return f"{self.label} {self.largest:.2g}{unit} at most, {self.mean:.2g}{unit} on average ({bound})"


@dataclasses.dataclass(frozen=True)
class RoundingDifference:
    """How the quantisations of an INT8 network differ from TensorFlow's, each fed what TensorFlow's rounding left.

    Attributes:
      values: Numbers that were quantised, over all images.
      differing: How many of them become another integer than TensorFlow's.
      largest_steps: The largest difference of the integers.
    """

    values: int
    differing: int
    largest_steps: int

    @property
    def is_within(self) -> bool:
        """Whether there are ties only: a step, and few."""
        return self.largest_steps <= 1 and self.differing <= ROUNDING_BOUND * self.values

    def __str__(self) -> str:
        """The figures."""
        return (
            f"{self.differing:,} of {self.values:,} quantised numbers differ, by "
            f"{counted(self.largest_steps, 'step')} at most"
        )


@dataclasses.dataclass(frozen=True)
class ConvolutionDifference:
    """One convolution alone, fed what TensorFlow's is fed.

    Attributes:
      node: The TensorFlow node.
      filters: The largest difference of the filters.
      output: The largest difference of the output, as a share of the largest magnitude of TensorFlow's; infinite if the
        shapes differ, or the layer cannot be computed.
      why: What kept it from being compared; "" if nothing did.
    """

    node: str
    filters: float
    output: float
    why: str = ""

    @property
    def is_within(self) -> bool:
        """Whether the filters are equal, and the output as near as float32 allows."""
        return self.filters == 0 and self.output <= CONVOLUTION_BOUND

    def __str__(self) -> str:
        """The figures of one layer."""
        why = f" ({self.why})" if self.why else ""
        if not math.isfinite(self.filters + self.output):  # which JSON has no number for
            return f"{self.node}: not equal{why}"
        filters = "filters equal" if self.filters == 0 else f"filters differ by {self.filters:.2g}"
        return f"{self.node}: {filters}, output within {self.output:.2g} of its largest{why}"


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A recorded network against TensorFlow.

    Attributes:
      images: Images that the outputs were compared on; the convolutions are on the first.
      outputs: What the network gives at its end.
      convolutions: Each convolution alone.
      settled: Of an INT8 network, what it gives where TensorFlow's integers stand for its own.
      rounding: Of an INT8 network, how many of these integers differ.
      failures: Why outputs could not be computed, such as an unknown layer or a shape that is not the recorded one; and
        what should have been compared and was not: of the only engine an output of the signature, of any engine all of
        its convolutions.
      left_out: What was not compared, and why, without being at fault.
    """

    images: int
    outputs: tuple[OutputDifference, ...]
    convolutions: tuple[ConvolutionDifference, ...]
    settled: tuple[OutputDifference, ...] = ()
    rounding: RoundingDifference | None = None
    failures: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def worst(self) -> ConvolutionDifference | None:
        """The convolution that differs most; filters that differ come first."""
        return max(self.convolutions, key=lambda one: (one.filters != 0, one.output), default=None)

    @property
    def faults(self) -> tuple[str, ...]:
        """What could not be computed or is beyond its bound, a line each; the same failure once."""
        alone = (one for one in self.convolutions if not one.why or one.why not in self.failures)
        found = (*self.outputs, *self.settled, *([self.rounding] if self.rounding else []), *alone)
        return (*self.failures, *(str(one) for one in found if not one.is_within))

    def __str__(self) -> str:
        """A line for each output, and one for the convolutions; of what is a fault only that it is one of `faults`."""
        images = counted(self.images, "image")
        lines = [f"The recorded network against TensorFlow, on {images}:", *map(_figures, self.outputs)]
        if self.rounding:
            kept = self.rounding if self.rounding.is_within else "more quantised numbers differ than ties explain"
            lines.append(f"{kept}; with TensorFlow's in their place:")
            lines += [f"  {_figures(one)}" for one in self.settled]
        equal = sum(one.filters == 0 for one in self.convolutions)
        exact = sum(one.output == 0 for one in self.convolutions)
        beyond = sum(not one.is_within for one in self.convolutions)
        if self.worst:
            rest = f"{beyond} beyond what is allowed" if beyond else f"the worst is {self.worst}"
            lines.append(
                f"{counted(len(self.convolutions), 'convolution')} alone: the filters of {equal} equal, the outputs "
                f"of {exact} "
                f"equal to the bit, {rest}"
            )
        lines += [f"not compared: {what}" for what in self.left_out]
        return "\n  ".join(lines)


def _figures(difference: OutputDifference) -> str:
    """A difference that is allowed; of another its name alone, for the report tells its figures as a fault."""
    return str(difference) if difference.is_within else f"{difference.label} beyond what is allowed"
