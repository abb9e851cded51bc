"""A SavedModel that was opened to stand inside other graphs: a data set's, a layer's.

model = open_model("yolov8n_saved_model", device=None)
model.run_files(files)["boxes"], model.run_images(images)["boxes"]      # in a graph or outside
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.saved_model import devices, load
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.loaded.backend import Backend
from tftrt_yolo.tasks.table import TASKS
from tftrt_yolo.tasks.task import Task

# Ends of names of image files; such a string where bytes belong is a path.
_PATH = r"[^\x00-\x1f]+\.(?i:avif|bmp|gif|heic|jfif|jpe?g|png|tiff?|webp)"
_PATH_REMEDY = ". It looks like a path: read files first, with dataset.map(tf.io.read_file)"


class _Whole:
    """A signature that stays a function of its own, whatever calls it.

    Otherwise it becomes a part of its caller and is optimised with it, in a data set without folding constants: frames
    are then divided by 255, where elsewhere they are multiplied with its inverse, and results are others in their last
    bit.
    """

    def __init__(self, signature: Callable):
        self.loaded = getattr(signature, "loaded", None)
        self.structured_outputs = signature.structured_outputs
        self._function = tf.function(
            lambda tensors: dict(signature(**tensors)),
            autograph=False,
            input_signature=[dict(signature.structured_input_signature[1])],
            experimental_attributes={"_noinline": True},
        )

    def __call__(self, **tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs it on tensors by the names of its inputs."""
        return self._function(tensors)


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedModel:
    """A SavedModel, loaded.

    Attributes:
      handle: What was opened.
      signatures: Signature key to function; each keeps the model.
      backend: What runs it, and why.
      device: Where its functions are called, in TensorFlow's words; None for wherever TensorFlow would.
    """

    handle: SavedModelHandle
    signatures: dict[str, Callable]
    backend: Backend
    device: str | None

    @property
    def task(self) -> Task:
        """What its task is made of."""
        return TASKS[self.handle.metadata.task]

    @property
    def digest(self) -> str | None:
        """By which another model at the same place is told; None of what older versions wrote."""
        files = self.handle.files
        return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest() if files else None

    @property
    def trackables(self) -> list:
        """What TensorFlow must save with a graph in which this model stands."""
        loaded = [signature.loaded for signature in self.signatures.values()]
        return list({id(one): one for one in loaded if one is not None}.values())

    def on_device(self) -> "OpenedModel":
        """The same, called on a device in any case; for data sets, whose functions TensorFlow would run on the CPU."""
        return dataclasses.replace(self, device=self.device or f"/{self.backend.device}:0")

    def run_files(self, files: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `encoded`, whose `status` knows paths as well.

        Args:
          files: (batch,) string.

        Returns:
          What the contract says.
        """
        with self._placed():
            outputs = dict(self.signatures[contract.ENCODED](image_bytes=files))
            if contract.STATUS in outputs:  # exports of earlier versions have none
                with tf.device("/CPU:0"):
                    outputs[contract.STATUS] = _with_paths_named(files, outputs[contract.STATUS])
            return self._shaped(outputs, contract.ENCODED)

    def run_images(self, images: tf.Tensor, sizes: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Signature `serving_default`, or `padded`.

        Args:
          images: (batch, height, width, 3) uint8.
          sizes: (batch, 2) int32, the part of each that is image; None for all of it.

        Returns:
          What the contract says.
        """
        with self._placed():
            if sizes is None:
                outputs = self.signatures[contract.SERVING](images=images)
            else:
                outputs = self.signatures[contract.PADDED](images=images, sizes=sizes)
            return self._shaped(outputs, contract.SERVING)

    def specs(self, signature_key: str) -> dict[str, tf.TensorSpec]:
        """The outputs of a signature, with their batch unknown."""
        outputs = self.signatures[signature_key].structured_outputs
        return {
            name: tf.TensorSpec((None, *tf.TensorShape(spec.shape)[1:]), spec.dtype) for name, spec in outputs.items()
        }

    def _shaped(self, outputs: dict[str, tf.Tensor], signature_key: str) -> dict[str, tf.Tensor]:
        """The outputs with all of their shapes that is known."""
        return {name: tf.ensure_shape(outputs[name], spec.shape) for name, spec in self.specs(signature_key).items()}

    def _placed(self) -> contextlib.AbstractContextManager:
        """The device on which it runs."""
        return tf.device(self.device) if self.device else contextlib.nullcontext()


def open_model(
    saved_model_dir: str | Path, *, strict: bool = False, allow_side_effects: bool = False, device: str | None = None
) -> OpenedModel:
    """Opens and loads a SavedModel.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      strict: Whether to refuse a converted model that TensorRT cannot run here.
      allow_side_effects: Whether its graph may hold ops that touch files, the network or the process.
      device: Where it is loaded and runs, such as "GPU:1"; None for wherever TensorFlow would.

    Returns:
      The model.

    Raises:
      SavedModelError: If the SavedModel is damaged or not ours, or has side effects that are not allowed.
      TensorRTUnavailableError: If strict, and the engines cannot run here.
      ValueError: If there is no such device.
    """
    handle = open_saved_model(saved_model_dir)
    place = None if device is None else devices.parse(device, "device")
    with devices.scope(place):
        signatures, backend = load.load(handle, strict=strict, allow_side_effects=allow_side_effects)
        signatures = {key: _Whole(function) for key, function in signatures.items()}
    return OpenedModel(handle, signatures, backend, None if place is None else f"/{place.kind}:{place.index or 0}")


def _with_paths_named(files: tf.Tensor, status: tf.Tensor) -> tf.Tensor:
    """The status of files, which says so where one that is no image is a path."""

    def said():
        is_path = (status != "") & tf.strings.regex_full_match(files, _PATH)
        return tf.strings.join([status, tf.where(is_path, _PATH_REMEDY, "")])

    return tf.cond(tf.reduce_all(status == ""), lambda: tf.identity(status), said)
