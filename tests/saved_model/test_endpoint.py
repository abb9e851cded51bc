"""The attribute `serving_default`: Keras gets detections from it, Ultralytics' loader its own layout.

Keras is the real one, and so is tf_keras, in a process of its own.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import IMAGES, OTHER_TASKS
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.saved_model.endpoint import serving_attribute

keras = pytest.importorskip("keras")
SIZE = 320  # of the tiny model's frames, in pixels
FORGOTTEN = "keras.Input\\(\\(None, None, 3\\), dtype="  # in our message; TensorFlow escapes the quotes behind it


@pytest.fixture(scope="module")
def batch():
    """(5, height, width, 3) uint8: pictures cut to one size."""
    images = [read_image(path) for path in IMAGES[:5]]
    height, width = (min(image.shape[axis] for image in images) for axis in (0, 1))
    return np.stack([image[:height, :width] for image in images])


@pytest.fixture(scope="module")
def expected(tiny_export, batch):
    return _signature(tiny_export, "serving_default", images=tf.constant(batch))


@pytest.fixture(scope="module")
def layer(tiny_export):
    return keras.layers.TFSMLayer(str(tiny_export), call_endpoint="serving_default")


def _signature(path, key, **given):
    loaded = tf.saved_model.load(str(path))
    return {name: value.numpy() for name, value in loaded.signatures[key](**given).items()}


def _check(found, expected):
    """The same outputs, but for what float32 sums in another order."""
    assert isinstance(found, dict)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert np.asarray(found[name]).dtype == values.dtype, name
        if values.dtype == object:  # strings
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-3, err_msg=name)


def _model(layer, *shape, dtype="uint8"):
    images = keras.Input(shape or (None, None, 3), dtype=dtype)
    return keras.Model(images, layer(images))


@pytest.mark.parametrize("task", ["tiny", *OTHER_TASKS])
def test_the_type_decides_in_every_task(models, batch, task):
    """uint8 gives the signature's outputs; float32 no dictionary but what Ultralytics' loader always got."""
    path = models.exported(task)
    loaded = tf.saved_model.load(str(path))
    expected = {name: value.numpy() for name, value in loaded.signatures["serving_default"](images=batch).items()}
    _check(loaded.serving_default(batch), expected)
    _check(loaded.serving_default(tf.constant(batch)), expected)
    size = loaded.signatures["network"].structured_input_signature[1]["frames"].shape[1]
    frames = np.resize(batch[:2], (2, size, size, 3)) / np.float32(255)
    theirs = loaded.serving_default(frames)
    assert not isinstance(theirs, dict)
    first = np.asarray(theirs[0] if isinstance(theirs, (list, tuple)) else theirs)
    dense = loaded.signatures["network"](frames=frames)
    if task == "classify":
        np.testing.assert_allclose(first, dense["probabilities"], atol=1e-5)
    elif task != "obb":
        np.testing.assert_allclose(first[:, 4], dense["scores"][..., 0], atol=1e-5)
    assert first.shape[0] == 2
    for other in (np.float64, np.float16):  # NumPy's division gives float64; earlier versions took both
        again = loaded.serving_default(frames.astype(other))
        again = np.asarray(again[0] if isinstance(again, (list, tuple)) else again)
        np.testing.assert_allclose(again, first, rtol=0.05, atol=2.0)
    named = loaded.serving_default(frames=frames)
    assert type(named) is type(theirs)


def test_direct_calls(layer, batch, expected):
    _check(layer(batch), expected)
    _check(layer(tf.constant(batch)), expected)
    _check(tf.function(lambda images: layer(images))(tf.constant(batch)), expected)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 32])
def test_predict_on_batches_of_every_number(layer, batch, expected, batch_size):
    model = _model(layer)
    _check(model.predict(batch, batch_size=batch_size, verbose=0), expected)
    _check(model.predict(tf.data.Dataset.from_tensor_slices(batch).batch(batch_size), verbose=0), expected)


def test_among_other_layers(layer, batch, expected):
    images = keras.Input((None, None, 3), dtype="uint8")
    found = layer(keras.ops.flip(images, axis=2))
    model = keras.Model(images, {"best": found["boxes"][:, 0], "count": found["num_detections"]})
    best = model.predict(np.ascontiguousarray(batch[:, :, ::-1]), verbose=0)
    np.testing.assert_allclose(best["best"], expected["boxes"][:, 0], rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(best["count"], expected["num_detections"])


def test_behind_a_lambda_that_says_its_type(tiny_export, batch, expected):
    """Without it Keras believes float32, and gives the boxes alone; the page of Keras says so."""

    def answer(**options):
        images = keras.Input((None, None, 3), dtype="uint8")
        layer = keras.layers.TFSMLayer(str(tiny_export), call_endpoint="serving_default")
        flipped = keras.layers.Lambda(lambda values: values[:, :, ::-1], **options)(images)
        return keras.Model(images, layer(flipped))(np.ascontiguousarray(batch[:, :, ::-1]))

    _check(answer(dtype="uint8"), expected)
    assert not isinstance(answer(), dict)


def test_the_other_endpoints(tiny_export, batch, expected):
    def of(key):
        return keras.layers.TFSMLayer(str(tiny_export), call_endpoint=key)

    files = tf.constant([path.read_bytes() for path in IMAGES[:3]])
    image_bytes = keras.Input((), dtype="string")
    encoded = of("encoded")
    found = keras.Model(image_bytes, encoded(image_bytes)).predict(files, verbose=0)
    _check(found, _signature(tiny_export, "encoded", image_bytes=files))

    images, sizes = keras.Input((None, None, 3), dtype="uint8"), keras.Input((2,), dtype="int32")
    padded, sizes_hw = of("padded"), np.tile(np.int32(batch.shape[1:3]), (len(batch), 1))
    _check(padded(batch, sizes=sizes_hw), expected)
    model = keras.Model([images, sizes], padded(images, sizes=sizes))
    _check(model.predict([batch, sizes_hw], batch_size=2, verbose=0), expected)

    frames = np.resize(batch, (3, SIZE, SIZE, 3)) / np.float32(255)
    found = _model(of("network"), SIZE, SIZE, 3, dtype="float32").predict(frames, verbose=0)
    _check(found, _signature(tiny_export, "network", frames=tf.constant(frames)))


@pytest.mark.parametrize("dtype_policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_policies_leave_the_images_alone(tiny_export, batch, expected, dtype_policy):
    layer = keras.layers.TFSMLayer(str(tiny_export), call_endpoint="serving_default", dtype=dtype_policy)
    _check(_model(layer).predict(batch, verbose=0), expected)


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((None, None, 3), 1.0),  # Keras's own default type, and images of any size
        ((None, None, 3), 1 / 255),
        ((SIZE, SIZE, 3), 1.0),  # the frame's very size: the values tell
        ((SIZE, None, 3), 1.0),
    ],
)
def test_a_forgotten_type_gives_no_other_layout(tiny_export, batch, shape, scale):
    layer = keras.layers.TFSMLayer(str(tiny_export), call_endpoint="serving_default")
    model = _model(layer, *shape, dtype="float32")
    images = np.resize(batch, (2, SIZE, SIZE if shape[1] or scale == 1.0 else 200, 3)) * np.float32(scale)
    if shape[0] is None:
        images = images[:, :200]
    with pytest.raises(tf.errors.InvalidArgumentError, match=FORGOTTEN):
        model.predict(images, verbose=0)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((48, 64, 3), "float32"), ((None, None, 3), "int32"), ((None, None, 1), "uint8")]
)
def test_a_form_that_nothing_takes_is_refused_with_those_that_are_taken(tiny_export, shape, dtype):
    layer = keras.layers.TFSMLayer(str(tiny_export), call_endpoint="serving_default")
    with pytest.raises(ValueError, match=r"(?s)Could not find matching.*\(None, None, None, 3\), dtype=tf.uint8"):
        _model(layer, *shape, dtype=dtype)


def test_frames_that_are_none(tiny_export):
    """In TensorFlow alone, where an unknown shape is let in."""
    loaded = tf.saved_model.load(str(tiny_export))
    call = tf.function(loaded.serving_default, input_signature=[tf.TensorSpec((None, None, None, 3))])
    for shape, value in (
        ((1, 64, SIZE, 3), 0.5),
        ((1, SIZE, 64, 3), 0.5),
        ((2, SIZE, SIZE, 3), 2.5),
        ((2, SIZE, SIZE, 3), -2.0),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=FORGOTTEN):
            call(tf.fill(shape, value))
    assert call(tf.fill((2, SIZE, SIZE, 3), 1.2)).shape[0] == 2  # an interpolation that went over


def test_the_detections_are_not_traced_a_second_time():
    """The function is called as it is, and its ops are in the graph once."""
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    def detections(images):
        traces.append(images)
        return {"sums": tf.reduce_sum(tf.cast(images, tf.int32), axis=(1, 2, 3))}

    detections.get_concrete_function()
    attribute = serving_attribute(detections, lambda frames: frames[:, 0, 0], (8, 8))
    assert attribute(tf.ones((2, 3, 4, 3), tf.uint8))["sums"].numpy().tolist() == [36, 36]
    assert attribute(tf.ones((2, 8, 8, 3))).shape == (2, 3)
    assert len(traces) == 1


_AGAIN = """
import sys
import numpy as np
import keras
images, expected = np.load(sys.argv[1]), dict(np.load(sys.argv[2]))
for path in sys.argv[3:]:
    if path.endswith("_export"):
        model = keras.layers.TFSMLayer(path, call_endpoint="serve")
    else:
        objects = {"TFSMLayer": keras.layers.TFSMLayer}
        model = keras.models.load_model(path, safe_mode=False, custom_objects=objects)
    found = model(images)
    assert set(found) == set(expected), path
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-3, err_msg=f"{path} {name}")
    print("equal")
