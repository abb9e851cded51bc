"""TensorFlow's frozen graph as a draft: node by node, in its order, from the frames to the outputs.

    drawn = draw(freeze.freeze_network("yolov8n_saved_model"), opset=19)
    drawn.draft.nodes, drawn.inputs, drawn.outputs

The closed set of operations that `export` and the quantisation write is known; another one is refused by name.
"""

from collections.abc import Callable

import tensorflow as tf

from tftrt_yolo.ground.errors import OnnxError
from tftrt_yolo.ground.text import shown
from tftrt_yolo.onnx_twin.drafting import arithmetic, convolutions, quantisations, shaping
from tftrt_yolo.onnx_twin.drafting.draft import Drawn, Port
from tftrt_yolo.onnx_twin.drafting.tensors import NCHW, REMEDY, Drawing, Tensor, constant, dims_of
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.freeze import FrozenNetwork

IMAGES = "images"
_QUANTISATION = "QuantizeAndDequantizeV2"
_KINDS: dict[str, Callable] = {
    **dict.fromkeys(arithmetic.UNARY, arithmetic.unary),
    **dict.fromkeys(arithmetic.BINARY, arithmetic.binary),
    **dict.fromkeys(arithmetic.REDUCTIONS, arithmetic.reduction),
    **dict.fromkeys(("Identity", "StopGradient", "EnsureShape", "Snapshot"), shaping.passed),
    **dict.fromkeys(("Reshape", "ExpandDims", "Squeeze"), shaping.reshape),
    **dict.fromkeys(("Split", "SplitV"), shaping.pieces),
    **dict.fromkeys(("Pad", "PadV2"), shaping.padding),
    **dict.fromkeys(("MaxPool", "AvgPool"), shaping.pooling),
    "BatchMatMulV2": arithmetic.batch_product,
    "ConcatV2": shaping.concatenation,
    "Conv2D": convolutions.plain,
    "Conv2DBackpropInput": convolutions.transposed,
    "IdentityN": shaping.all_passed,
    "DepthToSpace": shaping.depth_to_space,
    "DepthwiseConv2dNative": convolutions.depthwise,
    "LeakyRelu": arithmetic.leaky_relu,
    "MatMul": arithmetic.matrix_product,
    "Relu6": arithmetic.relu6,
    "ResizeBilinear": shaping.interpolation,
    "ResizeNearestNeighbor": shaping.enlargement,
    "Slice": shaping.cut,
    "Softmax": arithmetic.softmax,
    "StridedSlice": shaping.strided_cut,
    "Transpose": shaping.transpose,
}


def draw(frozen: FrozenNetwork, opset: int) -> Drawn:
    """Draws a network.

    Args:
      frozen: Signature `network`, quantised or not.
      opset: Version of ONNX's operators.

    Returns:
      The draft, in which axes stand in TensorFlow's order at the outputs alone.

    Raises:
      OnnxError: If it holds an operation that is not known, or one with attributes that are not.
    """
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen.graph_def, name=""), [])
    results = freeze.tensors(whole.graph, frozen.outputs.values())
    [frames] = freeze.tensors(whole.graph, [frozen.frames_name])
    to, tensors, quantized = Drawing(opset), _Constants(whole), []
    dims = dims_of(frames)
    for name in (IMAGES, *frozen.outputs):
        to.draft.reserve(name)
    tensors[frames.name] = Tensor(IMAGES, dims, NCHW)
    for op in _needed(whole.graph, results, frames):
        if tensors.hold(op):
            continue
        if op.type not in _KINDS and op.type != _QUANTISATION:
            raise OnnxError(
                f"{shown(op.name, 100)} is a {shown(op.type, 40)}, which is not translated; known are "
                f"{', '.join(sorted([*_KINDS, _QUANTISATION]))}. {REMEDY}"
            )
        inputs = [tensors[tensor.name] for tensor in op.inputs]
        if op.type == _QUANTISATION:
            given, compared = quantisations.quantisation(op, inputs, to)
            quantized += [compared] if compared else []
        else:
            given = _KINDS[op.type](op, inputs, to)
        for output, tensor in zip(op.outputs, given if isinstance(given, list) else [given], strict=True):
            tensors[output.name] = tensor
    outputs = _finished(to, {name: tensors[one.name] for name, one in zip(frozen.outputs, results, strict=True)})
    return Drawn(to.draft, (Port(IMAGES, tuple(dims[axis] for axis in NCHW)),), outputs, tuple(quantized))


class _Constants(dict):
    """Name of each tensor of TensorFlow's to what it is in the draft; what depends on nothing is a constant."""

    def __init__(self, whole):
        super().__init__()
        self._whole = whole

    def hold(self, op) -> bool:
        """Takes a node that depends on nothing, if it does; whether it does. A quantised filter stays one."""
        if op.type == _QUANTISATION or any(self[tensor.name].values is None for tensor in op.inputs):
            return False
        if op.type == "Const":
            self[op.outputs[0].name] = constant(tf.make_ndarray(op.get_attr("value")))
        elif op.type == "Identity":
            self[op.outputs[0].name] = self[op.inputs[0].name]
        elif op.type in ("Placeholder", "PlaceholderWithDefault"):
            raise OnnxError(f"The network reads {shown(op.name, 100)} beside its frames. {REMEDY}")
        else:
            values = self._whole.prune([], list(op.outputs))()
            for output, value in zip(op.outputs, values, strict=True):
                self[output.name] = constant(value.numpy())
        return True


def _needed(graph, results: list, frames) -> list:
    """The nodes that some tensors are computed of, in the graph's order, without the one that gives the frames."""
    wanted, waiting = set(), [tensor.op for tensor in results]
    while waiting:
        op = waiting.pop()
        if op not in wanted and op != frames.op:
            wanted.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return [op for op in graph.get_operations() if op in wanted]


def _finished(to: Drawing, results: dict[str, Tensor]) -> tuple[Port, ...]:
    """Brings the outputs into TensorFlow's order, and gives them their names."""
    named = {}
    for name, tensor in results.items():
        plain = to.placed(tensor, tuple(range(tensor.rank)), name)
        if plain in named or plain not in to.draft.producers():  # it has a name, or nothing gives it
            plain = to.draft.add("Identity", (plain,), name)
        named[plain] = name
    for plain, name in named.items():
        to.draft.rename(plain, name)
    return tuple(Port(name, tensor.dims) for name, tensor in results.items())
