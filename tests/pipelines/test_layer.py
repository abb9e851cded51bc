"""`tftrt_yolo.layer` in Keras 3 and in tf_keras, and the recipes of the site's page on TensorFlow."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tftrt_yolo
from tests.conftest import CROPS, IMAGES, OTHER_TASKS
from tests.pipelines import outputs
from tftrt_yolo.ground.files.image_files import read_image

TASKS = ["tiny", *(pytest.param(task, marks=pytest.mark.slow) for task in (*OTHER_TASKS, "semantic", "depth"))]


@pytest.fixture(params=["keras", pytest.param("tf_keras", marks=pytest.mark.slow)])
def other_process_keras(request):
    """As `keras`, for tests that start processes."""
    return pytest.importorskip(request.param)


@pytest.fixture(params=["keras", "tf_keras"])
def keras(request):
    return pytest.importorskip(request.param)


@pytest.fixture(scope="module")
def batch():
    """(5, 300, 300, 3) uint8: pictures cut to one size."""
    return np.stack([read_image(path)[:300, :300] for path in IMAGES[:5]])


@pytest.fixture(scope="module")
def layers(tiny_export):
    """A layer of each Keras, made once."""
    made = {}

    def make(keras):
        if keras.__name__ not in made:
            made[keras.__name__] = tftrt_yolo.layer(tiny_export, keras=keras.__name__)
        return made[keras.__name__]

    return make


def _model(keras, layer, shape=(None, None, 3), dtype="uint8"):
    images = keras.Input(shape, dtype=dtype)
    return keras.Model(images, layer(images))


def _rows(found):
    """The outputs of each image of a batch."""
    found = {name: np.asarray(values) for name, values in found.items()}
    return [{name: values[index] for name, values in found.items()} for index in range(len(next(iter(found.values()))))]


def _equal(found, expected):
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("task", TASKS)
def test_images_and_files_of_every_task(models, task, keras):
    path, paths = models.exported(task), (CROPS if task == "classify" else IMAGES)[:4]
    side = min(min(read_image(one).shape[:2]) for one in paths)
    images = [read_image(one)[:side, :side] for one in paths]
    predictor, layer = tftrt_yolo.Predictor(path), tftrt_yolo.layer(path, keras=keras.__name__)
    found = _model(keras, layer).predict(np.stack(images), batch_size=2, verbose=0)
    assert outputs.check(predictor, _rows(found), predictor(images, batch_size=2), images) >= 4
    files = [one.read_bytes() for one in paths]
    reader = _model(keras, tftrt_yolo.layer(path, keras=keras.__name__), (), "string")
    found = reader.predict(tf.data.Dataset.from_tensor_slices(files).batch(2), verbose=0)
    whole = [read_image(one) for one in paths]
    assert found.pop("status").tolist() == [b""] * 4
    assert outputs.check(predictor, _rows(found), predictor(files, batch_size=2), whole) >= 4


def test_shapes_are_known_and_nothing_is_trained(layers, keras, batch):
    layer = layers(keras)
    model = _model(keras, layer)
    shapes = {name: tuple(one.shape) for name, one in model.output.items()}
    expected = {"num_detections": (None,), "boxes": (None, 300, 4), "scores": (None, 300), "classes": (None, 300)}
    assert shapes == expected
    assert {name: tuple(shape) for name, shape in layer.compute_output_shape((None, None, None, 3)).items()} == expected
    assert layer.compute_output_shape((7,))["status"] == (7,)
    assert not layer.trainable
    assert not model.trainable_weights
    images = keras.Input((300, 300, 3), dtype="uint8")
    found = layer(images)
    best = keras.Model(images, {"best": found["boxes"][:, 0], "count": found["num_detections"]})
    expected = layer(batch)
    np.testing.assert_array_equal(best.predict(batch, batch_size=5, verbose=0)["best"], expected["boxes"][:, 0])
    _equal(tf.function(lambda images: layer(images))(tf.constant(batch)), expected)


def test_what_is_refused(layers, keras, tiny_export, batch):
    layer = layers(keras)
    with pytest.raises(TypeError, match=r'given float32 of shape .*keras\.Input\(\(None, None, 3\), dtype="uint8"\)'):
        _model(keras, layer, dtype="float32")
    with pytest.raises(TypeError, match="given float32 of shape"):
        layer(batch.astype(np.float32))
    with pytest.raises(ValueError, match=r"given uint8 of shape \(300, 300, 3\)"):
        layer(batch[0])
    if keras.__name__ == "keras":
        _model(keras, layer)
        with pytest.raises(ValueError, match="Make a layer for images and one for files"):
            _model(keras, layer, (), "string")
    with pytest.raises(ValueError, match="trainable is True"):
        type(layer)(tiny_export, trainable=True)
    with pytest.raises(ValueError, match="keras is 'torch'; expected 'keras' or 'tf_keras'"):
        tftrt_yolo.layer(tiny_export, keras="torch")
    with pytest.raises(ValueError, match="device is 'GPU:9', which is not there; this machine has CPU:0"):
        tftrt_yolo.layer(tiny_export, keras=keras.__name__, device="GPU:9")


_AGAIN = """
import sys
import numpy as np
import {keras} as keras
from tftrt_yolo import layer
model = keras.models.load_model(sys.argv[1])
np.savez(sys.argv[3], **model.predict(np.load(sys.argv[2]), batch_size=5, verbose=0))
"""


def test_a_saved_model_is_loaded_again(other_process_keras, tmp_path, tiny_export, batch):
    """In another process, where the file refers to the SavedModel; and not where that is another one."""
    keras = other_process_keras
    moved = tmp_path / "moved_saved_model"
    shutil.copytree(tiny_export, moved)
    model = _model(keras, tftrt_yolo.layer(moved, keras=keras.__name__, name="yolo"))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "batch.npy", batch)
    code = _AGAIN.format(keras=keras.__name__)
    use = {"TF_USE_LEGACY_KERAS": "1" if keras.__name__ == "tf_keras" else "0"}
    _run(code, tmp_path / "model.keras", tmp_path / "batch.npy", tmp_path / "found.npz", **use)
    _equal(dict(np.load(tmp_path / "found.npz")), model.predict(batch, batch_size=5, verbose=0))
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_layer("yolo").get_config()["saved_model_dir"] == str(moved)
    shutil.rmtree(moved)
    with pytest.raises(
        tftrt_yolo.SavedModelError, match=r"A saved layer of .* cannot be opened again: .* Make the layer"
    ):
        keras.models.load_model(tmp_path / "model.keras")


def test_another_model_at_the_place_is_refused(keras, models, tmp_path):
    place = tmp_path / "here_saved_model"
    shutil.copytree(models.exported("tiny"), place)
    _model(keras, tftrt_yolo.layer(place, keras=keras.__name__)).save(tmp_path / "model.keras")
    shutil.rmtree(place)
    shutil.copytree(models.exported("pose"), place)
    with pytest.raises(tftrt_yolo.SavedModelError, match="another model is there now than when it was saved"):
        keras.models.load_model(tmp_path / "model.keras")


_WITHOUT_US = """
import sys
sys.modules["tftrt_yolo"] = None        # importing it fails
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
found = loaded.signatures[sys.argv[4]](tf.constant(np.load(sys.argv[2])))
np.savez(sys.argv[3], **{name: value.numpy() for name, value in found.items()})
"""


def test_an_exported_model_has_everything_inside(other_process_keras, models, tmp_path, batch):
    """Also where a conversion's engines are replaced by their native segments; in a process without this package."""
    keras = other_process_keras
    np.save(tmp_path / "batch.npy", batch)
    for kind in ("exported", "converted"):
        model = _model(keras, tftrt_yolo.layer(getattr(models, kind)("tiny"), keras=keras.__name__))
        model.export(str(tmp_path / kind))
        _run(_WITHOUT_US, tmp_path / kind, tmp_path / "batch.npy", tmp_path / f"{kind}.npz", "serving_default")
        _equal(dict(np.load(tmp_path / f"{kind}.npz")), model.predict(batch, batch_size=5, verbose=0))