"""
_LEGACY = """
import sys
import numpy as np, tensorflow as tf, tf_keras
from tf_keras.src.export.export_lib import ReloadedLayer
assert tf.keras.layers.Layer is tf_keras.layers.Layer
images, expected = np.load(sys.argv[1]), dict(np.load(sys.argv[2]))
layer = ReloadedLayer(sys.argv[3], call_endpoint="serving_default")
given = tf_keras.Input((None, None, 3), dtype="uint8")
model = tf_keras.Model(given, layer(given))
loaded = tf.saved_model.load(sys.argv[3])
lambda_layer = tf_keras.layers.Lambda(loaded.serving_default)
sizes = np.tile(np.int32(images.shape[1:3]), (len(images), 1))
answers = [
    layer(images),
    model.predict(images, batch_size=2, verbose=0),
    model.predict(tf.data.Dataset.from_tensor_slices(images).batch(3), verbose=0),
    tf_keras.Model(given, lambda_layer(given)).predict(images, verbose=0),
    ReloadedLayer(sys.argv[3], call_endpoint="padded")(images, sizes=sizes),
]
custom = {"ReloadedLayer": ReloadedLayer}
for name, objects in (("a.keras", custom), ("a.h5", custom), ("a", {})):
    model.save(f"{sys.argv[4]}/{name}")
    answers.append(tf_keras.models.load_model(f"{sys.argv[4]}/{name}", custom_objects=objects)(images))
