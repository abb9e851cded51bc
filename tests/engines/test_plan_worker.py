"""What the header says of the GPU that an engine was built for; the rest of the worker is in test_plan."""

import types

import pytest

from tftrt_yolo.engines import engine_file, plan_worker
from tftrt_yolo.engines.running import device_memory
from tftrt_yolo.ground.errors import TensorRTUnavailableError
from tftrt_yolo.preflighting.real_builder import target


def _none():
    raise TensorRTUnavailableError("no GPU")


@pytest.mark.parametrize(
    ("built_for", "memory", "expected"),
    [
        ("8.6", _none, "8.6"),  # named, by TensorRT-RTX
        (target.HERE, lambda: types.SimpleNamespace(compute_capability="9.0"), "9.0"),  # TensorRT's: which it was
        (target.HERE, _none, engine_file.UNTOLD_GPU),
    ],
)
def test_the_gpu_of_an_engine(built_for, memory, expected, monkeypatch):
    monkeypatch.setattr(device_memory, "open_memory", memory)
    assert plan_worker._compute_capability(built_for) == expected
