"""Beam's own handlers for TensorFlow, and why they cannot load a SavedModel of ours: the page on Beam says the same."""

import os
import subprocess
import sys

import pytest

from tests.conftest import IMAGES

pytest.importorskip("apache_beam", reason="make test-beam has Apache Beam")
pytest.importorskip("tensorflow_hub", reason="make test-beam has TensorFlow Hub")

import tensorflow as tf
from apache_beam.ml.inference import tensorflow_inference

HANDLERS = ("TFModelHandlerTensor", "TFModelHandlerNumpy")


@pytest.mark.parametrize("name", HANDLERS)
def test_keras_3_loads_no_saved_model(tiny_export, name):
    with pytest.raises(ValueError, match="Unable to load the TensorFlow model") as caught:
        getattr(tensorflow_inference, name)(str(tiny_export)).load_model()
    assert "Keras 3 only supports V3 `.keras` files" in str(caught.value)
    assert "keras.layers.TFSMLayer" in str(caught.value)


def test_it_is_not_for_our_models_alone(tmp_path):
    """A SavedModel of three lines, and one of Keras' own, are refused in the same words."""
    model = tf.Module()
    model.f = tf.function(lambda x: x + 1.0, input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    tf.saved_model.save(model, str(tmp_path / "plain"), signatures=model.f)
    keras = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(1)])
    keras.export(str(tmp_path / "keras"), verbose=False)
    for name in ("plain", "keras"):
        with pytest.raises(ValueError, match=r"Keras 3 only supports V3 `\.keras` files"):
            tensorflow_inference.TFModelHandlerTensor(str(tmp_path / name)).load_model()


_LEGACY = """
import sys
import tensorflow as tf
from apache_beam.ml.inference import tensorflow_inference

model, *paths = sys.argv[1:]
files = [tf.io.read_file(path) for path in paths]
for batch in (files, [tf.io.decode_jpeg(file) for file in files]):
    handler = tensorflow_inference.TFModelHandlerTensor(model)
    try:
        handler.run_inference(batch, handler.load_model())
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_legacy_keras_loads_what_cannot_be_called(tiny_export):
    """With tf_keras the handler fails later: it calls an object that has signatures alone, and stacks pictures."""
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    command = [sys.executable, "-c", _LEGACY, str(tiny_export), *map(str, IMAGES[:2])]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "TypeError '_UserObject' object is not callable"
    assert lines[1].startswith("InvalidArgumentError")
    assert "Shapes of all inputs must match" in lines[1]
