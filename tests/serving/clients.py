"""A hub in the test's event loop, requests for it, and what the observer was told."""

import asyncio
import contextlib
import time

import numpy as np

from tests.conftest import IMAGES
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.scheduling.inference import Inference
from tftrt_yolo.serving.scheduling.observer import Observer
from tftrt_yolo.serving.serving_options import BatchingOptions, ModelOptions

PICTURES = [path.read_bytes() for path in IMAGES]


class Told(Observer):
    """Keeps what it is told."""

    def __init__(self):
        self.batches, self.finishes, self.states, self.ends, self.queues = [], [], [], [], []

    def queued(self, model, version, pictures):
        self.queues.append(pictures)

    def batch(self, model, version, size, seconds):
        self.batches.append(size)

    def finished(self, inference, outcome, refusal, seconds):
        self.finishes.append((inference, outcome, refusal))

    def state(self, state):
        self.states.append((state.version, state.state))

    def process_ended(self, model, version, reason):
        self.ends.append(reason)


@contextlib.asynccontextmanager
async def started(models: ModelOptions, batching: BatchingOptions | None = None, **options):
    """A hub that is ready, with its `told`; stopped in the end."""
    hub = Hub(models, batching or BatchingOptions(), told := Told(), **options)
    hub.told = told
    try:
        await hub.start()
        yield hub
    finally:
        await hub.stop()


def encoded(name: str, files: list[bytes], *, seconds: float = 120.0, **options) -> Inference:
    """A request of image files."""
    inputs = {"image_bytes": np.array([*files, None], object)[:-1]}
    return Inference(name, "encoded", inputs, time.monotonic() + seconds, **options)


def processes(hub: Hub) -> list[int]:
    """The processes that hold a model, by their numbers."""
    return [runner._worker._process.pid for version in hub._versions.values() for runner in version._live]


async def until(condition, seconds: float = 120.0) -> None:
    """Waits for something that must come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        await asyncio.sleep(0.02)


def same(one: dict, other: dict, *, tolerance: float = 1e-4) -> bool:
    """Whether outputs are the same: texts and whole numbers exactly, others as close as other batches give them."""
    return one.keys() == other.keys() and all(_same(one[name], other[name], tolerance) for name in one)


def _same(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=tolerance, atol=1e-2))
    return bool((one == other).all())
