"""How far an ONNX file is from TensorFlow, on the same frames: ONNX Runtime runs it, on a CPU.

largest_differences(path, frozen, frames, TASKS["detect"].quantities)  # {"boxes": 3e-05, "scores": 2e-07}
different_integers(drawn, frozen, frames)  # (1_204_480, 0)
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tftrt_yolo.ground.errors import OnnxError, ParityError
from tftrt_yolo.ground.text import clause, counted
from tftrt_yolo.onnx_twin import onnx_file
from tftrt_yolo.onnx_twin.drafting.draft import Draft, Drawn, Port, Quantized
from tftrt_yolo.saved_model import freeze
from tftrt_yolo.saved_model.freeze import FrozenNetwork
from tftrt_yolo.tasks.task import Quantity

_OWN = "/own"  # behind the name of integers that a network makes itself

_PROVIDERS = ["CPUExecutionProvider"]


def largest_differences(
    model: Path | bytes,
    frozen: FrozenNetwork,
    frames: np.ndarray,
    quantities: Sequence[Quantity],
    in_words: Callable[[dict], dict] = dict,
) -> dict[str, float]:
    """Runs a file beside TensorFlow's graph.

    Args:
      model: The file.
      frozen: What it was drawn of.
      frames: (batch, height, width, 3) float32 in [0, 1].
      quantities: What is compared.
      in_words: Takes outputs by name to the dense outputs that the quantities are of.

    Returns:
      The largest difference of each quantity, in its unit.

    Raises:
      OnnxError: If ONNX Runtime refuses the file, or what it gives is not finite.
    """
    names = list(frozen.outputs)
    expected = _computed(frozen, list(frozen.outputs.values()), frames)
    found = _run(_session(model), names, {"images": frames.transpose(0, 3, 1, 2)})
    for name, values in zip(names, found, strict=True):
        strange = int(np.count_nonzero(~np.isfinite(values)))
        if strange:
            raise OnnxError(
                f"In ONNX Runtime {counted(strange, 'number')} of {values.size:,} of {name} are not finite: the "
                "network's numbers go beyond FP16. Write it in FP32."
            )
    pair = (dict(zip(names, values, strict=True)) for values in (found, expected))
    return differences(*map(in_words, pair), quantities)


def differences(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], quantities: Sequence[Quantity]
) -> dict[str, float]:
    """The largest difference of each quantity between two sets of dense outputs, in its unit."""
    return {one.label: one.largest_difference(found, expected) for one in quantities}


def check(largest: dict[str, float], quantities: Sequence[Quantity]) -> None:
    """Refuses a file in float32, quantised or not, that is not TensorFlow's network.

    Args:
      largest: What `largest_differences` found.
      quantities: The same.

    Raises:
      ParityError: If they differ by more than float32's rounding explains.
    """
    beyond = [one for one in quantities if not largest[one.label] <= one.tolerance]  # NaN is beyond
    if beyond:
        found = ", ".join(f"{one.format(largest[one.label])} in {one.label}" for one in beyond)
        accepted = ", ".join(one.format(one.tolerance) for one in beyond)
        raise ParityError(
            f"The ONNX file differs from the SavedModel by up to {found}; at most {accepted} are accepted. Nothing was "
            "written. File an issue with the model's architecture."
        )


def different_integers(drawn: Drawn, frozen: FrozenNetwork, frames: np.ndarray) -> tuple[int, int]:
    """Quantises in ONNX Runtime what TensorFlow quantises, tensor by tensor, of TensorFlow's own numbers.

    Args:
      drawn: A quantised network whose floats are float32.
      frozen: What it was drawn of.
      frames: As `largest_differences`.

    Returns:
      How many numbers there are, and how many of them become another integer.
    """
    names = [name for one in drawn.quantized for name in (one.source, one.result)]
    values, numbers, different = iter(_computed(frozen, names, frames)), 0, 0
    for one in drawn.quantized:
        given, result = next(values), next(values)
        expected = _integers(result, one)
        found = quantized_alone(drawn.draft, one, given)
        numbers += expected.size
        different += int(np.count_nonzero(found != expected))
    return numbers, different


def with_their_integers(
    drawn: Drawn, opset: int, frozen: FrozenNetwork, frames: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
    """Runs a quantised network with TensorFlow's integers in the places of its own.

    A sum that is rounded in another order may fall to the other side of a half, by one step, and that spreads through
    the network; so what comes behind is compared only where both quantised alike.

    Args:
      drawn: A quantised network whose floats are float32.
      opset: Version of its operators.
      frozen: What it was drawn of.
      frames: As `largest_differences`.

    Returns:
      The outputs by name, of ONNX Runtime and of TensorFlow; and how many integers would have been others.
    """
    names = list(frozen.outputs)
    tensors = [*frozen.outputs.values(), *(one.result for one in drawn.quantized)]
    computed = _computed(frozen, tensors, frames)
    expected = dict(zip(names, computed, strict=False))
    settled = {
        one.integers: _integers(values, one)
        for one, values in zip(drawn.quantized, computed[len(names) :], strict=True)
    }
    model = onnx_file.model_of(_opened(drawn, set(settled)), opset, {})
    images = {"images": frames.transpose(0, 3, 1, 2)}
    own = [f"{name}{_OWN}" for name in settled]
    found = _run(_session(model.SerializeToString()), [*names, *own], images | settled)
    ties = sum(np.count_nonzero(one != other) for one, other in zip(found[len(names) :], settled.values(), strict=True))
    return dict(zip(names, found, strict=False)), expected, int(ties)


def quantized_alone(draft: Draft, tensor: Quantized, given: np.ndarray) -> np.ndarray:
    """The integers that the nodes before a quantised tensor make of some numbers.

    Args:
      draft: The draft.
      tensor: One of its quantised tensors.
      given: What is to be quantised, in TensorFlow's order of the axes.

    Returns:
      The integers, in the draft's order.
    """
    from onnx import TensorProto, helper, numpy_helper

    producers = draft.producers()
    quantize = draft.nodes[producers[tensor.integers]]
    scale = draft.nodes[producers[quantize.inputs[0]]]
    nodes = [helper.make_node(one.op, one.inputs, one.outputs) for one in (scale, quantize)]
    constants = [name for one in (scale, quantize) for name in one.inputs if name in draft.constants]
    graph = helper.make_graph(
        nodes,
        "quantisation",
        [helper.make_tensor_value_info(scale.inputs[0], TensorProto.FLOAT, [None] * given.ndim)],
        [helper.make_tensor_value_info(tensor.integers, TensorProto.INT8, [None] * given.ndim)],
        initializer=[numpy_helper.from_array(draft.constants[name], name) for name in constants],
    )
    version = helper.make_opsetid("", 19)
    model = helper.make_model(graph, opset_imports=[version], ir_version=helper.find_min_ir_version_for([version]))
    feeds = {scale.inputs[0]: np.ascontiguousarray(given.transpose(tensor.order))}
    return _run(_session(model.SerializeToString()), [tensor.integers], feeds)[0]


def _integers(values: np.ndarray, tensor: Quantized) -> np.ndarray:
    """The integers of what TensorFlow quantised and dequantised, in the draft's order."""
    return np.rint(values / tensor.step).astype(np.int8).transpose(tensor.order)


