"""A recorded network, computed layer by layer in NumPy.

    [network] = recorded_network.read(folder)
    outputs = execute(network, {"TensorRTInputPH_0": frames})            # frames (1, 640, 640, 3) float32 in [0, 1]
    outputs["TensorRTOutputPH_0"].shape                                  # (1, 8400, 4)

It knows nothing of TensorFlow, TF-TRT or the stand-in, so what it gives speaks for the network and for nothing else.
Each result's shape and type is held against the recording. There is one type for numbers, whatever precision TensorRT
would choose: FP16 changes how TensorRT rounds, which only its engine knows.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.preflighting.executor import arithmetic, shapes, windows
from tftrt_yolo.preflighting.recorded_network import DTYPES, NO_TENSOR, Layer, RecordedNetwork, Tensor

KINDS: dict[str, Callable] = {
    "ACTIVATION": arithmetic.activation,
    "CONCATENATION": shapes.concatenation,
    "CONSTANT": shapes.constant,
    "CONVOLUTION": windows.convolution,
    "DECONVOLUTION": windows.deconvolution,
    "DEQUANTIZE": arithmetic.dequantize,
    "ELEMENTWISE": arithmetic.elementwise,
    "FULLY_CONNECTED": windows.fully_connected,
    "GATHER": shapes.gather,
    "IDENTITY": shapes.identity,
    "MATRIX_MULTIPLY": arithmetic.matrix_multiply,
    "PADDING": windows.padding,
    "POOLING": windows.pooling,
    "QUANTIZE": arithmetic.quantize,
    "REDUCE": arithmetic.reduce,
    "RESIZE": shapes.resize,
    "SELECT": shapes.select,
    "SHAPE": shapes.shape,
    "SHUFFLE": shapes.shuffle,
    "SLICE": shapes.cut,
    "SOFTMAX": arithmetic.softmax,
    "TOPK": arithmetic.top_k,
    "UNARY": arithmetic.unary,
}
_FLOATING = ("FLOAT", "HALF")


def execute(
    network: RecordedNetwork,
    feeds: Mapping[str, np.ndarray],
    *,
    dtype=np.float32,
    replace: Mapping[str, Callable[[np.ndarray], np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Computes a network.

    Args:
      network: What was recorded.
      feeds: Name of each of the network's inputs to its values, of the input's shape and any batch.
      dtype: float32 or float64: what is computed in, for weights and for every tensor of FLOAT or HALF.
      replace: Name of a tensor between layers to a function that takes its values and gives those that go on.

    Returns:
      Name of each of the network's outputs to its values.

    Raises:
      PreflightError: If a layer is of a kind that is not known here, cannot be computed, or gives another shape or type
        than was recorded.
      ValueError: If the feeds are not the network's inputs, a name to replace is no tensor's, or dtype is another.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype is {np.dtype(dtype).name}. Expected float32 or float64.")
    values = {index: _fed(network.tensors[index], feeds, dtype) for index in network.inputs}
    replace = replace or {}
    _check_names(network, feeds, replace)
    last = {index: number for number, layer in enumerate(network.layers) for index in layer.inputs}
    for number, layer in enumerate(network.layers):
        given = [None if index == NO_TENSOR else values[index] for index in layer.inputs]
        for index, value in zip(layer.outputs, _checked(layer, compute(layer, given)), strict=True):
            tensor = network.tensors[index]
            values[index] = _typed(layer, tensor, value, dtype)
            if tensor.name in replace:
                values[index] = _typed(layer, tensor, replace[tensor.name](values[index]), dtype)
        del given, value
        for index in {*layer.inputs, *layer.outputs} - {NO_TENSOR, *network.outputs}:
            if last.get(index, number) <= number:
                del values[index]
    return {network.tensors[index].name: values[index] for index in sorted(network.outputs)}


def compute(layer: Layer, given: list[np.ndarray | None]) -> tuple[np.ndarray, ...]:
    """Computes one layer.

    Args:
      layer: The layer.
      given: Its inputs; None for one that is left out.

    Returns:
      Its outputs.

    Raises:
      PreflightError: If its kind is not known here, or it cannot be computed.
    """
    if layer.kind not in KINDS:
        raise PreflightError(
            f"Layer {layer.name} is of kind {layer.kind}, which the executor does not compute. Expected one of "
            f"{', '.join(KINDS)}; leave its op to TensorFlow (TF_TRT_OP_DENYLIST in the environment), or file an issue "
            "with network.json."
        )
    try:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            results = KINDS[layer.kind](layer, *given)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        found = ", ".join("none" if value is None else f"{value.dtype} {value.shape}" for value in given)
        raise PreflightError(
            f"{layer.kind} layer {layer.name} cannot be computed of {found or 'no input'} "
            f"({type(error).__name__}: {error}). Expected what TensorRT's documentation of such a layer allows; run "
            "the preflight again, and report it with its network.json."
        ) from error
    return results if isinstance(results, tuple) else (results,)


def _checked(layer: Layer, results: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Refuses another number of outputs than the layer has."""
    if len(results) != len(layer.outputs):
        raise PreflightError(
            f"{layer.kind} layer {layer.name} gives {counted(len(results), 'output')} and has {len(layer.outputs)}. "
            "Expected as "
            "many; run the preflight again, and report it with its network.json."
        )
    return results


