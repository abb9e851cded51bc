"""What the ONNX file of a network can be asked for.

options = OnnxOptions(opset=17)
options.check("INT8")                      # nothing is changed: what cannot be is refused
"""

import dataclasses

from tftrt_yolo.ground.arguments import Options, argument, setting, whole_number
from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.ground.text import quoted

OPSETS = range(13, 22)
HALF_STEPS_OPSET = 19  # since then QuantizeLinear and DequantizeLinear take FP16
FLOAT_TYPES = ("FP32", "FP16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxOptions(Options):
    """Form of an ONNX file.

    Attributes:
      opset: Version of ONNX's operators, from 13 to 21. 19 is the first in which quantisations take FP16; TensorRT 10
        and newer, TensorRT-RTX and ONNX Runtime read all of these.
      float_type: Of INT8, what is computed between the quantised convolutions: "FP32", as TensorFlow computes the
        quantised graph, or "FP16", as TensorRT is fast in. The other precision modes say so themselves.
    """

    opset: int = 19
    float_type: str | None = None

    def __post_init__(self):
        """Raises ValueError for what no file can have."""
        opset = whole_number(self.opset)
        if opset not in OPSETS:
            raise ValueError(
                f"{argument('opset')} is {quoted(self.opset)}; expected a whole number from {OPSETS[0]} to "
                f"{OPSETS[-1]}."
            )
        object.__setattr__(self, "opset", opset)  # the dataclass is frozen
        if self.float_type is not None and self.float_type not in FLOAT_TYPES:
            raise ValueError(
                f"{argument('float_type')} is {quoted(self.float_type)}; known are {', '.join(FLOAT_TYPES)}."
            )

    def floats(self, precision_mode: str) -> str:
        """In which type a network is computed where it is not quantised.

        Args:
          precision_mode: "FP32", "FP16" or "INT8".

        Raises:
          ValueError: If another one is asked for than the precision mode is of.
          OnnxError: If the opset has no quantisations of that type.
        """
        if precision_mode != "INT8":
            if self.float_type not in (None, precision_mode):
                raise ValueError(
                    f"{argument('float_type')} is {self.float_type}, and {argument('precision_mode')} is "
                    f"{precision_mode}, which says it. Leave {argument('float_type')} out; it is for INT8."
                )
            return precision_mode
        floats = self.float_type or "FP32"
        if floats == "FP16" and self.opset < HALF_STEPS_OPSET:
            raise OnnxError(
                f"{argument('opset')} is {self.opset}, which has no quantisations of FP16. Expected "
                f"{HALF_STEPS_OPSET} or newer; or give {setting('float_type', 'FP32')}."
            )
        return floats
