"""Requests for a model, checked against what is known of it: every door makes its `Inference` here.

key = signature_of(state, inputs)                          # {"image_bytes"} -> "encoded"
checked = check_inputs(state, key, inputs)
inference = Inference(state.name, key, checked, deadline, ...)
"""

from collections.abc import Iterable, Mapping

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.serving.protocol.datatypes import datatype_of, invalid
from tftrt_yolo.serving.scheduling.inference import ModelState, Signature, TensorSpec
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


def check_inputs(
    state: ModelState, key: str, inputs: Mapping[str, np.ndarray], *, max_pixels: int | None = None
) -> dict[str, np.ndarray]:
    """Compares inputs with what a signature takes.

    Args:
      state: The model.
      key: Of the signature.
      inputs: Name to array, with the names that it takes. Strings may have an axis of length 1 behind the batch, as
        Triton's configurations ask for.
      max_pixels: Of a picture that is given as pixels; None for any number.

    Returns:
      The inputs as the model takes them.

    Raises:
      RefusedError: If a dtype, a rank, an axis or the batch is another, or there are too many pictures or pixels.
    """
    signature = state.signatures[key]
    checked = {name: _check_input(state, name, spec, inputs[name]) for name, spec in signature.inputs.items()}
    _check_batch(state, checked)
    if "images" in checked:
        _check_images(checked, max_pixels)
    return checked


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


def _check_input(state: ModelState, name: str, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    """One input, against its spec."""
    if spec.dtype == "object" and array.ndim == len(spec.shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    found, expected = datatype_of(array.dtype.name), datatype_of(spec.dtype)
    if found != expected:
        raise invalid(f"Input {quoted(name)} of model {quoted(state.name)} is of {found}; expected {expected}.")
    fits = array.ndim == len(spec.shape) and all(
        side in (None, given) for side, given in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if side is None else str(side) for side in spec.shape)
        raise invalid(
            f"Input {quoted(name)} of model {quoted(state.name)} has the shape {list(array.shape)}; expected "
            f"[{wanted}]."
        )
    return array


def _check_batch(state: ModelState, inputs: Mapping[str, np.ndarray]) -> None:
    """The batch of all inputs is the same, of at least 1 and no more than the model takes."""
    sizes = {name: len(array) for name, array in inputs.items()}
    size = next(iter(sizes.values()))
    if len(set(sizes.values())) > 1:
        listed = " and ".join(f"{quoted(name)} of {number}" for name, number in sizes.items())
        raise invalid(f"The batches of the inputs differ: {listed}; expected one size.")
    if size < 1:
        raise invalid(f"The batch is empty; expected 1 to {counted(state.max_batch_size, 'picture')}.")
    if size > state.max_batch_size:
        raise invalid(
            f"The batch has {counted(size, 'picture')}; model {quoted(state.name)} takes at most "
            f"{state.max_batch_size:,} a request (--max_batch_size). Send them in several requests."
        )


def _check_images(inputs: Mapping[str, np.ndarray], max_pixels: int | None) -> None:
    """Pictures as pixels: not empty, not too large, and their sizes within them."""
    height, width = inputs["images"].shape[1:3]
    if not height or not width:
        raise invalid(f"The images are of {width} x {height} pixels; expected at least 1 x 1.")
    if max_pixels is not None and height * width > max_pixels:
        raise RefusedError(
            Refusal.TOO_LARGE,
            f"The images are of {width} x {height} pixels; expected at most {max_pixels:,} each (--max_pixels). Scale "
            "them down.",
        )
    sizes = inputs.get("sizes")
    if sizes is not None and not ((sizes >= 1) & (sizes <= [height, width])).all():
        bad = next(size for size in sizes.tolist() if not (1 <= size[0] <= height and 1 <= size[1] <= width))
        raise invalid(
            f"The sizes have {bad} (height, width); expected at least 1 and at most that of the padded images, "
            f"[{height}, {width}]."
        )
