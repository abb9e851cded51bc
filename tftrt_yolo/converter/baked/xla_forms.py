"""A network in the forms that XLA compiles into the fewest kernels; its numbers stay the same, up to rounding.

    xla_forms.rewrite(graph_def)                                     # in place
    xla_forms.convolutions_as_products(graph_def, most_values=8_000_000)

What XLA 2.17 does badly on a GPU is said in another way. Each was found in profiles of yolov8n on an H200; what they
gain, and what was tried and gains nothing, is in benchmarks/findings.md.

- A 1 x 1 convolution is a matrix product, for which there are better kernels.
- The softmax and the mean of a box's distribution become four kernels: written bin by bin they are one.
- cuDNN's convolutions cannot be recorded in a CUDA graph, so at batch 1 the GPU waits for the host, which launches
  kernel after kernel: as matrix products they can, and the whole network is one launch. This costs memory traffic that
  grows with the batch.

Source: xla/service/gpu/command_buffer_scheduling.cc, for what is recorded.
"""

import functools
from collections.abc import Callable

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

# What a node becomes: the tensors that it needs, and a function of them.
_Form = tuple[list[tf.Tensor], Callable[..., tf.Tensor]]


def rewrite(graph_def: GraphDef) -> None:
    """Rewrites what is faster in another form at every batch size, in place.

    Args:
      graph_def: A frozen graph.
    """
    _replace_each(graph_def, "Sum", _mean_of_distribution)
    _replace_each(graph_def, "Conv2D", _pointwise)


def convolutions_as_products(graph_def: GraphDef, most_values: int) -> None:
    """Rewrites convolutions as matrix products, in place.

    Args:
      graph_def: A frozen graph, channels last.
      most_values: A convolution stays if its product has more numbers an image than this.
    """
    _replace_each(graph_def, "Conv2D", functools.partial(_as_product, most_values=most_values))


def _replace_each(graph_def: GraphDef, op: str, form_of: Callable[[tf.Operation], _Form | None]) -> None:
    """Replaces the nodes of one kind for which there is another form."""
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
    for node in [node for node in graph_def.node if node.op == op]:
        form = form_of(graph.get_operation_by_name(node.name))
        if form is not None:
            _replace(graph_def, node, *form)


def _replace(graph_def: GraphDef, node: NodeDef, inputs: list[tf.Tensor], function: Callable[..., tf.Tensor]) -> None:
    """Puts a function of tensors in a node's place; the new nodes are named under it."""
    with tf.Graph().as_default() as graph:
        placeholders = [tf.compat.v1.placeholder(tensor.dtype, tensor.shape) for tensor in inputs]
        result = tf.identity(function(*placeholders), name="result")
    given = {placeholder.op.name: tensor.name for placeholder, tensor in zip(placeholders, inputs, strict=True)}
    for part in graph.as_graph_def().node:
        if part.op != "Placeholder":
            part.input[:] = [given.get(name) or f"{node.name}/{name}" for name in part.input]
            part.name = f"{node.name}/{part.name}"
            graph_def.node.append(part)
    node.op = "Identity"
    node.attr.clear()
    node.attr["T"].type = result.dtype.as_datatype_enum
    node.input[:] = [f"{node.name}/result"]