def _fed(tensor: Tensor, feeds: Mapping[str, np.ndarray], dtype) -> np.ndarray:
    """The values of one of the network's inputs."""
    if tensor.name not in feeds:
        raise ValueError(f"feeds hold {', '.join(feeds) or 'nothing'}. Expected {tensor.name} among them.")
    value = np.asarray(feeds[tensor.name])
    if not _fits(tensor.dims, value.shape):
        raise ValueError(f"{tensor.name} is fed {value.shape}. Expected {tensor.dims}, where -1 is any size.")
    return value.astype(_dtype_of(tensor, dtype), copy=False)


def _check_names(network: RecordedNetwork, feeds: Mapping[str, np.ndarray], replace: Collection[str]) -> None:
    """Refuses names that mean nothing, or more than one tensor."""
    inputs = {network.tensors[index].name for index in network.inputs}
    if extra := sorted(set(feeds) - inputs):
        raise ValueError(f"feeds hold {', '.join(extra)} too. Expected {', '.join(sorted(inputs))} alone.")
    names = [tensor.name for tensor in network.tensors]
    for name in replace:
        if (count := names.count(name)) != 1:
            raise ValueError(f"replace holds {name}, the name of {count} tensors. Expected that of one.")


def _dtype_of(tensor: Tensor, dtype) -> np.dtype:
    """The type that a tensor's values are held in."""
    return np.dtype(dtype if tensor.type in _FLOATING else DTYPES[tensor.type])


def _fits(dims: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a shape is one that the recording allows."""
    return len(dims) == len(shape) and all(size in (-1, found) for size, found in zip(dims, shape, strict=True))


def _typed(layer: Layer, tensor: Tensor, value: np.ndarray, dtype) -> np.ndarray:
    """A result in its tensor's type, after its shape and type were held against the recording.

    An identity converts on purpose; others only within their kind of type, as a weight in half precision to float32.
    """
    wanted = _dtype_of(tensor, dtype)
    is_of_kind = layer.kind == "IDENTITY" or value.dtype.kind == wanted.kind
    if not _fits(tensor.dims, value.shape) or not is_of_kind:
        raise PreflightError(
            f"{layer.kind} layer {layer.name} gives {value.dtype} {value.shape}. Expected {tensor.type} "
            f"{tensor.dims} as recorded, where -1 is any size; run the preflight again, and report it with its "
            "network.json."
        )
    return value.astype(wanted, copy=False)
