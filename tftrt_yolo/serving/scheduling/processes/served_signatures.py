"""The signatures of a model as they are served: with a status for each file, within memory, for any selection.

    served = ServedSignatures(handle, signatures, backend, sizes, max_pixels=50_000_000)
    served.run("encoded", {"image_bytes": [jpeg, b"no image"]}, None)["status"]

Files are decoded and fitted on the host, as `Predictor` does it, and run by signature `framed`; exports of versions
without it have the same graph put around their network. So one file that cannot be read fails no other, whatever the
export's own `encoded` does.
"""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.predictor.pipeline import Compiled
from tftrt_yolo.saved_model import image_signatures
from tftrt_yolo.saved_model.batches import most_images
from tftrt_yolo.saved_model.handle import SavedModelHandle
from tftrt_yolo.saved_model.loaded.backend import Backend
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.scheduling.inference import Signature, TensorSpec
from tftrt_yolo.serving.scheduling.processes.served_files import Read, ServedFiles
from tftrt_yolo.serving.scheduling.processes.warm_sizes import WarmSizes
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

_FILES, _IMAGES, _SIZES = "image_bytes", "images", "sizes"


class ServedSignatures:
    """The signatures of a model."""

    def __init__(
        self,
        handle: SavedModelHandle,
        signatures: dict[str, Callable],
        backend: Backend,
        sizes: WarmSizes,
        *,
        max_pixels: int,
    ):
        """Prepares.

        Args:
          handle: The model.
          signatures: As `load` gives them.
          backend: As `load` gives it.
          sizes: To which batches are filled up.
          max_pixels: The largest picture in a file, width times height.
        """
        self._own, self._sizes, self._metadata = signatures, sizes, handle.metadata
        self._task = TASKS[handle.metadata.task]
        size_hw = handle.metadata.image_size_hw
        self._files = ServedFiles(size_hw, fit=self._task.fit, max_pixels=max_pixels, pins=backend.uses_gpu)
        network = signatures[contract.NETWORK]
        self._around = image_signatures.ImageSignatures(
            lambda frames: network(frames=frames), handle.metadata, is_traceable=True
        )
        given = signatures[contract.ENCODED].structured_outputs
        self._pack = None
        if self._task.packing and not set(self._task.packing.replaced) <= set(given):
            self._pack = _packer(self._task, signatures[contract.SERVING].structured_outputs, size_hw)
        self._compiled = None
        if backend.compiled_sizes and contract.FRAMED in signatures and not self._pack:
            self._compiled = Compiled.of(signatures[contract.FRAMED], self._task.per_image)
        self._num_anchors = network.structured_outputs[self._task.dense[0]].shape[1] if self._task.finds_objects else 0

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
        run_by = contract.FRAMED if key == contract.ENCODED else key
        function = self._function(run_by, asked)
        most = self._sizes.most
        if asked is not None:
            most = asked.batch_size_for(self._metadata.selection, most)
        if key == contract.ENCODED:
            outputs = self._run_files(function, inputs[_FILES], most)
        else:
            if _IMAGES in inputs:
                size_hw = inputs[_IMAGES].shape[1:3]
                most = max(1, min(most, most_images(size_hw, self._task.fit)))
            outputs = self._run_parts(function, inputs, most)
        is_own = function is self._own.get(run_by)
        return outputs if is_own or not self._task.finds_objects else self._padded(outputs, asked or SelectionOptions())

    def _function(self, key: str, asked: SelectionOptions | None) -> Callable:
        """What runs a signature."""
        if asked is None and key in self._own:
            return self._own[key]
        return self._by_selection(asked or SelectionOptions())[key]

    @functools.lru_cache(64)  # noqa: B019 - the process has one of these, for as long as it lives
    def _by_selection(self, asked: SelectionOptions) -> dict[str, Callable]:
        """The signatures around the network, for a selection."""
        return self._around.by_key(image_signatures.in_tensors(asked, self._metadata))

    def _run_files(self, function: Callable, files: list[bytes], most: int) -> dict[str, np.ndarray]:
        """Runs `encoded` by what runs `framed`, a part after the other where all would be too much."""
        parts = []
        for first in range(0, max(len(files), 1), most):
            read = self._files.read(part := files[first : first + most], self._sizes.filled_size(len(part)))
            try:
                outputs = self._run_read(function, read)
            finally:
                self._files.give_back(read)
            parts.append(outputs)
        return _one_behind_the_other(parts)

    def _run_read(self, function: Callable, read: Read) -> dict[str, np.ndarray]:
        """Runs files that were read: zeros for those that were not."""
        frames = tf.experimental.dlpack.from_dlpack(read.frames.__dlpack__())  # the memory itself, no copy
        sizes, count = tf.constant(read.sizes_hw), len(read.statuses)
        is_compiled = function is self._own.get(contract.FRAMED) and len(read.frames) in self._sizes.filled
        if is_compiled and self._compiled:
            outputs = self._compiled(frames=frames, sizes=sizes)
        else:
            outputs = {name: value.numpy() for name, value in self._packed(function(frames=frames, sizes=sizes), read)}
        outputs = {name: value[:count] for name, value in outputs.items()}
        for row in np.flatnonzero(~read.were_read[:count]):
            for value in outputs.values():
                value[row] = b"" if value.dtype == object else 0
        return outputs | {contract.STATUS: np.array(read.statuses, object)}

    def _packed(self, found: dict[str, tf.Tensor], read: Read) -> Iterable[tuple[str, tf.Tensor]]:
        """The outputs of `framed` with what `encoded` gives in place of some of them."""
        if self._pack:
            packed = self._pack(found, tf.constant(read.sizes_hw), tf.constant(read.were_read))
            found = {name: value for name, value in found.items() if name not in self._task.packing.replaced} | packed
        return found.items()

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


def _packer(task: Task, given: dict[str, tf.TensorSpec], size_hw: tuple[int, int]) -> Callable:
    """What replaces outputs as `encoded` does it.

    Args:
      task: Has a packing.
      given: The outputs of the signatures that take images.
      size_hw: Frame height and width in pixels.

    Returns:
      A function of such outputs, of any number of detections, the images' sizes and which of them were read.
    """

    def any_number(name, spec):
        is_once = name in task.per_image or spec.shape.rank < 2
        return tf.TensorSpec(spec.shape if is_once else (None, None, *spec.shape[2:]), spec.dtype)

    specs = {name: any_number(name, spec) for name, spec in given.items()}

    @tf.function(
        autograph=False,
        input_signature=(specs, tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((None,), tf.bool)),
    )
    def pack(outputs, sizes, were_read):
        if task.finds_objects:  # of a file that was not read there is none to be packed
            outputs = outputs | {"num_detections": tf.where(were_read, outputs["num_detections"], 0)}
        return task.packing.pack(outputs, sizes, size_hw)

    return pack


def _filled(name: str, value: np.ndarray, missing: int) -> np.ndarray:
    """An input with rows more, of which nothing is wanted."""
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
