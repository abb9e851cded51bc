"""A recorded network with the tensors of Ultralytics' engines around it.

    network = with_ultralytics_layout(recorded, metadata)
    [network.tensors[i].name for i in (*network.inputs, *network.outputs)]          # images, output0

TF-TRT's engine takes frames (batch, height, width, 3) and gives the outputs of signature `network`, numbered anew in
each run. Ultralytics' takes `images` (batch, 3, height, width), in [0, 1] as well, and gives

    detect     output0 (batch, 4 + C, A): centre x, centre y, width, height in pixels of the frame, and the scores
    segment    output0 (batch, 4 + C + 32, A), the mask coefficients behind; output1 (batch, 32, h, w), the prototypes
    pose       output0 (batch, 4 + C + K * numbers, A), the key points behind
    obb        output0 (batch, 4 + C + 1, A), the angle in radians behind
    classify   output0 (batch, C), the probabilities
    semantic   output0 (batch, C, h, w), the logits, which Ultralytics' predictor resizes
    depth      output0 (batch, 1, h, w), metres, of a quarter of the frame's sides; Ultralytics' predictor and validator
               take it to the frame's

and of a head that gives each object once output0 (batch, 300, 6 + n): the box's corners (obb: centre and size), score,
class, and what is behind. Both ends stay FP32, whatever is between.

Source: what ultralytics.nn.modules.head gives when it exports; tftrt_yolo.tasks has the same in TensorFlow's ops.
"""

import dataclasses
import math

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.contract import Metadata
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.preflighting.recorded_network import NO_TENSOR, Layer, RecordedNetwork, Tensor
from tftrt_yolo.tasks.table import TASKS

IMAGES, OUTPUT, PROTOTYPES = "images", "output0", "output1"
MOST_BEST = 300  # objects that an end-to-end head gives: ultralytics.nn.modules.head.Detect.max_det
# What each task puts behind box and scores, in the words of signature `network`.
_BESIDE = {contract.SEGMENT: "mask_coefficients", contract.POSE: "keypoints", contract.OBB: "boxes_xywhr"}


def with_ultralytics_layout(
    network: RecordedNetwork, metadata: Metadata, *, batch_size: int | None = None
) -> RecordedNetwork:
    """Puts Ultralytics' tensors around a network.

    Args:
      network: A recorded one that gives all that its task needs.
      metadata: Of the SavedModel that it was recorded of.
      batch_size: The one batch size that it is to take; None for any.

    Returns:
      The complete network. Layers of which its outputs need nothing are gone.

    Raises:
      EngineError: If its inputs are not the frames alone, or an output is left to TensorFlow.
    """
    _check_input(network, metadata)
    drawing = _Drawing(network)
    given = _outputs(network, needed(metadata))
    task = TASKS[metadata.task]
    if task.classifies:
        results = {OUTPUT: given["probabilities"]}
    elif metadata.task == contract.SEMANTIC:
        results = {OUTPUT: drawing.transposed(given["logits"], (0, 3, 1, 2))}
    elif metadata.task == contract.DEPTH:
        batch, height, width = drawing.dims(given["depth"])
        shape = {"reshape": (0, 1, height, width), "zero_is_placeholder": 1}
        results = {OUTPUT: drawing.one("SHUFFLE", (given["depth"],), (batch, 1, height, width), **shape)}
    elif metadata.is_end_to_end:
        results = {OUTPUT: _best_rows(drawing, given, metadata)}
    else:
        results = {OUTPUT: _rows(drawing, given, metadata)}
    if metadata.task == contract.SEGMENT:
        results[PROTOTYPES] = drawing.transposed(given["prototypes"], (0, 3, 1, 2))
    return _fixed(drawing.finished(results), batch_size)


def _fixed(network: RecordedNetwork, batch_size: int | None) -> RecordedNetwork:
    """The network for one batch size."""
    if batch_size is None:
        return network
    dims = [(batch_size, *tensor.dims[1:]) if tensor.dims[:1] == (-1,) else tensor.dims for tensor in network.tensors]
    pairs = zip(network.tensors, dims, strict=True)
    return dataclasses.replace(
        network, tensors=tuple(dataclasses.replace(tensor, dims=fixed) for tensor, fixed in pairs)
    )


def needed(metadata: Metadata) -> tuple[str, ...]:
    """The outputs of signature `network` that Ultralytics' tensors are made of; obb's upright boxes are not."""
    dense = TASKS[metadata.task].dense
    return tuple(name for name in dense if not (metadata.task == contract.OBB and name == "boxes"))


