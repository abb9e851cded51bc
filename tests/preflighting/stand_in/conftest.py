"""The stand-in as a file."""

import pytest

from tftrt_yolo.preflighting.stand_in import library


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory):
    """Path of the library under TensorRT's name."""
    folder = tmp_path_factory.mktemp("stand_in")
    library.environment_for(library.built(), folder, folder)
    return folder / library.TENSORRT_LIBRARIES[0]
