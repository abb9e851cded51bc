import queue

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.serving.calls import JPEGS, assert_same, inputs_of, refused
from tftrt_yolo.ground.version import __version__

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def stub(channel):
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def tensors(inputs):
    """Inputs as Triton's client has them."""
    found = []
    for name, array in inputs.items():
        tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        found.append(tensor)
    return found


def typed(name, datatype, shape, raw=(), **contents):
    """A message with typed contents, or bytes behind it."""
    request = service_pb2.ModelInferRequest(model_name="digits", raw_input_contents=raw)
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return request


@pytest.mark.parametrize("signature", ["encoded", "serving_default", "padded", "network"])
@pytest.mark.parametrize("model", ["digits", "masks", "kinds"])
def test_every_signature_answers_as_the_saved_model(client, signatures, model, signature):
    function = signatures[model][signature]
    inputs = inputs_of(signature)
    if inputs is None:
        (name, spec), *_ = function.structured_input_signature[1].items()
        inputs = {name: np.random.default_rng(2).random((2, *spec.shape[1:]), np.float32)}
    given = client.infer(model, tensors(inputs), request_id="a 1")
    constants = {name: tf.constant(list(value) if value.dtype == object else value) for name, value in inputs.items()}
    expected = {name: value.numpy() for name, value in function(**constants).items()}
    response = given.get_response()
    assert (response.model_name, response.model_version, response.id) == (model, "3", "a 1")
    assert_same({output.name: given.as_numpy(output.name) for output in response.outputs}, expected)


def test_what_the_server_says_of_itself(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "3")
    assert not client.is_model_ready("digits", "4")
    assert not client.is_model_ready("dog")
    server = client.get_server_metadata()
    assert (server.name, server.version) == ("tftrt_yolo", __version__)
    assert "statistics" in server.extensions
    index = client.get_model_repository_index()
    assert [(model.name, model.version, model.state) for model in index.models] == [
        (name, "3", "READY") for name in ("digits", "kinds", "masks")
    ]


def test_what_a_model_says_of_itself(client):
    metadata = client.get_model_metadata("digits")
    assert (metadata.name, metadata.platform, list(metadata.versions)) == ("digits", "tensorflow_savedmodel", ["3"])
    (tensor,) = metadata.inputs
    assert (tensor.name, tensor.datatype, tensor.shape[0]) == ("image_bytes", "BYTES", -1)
    assert {output.name: output.datatype for output in metadata.outputs}["status"] == "BYTES"
    config = client.get_model_config("digits", "3").config
    assert (config.name, config.max_batch_size, config.input[0].name) == ("digits", 4, "image_bytes")


def test_outputs_thresholds_and_compression_of_a_request(client):
    inputs = tensors(inputs_of("encoded"))
    wanted = [triton.InferRequestedOutput("scores"), triton.InferRequestedOutput("num_detections")]
    for compression in (None, "gzip", "deflate"):
        found = client.infer(
            "digits", inputs, outputs=wanted, parameters={"score_threshold": 0.6}, compression_algorithm=compression
        )
        assert [output.name for output in found.get_response().outputs] == ["scores", "num_detections"]
        scores = found.as_numpy("scores")
        assert scores.max() > 0.6
        assert not ((scores > 0) & (scores <= 0.6)).any()
        assert found.as_numpy("num_detections").tolist() == (scores > 0).sum(1).tolist()


def test_one_bad_picture_fails_alone(client):
    pictures = np.array([JPEGS[0], b"no picture", JPEGS[1]], object)
    alone = client.infer("digits", tensors({"image_bytes": pictures[[0, 2]]}))
    found = client.infer("digits", tensors({"image_bytes": pictures}))
    assert [bool(status) for status in found.as_numpy("status")] == [False, True, False]
    assert found.as_numpy("num_detections")[1] == 0
    np.testing.assert_allclose(found.as_numpy("boxes")[[0, 2]], alone.as_numpy("boxes"), atol=2e-2)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            typed("image_bytes", "BYTES", [1], bytes_contents=JPEGS[:1]),
            typed("image_bytes", "BYTES", [1], [len(JPEGS[0]).to_bytes(4, "little") + JPEGS[0]]),
        ),
        (
            typed("image_bytes", "BYTES", [1, 1], bytes_contents=JPEGS[:1]),
            typed("image_bytes", "BYTES", [1], [len(JPEGS[0]).to_bytes(4, "little") + JPEGS[0]]),
        ),
        (
            typed("images", "UINT8", [1, 8, 8, 3], uint_contents=range(192)),
            typed("images", "UINT8", [1, 8, 8, 3], [bytes(range(192))]),
        ),
        (
            typed("frames", "FP32", [1, 320, 320, 3], fp32_contents=np.full(307_200, 0.5, np.float32)),
            typed("frames", "FP32", [1, 320, 320, 3], [np.full(307_200, 0.5, np.float32).tobytes()]),
        ),
    ],
    ids=["strings", "strings with an axis of their own", "whole numbers", "floats"],
)
def test_typed_contents_are_as_good_as_bytes(stub, given, expected):
    assert stub.ModelInfer(given) == stub.ModelInfer(expected)


