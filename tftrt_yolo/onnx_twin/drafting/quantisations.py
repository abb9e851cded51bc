"""Quantisations: the integers are those of QuantizeAndDequantizeV2, to the bit, whatever number comes in.

TensorFlow multiplies by 127 / range and rounds half to even; QuantizeLinear divides by a step and does the same. In
float32 a product and a quotient may lie on either side of a half, and then the integers differ by one: two in a
million, of a detector on four pictures. So TensorFlow's product stands before a QuantizeLinear of step 1, by which any
division is exact, and the step is DequantizeLinear's alone.

Source: tensorflow/core/kernels/quantize_and_dequantize_op.h; onnx's QuantizeLinear.
"""

import numpy as np

from tftrt_yolo.converter.int8 import quantization
from tftrt_yolo.onnx_twin.drafting.convolutions import refused
from tftrt_yolo.onnx_twin.drafting.draft import Quantized
from tftrt_yolo.onnx_twin.drafting.tensors import Drawing, Steps, Tensor

_LEVELS = np.float32(quantization.LEVELS)
_EXPECTED = {
    "signed_input": True,
    "num_bits": 8,
    "range_given": True,
    "narrow_range": False,
    "round_mode": b"HALF_TO_EVEN",
    "axis": -1,
}


def quantisation(op, inputs: list[Tensor], to: Drawing) -> tuple[Tensor, Quantized | None]:
    """A QuantizeAndDequantizeV2, of a constant or of what the network computes.

    Returns:
      The tensor, and for one that is no constant what is to be compared.
    """
    given, low, high = inputs
    strange = [name for name, value in _EXPECTED.items() if op.get_attr(name) != value]
    if strange:
        raise refused(op, f"{strange[0]} of {op.get_attr(strange[0])}")
    threshold = np.float32(high.values)
    if high.values.ndim or not 0 < threshold < np.inf or np.float32(low.values) != -threshold:
        raise refused(op, f"a range from {low.values} to {high.values}")
    scale, step = _LEVELS / threshold, threshold / _LEVELS
    if given.values is not None:
        integers = quantization.integers(given.values, threshold).astype(np.int8)
        return Tensor("", given.dims, given.order, integers * step, Steps(integers, step)), None
    factor = to.draft.constant(np.full((1,) * given.rank, scale), f"{op.name}/scale")
    one, zero, worth = (
        to.draft.constant(np.array(value), f"{op.name}/{label}")
        for label, value in (("one", np.float32(1)), ("zero", np.int8(0)), ("step", step))
    )
    scaled = to.draft.add("Mul", (given.name, factor), f"{op.name}/scaled")
    integers = to.draft.add("QuantizeLinear", (scaled, one, zero), f"{op.name}/integers")
    name = to.draft.add("DequantizeLinear", (integers, worth, zero), op.name)
    dims = tuple(given.dims[axis] for axis in given.order)
    compared = Quantized(op.inputs[0].name, op.outputs[0].name, integers, dims, given.order, step)
    return Tensor(name, given.dims, given.order), compared
