"""What was asked to stay in float.

FloatLayers(("head", "convolution_12"))
FloatLayers(report=SensitivityReport.read("runs/sensitivity"), report_path="runs/sensitivity", costliest=3)
"""

import dataclasses

from tftrt_yolo.converter.int8.in_float.sensitivity_report import SensitivityReport

HEAD = "head"  # stands for the convolutions that give any output


@dataclasses.dataclass(frozen=True)
class FloatLayers:
    """What was asked to stay in float.

    Attributes:
      asked: Names of convolutions as a sensitivity report prints them, names of outputs of `network`, or "head".
      report: A sensitivity report, whose costliest layers stay in float besides; None for none.
      report_path: Where it was read from, for messages.
      costliest: How many of them.
    """

    asked: tuple[str, ...] = ()
    report: SensitivityReport | None = None
    report_path: str = ""
    costliest: int = 0