WRONG = {
    # what is wrong: the request, the words
    "bytes": (typed("images", "UINT8", [1, 8, 8, 3], [b"x" * 191]), "191 bytes of data.* takes 192"),
    "a huge shape": (typed("images", "UINT8", [1, 1 << 20, 1 << 20, 3], [b"x"]), "1 byte of data.* takes 3,298,534"),
    "an overflow": (typed("images", "UINT8", [1 << 40, 1 << 40, 8, 3], [b""]), "1099511627776 in its shape"),
    "a negative side": (typed("images", "UINT8", [1, 8, -8, 3], [b"x" * 192]), "-8 in its shape"),
    "no shape": (typed("images", "UINT8", [], [b"x"]), "expected a list of 1 to 8 whole numbers"),
    "a huge shape of typed": (typed("images", "UINT8", [1, 99999, 99999, 3], uint_contents=[1]), "1 element of data"),
    "a string's length": (typed("image_bytes", "BYTES", [1], [b"\xff\xff\xff\xff"]), "has 4,294,967,295 bytes, and 0"),
    "too many strings": (typed("image_bytes", "BYTES", [1 << 30], [b"\0" * 8]), "its 1,073,741,824 strings take"),
    "a number": (typed("images", "UINT8", [1, 8, 8, 3], uint_contents=[256] * 192), "256; UINT8 goes from 0 to 255"),
    "another field": (typed("images", "UINT8", [1, 8, 8, 3], int_contents=[1] * 192), "int_contents; expected uint_c"),
    "half floats typed": (typed("frames", "FP16", [1], fp32_contents=[1]), "FP16, which has no typed contents"),
    "both": (typed("images", "UINT8", [1, 8, 8, 3], [b"x" * 192], uint_contents=[1]), "beside raw_input_contents"),
    "bytes of none": (typed("images", "UINT8", [1, 8, 8, 3], [b"x" * 192] * 2), "2 raw_input_contents and 1 input;"),
    "a datatype": (typed("images", "BF16", [1, 8, 8, 3], [b"x" * 384]), "'BF16'; known are BOOL"),
    "another dtype": (typed("images", "FP32", [1, 8, 8, 3], [b"x" * 768]), "is float32. Expected uint8 of the shape"),
    "a rank": (typed("images", "UINT8", [8, 8, 3], [b"x" * 192]), r"Expected uint8 of the shape \[-1, -1, -1, 3\]"),
    "a large batch": (typed("images", "UINT8", [5, 8, 8, 3], [b"x" * 960]), "at most 4"),
    "a name": (typed("pictures", "UINT8", [1, 8, 8, 3], [b"x" * 192]), "'pictures'; model 'digits' takes images for"),
    "no input": (service_pb2.ModelInferRequest(model_name="digits"), "The inputs are none; model 'digits' takes"),
    "a version": (service_pb2.ModelInferRequest(model_name="digits", model_version="one"), "The version is 'one'"),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "words"), WRONG.values(), ids=WRONG)
def test_wrong_requests_say_what_is_wrong(stub, request_, words):
    with refused(INVALID, words):
        stub.ModelInfer(request_)


def test_names_that_are_unknown(stub):
    good = typed("images", "UINT8", [1, 8, 8, 3], [b"x" * 192])
    for change, code, words in (
        (
            {"model_name": "dog\x1b[31m"},
            grpc.StatusCode.NOT_FOUND,
            r"no model 'dog\\x1b\[31m'; known are digits, kinds",
        ),
        ({"model_version": "9"}, grpc.StatusCode.NOT_FOUND, "no version 9 of the model 'digits'; known are 3"),
    ):
        request = service_pb2.ModelInferRequest()
        request.CopyFrom(good)
        request.MergeFrom(service_pb2.ModelInferRequest(**change))
        with refused(code, words):
            stub.ModelInfer(request)
        with refused(code, words):
            stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=request.model_name, version=request.model_version))
    good.outputs.add(name="masks")
    with refused(INVALID, "The output 'masks' is unknown; known are boxes"):
        stub.ModelInfer(good)


