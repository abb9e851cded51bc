"""Each convolution of a recorded network alone: its filters, and its output when it is fed what TensorFlow's is fed.

    for difference in compare_convolutions(network, graph_def, fetch):
        print(difference)                # .../convolution_3: filters equal, output within 8.4e-07 of its largest

What differs at the end of a network may have spread from anywhere, and in INT8 ties of rounding do spread. Of one layer
that is fed the same numbers that cannot be said: an INT8 convolution is fed TensorFlow's quantised input, which goes
through the network's own quantisation and comes out unchanged if the scale is right, for it lies on the grid.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.executor import execute
from tftrt_yolo.preflighting.numbers_report import ConvolutionDifference
from tftrt_yolo.preflighting.recorded_network import CONVOLUTIONS, NO_TENSOR, Layer, RecordedNetwork
from tftrt_yolo.preflighting.shuffles import is_transpose

Fetch = Callable[[Sequence[str]], list[np.ndarray]]
# The place of the data among the inputs of TensorFlow's ops; the filters are the second everywhere.
DATA_INPUT = {"Conv2D": 0, "DepthwiseConv2dNative": 0, "Conv2DBackpropInput": 2}
_FETCHED_BYTES = 256 << 20  # of inputs and outputs of convolutions that are held at a time
_TO_NCHW = (0, 3, 1, 2)


def node_of(layer: Layer) -> str:
    """The TensorFlow node that a layer was made of, by its name "<engine>/<node>-conv:CONVOLUTION"."""
    return layer.name.partition("/")[2].rpartition(":")[0].rpartition("-")[0]


def compare_convolutions(
    network: RecordedNetwork, graph_def: GraphDef, fetch: Fetch
) -> Iterator[ConvolutionDifference | str]:
    """Compares each convolution with the node that it was made of.

    Args:
      network: What was recorded.
      graph_def: The frozen graph that was converted.
      fetch: Takes names of tensors to TensorFlow's values of them; it is called a few times.

    Yields:
      The difference; or for a layer that no node is known for, what was not compared.
    """
    nodes = {node.name: node for node in graph_def.node if node.op in DATA_INPUT}
    made = [layer for layer in network.layers if layer.kind in CONVOLUTIONS]
    for layer in made:
        if node_of(layer) not in nodes:
            yield f"{layer.name}: there is no convolution of that name in TensorFlow's graph"
    for batch in in_batches(network, [layer for layer in made if node_of(layer) in nodes]):
        yield from _compare(network, [(layer, nodes[node_of(layer)]) for layer in batch], fetch)


def in_batches(network: RecordedNetwork, layers: list[Layer]) -> Iterator[list[Layer]]:
    """Layers in order, as many at a time as their inputs and outputs of one image fit into the memory for them."""
    batch, held = [], 0
    for layer in layers:
        size = sum(_bytes(network, index) for index in (layer.inputs[0], layer.outputs[0]))
        if batch and held + size > _FETCHED_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(layer)
        held += size
    if batch:
        yield batch


def _bytes(network: RecordedNetwork, index: int) -> int:
    """Size of a tensor in float32 for one image."""
    return 4 * abs(int(np.prod(network.tensors[index].dims)))


def _compare(
    network: RecordedNetwork, batch: list[tuple[Layer, NodeDef]], fetch: Fetch
) -> Iterator[ConvolutionDifference]:
    """Compares some of the convolutions, with what one run of TensorFlow gives."""
    names = [name for _, node in batch for name in (node.input[DATA_INPUT[node.op]], node.input[1], node.name)]
    values = fetch(names)
    for place, (layer, node) in enumerate(batch):
        data, filters, output = values[3 * place : 3 * place + 3]
        values[3 * place : 3 * place + 3] = None, None, None
        yield _difference(network, layer, node, (nchw(node, data), filters, nchw(node, output)))


def _difference(network: RecordedNetwork, layer: Layer, node: NodeDef, expected: tuple) -> ConvolutionDifference:
    """Compares one convolution with TensorFlow's input, filters and output."""
    data, filters, output = expected
    wanted = filters.transpose(2, 3, 0, 1) if node.op == "DepthwiseConv2dNative" else filters.transpose(3, 2, 0, 1)
    try:
        kernel, bias = (_second(network, layer, place) for place in (1, 2))
        recorded = _kernel(layer) if kernel is None else kernel
        of_filters = _largest(recorded.reshape(-1), np.ascontiguousarray(wanted).reshape(-1))
        given = [_through_quantization(network, layer, data), kernel, bias]
        [result] = execute.compute(layer, given[: len(layer.inputs)])
    except PreflightError as error:
        return ConvolutionDifference(node.name, np.inf, np.inf, str(error))
    if result.shape != output.shape:
        why = f"shape {result.shape} and TensorFlow's {output.shape}"
        return ConvolutionDifference(node.name, of_filters, np.inf, why)
    magnitude = max(float(np.abs(output).max(initial=0)), float(np.finfo(np.float32).tiny))
    of_output = _largest(result, output) / magnitude
    is_finite = np.isfinite(of_filters) and np.isfinite(of_output)
    why = "" if is_finite else _why_infinite(recorded, wanted, result, output)
    return ConvolutionDifference(node.name, of_filters, of_output, why)