for number, found in enumerate(answers):
    assert set(found) == set(expected), number
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-3, err_msg=f"{number} {name}")
floats = tf_keras.Input((None, None, 3))
try:
    tf_keras.Model(floats, layer(floats)).predict(images, verbose=0)
except tf.errors.InvalidArgumentError as error:
    assert "keras.Input((None, None, 3), dtype=" in str(error)
    print(len(answers), "equal")
"""


def _run(code, *arguments, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
    )
    assert result.returncode == 0, result.stderr[-3_000:]
    return result.stdout


@pytest.fixture
def arrays(batch, expected, tmp_path):
    """Files for another process: the images, and what is expected."""
    np.save(tmp_path / "images.npy", batch)
    np.savez(tmp_path / "expected.npz", **expected)
    return tmp_path / "images.npy", tmp_path / "expected.npz"


def test_saved_and_loaded_in_another_process(layer, arrays, tmp_path):
    model, paths = _model(layer), [tmp_path / name for name in ("a.keras", "a.h5", "a_export")]
    for path in paths[:2]:
        model.save(path)
    model.export(paths[2], verbose=False)
    assert _run(_AGAIN, *arrays, *paths) == "equal\n" * 3
    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.models.load_model(paths[0])


def test_tf_keras(tiny_export, arrays, tmp_path):
    assert _run(_LEGACY, *arrays, tiny_export, tmp_path, TF_USE_LEGACY_KERAS="1").endswith("8 equal\n")