def test_parameters_that_are_wrong(stub):
    def with_parameter(place, name, **value):
        request = typed("images", "UINT8", [1, 8, 8, 3], [b"x" * 192])
        request.outputs.add(name="boxes")
        of = {"request": request, "input": request.inputs[0], "output": request.outputs[0]}[place]
        parameter = of.parameters[name]
        for field, content in value.items():
            setattr(parameter, field, content)
        return request

    for request, words in (
        (with_parameter("request", "threshold", double_param=0.5), "'threshold' is unknown; known are score_threshold"),
        (with_parameter("request", "score_threshold", double_param=1.5), "1.5; it must be a number between 0 and 1"),
        (with_parameter("request", "score_threshold"), "'score_threshold' has no value"),
        (with_parameter("request", "classes", string_param="dog"), "'dog'; expected"),
        (with_parameter("request", "timeout", int64_param=-5), "timeout is -5"),
        (with_parameter("input", "shared_memory_region", string_param="a"), "shared memory, which is not taken"),
        (with_parameter("input", "binary_data_size", int64_param=1), "parameter 'binary_data_size'; expected none"),
        (with_parameter("output", "classification", int64_param=3), "parameter 'classification'; expected none"),
    ):
        with refused(INVALID, words):
            stub.ModelInfer(request)


def test_a_message_beyond_the_limit_takes_no_memory(stub):
    many = grpc.StatusCode.RESOURCE_EXHAUSTED
    request = typed("images", "UINT8", [1, 8, 8, 3], [bytes(9 << 20)])
    with refused(many, "larger than max"):
        stub.ModelInfer(request)
    with refused(many, "larger than max"):  # a few kilobytes on the wire
        stub.ModelInfer(request, compression=grpc.Compression.Gzip)


def test_a_client_that_gives_up(client, server):
    before = server.observing.metrics.outcomes()
    with pytest.raises(InferenceServerException, match=r"(?i)deadline|time"):
        client.infer("digits", tensors(inputs_of("encoded")), client_timeout=0.001)
    answers = queue.Queue()
    call = client.async_infer(
        "masks", tensors({"image_bytes": np.array(JPEGS * 1, object)}), lambda result, error: answers.put(error)
    )
    call.cancel()
    assert "cancelled" in str(answers.get(timeout=30)).lower()
    assert client.infer("digits", tensors(inputs_of("encoded"))).as_numpy("boxes").shape == (2, 300, 4)
    after = server.observing.metrics.outcomes()
    ended = {name: after.get(name, 0) - before.get(name, 0) for name in after}
    assert ended["ok"] == 1
    assert ended.get("deadline_exceeded", 0) + ended.get("cancelled", 0) <= 2


def test_a_stream_answers_in_order_and_outlives_errors(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for index in range(80):  # more than are dealt with at once
        model = "dog" if index % 10 == 3 else "digits"
        client.async_stream_infer(model, tensors({"images": np.zeros((1, 8, 8, 3), np.uint8)}), request_id=str(index))
    client.stop_stream()
    assert answers.qsize() == 80
    for index in range(80):
        result, error = answers.get()
        if index % 10 == 3:
            assert "There is no model 'dog'" in str(error)
        else:
            assert result.get_response().id == str(index)


def test_what_is_tritons_alone(client):
    for call, words in (
        (lambda: client.load_model("digits"), "put a new version there"),
        (lambda: client.unload_model("digits"), "put a new version there"),
        (client.get_system_shared_memory_status, "Memory is not shared"),
        (client.get_cuda_shared_memory_status, "Memory is not shared"),
        (client.get_trace_settings, "settings are those that it was started with"),
        (client.get_log_settings, "settings are those that it was started with"),
    ):
        with pytest.raises(InferenceServerException, match=words) as caught:
            call()
        assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_statistics_count_requests_and_pictures(client):
    def found():
        (stats,) = client.get_inference_statistics("kinds", "3").model_stats
        return stats

    before = found()
    client.infer("kinds", tensors(inputs_of("encoded")))
    with pytest.raises(InferenceServerException, match="at most 4"):
        client.infer("kinds", tensors({"images": np.zeros((5, 8, 8, 3), np.uint8)}))
    after = found()
    assert after.inference_count - before.inference_count == 2
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert sum(batch.compute_infer.count for batch in after.batch_stats) == after.execution_count
    assert {model.name for model in client.get_inference_statistics().model_stats} == {"digits", "masks", "kinds"}
    with pytest.raises(InferenceServerException, match="There is no model 'dog'"):
        client.get_inference_statistics("dog")
