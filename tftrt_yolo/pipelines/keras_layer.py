"""The class of `tftrt_yolo.layer`, for whichever Keras.

layer_class(keras)("yolov8n_saved_model")(images)["boxes"]
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import tensorflow as tf

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import SavedModelError
from tftrt_yolo.ground.text import shown
from tftrt_yolo.pipelines import opened

_EXPECTED = (
    'Expected images as uint8 (batch, height, width, 3), keras.Input((None, None, 3), dtype="uint8"), or image files '
    'as strings (batch,), keras.Input((), dtype="string").'
)


class _ImageLayer:
    """What the layer is in each Keras; it stands before Keras's own class."""

    def __init__(
        self,
        saved_model_dir: str | Path,
        *,
        strict: bool = False,
        allow_side_effects: bool = False,
        device: str | None = None,
        trainable: bool = False,
        **options,
    ):
        if trainable:
            raise ValueError(
                "trainable is True, and the weights of a SavedModel of ours are not trained. Leave it out."
            )
        super().__init__(trainable=False, autocast=False, **options)
        model = opened.open_model(saved_model_dir, strict=strict, allow_side_effects=allow_side_effects, device=device)
        self._tracked_model = model.trackables  # so that TensorFlow saves it
        self._model, self._options = _Untracked(model), {"strict": strict, "device": device}
        self.built = True

    def call(self, images):
        """Detections in pixels of the images; of files those of `encoded`."""
        model = self._model.value
        if _signature_key(images.dtype, images.shape) == contract.ENCODED:
            return model.run_files(images)
        return model.run_images(images)

    def compute_output_shape(self, input_shape: Sequence) -> dict[str, tuple]:
        """Shapes of the outputs by their names; by the rank it is known whether these are of images or of files."""
        key = contract.ENCODED if len(input_shape) == 1 else contract.SERVING
        specs = self._model.value.specs(key)
        return {name: (input_shape[0], *spec.shape[1:]) for name, spec in specs.items()}

    def get_config(self) -> dict:
        """What a .keras file holds: where the model is, by what another one there is told, and how it is opened."""
        handle = self._model.value.handle
        kept = {"saved_model_dir": str(handle.directory), "digest": self._model.value.digest, **self._options}
        return super().get_config() | kept

    @classmethod
    def from_config(cls, config: dict):
        """Opens the model again.

        Raises:
          SavedModelError: If the directory is gone, damaged, or holds another model than when the file was written.
        """
        config = dict(config)
        digest = config.pop("digest", None)
        config.pop("allow_side_effects", None)  # who makes a file does not decide it
        name, remedy = f"A saved layer of {shown(config['saved_model_dir'])}", "Make the layer anew."
        try:
            layer = cls(**config)
        except SavedModelError as error:
            raise SavedModelError(f"{name} cannot be opened again: {error} {remedy}") from error
        if layer._model.value.digest != digest:
            raise SavedModelError(
                f"{name} cannot be opened again: another model is there now than when it was saved. {remedy}"
            )
        return layer


class _Untracked:
    """Holds what Keras is not to look into.

    Attributes:
      value: The model.
      in_graphs: The signature that functional models call; None before the first.
    """

    def __init__(self, value: opened.OpenedModel):
        self.value, self.in_graphs = value, None


@functools.cache
def layer_class(keras: ModuleType) -> type:
    """The layer's class in a Keras, in which it is registered.

    Args:
      keras: The module, of version 2 or 3.

    Returns:
      A subclass of its `layers.Layer`.
    """

    @keras.saving.register_keras_serializable(package="tftrt_yolo")
    class YoloLayer(_ImageLayer, keras.layers.Layer):
        """Images or image files to what a SavedModel of tftrt_yolo finds in them."""

    if hasattr(keras, "KerasTensor"):  # version 3 asks for types and shapes instead of running `call`

        def compute_output_spec(self, images):
            key = _signature_key(images.dtype, images.shape)
            if self._model.in_graphs not in (None, key):
                raise ValueError(
                    f"The layer {self.name} stands in a model that gives it other inputs, and Keras wants one kind of "
                    "outputs of a layer. Make a layer for images and one for files."
                )
            self._model.in_graphs, specs = key, self._model.value.specs(key)
            return {
                name: keras.KerasTensor((images.shape[0], *spec.shape[1:]), spec.dtype.name)
                for name, spec in specs.items()
            }

        YoloLayer.compute_output_spec = compute_output_spec
    return YoloLayer


def _signature_key(dtype: object, shape: Sequence) -> str:
    """Which signature takes tensors of a kind.

    Raises:
      TypeError: If none takes that type.
      ValueError: If none takes that shape.
    """
    kind, shape = tf.as_dtype(dtype), tf.TensorShape(shape)
    found = f"The layer is given {kind.name} of shape {shape}."
    if kind not in (tf.uint8, tf.string):
        raise TypeError(f"{found} {_EXPECTED}")
    if kind == tf.string and shape.rank in (1, None):
        return contract.ENCODED
    if kind == tf.uint8 and shape.rank in (4, None) and (shape.rank is None or shape[-1] in (3, None)):
        return contract.SERVING
    raise ValueError(f"{found} {_EXPECTED}")
