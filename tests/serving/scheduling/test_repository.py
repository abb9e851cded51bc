"""A repository that `triton` wrote is served by our own server too, but for engines, of which it is said."""

import asyncio

import numpy as np
import pytest
from absl import logging

import tftrt_yolo
from tests.serving.clients import PICTURES, encoded, started
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.serving.scheduling import repository
from tftrt_yolo.serving.serving_options import BatchingOptions, ModelOptions


@pytest.fixture
def engine(tmp_path):
    """A model for Triton's TensorRT backend in a repository; its files are named as `triton` names them."""
    version = tmp_path / "models" / "engine" / "1"
    version.mkdir(parents=True)
    (version / "model.plan").write_bytes(b"ftrt")
    (version.parent / "config.pbtxt").write_text('backend: "tensorrt"\n')
    return version


def test_its_models_are_served(tiny_export, tmp_path, engine, caplog):
    models = ModelOptions(model_repository=tmp_path / "models")
    for version in (1, 2):
        assert tftrt_yolo.triton(tiny_export, model_repository=tmp_path / "models").version == version

    async def scenario():
        async with started(models, BatchingOptions()) as hub:
            assert [(one.name, one.version, one.state) for one in hub.models()] == [("tiny", 2, "READY")]
            return (await hub.infer(encoded("tiny", PICTURES[:1]))).outputs

    with caplog.at_level("WARNING", logger=logging.get_absl_logger().name):
        outputs = asyncio.run(scenario())
    [expected] = tftrt_yolo.Predictor(tiny_export)(PICTURES[0])
    assert outputs["num_detections"].tolist() == [len(expected)]
    np.testing.assert_allclose(outputs["boxes"][0, : len(expected)], expected.xyxy, atol=0.5)
    passed_over = [line for line in caplog.messages if "is passed over" in line]  # warmup/ is Triton's, and no mistake
    assert len(passed_over) == 1
    assert f"{engine} is passed over: model.plan is an engine for Triton's TensorRT backend" in passed_over[0]


def test_engines_alone_are_no_models(tmp_path, engine):
    models = ModelOptions(model_repository=tmp_path / "models")
    assert repository.look(models) == {}
    message = str(repository.empty(models))
    assert isinstance(repository.empty(models), ServingError)
    assert f"holds no model, but {engine}/model.plan, an engine that Triton's TensorRT backend alone runs" in message
