"""Which signature a request means, and whether what it wants can be had; the hub checks its inputs.

key = signature_of(state, inputs)                          # {"image_bytes"} -> "encoded"
check_outputs(state.signatures[key], ["boxes"])
inference = Asked(state, key, inputs, parameters).inference(deadline, request_id="")
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.ground.text import listed, quoted
from tftrt_yolo.serving.protocol.datatypes import invalid
from tftrt_yolo.serving.protocol.parameters import selection_of
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, Signature
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

MOST_ID_CHARACTERS = 1_024


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """What a request asks of a model, whichever door it came through.

    Attributes:
      state: The model.
      key: Of the signature.
      inputs: Name to array.
      parameters: Thresholds, classes and the like, by name.
      version: As the client asked for it; None for the newest.
      request_id: The client's.
    """

    state: ModelState
    key: str
    inputs: Mapping[str, np.ndarray]
    parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)
    version: int | None = None
    request_id: str = ""

    def inference(self, deadline: float, request_id: str) -> Inference:
        """What the hub is asked.

        Args:
          deadline: In seconds of `time.monotonic`.
          request_id: The client's, of which MOST_ID_CHARACTERS count.

        Returns:
          The request.

        Raises:
          RefusedError: If a threshold is out of its range.
        """
        return Inference(
            self.state.name,
            self.key,
            as_taken(self.state.signatures[self.key], self.inputs),
            deadline,
            version=self.version,
            selection=selection_of(self.parameters),
            request_id=request_id[:MOST_ID_CHARACTERS],
        )


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
    takes = "; ".join(f"{listed(sorted(state.signatures[key].inputs))} for {key}" for key in _ordered(state.signatures))
    found = ", ".join(quoted(name, 40) for name in names[:8]) or "none"
    raise invalid(f"The inputs are {found}; model {quoted(state.name)} takes {takes}.")


def signature_named(state: ModelState, key: object) -> Signature:
    """The signature of a name.

    Args:
      state: The model.
      key: The name, as a client has it.

    Returns:
      The signature.

    Raises:
      RefusedError: If the model has none of that name; the message lists them.
    """
    if not isinstance(key, str) or key not in state.signatures:
        known = ", ".join(_ordered(state.signatures))
        raise invalid(f"Model {quoted(state.name)} has no signature {quoted(key)}; known are {known}.")
    return state.signatures[key]


def no_label(label: str) -> RefusedError:
    """The refusal of a version's label: as TensorFlow Serving refuses one that it does not know.

    Args:
      label: What the client calls the version.

    Returns:
      The error.
    """
    return invalid(
        f"No version has the label {quoted(label)}: versions have no labels here. Name one by its number, or none for "
        "the newest."
    )


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


def version_of(text: str | None) -> int | None:
    """A version as a path or a query has it.

    Raises:
      RefusedError: If it is no whole number of at least 1.
    """
    if text is None or text == "":
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:
        raise invalid(f"The version is {quoted(text)}; expected a whole number of at least 1.")
    return int(text)


def _ordered(signatures: Mapping[str, Signature]) -> list[str]:
    """Keys in the contract's order."""
    return [key for key in contract.ALL_SIGNATURES if key in signatures] or list(signatures)
