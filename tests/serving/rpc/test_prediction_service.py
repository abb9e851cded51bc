import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.serving.calls import JPEGS, assert_same, inputs_of, refused

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def model_stub(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request_of(inputs, name="digits", signature="", **protos):
    """A request as a client writes it, with TensorFlow's own function."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    for key, proto in protos.items():
        request.inputs[key].CopyFrom(proto)
    return request


@pytest.mark.parametrize("signature", ["encoded", "", "padded", "network"])
@pytest.mark.parametrize("model", ["digits", "masks", "kinds"])
def test_every_signature_answers_as_the_saved_model(stub, signatures, model, signature):
    key = signature or "serving_default"
    function = signatures[model][key]
    inputs = inputs_of(key)
    if inputs is None:
        (name, spec), *_ = function.structured_input_signature[1].items()
        inputs = {name: np.random.default_rng(2).random((2, *spec.shape[1:]), np.float32)}
    response = stub.Predict(request_of(inputs, model, signature))
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == (model, 3, key)
    constants = {name: tf.constant(list(value) if value.dtype == object else value) for name, value in inputs.items()}
    expected = {name: value.numpy() for name, value in function(**constants).items()}
    assert_same({name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}, expected)


def test_values_that_are_typed_left_out_or_content(stub):
    pixels = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
    expected = stub.Predict(request_of({"images": pixels}))
    given = tf.make_tensor_proto(pixels)
    assert given.tensor_content
    given.int_val.extend(pixels.reshape(-1).tolist())
    given.ClearField("tensor_content")
    assert stub.Predict(request_of({}, images=given)) == expected

    grey = stub.Predict(request_of({"images": np.full((1, 8, 8, 3), 7, np.uint8)}))
    given.int_val[:] = [7]  # the last value stands for all that follow
    assert stub.Predict(request_of({}, images=given)) == grey

    strings = tf.make_tensor_proto([JPEGS[0], b""])
    expected = stub.Predict(request_of({}, "digits", "encoded", image_bytes=strings))
    length = len(JPEGS[0])
    varint = bytes([length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14])
    strings.ClearField("string_val")
    strings.tensor_content = varint + b"\0" + JPEGS[0]
    assert stub.Predict(request_of({}, "digits", "encoded", image_bytes=strings)) == expected


def test_outputs_that_are_asked_for(stub):
    request = request_of({"images": np.zeros((1, 8, 8, 3), np.uint8)})
    request.output_filter.extend(["scores", "boxes"])
    request.model_spec.version.value = 3
    assert sorted(stub.Predict(request).outputs) == ["boxes", "scores"]
    request.output_filter.append("masks")
    with refused(INVALID, "The output 'masks' is unknown; known are boxes, classes"):
        stub.Predict(request)


def proto_of(shape, dtype=tf.uint8, **fields):
    proto = tf.make_tensor_proto(0)
    proto.Clear()
    proto.dtype = dtype if isinstance(dtype, int) else dtype.as_datatype_enum
    for side in shape:
        proto.tensor_shape.dim.add(size=side)
    for name, value in fields.items():
        if isinstance(value, bytes):
            setattr(proto, name, value)
        else:
            getattr(proto, name).extend(value)
    return proto


@pytest.mark.parametrize(
    ("proto", "code", "words"),
    [
        (proto_of([1, 8, 8, 3], tensor_content=b"x" * 191), INVALID, "191 bytes of data; .* takes 192"),
        (proto_of([1, 8, -1, 3], tensor_content=b"x"), INVALID, "has -1 in its shape"),
        (proto_of([1 << 40, 1 << 40, 1, 3], tensor_content=b"x"), INVALID, "1099511627776 in its shape"),
        (proto_of([1, 8, 8, 3], int_val=[1] * 193), INVALID, "193 values of uint8; its shape takes 192"),
        (proto_of([1, 8, 8, 3], int_val=[300] * 192), INVALID, "300; UINT8 goes from 0 to 255"),
        (proto_of([1, 8, 8, 3], int_val=[-1]), INVALID, "-1; UINT8 goes from 0 to 255"),
        (proto_of([1, 8, 8, 3]), INVALID, "0 values of uint8; its shape takes 192"),
        (proto_of([1, 8, 8, 3], int64_val=[1] * 192), INVALID, "0 values of uint8; its shape takes 192"),
        (
            proto_of([1, 100_000, 100_000, 3], int_val=[0]),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "1 value, and its shape asks for 30,000,000,000, which take 29,999,999,999 bytes; expected at most 8,388,6",
        ),
        (proto_of([1, 8, 8, 3], tf.float32, float_val=[1.0]), INVALID, "is float32. Expected uint8"),
        (proto_of([1], tf.bfloat16, half_val=[1]), INVALID, r"DataType 14; known are 1 \(float32\)"),
        (proto_of([1], 999, half_val=[1]), INVALID, "DataType 999; known are"),
        (proto_of([], int_val=[1]), INVALID, "expected a list of 1 to 8 whole numbers"),
        (proto_of([1] * 9, int_val=[1]), INVALID, "expected a list of 1 to 8 whole numbers"),
    ],
)
def test_tensors_that_disagree_with_themselves(stub, proto, code, words):
    with refused(code, words):
        stub.Predict(request_of({}, images=proto))


@pytest.mark.parametrize(
    ("proto", "code", "words"),
    [
        (proto_of([9], tf.string, tensor_content=b"\1ab"), INVALID, "3 bytes of content; its 9 strings take at least"),
        (proto_of([1], tf.string, tensor_content=b"\5ab"), INVALID, "2 bytes of content behind .* they take 5"),
        (proto_of([1], tf.string, tensor_content=b"\xff" * 9), INVALID, "length of a string that is none, at byte 0"),
        (
            proto_of([1 << 30], tf.string, string_val=[b"x" * 1_000]),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "which take 1,073,741,823,000 bytes",
        ),
        (
            proto_of([2, 2], tf.string, string_val=[b"x"] * 4),
            INVALID,
            r"Expected strings of the shape|of the shape \[-1",
        ),
    ],
)
def test_strings_that_disagree_with_themselves(stub, proto, code, words):
    with refused(code, words):
        stub.Predict(request_of({}, "digits", "encoded", image_bytes=proto))


def test_models_signatures_and_inputs_that_are_unknown(stub):
    images = {"images": np.zeros((1, 8, 8, 3), np.uint8)}
    with refused(NOT_FOUND, "no model 'dog'; known are digits"):
        stub.Predict(request_of(images, "dog"))
    with refused(NOT_FOUND, "There is no model ''"):
        stub.Predict(request_of(images, ""))
    with refused(INVALID, "Model 'digits' has no signature 'predict'; known are"):
        stub.Predict(request_of(images, "digits", "predict"))
    with refused(INVALID, "The inputs are 'images'; signature padded takes images and sizes"):
        stub.Predict(request_of(images, "digits", "padded"))
    with refused(INVALID, "The inputs are none; signature serving_default takes images"):
        stub.Predict(request_of({}))
    for version, code, words in (
        (9, NOT_FOUND, "no version 9 of the model 'digits'; known are 3"),
        (0, INVALID, "The version is 0; expected a whole number of at least 1"),
        (-1, INVALID, "The version is -1"),
    ):
        request = request_of(images)
        request.model_spec.version.value = version
        with refused(code, words):
            stub.Predict(request)
    request = request_of(images)
    request.model_spec.version_label = "stable"
    with refused(INVALID, "No version has the label 'stable': versions have no labels here"):
        stub.Predict(request)


def test_metadata_are_the_signatures(stub, signatures):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "masks"
    response = stub.GetModelMetadata(request)
    assert (response.model_spec.name, response.model_spec.version.value) == ("masks", 3)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) == {"encoded", "serving_default", "padded", "framed", "network"}
    for key, definition in found.signature_def.items():
        function = signatures["masks"][key]
        assert definition.method_name == "tensorflow/serving/predict"
        for specs, infos in (
            (function.structured_input_signature[1], definition.inputs),
            (function.structured_outputs, definition.outputs),
        ):
            assert {name: (spec.dtype, spec.shape.as_list()) for name, spec in specs.items()} == {
                name: (tf.dtypes.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape).as_list())
                for name, info in infos.items()
            }


def test_metadata_of_other_kinds(stub):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "digits"
    with refused(INVALID, "metadata_field is empty; expected 'signature_def'"):
        stub.GetModelMetadata(request)
    request.metadata_field.extend(["signature_def", "assets"])
    with refused(INVALID, "metadata_field is 'assets'; expected 'signature_def'"):
        stub.GetModelMetadata(request)


def test_the_status_of_versions(model_stub):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "digits"
    (version,) = model_stub.GetModelStatus(request).model_version_status
    assert (version.version, version.status.error_code) == (3, 0)
    assert version.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
    request.model_spec.version.value = 4
    with refused(NOT_FOUND, "There is no version 4 of the model 'digits'; known are 3"):
        model_stub.GetModelStatus(request)
    request.model_spec.Clear()
    request.model_spec.name = "dog"
    with refused(NOT_FOUND, "There is no model 'dog'"):
        model_stub.GetModelStatus(request)


def test_what_takes_examples_is_told_what_to_call(stub, model_stub):
    for method, request in (
        (stub.Classify, classification_pb2.ClassificationRequest()),
        (stub.Regress, regression_pb2.RegressionRequest()),
        (stub.MultiInference, inference_pb2.MultiInferenceRequest()),
    ):
        with refused(grpc.StatusCode.UNIMPLEMENTED, "tf.Example, and this model takes pictures; call Predict"):
            method(request)
    with refused(grpc.StatusCode.UNIMPLEMENTED, "serves what it was started with"):
        model_stub.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())
