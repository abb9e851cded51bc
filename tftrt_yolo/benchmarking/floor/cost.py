"""The least time that a network can take on a machine: its arithmetic and its bytes over the machine's ceilings.

    floor_ms(cost, ceilings, contestant)      # max(FLOPs / measured FLOP/s, bytes / measured bytes/s)

The costs are counted in `count`, the ceilings are measured in `ceilings`; both run in processes of their own.
"""

import dataclasses

from tftrt_yolo.benchmarking.contestants import Contestant


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a batch costs at least, counted from signature `network`.

    Attributes:
      batch_size: Images.
      flops: Floating-point operations of its convolutions and matrix products, two for each multiply-add.
      weight_values: Numbers in its weights, read once.
      input_values: Numbers in its frames.
      output_values: Numbers in its dense outputs.
    """

    batch_size: int
    flops: int
    weight_values: int
    input_values: int
    output_values: int

    def bytes_of(self, contestant: Contestant) -> int:
        """Least bytes to move, by the sizes of a contestant's numbers."""
        return (
            self.weight_values * contestant.weight_bytes
            + self.input_values * contestant.input_bytes
            + self.output_values * contestant.output_bytes
        )


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """What this machine was seen to reach.

    Attributes:
      flops_per_second: Precision to the rate of a large matrix product in it.
      bytes_per_second: Rate of a large copy, bytes read and written.
    """

    flops_per_second: dict[str, float]
    bytes_per_second: float

    def flops_for(self, precision: str) -> float:
        """The rate for a precision, at least FP32's, which could stand in; the best of all where neither is known."""
        known = [rate for name, rate in self.flops_per_second.items() if name in (precision, "FP32")]
        return max(known or self.flops_per_second.values())

    def __str__(self) -> str:
        """One line for a reader."""
        rates = ", ".join(f"{rate / 1e12:.3g} TFLOP/s {precision}" for precision, rate in self.flops_per_second.items())
        return f"{rates}, {self.bytes_per_second / 1e9:.4g} GB/s"


def floor_ms(cost: Cost, ceilings: Ceilings, contestant: Contestant) -> float:
    """Least time of a batch.

    Args:
      cost: What the batch costs.
      ceilings: What the machine reaches.
      contestant: Whose precision counts.

    Returns:
      Milliseconds.
    """
    arithmetic = cost.flops / ceilings.flops_for(contestant.precision)
    traffic = cost.bytes_of(contestant) / ceilings.bytes_per_second
    return 1e3 * max(arithmetic, traffic)
