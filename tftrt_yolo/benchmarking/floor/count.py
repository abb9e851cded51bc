"""Counts what a network costs, from its graph; runs in a process of its own.

with Worker("tftrt_yolo.benchmarking.floor.count", environment={"CUDA_VISIBLE_DEVICES": "-1"}) as worker:
    worker.start(saved_model_dir="yolov8n_saved_model", batch_sizes=(1, 8))
    costs = worker.receive()                 # a Cost for each batch size
"""

import math

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tftrt_yolo import contract
from tftrt_yolo.benchmarking.floor.cost import Cost
from tftrt_yolo.graph import empty_batches
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "_FusedConv2D")
_TRANSPOSED = ("Conv2DBackpropInput",)
_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "_FusedMatMul")


def work(*, saved_model_dir: str, batch_sizes: tuple[int, ...]) -> list[Cost]:
    """Counts the cost of signature `network`.

    Args:
      saved_model_dir: A SavedModel that `export` wrote.
      batch_sizes: Batch sizes.

    Returns:
      The cost of each.
    """
    signatures, _ = load.load(open_saved_model(saved_model_dir), strict=True)
    return [count(signatures[contract.NETWORK], batch_size) for batch_size in batch_sizes]


def count(function, batch_size: int) -> Cost:
    """Counts the cost of a function at one batch size.

    Args:
      function: A concrete function of one tensor whose first axis is the batch.
      batch_size: Images.

    Returns:
      The cost.

    Raises:
      ValueError: If the shape of a convolution or product does not follow from the input's.
    """
    frozen = convert_variables_to_constants_v2(function)
    [entry] = frozen.inputs
    graph_def = frozen.graph.as_graph_def()
    empty_batches.without_guard(graph_def, entry.name)
    with tf.Graph().as_default() as graph:
        shape = [batch_size, *entry.shape[1:]]
        frames = tf.compat.v1.placeholder(entry.dtype, shape)
        name = entry.name.partition(":")[0]
        outputs = tf.graph_util.import_graph_def(
            graph_def,
            input_map={name: frames},
            return_elements=[output.name for output in frozen.outputs],
            name="",
        )
    operations = graph.get_operations()
    return Cost(
        batch_size=batch_size,
        flops=sum(map(_flops, operations)),
        weight_values=sum(
            _size(operation.outputs[0])
            for operation in operations
            if operation.type == "Const" and operation.outputs[0].dtype.is_floating
        ),
        input_values=math.prod(shape),
        output_values=sum(map(_size, outputs)),
    )


def _flops(operation) -> int:
    """Two for each multiply-add of a convolution or matrix product; 0 for any other operation."""
    if operation.type in _CONVOLUTIONS:
        height, width, channels, _ = operation.inputs[1].shape
        depthwise = operation.type == "DepthwiseConv2dNative"
        return 2 * _size(operation.outputs[0]) * height * width * (1 if depthwise else channels)
    if operation.type in _TRANSPOSED:  # its input's numbers are each multiplied by a whole kernel
        height, width, channels, _ = operation.inputs[1].shape
        return 2 * _size(operation.inputs[2]) * height * width * channels
    if operation.type in _PRODUCTS:
        transposed = operation.type.endswith("MatMul") and not operation.type.startswith("Batch")
        flipped = operation.get_attr("transpose_a" if transposed else "adj_x")
        return 2 * _size(operation.outputs[0]) * operation.inputs[0].shape[-2 if flipped else -1]
    return 0


def _size(tensor) -> int:
    """Numbers in a tensor of known shape."""
    size = tensor.shape.num_elements()
    if size is None:
        raise ValueError(f"{tensor.name} has the shape {tensor.shape}; expected one that follows from the frames'.")
    return size