class _Census(tf.Module):
    """A larger module: counts the objects of each class in image files."""

    def __init__(self, saved_model_dir, num_classes):
        super().__init__()
        self.model, self.num_classes = tf.saved_model.load(str(saved_model_dir)), num_classes
        self.seen = tf.Variable(0, trainable=False)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)])
    def census(self, files):
        found = self.model.signatures["encoded"](image_bytes=files)
        self.seen.assign_add(tf.size(files))
        counts = tf.one_hot(found["classes"], self.num_classes) * tf.cast(found["scores"] > 0, tf.float32)[..., None]
        return {"per_class": tf.reduce_sum(counts, axis=1), "seen": self.seen.read_value()}


def test_a_larger_module_is_saved_again(tiny_export, tmp_path):
    predictor = tftrt_yolo.Predictor(tiny_export)
    module = _Census(tiny_export, len(predictor.names))
    tf.saved_model.save(module, str(tmp_path / "census"), signatures={"census": module.census})
    files = [path.read_bytes() for path in IMAGES[:4]]
    np.save(tmp_path / "files.npy", np.array(files, object), allow_pickle=True)
    code = _WITHOUT_US.replace("np.load(sys.argv[2])", "list(np.load(sys.argv[2], allow_pickle=True))")
    _run(code, tmp_path / "census", tmp_path / "files.npy", tmp_path / "found.npz", "census")
    found = np.load(tmp_path / "found.npz")
    expected = [np.bincount(one.class_id, minlength=len(predictor.names)) for one in predictor(files, batch_size=4)]
    np.testing.assert_array_equal(found["per_class"], expected)
    assert found["per_class"].sum() > 5
    assert found["seen"] == 4


