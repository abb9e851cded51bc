"""What TF-TRT can be asked for: the options of a conversion for TensorRT.

options = TensorRTOptions(batch_sizes=(1, 8), minimum_coverage=1.0)
options.given                                  # ("batch_sizes", "minimum_coverage")
options.strategy                               # "Range+Optimal"
"""

import dataclasses
from typing import ClassVar

from tftrt_yolo.ground.arguments import Options, argument, check_at_least_one, check_batch_sizes, check_share

PROFILE_STRATEGIES = ("Range", "Optimal", "Range+Optimal")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TensorRTOptions(Options):
    """Options of TF-TRT, under its own names, and what is asked of its result.

    Attributes:
      minimum_segment_size: Fewest nodes that make an engine; tensorrt only, as are the next five.
      max_workspace_size_bytes: GPU memory that TensorRT may use while it builds; None for no limit but the GPU's.
      batch_sizes: Batch sizes that engines are built for. Which others run in TensorRT,
        dynamic_shape_profile_strategy says; the rest runs in TensorFlow. Engines that are not built here are built for
        the first batch that they meet.
      dynamic_shape_profile_strategy: How an engine is tuned for batch_sizes. "Range" makes one profile from the least
        to the largest, tuned for the largest only; "Optimal" one for each, and no size between them; "Range+Optimal"
        one for each and the range behind them. None for "Range+Optimal", of a single batch size for "Range", which is
        the same then.
      allow_build_at_runtime: Whether an engine that was not built here may be built at first use, which takes minutes.
      minimum_coverage: Least share of the nodes of `network` that must be inside engines, in [0, 1].
    """

    MEANT_WITH: ClassVar = {"accelerator": ("tensorrt",)}

    minimum_segment_size: int = 3
    max_workspace_size_bytes: int | None = None
    batch_sizes: tuple[int, ...] = (1,)
    dynamic_shape_profile_strategy: str | None = None
    allow_build_at_runtime: bool = True
    minimum_coverage: float = 0.95

    def __post_init__(self):
        """Raises ValueError for what TF-TRT would notice late or not at all."""
        checked = {
            "minimum_segment_size": check_at_least_one("minimum_segment_size", self.minimum_segment_size),
            "batch_sizes": check_batch_sizes(self.batch_sizes),
            "minimum_coverage": check_share("minimum_coverage", self.minimum_coverage),
        }
        if self.max_workspace_size_bytes is not None:
            most = check_at_least_one("max_workspace_size_bytes", self.max_workspace_size_bytes)
            checked["max_workspace_size_bytes"] = most
        for name, value in checked.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen
        strategy = self.dynamic_shape_profile_strategy
        if strategy is not None and strategy not in PROFILE_STRATEGIES:
            raise ValueError(
                f"{argument('dynamic_shape_profile_strategy')} is {strategy!r}; known are "
                f"{', '.join(PROFILE_STRATEGIES)}."
            )

    @property
    def strategy(self) -> str:
        """The strategy that is asked for, or that None means."""
        default = "Range+Optimal" if len(set(self.batch_sizes)) > 1 else "Range"
        return self.dynamic_shape_profile_strategy or default
