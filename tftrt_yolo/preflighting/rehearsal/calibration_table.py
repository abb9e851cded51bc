"""What the stand-in writes for TF-TRT's calibrator: a table in TensorRT's form, of the ranges that were seen.

    text = calibration_table.text({"TensorRTInputPH_0": 1.0})

TensorRT's own scales come from entropy; these are the largest magnitudes alone. The engine that is rehearsed computes
in float32 all the same: what is rehearsed is that images reach the calibrator and the table the SavedModel.
"""

import struct
from collections.abc import Mapping

_TITLE = "TRT-8601-EntropyCalibration2"
_LARGEST_INT8 = 127


def text(largest: Mapping[str, float]) -> str:
    """The table.

    Args:
      largest: Name of each tensor to the largest magnitude that was seen.

    Returns:
      A title, and a line for each tensor: its name and the scale as a hexadecimal float32.

    Raises:
      ValueError: If nothing was seen.
    """
    if not largest:
        raise ValueError("the calibrator gave no batch; expected one at least")
    lines = [f"{name}: {struct.pack('>f', value / _LARGEST_INT8).hex()}" for name, value in largest.items()]
    return "\n".join([_TITLE, *lines, ""])
