"""A repository that `triton` wrote, in NVIDIA's own server, with Triton's own clients: one server for all tests."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES

pytest.importorskip("pytriton", reason="the extra triton is not installed, and with it Triton's server")

import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

CLIENTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}
PICTURES = [path.read_bytes() for path in IMAGES[:6]]


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """Two models: files of the detector, pixels of the classifier."""
    from tftrt_yolo.serving.triton_server import installed
    from tftrt_yolo.serving.triton_server.server_process import Doors, ServerProcess

    room = tmp_path_factory.mktemp("triton")
    batching = tftrt_yolo.BatchingOptions(max_batch_size=8, max_delay_ms=200.0)
    tftrt_yolo.triton(models.exported("tiny"), model_repository=room / "models", batching=batching)
    tftrt_yolo.triton(models.exported("classify"), model_repository=room / "models", signature="serving_default")
    with ServerProcess(installed.find(), room, Doors("127.0.0.1", 0, 0), threading.Event()) as process:
        yield process
    assert [path.name for path in room.iterdir()] == ["models"]


@pytest.fixture(params=CLIENTS)
def client(request, server):
    """Triton's module, and its client of the server."""
    module = CLIENTS[request.param]
    port = server.doors.http_port if request.param == "http" else server.doors.grpc_port
    with module.InferenceServerClient(f"127.0.0.1:{port}") as found:
        yield module, found


def _infer(client, pictures, model="tiny", **options):
    module, connection = client
    given = module.InferInput("image_bytes", [len(pictures), 1], "BYTES")
    given.set_data_from_numpy(np.array(pictures, object).reshape(-1, 1))
    return connection.infer(model, [given], **options)


def _pixels(client, images, **options):
    module, connection = client
    given = module.InferInput("images", list(images.shape), "UINT8")
    given.set_data_from_numpy(images)
    return connection.infer("classify", [given], **options)


def _check(result, row, expected):
    """One picture's rows, against what Predictor gives."""
    count = int(result.as_numpy("num_detections")[row, 0])
    assert count == len(expected)
    np.testing.assert_allclose(result.as_numpy("boxes")[row, :count], expected.xyxy, atol=0.05)
    np.testing.assert_allclose(result.as_numpy("scores")[row, :count], expected.confidence, atol=1e-3)
    np.testing.assert_array_equal(result.as_numpy("classes")[row, :count], expected.class_id)
    assert result.as_numpy("status")[row, 0] == b""


def test_warm_up_ran(server):
    with tritonclient.http.InferenceServerClient(server.http_address) as client:
        assert client.is_model_ready("tiny", "1")
        [statistics] = client.get_inference_statistics("tiny")["model_stats"]
    assert {batch["batch_size"] for batch in statistics["batch_stats"]} >= {1, 8}


def test_results_are_predictors(client, models):
    predictor = tftrt_yolo.Predictor(models.exported("tiny"))
    result = _infer(client, PICTURES)
    expected = predictor(PICTURES)
    assert sum(map(len, expected)) > 5
    for row, detections in enumerate(expected):
        _check(result, row, detections)


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ({"score_threshold": 0.01, "iou_threshold": 0.5}, {"score_threshold": 0.01, "iou_threshold": 0.5}),
        ({"max_detections": 2}, {"max_detections": 2}),
        ({"classes": "1,7", "score_threshold": 0.05}, {"classes": [1, 7], "score_threshold": 0.05}),
        ({"class_agnostic": True}, {"class_agnostic": True}),
    ],
)
def test_thresholds_of_a_request(client, models, asked, options):
    predictor = tftrt_yolo.Predictor(models.exported("tiny"))
    result = _infer(client, PICTURES[:2], parameters=asked)
    for row, detections in enumerate(predictor(PICTURES[:2], **options)):
        _check(result, row, detections)


def test_a_bad_picture_fails_no_other(client, models):
    [first, last] = tftrt_yolo.Predictor(models.exported("tiny"))([PICTURES[0], PICTURES[1]])
    result = _infer(client, [PICTURES[0], b"no picture", b"", PICTURES[1][:-100], PICTURES[1]])
    status = result.as_numpy("status").ravel().tolist()
    assert [bool(text) for text in status] == [False, True, True, True, False]
    assert status[1].startswith(b"it is no image: it starts with b'no picture'")
    assert result.as_numpy("num_detections").ravel().tolist()[1:4] == [0, 0, 0]
    _check(result, 0, first)
    _check(result, 4, last)


