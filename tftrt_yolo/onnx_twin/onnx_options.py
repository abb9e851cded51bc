"""What the ONNX file of a network can be asked for.

options = OnnxOptions(opset=17)
options.floats("INT8")  # "FP32"; what cannot be is refused, and nothing is changed
"""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.arguments import Options, argument, check_bool, setting, whole_number
from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.ground.text import quoted

OPSETS = range(13, 22)
HALF_STEPS_OPSET = 19  # since then QuantizeLinear and DequantizeLinear take FP16
FLOAT_TYPES = ("FP32", "FP16")
IN_FLOAT = ("float_layers", "sensitivity_report", "costliest_layers")
NETWORK, ULTRALYTICS = LAYOUTS = ("network", "ultralytics")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnnxOptions(Options):
    """Form of an ONNX file.

    Attributes:
      opset: Version of ONNX's operators, from 13 to 21. 19 is the first in which quantisations take FP16; TensorRT 10
        and newer, TensorRT-RTX and ONNX Runtime read all of these.
      float_type: Of INT8, what is computed between the quantised convolutions: "FP32", as TensorFlow computes the
        quantised graph and what None means, or "FP16", as TensorRT is fast in. The other precision modes say it.
      layout: Whose outputs it gives: "network" those of signature `network`, boxes as corners, scores and the rest;
        "ultralytics" `output0`, and for segment `output1`, as Ultralytics' own file does, so that YOLO(...) and what
        else reads such files take it.
      build: Have the TensorRT that is installed parse the file and build an engine for batches of 1 to 8, which is
        thrown away; TensorRT-RTX (extra `preflight`) needs no GPU for it.
      compute_capability: Of the GPU to build for, such as "8.6"; None for "8.9" with TensorRT-RTX, and with TensorRT
        for the GPU that is here.
      float_layers: Of INT8, convolutions without quantisations, named as `convert` takes them.
      sensitivity_report: Of INT8, what `sensitivity` wrote of this model: its costliest layers have none besides.
      costliest_layers: Of INT8, how many of them; None for 3.
    """

    opset: int = 19
    float_type: str | None = None
    layout: str = NETWORK
    build: bool = False
    compute_capability: str | None = None
    float_layers: tuple[str, ...] = ()
    sensitivity_report: str | Path | None = None
    costliest_layers: int | None = None

    def __post_init__(self):
        """Raises ValueError for what no file can have."""
        opset = whole_number(self.opset)
        if opset not in OPSETS:
            raise ValueError(
                f"{argument('opset')} is {quoted(self.opset)}; expected a whole number from {OPSETS[0]} to "
                f"{OPSETS[-1]}."
            )
        object.__setattr__(self, "opset", opset)  # the dataclass is frozen
        object.__setattr__(self, "build", check_bool("build", self.build))
        for name, known in (("float_type", (None, *FLOAT_TYPES)), ("layout", LAYOUTS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{argument(name)} is {quoted(getattr(self, name))}; known are "
                    f"{', '.join(one for one in known if one)}."
                )
        if self.compute_capability is not None and not self.build:
            raise ValueError(
                f"{argument('compute_capability')} is for {setting('build')}, which is not given. Leave it out, or "
                f"give {setting('build')}."
            )

    @property
    def in_float(self) -> dict[str, object]:
        """What of INT8 stays in float, as fields of `Int8Options`."""
        return {name: getattr(self, name) for name in IN_FLOAT}

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
