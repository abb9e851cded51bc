"""Signatures of a loaded SavedModel, as those call them who run it from Python.

signatures = of(tf.saved_model.load(path))
signatures = with_direct_network(signatures, backend.compiled_sizes)
signatures["network"](frames=frames)["boxes"]
"""

from collections.abc import Callable

import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.ground import chatter
from tftrt_yolo.saved_model.batches import CompiledSizes


class _Signature:
    """A signature of a loaded SavedModel, which it keeps: variables and engines go with the loaded object.

    The function itself must not keep it: it is the loaded object's, and both would stay, with the GPU's memory, until
    Python next looks for such circles.
    """

    def __init__(self, function: Callable, loaded):
        self._function, self.loaded = function, loaded

    def __call__(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs it on tensors by the names of its inputs."""
        return self._function(**tensors)

    def __getattr__(self, name: str):
        return getattr(self._function, name)


class _Framed(_Signature):
    """Signature `framed`, which knows what runs the same in one call where XLA compiled it.

    Attributes:
      compiled: The attribute of that name: takes frames and sizes of a compiled batch to what `packing.unpack` takes.
    """

    def __init__(self, function: Callable, loaded, compiled: Callable):
        super().__init__(function, loaded)
        self.compiled = compiled


class _DirectNetwork(_Signature):
    """Signature `network`, around what XLA compiled: that alone is called for a batch of a compiled size.

    A function around another is run by TensorFlow's executor, whose threads a call from Python does without.
    """

    def __init__(self, function: Callable, loaded: object, compiled: Callable, sizes: CompiledSizes):
        super().__init__(function, loaded)
        self._compiled, self._sizes = compiled, sizes

    def __call__(self, *, frames: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs it on frames (batch, S, S, 3) float32."""
        count = frames.shape[0]  # None in a graph that is being traced
        if count and self._sizes.filled(count) == count:
            return self._compiled(frames)
        return self._function(frames=frames)


class QuietAtFirst:
    """A signature whose first run of each batch is quiet: that compiles it, or starts a GPU's libraries."""

    def __init__(self, function: Callable):
        self._function, self._batches = function, set()
        if hasattr(function, "compiled"):
            self.compiled = QuietAtFirst(function.compiled)

    def __call__(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs it, quietly where it has not seen such a batch."""
        batches = tuple(tensor.shape[0] for tensor in tensors.values())
        if batches in self._batches:
            return self._function(**tensors)
        with chatter.kept_off():
            outputs = self._function(**tensors)
        self._batches.add(batches)
        return outputs

    def __getattr__(self, name: str):
        return getattr(self._function, name)


def _specs(tensors) -> dict[str, tf.TensorSpec]:
    """A signature's tensors as its definition has them."""
    return {
        name: tf.TensorSpec(tf.TensorShape(tensor.tensor_shape), tf.dtypes.as_dtype(tensor.dtype), name)
        for name, tensor in tensors.items()
    }


class ByName:
    """A pruned function that takes its inputs by their names, and says so as a SavedModel's signature does."""

    def __init__(self, function, signature):
        names = list(signature.inputs)
        self._function, self._names = function, names
        self.structured_input_signature = ((), _specs(signature.inputs))
        self.structured_outputs = _specs(signature.outputs)

    def __call__(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs it on tensors by the names of its inputs."""
        return self._function(*(tensors[name] for name in self._names))


def of(loaded) -> dict[str, Callable]:
    """The signatures of a loaded SavedModel.

    Args:
      loaded: What TensorFlow's loader gave.

    Returns:
      Signature key to function, which keeps the loaded object; those of the contract that there are, for earlier
      versions' SavedModels have one less.
    """
    signatures = {key: _Signature(loaded.signatures[key], loaded) for key in present(loaded.signatures)}
    compiled = _only_trace(loaded, "compiled")
    if compiled is not None and contract.FRAMED in signatures:
        signatures[contract.FRAMED] = _Framed(loaded.signatures[contract.FRAMED], loaded, compiled)
    return signatures


def with_direct_network(signatures: dict[str, Callable], sizes: CompiledSizes | None) -> dict[str, Callable]:
    """Calls the network without the function around it, where the SavedModel holds it so.

    Args:
      signatures: Of `of`.
      sizes: The batch sizes that XLA compiles it for; None where it does not.

    Returns:
      The signatures.
    """
    given = signatures[contract.NETWORK]
    compiled = _only_trace(given.loaded, "compiled_network")
    if sizes is None or compiled is None or _outputs_of(compiled) != _outputs_of(given):
        return signatures
    direct = _DirectNetwork(given.loaded.signatures[contract.NETWORK], given.loaded, compiled, sizes)
    return signatures | {contract.NETWORK: direct}


def _outputs_of(function: Callable) -> dict[str, tuple]:
    """Name to shape and type of each output."""
    return {name: (tuple(spec.shape), spec.dtype) for name, spec in function.structured_outputs.items()}


def present(keys) -> list[str]:
    """The contract's signatures that are among some keys, in the contract's order."""
    return [key for key in contract.ALL_SIGNATURES if key in keys]


def _only_trace(loaded, name: str) -> Callable | None:
    """The one trace of an attribute that is a function; None where it is not there, as in an earlier SavedModel."""
    traces = getattr(getattr(loaded, name, None), "concrete_functions", ())
    return traces[0] if len(traces) == 1 else None
