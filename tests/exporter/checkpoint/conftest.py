"""The toy's network, for tests of how checkpoints are read."""

import pytest

from tests.exporter.checkpoint import files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture
def network(folder):
    return files.toy_network(folder)
