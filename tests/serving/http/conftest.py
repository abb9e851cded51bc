"""One server for this room's tests, with a model that finds and one that finds masks."""

import shutil

import pytest

from tests.serving.servers import port_of, running
from tftrt_yolo.serving.server import Settings
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions

MOST_BODY_BYTES = 8 << 20
CLIENT_SECONDS = 2.0


@pytest.fixture(scope="package")
def repository(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    for name, export in (("digits", "tiny"), ("masks", "segment")):
        shutil.copytree(models.exported(export), folder / name / "1")
    return folder


@pytest.fixture(scope="package")
def server(repository):
    settings = Settings(
        ModelOptions(model_repository=repository),
        BatchingOptions(max_batch_size=4),
        ListenOptions(
            http_port=0,
            grpc_port=-1,
            max_body_bytes=MOST_BODY_BYTES,
            max_pixels=600_000,
            client_timeout_s=CLIENT_SECONDS,
        ),
        ObservingOptions(log_format="none"),
    )
    with running(settings) as server:
        yield server


@pytest.fixture(scope="package")
def port(server):
    return port_of(server)


@pytest.fixture(scope="package")
def url(server):
    return server.serving.http_url