_DISTRIBUTED = """
import sys
import numpy as np
import tensorflow as tf
[host] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(host, 2 * [tf.config.LogicalDeviceConfiguration()])
import keras
import tftrt_yolo
batch = np.load(sys.argv[2])
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    images = keras.Input((None, None, 3), dtype="uint8")
    model = keras.Model(images, tftrt_yolo.layer(sys.argv[1])(images))
found = model.predict(batch, batch_size=4, verbose=0)

dataset = tf.data.Dataset.from_tensor_slices({"image": batch, "index": np.arange(len(batch))})
shared = strategy.experimental_distribute_dataset(tftrt_yolo.map(dataset, sys.argv[1], batch_size=2).batch(2))
counts = {}
for element in shared:
    indices, numbers = (
        np.concatenate([part.numpy() for part in strategy.experimental_local_results(values)])
        for values in (element["index"], element["detections"]["num_detections"])
    )
    counts |= dict(zip(indices.tolist(), numbers.tolist()))
assert [counts[index] for index in range(len(batch))] == found["num_detections"].tolist(), counts

second = tftrt_yolo.map(dataset, sys.argv[1], device="CPU:1")
assert [int(one["detections"]["num_detections"]) for one in second] == found["num_detections"].tolist()
assert tftrt_yolo.layer(sys.argv[1], device="CPU:1")(batch)["boxes"].device.endswith("CPU:1")
np.savez(sys.argv[3], **found)
"""


def test_two_devices(tiny_export, tmp_path, batch):
    """Two processors of one; a strategy's replicas, a data set that is shared out, and a device by name."""
    pytest.importorskip("keras")
    np.save(tmp_path / "batch.npy", batch)
    _run(_DISTRIBUTED, tiny_export, tmp_path / "batch.npy", tmp_path / "found.npz")
    predictor = tftrt_yolo.Predictor(tiny_export)
    found = _rows(dict(np.load(tmp_path / "found.npz")))
    assert outputs.check(predictor, found, predictor(list(batch), batch_size=2), list(batch)) > 5


def test_another_backend_of_keras_is_refused(tiny_export):
    code = "import sys, tftrt_yolo; tftrt_yolo.layer(sys.argv[1], keras='keras')"
    pytest.importorskip("keras")
    pytest.importorskip("torch")
    done = _done(code, tiny_export, KERAS_BACKEND="torch")
    assert "keras runs on the backend 'torch', which cannot hold a SavedModel" in done.stderr


def _done(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


def _run(code, *arguments, **environment):
    done = _done(code, *arguments, **environment)
    assert done.returncode == 0, done.stderr[-2_000:]
