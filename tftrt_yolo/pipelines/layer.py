"""Keras: a SavedModel as a layer, of Keras 3 or of tf_keras.

    images = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(images, tftrt_yolo.layer("yolov8n_saved_model")(images))
    model.predict(batch)["boxes"]

Keras is imported here, and the layer registered with it: a file that has one is loaded after `from tftrt_yolo import
layer`.
"""

import contextlib
import importlib
import os
from pathlib import Path
from types import ModuleType

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.text import clause, quoted
from tftrt_yolo.pipelines import keras_layer

_KERAS, _TF_KERAS = "keras", "tf_keras"
_CHOICE = "TF_USE_LEGACY_KERAS"  # TensorFlow's own: "1" and "True" have it take tf_keras


def layer(
    saved_model_dir: str | Path,
    *,
    keras: str | None = None,
    name: str | None = None,
    strict: bool = False,
    allow_side_effects: bool = False,
    device: str | None = None,
):
    """Makes a Keras layer of a SavedModel.

    It takes images uint8 (batch, height, width, 3), RGB, of any height and width, and gives a dictionary of the outputs
    of signature `serving_default`; or files, strings (batch,), and gives those of `encoded`. It stands among other
    layers, in functional models and subclasses, runs in `predict` and inside a tf.function, has no weights of Keras's,
    and is not trained. A .keras file keeps the SavedModel's path and what tells another model there; what
    `model.export` writes has everything inside.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      keras: Whose layer: "keras", or "tf_keras"; None for what `tf.keras` is: tf_keras if TF_USE_LEGACY_KERAS is set.
      name: Of the layer, in Keras.
      strict: As `Predictor`.
      allow_side_effects: As `Predictor`; it is not kept in a .keras file, which anybody may have made.
      device: Where the model is loaded and runs, such as "GPU:1"; None for wherever Keras runs its layers.

    Returns:
      A `keras.layers.Layer`, or a `tf_keras.layers.Layer`.

    Raises:
      ModuleNotFoundError: If that Keras is not installed.
      SavedModelError: As `Predictor`.
      TensorRTUnavailableError: As `Predictor`.
      ValueError: If keras is something else, runs on another backend than TensorFlow, or there is no such device.
    """
    return keras_layer.layer_class(_keras(keras))(
        saved_model_dir, strict=strict, allow_side_effects=allow_side_effects, device=device, name=name
    )


def _keras(choice: object) -> ModuleType:
    """The Keras that is meant."""
    if choice is None:
        choice = _TF_KERAS if os.environ.get(_CHOICE, "").lower() in ("1", "true") else _KERAS
    if choice not in (_KERAS, _TF_KERAS):
        raise ValueError(f"{argument('keras')} is {quoted(choice)}; expected {_KERAS!r} or {_TF_KERAS!r}.")
    try:
        module = importlib.import_module(choice)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{choice} cannot be imported: {clause(error)}. Install it with `pip install {choice}`; tf_keras has "
            "TensorFlow's own minor version.",
            name=choice,
        ) from error
    backend = module.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"{choice} runs on the backend {quoted(backend)}, which cannot hold a SavedModel. Set KERAS_BACKEND to "
            "'tensorflow' before Keras is imported."
        )
    return module


with contextlib.suppress(ModuleNotFoundError, ValueError):  # `layer` says what is the matter
    keras_layer.layer_class(_keras(None))
