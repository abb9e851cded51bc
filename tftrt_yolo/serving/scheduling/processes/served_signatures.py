"""The signatures of a model as they are served: with a status for each file, within memory, for any selection.

    served = ServedSignatures(handle, signatures, sizes, max_pixels=50_000_000)
    served.run("encoded", {"image_bytes": np.array([jpeg, b"no image"], object)}, None)["status"]

A picture that has too many pixels is answered for before it is decoded. Exports of versions before the output `status`
fail as a whole where one file cannot be read; the same graph as of this version's exports is put around their network.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.graph.encoded import headers
from tftrt_yolo.saved_model import image_signatures
from tftrt_yolo.saved_model.batches import most_images
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.scheduling.inference import Signature, TensorSpec
from tftrt_yolo.serving.scheduling.processes.warm_sizes import WarmSizes
from tftrt_yolo.tasks.table import TASKS

_MOST_PIXELS_AT_ONCE = 64 << 20  # of files that are decoded by one call of the graph, ten at a time
_FILES, _IMAGES, _SIZES = "image_bytes", "images", "sizes"


class ServedSignatures:
    """The signatures of a model."""

    def __init__(self, handle: SavedModelHandle, signatures: dict[str, Callable], sizes: WarmSizes, *, max_pixels: int):
        """Prepares.

        Args:
          handle: The model.
          signatures: As `load` gives them.
          sizes: To which batches are filled up.
          max_pixels: The largest picture in a file, width times height.
        """
        self._own, self._sizes, self._max_pixels, self._metadata = signatures, sizes, max_pixels, handle.metadata
        self._task = TASKS[handle.metadata.task]
        given = signatures[contract.ENCODED].structured_outputs
        self._has_status = contract.STATUS in given
        network = signatures[contract.NETWORK]
        self._around = image_signatures.ImageSignatures(
            lambda frames: network(frames=frames),
            handle.metadata,
            is_traceable=True,
            is_packed=not (self._task.packing and set(self._task.packing.replaced) <= set(given)),
        )
        self._num_anchors = network.structured_outputs[self._task.dense[0]].shape[1] if self._task.select else 0

    def prepare_selection(self) -> None:
        """Runs a selection once, which makes its graph: that takes seconds, and whoever asks meanwhile waits for it."""
        self.run(contract.ENCODED, {_FILES: [b""]}, SelectionOptions(score_threshold=0.5))

    def described(self) -> dict[str, Signature]:
        """What each takes and gives."""
        known = {key: _described(function) for key, function in self._own.items()}
        known[contract.ENCODED].outputs.setdefault(contract.STATUS, TensorSpec("object", (None,)))
        return known

    def run(
        self, key: str, inputs: dict[str, np.ndarray | list], asked: SelectionOptions | None
    ) -> dict[str, np.ndarray]:
        """Runs one batch.

        Args:
          key: Of the signature.
          inputs: Name to array; strings are a list of bytes.
          asked: What is selected; None for the model's own.

        Returns:
          Name to array. With `asked` the outputs are as long as those of an export with that selection, or as there can
          be detections.
        """
        function = self._function(key, asked)
        most = self._sizes.most
        if asked is not None:
            most = asked.batch_size_for(self._metadata.selection, most)
        if key == contract.ENCODED:
            outputs = self._run_files(function, inputs[_FILES], most)
        else:
            if _IMAGES in inputs:
                size_hw = inputs[_IMAGES].shape[1:3]
                most = max(1, min(most, most_images(size_hw, is_cropped=self._task.is_cropped)))
            outputs = self._run_parts(function, inputs, most)
        is_own = asked is None and function is self._own[key]
        return outputs if is_own or not self._task.select else self._padded(outputs, asked or SelectionOptions())

    def _function(self, key: str, asked: SelectionOptions | None) -> Callable:
        """What runs a signature."""
        if asked is None and (self._has_status or key != contract.ENCODED):
            return self._own[key]
        return self._by_selection(asked or SelectionOptions())[key]

    @functools.lru_cache(64)  # noqa: B019 - the process has one of these, for as long as it lives
    def _by_selection(self, asked: SelectionOptions) -> dict[str, Callable]:
        """The signatures around the network, for a selection."""
        return self._around.by_key(image_signatures.in_tensors(asked, self._metadata))

    def _run_files(self, function: Callable, files: list[bytes], most: int) -> dict[str, np.ndarray]:
        """Runs `encoded`; files of too many pixels are left out, and many large ones are not decoded at once."""
        pixels = np.prod(_stored_sizes(tf.constant(files, tf.string)).numpy(), axis=1)
        is_large = pixels > self._max_pixels
        files = [b"" if large else file for file, large in zip(files, is_large, strict=True)]
        parts = []
        for rows in _rows_within(np.where(is_large, 0, pixels), most):
            parts.append(self._run_once(function, {_FILES: files[rows]}, rows.stop - rows.start))
        outputs = _one_behind_the_other(parts)
        if contract.STATUS not in outputs or not is_large.any():
            return outputs
        for row in np.flatnonzero(is_large):
            outputs[contract.STATUS][row] = _too_large(int(pixels[row]), self._max_pixels)
        return outputs

    def _run_parts(self, function: Callable, inputs: dict[str, np.ndarray], most: int) -> dict[str, np.ndarray]:
        """Runs images or frames, a part after the other where all would be too much."""
        size = len(next(iter(inputs.values())))
        parts = []
        for first in range(0, max(size, 1), most):
            rows = slice(first, min(first + most, size))
            part = {name: value[rows] for name, value in inputs.items()}
            parts.append(self._run_once(function, part, rows.stop - rows.start))
        return _one_behind_the_other(parts)

    def _run_once(self, function: Callable, inputs: dict, size: int) -> dict[str, np.ndarray]:
        """Runs a part, filled up to a warm size; gives the results of its own rows."""
        missing = self._sizes.filled_size(size) - size
        given = {name: tf.constant(_filled(name, value, missing)) for name, value in inputs.items()}
        outputs = {name: value.numpy() for name, value in function(**given).items()}
        return {name: value[:size] for name, value in outputs.items()} if missing else outputs

    def _padded(self, outputs: dict[str, np.ndarray], asked: SelectionOptions) -> dict[str, np.ndarray]:
        """Outputs of a selection as long as max_detections says: the graph gives them as long as they must be."""
        own = self._metadata.selection
        possible = self._num_anchors * (len(self._metadata.names) if asked.multi_label else 1)
        length = min(asked.applied_to(own).max_detections, max(possible, own.max_detections))
        once = {"num_detections", contract.STATUS, *self._task.per_image}
        return {name: value if name in once else _to_length(value, length) for name, value in outputs.items()}


@functools.cache
def _size_reader() -> Callable:
    """Takes files to height and width as their headers have them, zeros where they have none; traced once."""

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
    def sizes_of(files):
        return headers.look(files).sizes_hw

    return sizes_of


def prepare() -> None:
    """Makes the graph that reads sizes, which needs no model."""
    _size_reader().get_concrete_function()


def _stored_sizes(files: tf.Tensor) -> tf.Tensor:
    """Height and width of files, (batch, 2) int64."""
    with tf.device("/CPU:0"):
        return _size_reader()(files)


def _rows_within(pixels: np.ndarray, most: int) -> list[slice]:
    """Rows of files that are decoded together, in order; at least one part, which may be empty."""
    parts, first, total = [], 0, 0
    for row, count in enumerate(pixels.tolist()):
        if row > first and (row - first == most or total + count > _MOST_PIXELS_AT_ONCE):
            parts.append(slice(first, row))
            first, total = row, 0
        total += count
    return [*parts, slice(first, len(pixels))]


def _filled(name: str, value: np.ndarray | list, missing: int) -> np.ndarray | list:
    """An input with rows more, of which nothing is wanted."""
    if isinstance(value, list):
        return np.array([*value, *[b""] * missing], object)
    if not missing:
        return value
    row = np.ones if name == _SIZES else np.zeros  # a picture has at least one pixel
    return np.concatenate([value, row((missing, *value.shape[1:]), value.dtype)])


def _one_behind_the_other(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The outputs of parts; where they are of different lengths behind axis 0, filled up to the longest."""
    if len(parts) == 1:
        return parts[0]
    together = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        if values[0].ndim > 1:
            longest = max(value.shape[1] for value in values)
            values = [_to_length(value, longest) for value in values]
        together[name] = np.concatenate(values)
    return together


def _to_length(value: np.ndarray, length: int) -> np.ndarray:
    """An output (batch, n, ...) with length in place of n."""
    if value.shape[1] >= length:
        return value[:, :length]
    shape = (value.shape[0], length, *value.shape[2:])
    longer = np.full(shape, b"", object) if value.dtype == object else np.zeros(shape, value.dtype)
    longer[:, : value.shape[1]] = value
    return longer


def _too_large(pixels: int, max_pixels: int) -> bytes:
    """The status of a picture of too many pixels."""
    return f"it has {pixels:,} pixels; at most {max_pixels:,} are taken: scale it down first".encode()


def _described(function) -> Signature:
    """What a signature takes and gives."""

    def specs(tensors):
        return {name: TensorSpec(_dtype(spec.dtype), _shape(spec.shape)) for name, spec in tensors.items()}

    return Signature(specs(function.structured_input_signature[1]), specs(function.structured_outputs))


def _dtype(dtype: tf.DType) -> str:
    """As `TensorSpec` names it."""
    return "object" if dtype == tf.string else dtype.name


def _shape(shape: tf.TensorShape) -> tuple[int | None, ...]:
    """As `TensorSpec` has it."""
    return tuple(shape.as_list())
