"""One server for this room's tests, with models of three tasks, and what their signatures give in this process."""

import shutil

import grpc
import pytest
import tensorflow as tf

from tests.serving.servers import running
from tftrt_yolo.serving.server import Settings
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions

MOST_BODY_BYTES = 8 << 20
TASKS = {"digits": "tiny", "masks": "segment", "kinds": "classify"}


@pytest.fixture(scope="package")
def repository(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    for name, export in TASKS.items():
        shutil.copytree(models.exported(export), folder / name / "3")
    return folder


@pytest.fixture(scope="package")
def server(repository):
    settings = Settings(
        ModelOptions(model_repository=repository),
        BatchingOptions(max_batch_size=4, queue_size=64),
        ListenOptions(http_port=0, grpc_port=0, max_body_bytes=MOST_BODY_BYTES, max_pixels=600_000),
        ObservingOptions(log_format="none"),
    )
    with running(settings) as server:
        yield server


@pytest.fixture(scope="package")
def address(server):
    return server.serving.grpc_address


@pytest.fixture(scope="package")
def channel(address):
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        yield channel


@pytest.fixture(scope="package")
def signatures(repository):
    """Name of a model to its signatures, run here."""
    loaded = {name: tf.saved_model.load(str(repository / name / "3")) for name in TASKS}
    return {name: model.signatures for name, model in loaded.items()}