def test_requests_at_once_are_a_batch_and_fail_alone(server, models):
    """Good ones beside bad pictures, thresholds of their own and parameters that are none, all within one delay."""
    predictor = tftrt_yolo.Predictor(models.exported("tiny"))
    cases = [
        ({}, PICTURES[0]),
        ({}, b"bad"),
        ({"score_threshold": 0.05}, PICTURES[1]),
        ({"classes": "cat"}, PICTURES[2]),
    ]
    client = tritonclient.grpc, tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.doors.grpc_port}")

    def ask(case):
        parameters, picture = case
        try:
            return _infer(client, [picture], parameters=parameters)
        except InferenceServerException as error:
            return error

    with client[1], ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, cases * 8))
        batches = client[1].get_inference_statistics("tiny").model_stats[0].batch_stats
    [plain] = predictor([PICTURES[0]])
    [low] = predictor([PICTURES[1]], score_threshold=0.05)
    for place in range(0, len(answers), len(cases)):
        good, bad, asked, refused = answers[place : place + len(cases)]
        _check(good, 0, plain)
        assert bad.as_numpy("status")[0, 0].startswith(b"it is no image")
        _check(asked, 0, low)
        assert "classes has 'cat'; expected indices or names of 0 (0), 1 (1)" in refused.message()
    assert sum(batch.compute_infer.count for batch in batches if batch.batch_size in (4, 5, 6, 7, 8)) > 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"score_threshold": 1.5}, "score_threshold is 1.5; it must be a number between 0 and 1"),
        ({"max_detections": 0}, "max_detections is 0; it must be a whole number of at least 1"),
        ({"threshold": 0.5}, "The parameter 'threshold' is unknown; known are score_threshold"),
    ],
)
def test_parameters_that_are_none(client, parameters, message):
    with pytest.raises(InferenceServerException, match=message):
        _infer(client, PICTURES[:1], parameters=parameters)


@pytest.mark.parametrize(
    ("model", "name", "values", "message"),
    [
        ("tiny", "image_bytes", np.array([[b"a"]] * 9, object), r"batch-size must be <= 8"),
        (
            "tiny",
            "image_bytes",
            np.array([[b"a", b"b"]], object),
            r"for input 'image_bytes'.*Expected \[-1,1\], got \[1,2\]",
        ),
        (
            "tiny",
            "image_bytes",
            np.zeros((0, 1), object),
            r"expected 1 string elements for inference input 'image_bytes' for model 'tiny', got 0",
        ),
        (
            "tiny",
            "image_bytes",
            np.zeros((1, 1), np.uint8),
            r"'image_bytes' data-type is 'UINT8', but model 'tiny' expects 'BYTES'",
        ),
        ("tiny", "images", np.zeros((1, 8, 8, 3), np.uint8), r"unexpected inference input 'images' for model 'tiny'"),
        ("dog", "image_bytes", np.array([[b"a"]], object), r"unknown model: 'dog' is not found"),
        (
            "classify",
            "images",
            np.zeros((1, 0, 5, 3), np.uint8),
            r"Input 'images' has images 5 pixels wide and 0 high",
        ),
        ("classify", "images", np.zeros((1, 5, 5, 4), np.uint8), r"Expected \[-1,-1,-1,3\], got \[1,5,5,4\]"),
    ],
)
def test_inputs_that_are_none(client, model, name, values, message):
    module, connection = client
    kind = "BYTES" if values.dtype == object else "UINT8"
    given = module.InferInput(name, list(values.shape), kind)
    given.set_data_from_numpy(values)
    with pytest.raises(InferenceServerException, match=message):
        connection.infer(model, [given])
    assert connection.is_model_ready("tiny")


def test_pixels_and_the_best_classes_by_name(client, models):
    from tests.conftest import CROPS
    from tftrt_yolo.ground.files.image_files import read_image

    image = np.array(read_image(CROPS[0]))
    [expected] = tftrt_yolo.Predictor(models.exported("classify"))([image])
    result = _pixels(client, np.stack([image, image]))
    np.testing.assert_allclose(result.as_numpy("probabilities"), [expected.confidence] * 2, atol=1e-4)
    module, _ = client
    best = _pixels(client, image[None], outputs=[module.InferRequestedOutput("probabilities", class_count=2)])
    score, index, name = best.as_numpy("probabilities").ravel()[0].decode().split(":")
    assert int(index) == int(expected.confidence.argmax())
    assert name == expected.class_name[int(index)]
    assert float(score) == pytest.approx(expected.confidence.max(), abs=1e-4)
    with pytest.raises(
        InferenceServerException,
        match="score_threshold is for models that find objects, and classify is a model for classify",
    ):
        _pixels(client, image[None], parameters={"score_threshold": 0.5})


def test_what_a_client_has_no_need_of_is_closed(client):
    """With these a client could write files of the server's, or read its memory."""
    _, connection = client
    for call in (connection.get_log_settings, connection.get_trace_settings, connection.get_model_repository_index):
        with pytest.raises(InferenceServerException, match="is restricted, expecting header"):
            call()
