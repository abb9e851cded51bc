"""What a model says of itself, as Triton's messages have it."""

import dataclasses

import pytest

from tftrt_yolo.serving.protocol import descriptions
from tftrt_yolo.serving.scheduling.inference import ModelState, Signature, TensorSpec

STATE = ModelState(
    "digits",
    2,
    "READY",
    task="detect",
    names={0: "cat", 1: "dog"},
    max_batch_size=8,
    batch_sizes=(1, 8),
    backend="TensorRT on GPU: engines built ahead",
    device="GPU",
    signatures={
        "serving_default": Signature({"images": TensorSpec("uint8", (None, None, None, 3))}, {}),
        "encoded": Signature(
            {"image_bytes": TensorSpec("object", (None,))}, {"boxes": TensorSpec("float32", (None, 300, 4))}
        ),
    },
)


def test_metadata_are_of_the_signature_for_files():
    old = dataclasses.replace(STATE, version=1)
    found = descriptions.model_metadata(STATE, [old, STATE, dataclasses.replace(STATE, version=3, state="LOADING")])
    assert found["versions"] == ["1", "2"]
    assert found["inputs"] == [{"name": "image_bytes", "datatype": "BYTES", "shape": [-1, 1]}]
    assert found["outputs"] == [{"name": "boxes", "datatype": "FP32", "shape": [-1, 300, 4]}]
    assert found["signatures"]["serving_default"]["inputs"][0]["shape"] == [-1, -1, -1, 3]
    assert found["parameters"]["names"] == "cat,dog"


def test_native_segments_are_said():
    assert descriptions.platform(STATE) == "tensorflow_savedmodel"
    native = dataclasses.replace(STATE, is_native=True)
    assert "native segments in TensorFlow, in place of TensorRT's engines" in descriptions.platform(native)
    assert descriptions.model_metadata(native, [native])["parameters"]["native_segments"] == "true"


def test_the_configuration_is_tritons_message():
    model_config = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    from google.protobuf import json_format

    message = json_format.ParseDict(descriptions.model_config(STATE), model_config.ModelConfig())
    assert message.max_batch_size == 8
    assert list(message.dynamic_batching.preferred_batch_size) == [1, 8]
    assert message.output[0].dims == [300, 4]
    assert message.input[0].dims == [1]  # without it perf_analyzer sends nothing
    assert message.input[0].data_type == model_config.TYPE_STRING
    assert message.parameters["task"].string_value == "detect"


def test_a_model_that_is_not_loaded_yet():
    loading = ModelState("digits", 1, "LOADING")
    assert descriptions.model_metadata(loading, [loading])["inputs"] == []
    assert descriptions.model_config(loading)["input"] == []
    assert descriptions.repository_index([loading, STATE], ready=True) == [
        {"name": "digits", "version": "2", "state": "READY", "reason": ""}
    ]
