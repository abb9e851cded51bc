"""What a request must be before it may wait: refused are those that the model could not answer.

check(inference, state, max_pixels=50_000_000)
"""

from collections.abc import Iterator

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.ground.files.image_arrays import MOST_SIDE
from tftrt_yolo.ground.text import counted, quoted
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.scheduling.inference import Inference, ModelState, TensorSpec
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.tasks.table import TASKS

_IMAGES, _SIZES = "images", "sizes"


def check(inference: Inference, state: ModelState, *, max_pixels: int) -> None:
    """Refuses a request that its model cannot answer.

    Args:
      inference: What is asked.
      state: Of the model, which is ready.
      max_pixels: Of an image that is an array; files are looked at one by one, by the model's process.

    Raises:
      RefusedError: INVALID_ARGUMENT; the message says what was got and what was expected.
    """
    try:
        _check_inputs(inference, state)
        _check_pixels(inference, max_pixels)
        _check_selection(inference, state)
    except ValueError as error:
        raise RefusedError(Refusal.INVALID_ARGUMENT, str(error)) from error


def _check_inputs(inference: Inference, state: ModelState) -> None:
    """Refuses inputs that are not those of the signature."""
    signature = state.signatures.get(inference.signature)
    if signature is None:
        raise ValueError(
            f"The model {state.name!r} has no signature {quoted(inference.signature)}. Expected one of "
            f"{', '.join(sorted(state.signatures))}."
        )
    given, wanted = set(inference.inputs), set(signature.inputs)
    if given != wanted:
        raise ValueError(
            f"Signature {inference.signature} got {_names(given)}. Expected {_names(wanted)}, and no other."
        )
    for name, spec in signature.inputs.items():
        for fault in _faults(inference.inputs[name], spec):
            raise ValueError(f"Input {name!r} {fault}")
    lengths = {name: len(value) for name, value in inference.inputs.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} of {length:,}" for name, length in sorted(lengths.items()))
        raise ValueError(f"The inputs have other lengths of axis 0: {found}. Expected the same, one entry a picture.")
    if inference.size > state.max_batch_size:
        raise ValueError(
            f"The request has {counted(inference.size, 'picture')}. Expected at most {state.max_batch_size:,}, the "
            "largest batch of this model: send several requests, which share batches."
        )


def _faults(value: object, spec: TensorSpec) -> Iterator[str]:
    """What is wrong with an input."""
    if not isinstance(value, np.ndarray):
        yield f"is no array but {quoted(value)}. Expected {_described(spec)}."
        return
    kind = "object" if value.dtype == object else value.dtype.name
    if kind != spec.dtype:
        yield f"is {_dtype(kind)}. Expected {_described(spec)}."
    elif value.ndim != len(spec.shape) or any(
        wanted not in (None, side) for wanted, side in zip(spec.shape, value.shape, strict=True)
    ):
        yield f"has the shape {_shape(value.shape)}. Expected {_described(spec)}."
    elif kind == "object" and not all(isinstance(one, bytes) for one in value.ravel()):
        strange = next(one for one in value.ravel() if not isinstance(one, bytes))
        yield f"has {quoted(strange)} in it. Expected strings of bytes alone."


def _check_pixels(inference: Inference, max_pixels: int) -> None:
    """Refuses images without pixels or with too many, and sizes that are not within their images."""
    images = inference.inputs.get(_IMAGES)
    if images is None:
        return
    height, width = images.shape[1:3]
    if not 0 < min(height, width) <= max(height, width) <= MOST_SIDE:
        raise ValueError(
            f"Input 'images' has images {width:,} pixels wide and {height:,} high. Expected sides of 1 to "
            f"{MOST_SIDE:,} pixels; scale them down first."
        )
    if height * width > max_pixels:
        raise ValueError(
            f"Input 'images' has images of {height * width:,} pixels. Expected at most {max_pixels:,}; scale them down "
            "first."
        )
    sizes = inference.inputs.get(_SIZES)
    if sizes is not None and ((sizes < 1) | (sizes > (height, width))).any():
        row = int(np.flatnonzero(((sizes < 1) | (sizes > (height, width))).any(axis=1))[0])
        raise ValueError(
            f"Input 'sizes' has {sizes[row].tolist()} in row {row}. Expected height and width of the image, each of 1 "
            f"to {height:,} and {width:,}, which is all that 'images' has."
        )


def _check_selection(inference: Inference, state: ModelState) -> None:
    """Refuses thresholds and classes where nothing is selected, and classes that the model has not."""
    asked = inference.selection
    if asked is None or not asked.asked():
        return
    SelectionOptions.check_is("selection", asked)
    task = TASKS[state.task]
    if not task.finds_objects:
        asked.refuse("models that find objects", f"{state.name} is {task.kind}")
    if inference.signature == contract.NETWORK:
        asked.refuse("signatures that select", f"{contract.NETWORK} gives every anchor")
    asked.class_indices(state.names)


def _names(names: set[str]) -> str:
    """Names of inputs, for a message."""
    if not names:
        return "no input"
    listed = ", ".join(quoted(name) for name in sorted(names)[:8])
    return f"the input{'s' if len(names) > 1 else ''} {listed}" + (", ..." if len(names) > 8 else "")


def _described(spec: TensorSpec) -> str:
    """What an input is, for a message."""
    return f"{_dtype(spec.dtype)} of the shape {_shape(spec.shape)}"


def _dtype(kind: str) -> str:
    """A dtype in the protocols' words."""
    return "strings" if kind == "object" else kind


def _shape(shape: tuple) -> str:
    """A shape, -1 for an axis of any size."""
    return f"[{', '.join('-1' if side is None else str(side) for side in shape)}]"
