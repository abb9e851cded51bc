"""A process that is a rehearsal, with host memory in the GPU's place."""

import pytest

from tests.preflighting.rehearsal.calls import Builder, Runtime
from tests.preflighting.stand_in.conftest import stand_in  # noqa: F401 - a fixture
from tftrt_yolo.preflighting.rehearsal import device_memory, process

INPUT = "TensorRTInputPH_0"


@pytest.fixture
def rehearsal(monkeypatch):
    monkeypatch.setenv(process.REHEARSAL, "1")
    monkeypatch.setenv(device_memory.HOST_MEMORY, "1")
    device_memory.memory.cache_clear()
    yield
    device_memory.memory.cache_clear()


@pytest.fixture
def builder(stand_in, rehearsal):  # noqa: F811
    """A builder whose network's steps a test adds."""
    return Builder(stand_in)


@pytest.fixture
def runtime(stand_in, rehearsal):  # noqa: F811
    return Runtime(stand_in)


@pytest.fixture
def negating(builder):
    """A network that negates (batch, 2, 3); profiles are to be added."""
    builder.step("addInput", [INPUT, 0, [-1, 2, 3]])
    builder.step("addUnary", [0, 5])
    return builder


@pytest.fixture
def negated(negating):
    """Its engine, for 1 to 4 and for 8."""
    negating.add_profile(INPUT, (1, 2, 3), (4, 2, 3), (4, 2, 3))
    negating.add_profile(INPUT, (8, 2, 3), (8, 2, 3), (8, 2, 3))
    engine = negating.engine()
    assert negating.log.said == []
    return engine