def _why_infinite(recorded: np.ndarray, wanted: np.ndarray, result: np.ndarray, output: np.ndarray) -> str:
    """Why a difference is infinite, or no number, though both outputs have one shape."""
    if recorded.size != wanted.size:
        return f"{recorded.size} numbers in the filters and {wanted.size} in TensorFlow's"
    sides = {
        "the recorded filters": recorded,
        "TensorFlow's filters": wanted,
        "the layer's output": result,
        "TensorFlow's output": output,
    }
    broken = [name for name, values in sides.items() if not np.isfinite(values).all()]
    return f"not a number, or infinite, in {', '.join(broken)}" if broken else "too large to be subtracted"


def _kernel(layer: Layer) -> np.ndarray:
    """The filters that a layer holds.

    Raises:
      PreflightError: If it holds none.
    """
    if "kernel" not in layer.weights:
        raise PreflightError(f"the layer has no kernel and {len(layer.inputs)} inputs. Expected one or the other")
    return np.asarray(layer.weights["kernel"])


def _largest(first: np.ndarray, second: np.ndarray) -> float:
    """The largest absolute difference; infinite if the shapes differ, or something is not a number."""
    if first.shape != second.shape:
        return np.inf
    largest = float(np.abs(first - second).max(initial=0))
    return largest if np.isfinite(largest) else np.inf


def nchw(node: NodeDef, values: np.ndarray) -> np.ndarray:
    """TensorFlow's input or output of a convolution in TensorRT's layout."""
    return values if node.attr["data_format"].s == b"NCHW" else np.ascontiguousarray(values.transpose(_TO_NCHW))


def _second(network: RecordedNetwork, layer: Layer, place: int) -> np.ndarray | None:
    """An input beside the data, computed from the constants that it is made of; None without one."""
    if place >= len(layer.inputs) or layer.inputs[place] == NO_TENSOR:
        return None
    return from_constants(network.producers(), layer.inputs[place])


def from_constants(producers: dict[int, Layer], index: int) -> np.ndarray:
    """A tensor that depends on no input.

    Raises:
      PreflightError: If it does.
    """
    if index not in producers:
        raise PreflightError(
            f"Tensor {index} is an input of the network. Expected filters made of constants; leave the op of the "
            "convolution to TensorFlow (TF_TRT_OP_DENYLIST in the environment), or file an issue with network.json."
        )
    layer = producers[index]
    given = [None if at == NO_TENSOR else from_constants(producers, at) for at in layer.inputs]
    return execute.compute(layer, given)[layer.outputs.index(index)]


def _through_quantization(network: RecordedNetwork, layer: Layer, data: np.ndarray) -> np.ndarray:
    """Takes a convolution's input through the quantisation that stands before it; as it is without one.

    Args:
      network: What was recorded.
      layer: The convolution.
      data: TensorFlow's quantised input, (N, C, H, W).
    """
    producers = network.producers()
    quantize, path = quantization_of(network, layer)
    if quantize is None:
        return data
    for step in (quantize, *reversed(path)):
        scales = [from_constants(producers, at) for at in step.inputs[1:]]
        given = untransposed(data, path) if step is quantize else data
        [data] = execute.compute(step, [given, *scales])
    return data


def quantization_of(network: RecordedNetwork, layer: Layer) -> tuple[Layer | None, list[Layer]]:
    """What quantises a convolution's data.

    Args:
      network: The network that holds it.
      layer: The convolution.

    Returns:
      The QUANTIZE layer, None without one, and what stands between it and the convolution, nearest to this first.
    """
    producers, path, index = network.producers(), [], layer.inputs[0]
    while index in producers and (producers[index].kind == "DEQUANTIZE" or is_transpose(network, producers[index])):
        path.append(producers[index])
        index = path[-1].inputs[0]
    is_quantized = index in producers and producers[index].kind == "QUANTIZE"
    return (producers[index], path) if is_quantized else (None, [])


def untransposed(data: np.ndarray, path: list[Layer]) -> np.ndarray:
    """A convolution's data (N, C, H, W) in the layout that they have at the start of the path to it."""
    for step in path:
        data = data.transpose(np.argsort(step.attributes["first_transpose"])) if step.kind == "SHUFFLE" else data
    return data