def _check_input(network: RecordedNetwork, metadata: Metadata) -> None:
    """Refuses a network that takes anything else than frames."""
    found = [network.tensors[index].dims for index in network.inputs]
    frames = (-1, *metadata.image_size_hw, 3)
    if found != [frames]:
        raise EngineError(
            f"{network.engine} takes {', '.join(map(str, found)) or 'nothing'}; expected the frames {frames} alone, "
            "for an engine of its own runs without TensorFlow before it. Leave no op before it to TensorFlow (unset "
            "TF_TRT_OP_DENYLIST), or use `convert`."
        )


def _outputs(network: RecordedNetwork, names: tuple[str, ...]) -> dict[str, int]:
    """Name of each output of the signature to the number of its tensor."""
    found = {network.signature_outputs.get(network.tensors[index].name, ""): index for index in network.outputs}
    missing = [name for name in names if name not in found]
    if missing:
        raise EngineError(
            f"{network.engine} does not give {', '.join(missing)}: TensorFlow goes on with what it gives. Expected a "
            "network that ends in all outputs of signature `network`, for an engine of its own runs without TensorFlow "
            "behind it. Leave no op behind it to TensorFlow (unset TF_TRT_OP_DENYLIST), or use `convert`."
        )
    return {name: found[name] for name in names}


class _Drawing:
    """A network that grows at both its ends."""

    def __init__(self, network: RecordedNetwork):
        self._network, self._tensors, self._layers = network, list(network.tensors), []

    def dims(self, index: int) -> tuple[int, ...]:
        """A tensor's shape."""
        return self._tensors[index].dims

    def layer(self, kind: str, inputs: tuple[int, ...], *results: tuple[str, tuple], weights=None, **attributes):
        """Adds a layer whose results are types and shapes; their numbers."""
        name = f"ultralytics/{kind.lower()}_{len(self._layers)}"
        numbers = [self._tensor(f"{name}:{rank}", *result) for rank, result in enumerate(results)]
        self._layers.append(Layer(kind, name, inputs, tuple(numbers), None, attributes, weights or {}))
        return numbers

    def one(self, kind: str, inputs: tuple[int, ...], dims: tuple[int, ...], /, kind_of: str = "FLOAT", **more) -> int:
        """Adds a layer of one result; its number."""
        return self.layer(kind, inputs, (kind_of, dims), **more)[0]

    def constant(self, values: np.ndarray) -> int:
        """Adds a constant, float32 or int32."""
        kind = {"float32": "FLOAT", "int32": "INT32"}[values.dtype.name]
        return self.one(
            "CONSTANT", (), values.shape, kind_of=kind, weights={"values": values.ravel()}, dims=values.shape
        )

    def transposed(self, index: int, order: tuple[int, ...]) -> int:
        """Adds a transpose."""
        dims = self.dims(index)
        return self.one("SHUFFLE", (index,), tuple(dims[axis] for axis in order), first_transpose=order)

    def flat(self, index: int) -> int:
        """Joins all axes behind the second: (batch, A, ...) to (batch, A, n)."""
        dims = self.dims(index)
        if len(dims) == 3:
            return index
        size = math.prod(dims[2:])
        return self.one("SHUFFLE", (index,), (*dims[:2], size), reshape=(0, dims[1], size), zero_is_placeholder=1)

    def columns(self, index: int, axis: int, places: range) -> int:
        """Picks places of an axis."""
        dims = list(self.dims(index))
        dims[axis] = len(places)
        return self.one("GATHER", (index, self.constant(np.array(places, np.int32))), tuple(dims), axis=axis)

    def taken(self, index: int, places: int) -> int:
        """Picks, of each image, its own places of the second axis."""
        dims = (*self.dims(places), *self.dims(index)[2:])
        return self.one("GATHER", (index, places), dims, kind_of=self._tensors[index].type, axis=1, elementwise_dims=1)

    def computed(self, operation: str, one: int, other: int) -> int:
        """Adds an operation on two tensors, the second of which may be broadcast."""
        kind = self._tensors[one].type
        return self.one("ELEMENTWISE", (one, other), self.dims(one), kind_of=kind, operation=operation)

    def joined(self, parts: list[int], axis: int) -> int:
        """Adds a concatenation."""
        dims = list(self.dims(parts[0]))
        dims[axis] = sum(self.dims(part)[axis] for part in parts)
        return self.one("CONCATENATION", tuple(parts), tuple(dims), axis=axis)

    def finished(self, results: dict[str, int]) -> RecordedNetwork:
        """The network with `images` before it and its results named."""
        [frames] = self._network.inputs
        batch, height, width, channels = self.dims(frames)
        images = self._tensor(IMAGES, "FLOAT", (batch, channels, height, width))
        first = Layer(
            "SHUFFLE", "ultralytics/images", (images,), (frames,), None, {"first_transpose": (0, 2, 3, 1)}, {}
        )
        for name, index in results.items():
            self._tensors[index] = dataclasses.replace(self._tensors[index], name=name)
        outputs = tuple(results.values())
        return dataclasses.replace(
            self._network,
            inputs=(images,),
            outputs=outputs,
            tensors=tuple(self._tensors),
            layers=tuple(_needed([first, *self._network.layers, *self._layers], outputs)),
            signature_outputs={name: name for name in results},
        )

    def _tensor(self, name: str, kind: str, dims: tuple[int, ...]) -> int:
        """Adds a tensor."""
        self._tensors.append(Tensor(name, kind, tuple(dims)))
        return len(self._tensors) - 1


