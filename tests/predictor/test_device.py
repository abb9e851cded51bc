"""A Predictor on a device that is named: here CPUs that TensorFlow is told to have."""

import json
import subprocess
import sys

import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tftrt_yolo.saved_model import devices

ON_SECOND_CPU = """
import json, pickle, sys
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import tftrt_yolo
model, image, *names = sys.argv[1:]
found = {"boxes": [], "of_network": [], "at_threshold": []}
for name in names:
    predictor = tftrt_yolo.Predictor(model, device=name)
    found["boxes"].append(predictor(image)[0].xyxy.tolist())
    found["at_threshold"].append(len(predictor(image, score_threshold=0.01)[0]))
    with predictor._pipeline._place():
        frames = tf.zeros((1, *predictor.metadata.image_size_hw, 3))
        outputs = predictor._network(frames=frames)
    found["of_network"].append(sorted({value.device for value in outputs.values()}))
again = pickle.loads(pickle.dumps(predictor))
try:
    tftrt_yolo.Predictor(model, device="gpu:3")
except ValueError as error:
    found["refused"] = str(error)
print(json.dumps(found | {"backend": str(predictor.backend), "repr": repr(again)}))
"""


def _on_second_cpu(model):
    command = [sys.executable, "-c", ON_SECOND_CPU, str(model), str(IMAGES[0]), "CPU:0", "/device:CPU:1"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def test_it_is_loaded_and_run_there(tiny_export):
    found = _on_second_cpu(tiny_export)
    assert found["boxes"][0] == found["boxes"][1]
    assert found["boxes"][0]
    assert found["at_threshold"][0] == found["at_threshold"][1] > len(found["boxes"][0])
    assert [[name[-5:] for name in names] for names in found["of_network"]] == [["CPU:0"], ["CPU:1"]]
    assert found["backend"] == "TensorFlow on CPU:1: the model was not converted"
    assert found["repr"].endswith("TensorFlow on CPU:1>")
    assert found["refused"] == "device is 'GPU:3', which is not there; this machine has CPU:0, CPU:1."


@pytest.mark.slow
def test_a_model_for_xla_is_compiled_there(models, tmp_path):
    tftrt_yolo.convert(models.exported("toy"), tmp_path / "xla", accelerator="xla", precision_mode="FP32")
    found = _on_second_cpu(tmp_path / "xla")
    assert found["boxes"][0] == found["boxes"][1]
    assert [[name[-5:] for name in names] for names in found["of_network"]] == [["CPU:0"], ["CPU:1"]]
    assert found["backend"].startswith("XLA on CPU:1: ")


def test_engines_run_natively_where_a_cpu_is_asked_for(tiny_conversion):
    predictor = tftrt_yolo.Predictor(tiny_conversion, device="cpu")
    assert str(predictor.backend).startswith("TensorFlow on CPU: native segments in place of 1 TensorRT engine: ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CPU", "CPU"),
        ("cpu", "CPU"),
        ("GPU", "GPU"),
        ("gpu:1", "GPU:1"),
        ("/GPU:12", "GPU:12"),
        ("/device:CPU:0", "CPU:0"),
        (0, "GPU:0"),
        (3, "GPU:3"),
    ],
)
def test_names(name, expected):
    assert str(devices.parse(name, "device")) == expected


@pytest.mark.parametrize("name", ["", "cuda:0", "GPU:", "GPU:-1", "TPU:0", "GPU:1 ", -1, 1.0, None, True, b"CPU"])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match=r"device is .*; expected 'CPU', 'GPU', or 'GPU:1'"):
        devices.parse(name, "device")


@pytest.mark.parametrize(
    ("given", "expected"),
    [(1, ("GPU:1",)), ("cpu", ("CPU",)), ([0, 1], ("GPU:0", "GPU:1")), (("cpu", "gpu:2"), ("CPU", "GPU:2"))],
)
def test_several_names(given, expected):
    assert tftrt_yolo.SourceOptions(source="photos", devices=given).devices == expected


@pytest.mark.parametrize("given", [(), [], {}, "cpu,cpu", ("cuda",)])
def test_what_are_no_names(given):
    with pytest.raises(ValueError, match=r"devices is "):
        tftrt_yolo.SourceOptions(source="photos", devices=given)


def test_a_predictor_has_its_device_already(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)
    with pytest.raises(ValueError, match=r"devices is for `predict`, and a Predictor has its device"):
        predictor(tftrt_yolo.SourceOptions(source=IMAGES[0], devices=("CPU",)))