def _mean_of_distribution(total: tf.Operation) -> _Form | None:
    """The mean of a softmax over a few bins, from slices that XLA fuses into one kernel."""
    product, axis = total.inputs
    if product.op.type != "Mul" or {factor.op.type for factor in product.op.inputs} != {"Softmax", "Const"}:
        return None
    softmax, weights = sorted(product.op.inputs, key=lambda factor: factor.op.type == "Const")
    logits = softmax.op.inputs[0]
    is_over_bins = tf.get_static_value(axis) in (-1, logits.shape.rank - 1) and weights.shape == logits.shape[-1:]
    if not is_over_bins or total.get_attr("keep_dims"):
        return None

    def mean(logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        bins = tf.unstack(logits, axis=-1)
        largest = functools.reduce(tf.maximum, bins)
        shares = [tf.exp(value - largest) for value in bins]
        weighted = [share * weight for share, weight in zip(shares, tf.unstack(weights), strict=True)]
        return tf.add_n(weighted) / tf.add_n(shares)

    return [logits, weights], mean


def _stride(convolution: tf.Operation) -> int:
    """The stride of a plain convolution; 0 if its strides differ, or it has groups or dilations."""
    source, kernel = convolution.inputs
    strides = set(convolution.get_attr("strides")[1:3])
    is_plain = source.shape[3] == kernel.shape[2] and set(convolution.get_attr("dilations")) == {1}
    return strides.pop() if is_plain and len(strides) == 1 else 0


def _pointwise(convolution: tf.Operation) -> _Form | None:
    """A 1 x 1 convolution as a product of pixels and a matrix."""
    source, kernel = convolution.inputs
    height, width, depth, filters = kernel.shape
    if (height, width, _stride(convolution)) != (1, 1, 1):
        return None
    grid_hw = convolution.outputs[0].shape[1:3]

    def product(source: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        pixels = tf.matmul(tf.reshape(source, (-1, depth)), tf.reshape(kernel, (depth, filters)))
        return tf.reshape(pixels, (-1, *grid_hw, filters))

    return [source, kernel], product


def _as_product(convolution: tf.Operation, *, most_values: int) -> _Form | None:
    """A convolution as a matrix product, if it is a plain one and the product is not too large."""
    source, kernel = convolution.inputs
    height, width, _, filters = kernel.shape
    grid_hw = convolution.outputs[0].shape[1:3]
    stride = _stride(convolution)
    if stride not in (1, 2) or (stride == 2 and max(height, width) > 4):
        return None
    taps = height * width if stride == 1 else 4
    if taps * filters * grid_hw[0] * grid_hw[1] > most_values:
        return None

    def product(source: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        in_reach = _in_reach if stride == 1 else _in_blocks
        return _taps_added(*in_reach(source, kernel, grid_hw), grid_hw)

    return [source, kernel], product


def _taps_added(source: tf.Tensor, kernel: tf.Tensor, grid_hw: tuple[int, int]) -> tf.Tensor:
    """A convolution of stride 1 without padding: each pixel times the whole kernel, then each tap's shifted, and added.

    The other way round, patches times kernel, XLA takes twice as long to lay the patches out.

    Args:
      source: (batch, grid + size - 1, grid + size - 1, C).
      kernel: (size, size, C, filters).
      grid_hw: Height and width of the output.

    Returns:
      (batch, *grid_hw, filters); added in float32 and rounded once.
    """
    height, width, depth, filters = kernel.shape
    matrix = tf.reshape(tf.transpose(kernel, (2, 0, 1, 3)), (depth, -1))
    product = tf.matmul(tf.reshape(source, (-1, depth)), matrix)
    product = tf.reshape(product, (-1, *source.shape[1:3], height * width * filters))
    taps = []
    for tap in range(height * width):
        top, left = divmod(tap, width)
        values = product[:, top : top + grid_hw[0], left : left + grid_hw[1], tap * filters : (tap + 1) * filters]
        taps.append(tf.cast(values, tf.float32))
    return tf.cast(functools.reduce(tf.add, taps), source.dtype)


def _in_reach(source: tf.Tensor, kernel: tf.Tensor, grid_hw: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """Source and kernel of a convolution of stride 1, padded to what the kernel reaches."""
    side_hw = [grid + size - 1 for grid, size in zip(grid_hw, kernel.shape[:2], strict=True)]
    return _padded(source, kernel, grid_hw, stride=1, side_hw=side_hw), kernel


def _in_blocks(source: tf.Tensor, kernel: tf.Tensor, grid_hw: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """A convolution of stride 2 as one of stride 1 over blocks of 2 x 2 pixels.

    Args:
      source: (batch, h, w, C).
      kernel: (at most 4, at most 4, C, filters).
      grid_hw: Height and width of the output.

    Returns:
      Source (batch, grid + 1, grid + 1, 4 * C), padded, and kernel (2, 2, 4 * C, filters).
    """
    height, width, depth, filters = kernel.shape
    source = _padded(source, kernel, grid_hw, stride=2, side_hw=[2 * (grid + 1) for grid in grid_hw])
    rows, columns = (side // 2 for side in source.shape[1:3])
    blocks = tf.transpose(tf.reshape(source, (-1, rows, 2, columns, 2, depth)), (0, 1, 3, 2, 4, 5))
    kernel = tf.pad(kernel, [(0, 4 - height), (0, 4 - width), (0, 0), (0, 0)])
    kernel = tf.transpose(tf.reshape(kernel, (2, 2, 2, 2, depth, filters)), (0, 2, 1, 3, 4, 5))
    return tf.reshape(blocks, (-1, rows, columns, 4 * depth)), tf.reshape(kernel, (2, 2, 4 * depth, filters))


def _padded(
    source: tf.Tensor, kernel: tf.Tensor, grid_hw: tuple[int, int], *, stride: int, side_hw: list[int]
) -> tf.Tensor:
    """Pads with zeros as the convolution does, if it does, and then at the end to a given height and width.

    What lies beyond that is cut off: the convolution does not reach it.
    """
    margins = []
    for side, size, grid, target in zip(source.shape[1:3], kernel.shape[:2], grid_hw, side_hw, strict=True):
        before = max((grid - 1) * stride + size - side, 0) // 2
        margins.append((before, max(target - side - before, 0)))
    padded = tf.pad(source, [(0, 0), *margins, (0, 0)])
    return padded[:, : side_hw[0], : side_hw[1]]