def _opened(drawn: Drawn, integers: set[str]) -> Drawn:
    """A network that takes integers where it made them, and gives what it makes under another name."""
    draft, opened = Draft(), []
    draft.constants = drawn.draft.constants
    for node in drawn.draft.nodes:
        names = tuple(f"{name}{_OWN}" if name in integers else name for name in node.outputs)
        opened.append(dataclasses.replace(node, outputs=names))
    draft.nodes = opened
    taken = tuple(Port(one.integers, one.dims, "INT8") for one in drawn.quantized)
    given = tuple(dataclasses.replace(port, name=f"{port.name}{_OWN}") for port in taken)
    return Drawn(draft, (*drawn.inputs, *taken), (*drawn.outputs, *given), ())


def _computed(frozen: FrozenNetwork, names: list[str], frames: np.ndarray) -> list[np.ndarray]:
    """Tensors of a frozen graph, computed by TensorFlow."""
    whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen.graph_def, name=""), [])
    run = whole.prune(frozen.frames_name, freeze.tensors(whole.graph, names))
    return [values.numpy() for values in run(tf.constant(frames))]


def _session(model: Path | bytes):
    """ONNX Runtime with a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=_PROVIDERS
        )
    except Exception as error:  # it raises a class for each of its codes, and RuntimeError
        raise OnnxError(
            f"ONNX Runtime {onnxruntime.__version__} refuses what was written: {clause(error)}. Give an older "
            "opset, or install a newer ONNX Runtime."
        ) from error


def _run(session, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What a session gives."""
    return session.run(names, {name: np.ascontiguousarray(values) for name, values in feeds.items()})
