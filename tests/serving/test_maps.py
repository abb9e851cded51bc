"""The tasks that give a map of each image, through the server's doors: what comes, how large it is, what is refused."""

import base64
import io
import shutil

import numpy as np
import PIL.Image
import pytest
import requests
import tensorflow as tf

import tftrt_yolo
from tests.conftest import IMAGES
from tests.serving.servers import running
from tftrt_yolo.saved_model import load
from tftrt_yolo.saved_model.handle import open_saved_model
from tftrt_yolo.serving.server import Settings
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions

TASKS = ("semantic", "depth")
PICTURE = IMAGES[3].read_bytes()


@pytest.fixture(scope="module")
def serving(models, tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    for task in TASKS:
        shutil.copytree(models.exported(task), repository / task / "1")
    listen = ListenOptions(http_port=0, grpc_port=0)
    settings = Settings(
        ModelOptions(model_repository=repository), BatchingOptions(), listen, ObservingOptions(log_format="none")
    )
    with running(settings) as server:
        yield server.serving


@pytest.fixture(scope="module")
def found(models):
    """What Predictor finds on the picture, by task."""
    return {task: tftrt_yolo.Predictor(models.exported(task))(PICTURE)[0] for task in TASKS}


def _posted(serving, query):
    return requests.post(f"{serving.http_url}/predict?{query}", data=PICTURE, timeout=60)


def _map(answer):
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(answer["map"]["png"]))))


@pytest.mark.parametrize("query", ["maps=true", "masks=true"])
def test_a_class_map_for_a_reader(serving, found, query):
    answer = _posted(serving, f"model=semantic&{query}").json()
    assert answer["classes"] == found["semantic"].rows()
    np.testing.assert_array_equal(_map(answer), found["semantic"].class_map)
    plain = _posted(serving, "model=semantic").json()
    assert set(answer) - set(plain) == {"map"}
    assert "objects" not in plain


def test_a_depth_map_for_a_reader(serving, models):
    """Of the network's resolution, so that an answer does not grow with the picture."""
    answer = _posted(serving, "model=depth&maps=true")
    assert len(answer.content) < 10_000
    answer = answer.json()
    signatures, _ = load.load(open_saved_model(models.exported("depth")), strict=False)
    expected = signatures["encoded"](image_bytes=tf.constant([PICTURE]))["depth"].numpy()[0]
    unit = answer["map"]["metres_per_value"]
    assert unit == 0.001
    np.testing.assert_allclose(_map(answer) * unit, expected, rtol=1e-4, atol=0.51 * unit)
    [row] = answer["depth"]
    figures = [expected.min(), np.median(expected), expected.max()]
    np.testing.assert_allclose([row["minimum"], row["median"], row["maximum"]], figures, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("key", ["serving_default", "encoded"])
def test_real_clients_get_what_a_predictor_finds(serving, found, task, key):
    http, grpc = (pytest.importorskip(f"tritonclient.{name}") for name in ("http", "grpc"))
    image = np.asarray(PIL.Image.open(io.BytesIO(PICTURE)).convert("RGB"))[None]
    given = image if key == "serving_default" else np.array([PICTURE], object)
    addresses = serving.http_url.removeprefix("http://"), serving.grpc_address
    answers = []
    for module, address in zip((http, grpc), addresses, strict=True):
        name, datatype = ("images", "UINT8") if given is image else ("image_bytes", "BYTES")
        asked = module.InferInput(name, list(given.shape), datatype)
        asked.set_data_from_numpy(given)
        with module.InferenceServerClient(address) as client:
            answers.append(client.infer(task, [asked]))
            with pytest.raises(Exception, match="score_threshold is for models that find objects"):
                client.infer(task, [asked], parameters={"score_threshold": 0.5})
    output = "depth" if task == "depth" else "logits" if given is image else "class_maps"
    first, second = (answer.as_numpy(output) for answer in answers)
    np.testing.assert_array_equal(first, second)
    if output == "class_maps":
        first = np.asarray(PIL.Image.open(io.BytesIO(first[0])))
        np.testing.assert_array_equal(first, found["semantic"].class_map)
    elif output == "depth":
        middle = found["depth"].median
        assert abs(np.median(first) - middle) < 0.05 * middle


@pytest.mark.parametrize(
    ("query", "message"),
    [
        *[
            (f"model={task}&{one}", f"{one.partition('=')[0]} is for models that find objects, and {task} is a model")
            for task in TASKS
            for one in ("score_threshold=0.5", "classes=0", "max_detections=3", "class_agnostic=true")
        ],
        ("model=depth&masks=true", "model 'depth' is for depth. Ask for its map with maps=true."),
        ("model=depth&maps=please", "maps is 'please'; expected true or false."),
    ],
)
def test_what_means_nothing_for_a_map_is_refused_by_name(serving, query, message):
    answer = _posted(serving, query)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_the_servers_own_words(serving):
    semantic, depth = sorted(serving.models, reverse=True)
    assert semantic.startswith("semantic version 1: semantic, 11 classes, ")
    assert depth.startswith("depth version 1: depth, TensorFlow")  # which tells no classes apart
