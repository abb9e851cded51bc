"""Which tensors an engine must have, by its metadata, and what its batches may be.

tensors.check(found, metadata, given)            # an EngineError if they are another task's
tensors.batch_ranges(found, profiles)            # ((1, 8),)
dense = tensors.to_dense({"output0": rows}, metadata)
"""

from collections.abc import Iterable, Mapping

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.contract import HeadSpec, Metadata
from tftrt_yolo.engines.ultralytics_layout import IMAGES, OUTPUT, PROTOTYPES
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.ground.text import counted
from tftrt_yolo.preflighting.io_tensor import IOTensor
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.tasks.maps.semantic import STRIDE
from tftrt_yolo.tasks.table import TASKS, in_words

_TYPES = ("FLOAT", "HALF")
_BOX, _SCORE_AND_CLASS = 4, 2
_ANY = -1


def check(found: Iterable[IOTensor], metadata: Metadata, given: str) -> None:
    """Refuses an engine whose tensors are not those of its metadata.

    Args:
      found: Its inputs and outputs.
      metadata: What its header says of the model.
      given: The file, for messages.

    Raises:
      EngineError: If a tensor is missing, one too many, or of another type or shape than the task's.
    """
    by_name = {tensor.name: tensor for tensor in found}
    expected = _expected(metadata, by_name)
    strange = [
        tensor
        for name, tensor in by_name.items()
        if name not in expected
        or tensor.is_input != (name == IMAGES)
        or tensor.type not in _TYPES
        or not _fits(tensor.dims, expected[name])
    ]
    missing = [name for name in expected if name not in by_name]
    if strange or missing:
        raise EngineError(
            f"{given} says that it is for {_described(metadata)}, and has the tensors "
            f"{', '.join(map(str, by_name.values())) or '(none)'}; expected "
            f"{', '.join(f'{name} {_shape(dims)}' for name, dims in expected.items())} of FLOAT or HALF, with any "
            "batch. Its header belongs to another engine, or it is none of Ultralytics' layout; build it again."
        )


def batch_ranges(tensors: Iterable[IOTensor], profiles: Mapping[str, tuple[Profile, ...]]) -> tuple:
    """The batch sizes that an engine takes: the least and the largest of each profile, or of its fixed shape."""
    [images] = [tensor for tensor in tensors if tensor.is_input]
    if images.dims[0] != _ANY:
        return ((images.dims[0], images.dims[0]),)
    return tuple((profile.min[0], profile.max[0]) for profile in profiles.get(images.name, ()))


def to_dense(outputs: Mapping[str, np.ndarray], metadata: Metadata) -> dict[str, np.ndarray]:
    """What an engine gives, as the outputs of signature `network`.

    Args:
      outputs: `output0`, and for segment `output1`, as `ultralytics_layout` says.
      metadata: Of the engine.

    Returns:
      The task's dense outputs, float32. Of a head that gives each object once, its best objects in place of all
      anchors, each with the score of its one class.

    Raises:
      EngineError: If an object has a class that no name is known of.
    """
    arrays = [outputs[name].astype(np.float32, copy=False) for name in (OUTPUT, PROTOTYPES) if name in outputs]
    head = HeadSpec(
        strides=(),
        num_classes=len(metadata.names),
        keypoint_shape=metadata.keypoint_shape,
        is_end_to_end=metadata.is_end_to_end,
    )
    if metadata.is_end_to_end and TASKS[metadata.task].finds_objects:
        arrays[0] = _with_scores(arrays[0], head.num_classes)
    return TASKS[metadata.task].reference(arrays, head)


def _with_scores(rows: np.ndarray, num_classes: int) -> np.ndarray:
    """(batch, n, box score class ...) as (batch, box scores ..., n), every other class's score 0."""
    boxes, score, classes = rows[..., :_BOX], rows[..., _BOX : _BOX + 1], rows[..., _BOX + 1 : _BOX + 2]
    unknown = classes[(score > 0) & ~((classes >= 0) & (classes < num_classes))]
    if unknown.size:
        raise EngineError(
            f"The engine gives an object of class {unknown[0]:g}, and its header has the names of 0 to "
            f"{num_classes - 1:,}. Its header belongs to another engine; build it again."
        )
    scores = np.where(np.arange(num_classes) == np.round(classes), score, np.float32(0))
    return np.concatenate([boxes, scores, rows[..., _BOX + 2 :]], axis=-1).transpose(0, 2, 1)


def _expected(metadata: Metadata, found: Mapping[str, IOTensor]) -> dict[str, tuple[int, ...]]:
    """Name of each tensor to its shape; -1 for any size. How many mask coefficients there are, the prototypes say."""
    height, width = metadata.image_size_hw
    expected = {IMAGES: (_ANY, 3, height, width)}
    if metadata.task == contract.CLASSIFY:
        return expected | {OUTPUT: (_ANY, len(metadata.names))}
    if metadata.task == contract.SEMANTIC:
        return expected | {OUTPUT: (_ANY, len(metadata.names), height // STRIDE, width // STRIDE)}
    if metadata.task == contract.DEPTH:  # Ultralytics' own are of the frame's size
        return expected | {OUTPUT: (_ANY, 1, _ANY, _ANY)}
    beside = {contract.OBB: 1, contract.SEGMENT: 32}.get(metadata.task, 0)
    if metadata.task == contract.POSE:
        beside = metadata.keypoint_shape[0] * metadata.keypoint_shape[1]
    if metadata.task == contract.SEGMENT:
        prototypes = found.get(PROTOTYPES)
        if prototypes is not None and len(prototypes.dims) == 4 and prototypes.dims[1] > 0:
            beside = prototypes.dims[1]
        expected[PROTOTYPES] = (_ANY, beside, _ANY, _ANY)
    if metadata.is_end_to_end:
        return {**expected, OUTPUT: (_ANY, _ANY, _BOX + _SCORE_AND_CLASS + beside)}
    return {**expected, OUTPUT: (_ANY, _BOX + len(metadata.names) + beside, _ANY)}


def _fits(dims: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether a shape is as expected; an open size of the engine's may be any."""
    return len(dims) == len(expected) and all(
        _ANY in (one, other) or one == other for one, other in zip(dims, expected, strict=True)
    )


def _shape(dims: tuple[int, ...]) -> str:
    """A shape with "any" for what is open."""
    return f"({', '.join('any' if size == _ANY else str(size) for size in dims)})"


def _described(metadata: Metadata) -> str:
    """A model in words."""
    points = ""
    if metadata.keypoint_shape:
        number, numbers = metadata.keypoint_shape
        points = f" with {counted(number, 'key point')} of {counted(numbers, 'number')}"
    once = ", each object once" if metadata.is_end_to_end else ""
    return f"{in_words(metadata.task, len(metadata.names), ' of ')}{points}{once}"