def _needed(layers: list[Layer], outputs: tuple[int, ...]) -> list[Layer]:
    """The layers that some outputs are computed of, in their order."""
    wanted, kept = set(outputs), []
    for layer in reversed(layers):
        if wanted.intersection(layer.outputs):
            wanted.update(index for index in layer.inputs if index != NO_TENSOR)
            kept.append(layer)
    return kept[::-1]


def _beside(drawing: _Drawing, given: dict[str, int], metadata: Metadata) -> list[int]:
    """What stands behind box and scores, (batch, A, n) each."""
    name = _BESIDE.get(metadata.task)
    if name is None:
        return []
    if metadata.task == contract.OBB:
        return [drawing.columns(given[name], 2, range(4, 5))]
    if metadata.task == contract.POSE and metadata.keypoint_shape[1] == 2:  # their confidence is ours
        return [drawing.flat(drawing.columns(given[name], 3, range(2)))]
    return [drawing.flat(given[name])]


def _rows(drawing: _Drawing, given: dict[str, int], metadata: Metadata) -> int:
    """(batch, 4 + C + n, A): centre and size, scores, and what is beside them."""
    if metadata.task == contract.OBB:
        boxes = [drawing.transposed(drawing.columns(given["boxes_xywhr"], 2, range(4)), (0, 2, 1))]
    else:
        boxes = _center_and_size(drawing, drawing.transposed(given["boxes"], (0, 2, 1)))
    others = [given["scores"], *_beside(drawing, given, metadata)]
    return drawing.joined([*boxes, *(drawing.transposed(other, (0, 2, 1)) for other in others)], axis=1)


def _center_and_size(drawing: _Drawing, corners: int) -> list[int]:
    """Centre and size (batch, 2, A) each of corners (batch, 4, A); not by a product, which TensorRT may do in TF32."""
    first, second = (drawing.columns(corners, 1, range(start, start + 2)) for start in (0, 2))
    half = drawing.constant(np.full((1, 1, 1), 0.5, np.float32))
    center = drawing.computed("PROD", drawing.computed("SUM", first, second), half)
    return [center, drawing.computed("SUB", second, first)]


def _best_rows(drawing: _Drawing, given: dict[str, int], metadata: Metadata) -> int:
    """(batch, 300, 6 + n): the best objects, as tasks.detect.best_rows picks them."""
    scores = given["scores"]
    batch, anchors, classes = drawing.dims(scores)
    count = min(MOST_BEST, anchors)
    largest = drawing.one("REDUCE", (scores,), (batch, anchors), operation="MAX", axes=1 << 2, keep_dims=0)
    _, best_anchors = _top(drawing, largest, count)
    candidates = drawing.taken(scores, best_anchors)
    size = count * classes
    candidates = drawing.one("SHUFFLE", (candidates,), (batch, size), reshape=(0, size), zero_is_placeholder=1)
    best_scores, places = _top(drawing, candidates, count)
    divisor = drawing.constant(np.array([[classes]], np.int32))
    rows = drawing.computed("FLOOR_DIV", places, divisor)
    best_classes = drawing.computed("SUB", places, drawing.computed("PROD", rows, divisor))
    best_classes = drawing.one("IDENTITY", (best_classes,), (batch, count))  # INT32 to FLOAT
    chosen = drawing.taken(best_anchors, rows)
    boxes = given["boxes"] if metadata.task != contract.OBB else drawing.columns(given["boxes_xywhr"], 2, range(4))
    numbers = [
        drawing.one("SHUFFLE", (index,), (batch, count, 1), reshape=(0, count, 1), zero_is_placeholder=1)
        for index in (best_scores, best_classes)
    ]
    others = [drawing.taken(other, chosen) for other in _beside(drawing, given, metadata)]
    return drawing.joined([drawing.taken(boxes, chosen), *numbers, *others], axis=2)


def _top(drawing: _Drawing, values: int, count: int) -> list[int]:
    """The largest of each image's values (batch, n), and their places."""
    dims = (drawing.dims(values)[0], count)
    return drawing.layer("TOPK", (values,), ("FLOAT", dims), ("INT32", dims), operation="MAX", k=count, axes=1 << 1)
