"""Which signature a request means, and whether what it wants can be had; the hub checks its inputs.

key = signature_of(state, inputs)                          # {"image_bytes"} -> "encoded"
check_outputs(state.signatures[key], ["boxes"])
inference = Inference(state.name, key, as_taken(state.signatures[key], inputs), deadline, ...)
"""

from collections.abc import Iterable, Mapping

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.ground.text import quoted
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.scheduling.inference import ModelState, Signature
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError


def signature_of(state: ModelState, names: Iterable[str]) -> str:
    """The signature that takes inputs of these names.

    Args:
      state: The model.
      names: Of the inputs that a request has.

    Returns:
      Its key.

    Raises:
      RefusedError: If the model has none; the message lists what it takes.
    """
    names = list(names)
    for key, signature in state.signatures.items():
        if set(names) == set(signature.inputs):
            return key
    takes = "; ".join(
        f"{' and '.join(sorted(state.signatures[key].inputs))} for {key}" for key in _ordered(state.signatures)
    )
    found = ", ".join(quoted(name, 40) for name in names[:8]) or "none"
    raise invalid(f"The inputs are {found}; model {quoted(state.name)} takes {takes}.")


def as_taken(signature: Signature, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs as a signature takes them.

    Args:
      signature: Of the model.
      inputs: Name to array. Strings may have an axis of length 1 behind the batch, as Triton's configurations ask for.

    Returns:
      The same without that axis; everything else is left to the hub, which says what is wrong with it.
    """
    taken = {}
    for name, array in inputs.items():
        spec = signature.inputs.get(name)
        is_wrapped = spec is not None and spec.dtype == "object" and array.ndim == len(spec.shape) + 1
        taken[name] = array[..., 0] if is_wrapped and array.shape[-1] == 1 else array
    return taken


def check_outputs(signature: Signature, names: Iterable[str]) -> None:
    """Refuses an output that a signature does not give."""
    unknown = [name for name in names if name not in signature.outputs]
    if unknown:
        raise RefusedError(
            Refusal.INVALID_ARGUMENT,
            f"The output {quoted(unknown[0])} is unknown; known are {', '.join(sorted(signature.outputs))}.",
        )


def _ordered(signatures: Mapping[str, Signature]) -> list[str]:
    """Keys in the contract's order."""
    return [key for key in contract.SIGNATURES if key in signatures] or list(signatures)
